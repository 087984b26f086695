//! What clients do, and people who change by hand what is kept.

use bellwether_core::protocol::{Multi, Outcome, TaskName, path};

use super::World;

impl World {
    pub(super) fn client(&mut self, multi: &Multi) -> Outcome {
        let outcome = self.zookeeper.commit(0, multi);
        self.spread();
        outcome
    }

    pub(super) fn submit(&mut self) {
        let task = TaskName::listed(&format!("t{}", self.named));
        self.named += 1;
        let good: [&[u8]; 15] = [
            b"echo hello",
            br#"["true"]"#,
            br#"{"bellwether":1,"shell":"make","priority":3}"#,
            br#"{"bellwether":1,"argv":["x"],"require":{"zone":"a"}}"#,
            br#"{"bellwether":1,"argv":["x"],"max_worker_losses":1}"#,
            br#"{"bellwether":1,"argv":["x"],"max_worker_losses":9}"#,
            br#"{"bellwether":1,"argv":["x"],"retries":2,"backoff_ms":10,"backoff_max_ms":80}"#,
            br#"{"bellwether":1,"argv":["x"],"retries":1,"backoff_ms":40,"retry_on":[3]}"#,
            br#"{"bellwether":1,"argv":["x"],"retries":4,"backoff_ms":0,"max_worker_losses":2}"#,
            br#"{"bellwether":1,"argv":["x"],"delay_ms":200}"#,
            br#"{"bellwether":1,"argv":["x"],"array":{"count":1}}"#,
            br#"{"bellwether":1,"argv":["x"],"array":{"count":40,"first":3}}"#,
            br#"{"bellwether":1,"argv":["x"],"array":{"count":25},"retries":2,"backoff_ms":10,"max_worker_losses":2}"#,
            br#"{"bellwether":1,"argv":["x"],"array":{"count":30,"max_fails":4},"max_worker_losses":1,"require":{"zone":"a"}}"#,
            br#"{"bellwether":1,"argv":["x"],"array":{"count":6},"delay_ms":100,"retries":1,"backoff_ms":0}"#,
        ];
        let bad: [&[u8]; 5] = [b"", b"\xff\xfe", b"[1]", br#"{"bellwether":1}"#, br#"{"bellwether":7,"shell":"x"}"#];
        let from: &[&[u8]] = if self.faults.garbage && self.random.percent(30) { &bad } else { &good };
        let payload = self.random.pick(from).expect("some").to_vec();
        let held = payload.windows(8).any(|window| window == b"delay_ms") || self.random.percent(5);
        let mut multi = Multi::new().create(if held { path::held(&task) } else { path::task(&task) }, payload);
        if self.faults.cancels && self.random.percent(5) {
            multi = multi.create(path::cancel(&task), "");
        }
        if matches!(self.client(&multi), Outcome::Applied(_)) {
            self.submitted.insert(task);
        }
    }

    pub(super) fn cancel(&mut self) {
        let names: Vec<TaskName> = self.submitted.iter().cloned().chain([TaskName::listed("nobody")]).collect();
        let Some(task) = self.random.pick(&names) else { return };
        let multi = if self.random.percent(90) {
            Multi::new().create(path::cancel(task), br#"{"reason":"because"}"#.as_slice())
        } else {
            Multi::new().delete(path::cancel(task), None)
        };
        let _ = self.client(&multi);
    }

    /// Somebody types at ZooKeeper's own command line.
    pub(super) fn meddle(&mut self) {
        let multi = match self.random.below(6) {
            5 => self.any_child(path::HELD).map(|path| Multi::new().set(path, "echo changed", None)),
            0 => self.any_child(path::WORKERS).map(|path| Multi::new().delete(path, None)),
            1 => self.any_child(path::ASSIGN).map(|path| Multi::new().delete(path, None)),
            2 => self.any_child(path::TASKS).map(|path| Multi::new().set(path, "echo changed", None)),
            3 => Some(Multi::new().create("/workers/persistent", "Idle")),
            _ => {
                let nodes = [path::TASKS, path::STATUS, path::RESULTS, path::DEAD, path::CANCEL, path::HELD, path::SWEPT];
                self.random.pick(&nodes).map(|node| Multi::new().delete(*node, None))
            }
        };
        if let Some(multi) = multi {
            let _ = self.client(&multi);
        }
    }

    /// Somebody deletes `/tasks` with all that waits there: its counter starts over, so that older results are in the way.
    pub(super) fn delete_all_tasks(&mut self) {
        let waiting = self.zookeeper.children(path::TASKS).unwrap_or_default();
        let multi = waiting.iter().fold(Multi::new(), |multi, task| multi.delete(format!("{}/{task}", path::TASKS), None));
        if self.client(&multi.delete(path::TASKS, None)) == Outcome::applied() {
            self.submitted.retain(|task| !waiting.iter().any(|gone| gone == task.as_str()));
        }
    }

    /// A client takes back what it submitted, if it is still pending.
    pub(super) fn withdraw(&mut self) {
        let parent = if self.random.percent(70) { path::TASKS } else { path::HELD };
        let Some(path) = self.any_child(parent) else { return };
        if self.client(&Multi::new().delete(&path, None)) == Outcome::applied() {
            let name = path.rsplit('/').next().unwrap_or_default();
            self.submitted.remove(&TaskName::listed(name));
        }
    }

    pub(super) fn any_child(&mut self, parent: &str) -> Option<String> {
        let children = self.zookeeper.children(parent)?;
        self.random.pick(&children).map(|child| format!("{parent}/{child}"))
    }
}
