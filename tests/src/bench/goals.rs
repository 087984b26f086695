//! What Bellwether means to reach, and whether it did.

use serde::Serialize;

use super::figure::{Figure, Unit};

/// A goal, and what was reached.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Goal {
    /// What is meant to be reached.
    pub(super) goal: String,
    /// The value that counts.
    pub(super) reached: f64,
    /// Of both.
    pub(super) unit: Unit,
    /// At least, or at most, this.
    pub(super) target: f64,
    /// Whether more is better.
    pub(super) at_least: bool,
}

impl Goal {
    /// Whether it is reached.
    pub(super) fn is_reached(&self) -> bool {
        if self.at_least { self.reached >= self.target } else { self.reached <= self.target }
    }
}

/// Those of which something was measured.
pub(super) fn goals(figures: &[Figure]) -> Vec<Goal> {
    let find = |group: &str, side: &str, what: &[&str]| {
        figures
            .iter()
            .find(|figure| figure.group == group && figure.side.starts_with(side) && what.iter().all(|word| figure.what.contains(word)))
    };
    let ours = |group: &str, what: &[&str]| find(group, "Bellwether", what);
    let mut goals = Vec::new();
    let mut push = |goal: &str, value: Option<f64>, unit: Unit, at_least: bool, target: f64| {
        goals.extend(value.map(|reached| Goal { goal: goal.to_owned(), reached, unit, target, at_least }));
    };
    let median = |figure: Option<&Figure>| figure.map(|figure| figure.median);
    let over = |own: Option<&Figure>, other: Option<&Figure>| Some(own?.over(other?).median);

    let noop = ours("noop", &["one by one", "warm"]);
    push("tasks that do nothing, submitted singly", median(noop), Unit::PerSecond, true, 10_000.0);
    let share = over(noop, ours("noop", &["32 in a transaction", "warm"])).map(|share| share * 5.0);
    push("the same over ZooKeeper's own bound: a fifth of the nodes created 32 in a transaction", share, Unit::Ratio, true, 0.35);
    push("the same over Celery", over(noop, find("noop", "Celery", &["warm"])), Unit::Ratio, true, 12.0);
    let commands = ours("true", &["at a time", "warm"]);
    let elements = median(ours("arrays", &["elements", "warm"]));
    push("elements of an array that do nothing", elements, Unit::PerSecond, true, 100_000.0);
    push("/bin/true over xargs -P2", over(commands, find("true", "xargs", &["warm"])), Unit::Ratio, true, 1.1);
    push("/bin/true over HyperQueue", over(commands, find("true", "HyperQueue", &["warm"])), Unit::Ratio, true, 3.0);
    let elements = find("true", "An array", &["warm"]);
    push("/bin/true as elements of an array over xargs -P2", over(elements, find("true", "xargs", &["warm"])), Unit::Ratio, true, 1.1);
    push(
        "idle, submit until result, over the sum of its round trips",
        median(ours("latency", &["over their sum", "warm"])),
        Unit::Ratio,
        false,
        1.15,
    );
    let backlogs: Vec<&Figure> = figures.iter().filter(|figure| figure.group == "backlog" || figure.group == "million").collect();
    let first = |what: &str| backlogs.iter().find(|figure| figure.what.contains(what)).copied();
    let last = |what: &str| backlogs.iter().rfind(|figure| figure.what.contains(what)).copied();
    push(
        "requests per task with the most waiting over those with 1,000",
        over(last("requests"), first("requests")),
        Unit::Ratio,
        false,
        1.1,
    );
    push("bytes per task with the most waiting over those with 1,000", over(last("bytes to"), first("bytes to")), Unit::Ratio, false, 1.1);
    push("throughput with the most waiting over that with 1,000", over(last("tasks until"), first("tasks until")), Unit::Ratio, true, 0.85);
    push("the master's memory per waiting task", median(last("per waiting task")), Unit::Bytes, false, 400.0);
    let memory = figures.iter().rfind(|figure| figure.group == "backlog" && figure.what == "the master's memory");
    push("the master's memory with 100,000 waiting", median(memory), Unit::Mebibytes, false, 100.0);
    push("takeover: session's end until the next master", median(ours("takeover", &["next master"])), Unit::Milliseconds, false, 100.0);
    push(
        "takeover: election until the first assignment",
        median(ours("takeover", &["first assignment"])),
        Unit::Milliseconds,
        false,
        1_000.0,
    );
    let fleets = (find("workers", "Bellwether, 200", &["tasks"]), find("workers", "Bellwether, 2 ", &["tasks"]));
    push("200 workers over two", over(fleets.0, fleets.1), Unit::Ratio, true, 0.8);
    for who in ["master", "standby", "worker"] {
        push(&format!("idle: a {who}'s processor time"), median(ours("idle", &[who, "processor"])), Unit::Core, false, 0.3);
    }
    let lost = median(ours("retention", &["lost"]));
    push("few results kept: those that somebody waited for and lost", lost, Unit::Whole, false, 0.0);
    for what in ["nodes", "ZooKeeper's heap behind its collections"] {
        let ratio = ours("retention", &[what, "the last third over the second"]);
        push(&format!("few results kept: {what}, the last third over the second"), median(ratio), Unit::Ratio, false, 1.1);
    }
    push("idle: a worker's memory", median(ours("idle", &["a worker's memory"])), Unit::Mebibytes, false, 20.0);
    goals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(group: &str, side: &str, what: &str, value: f64) -> Figure {
        let mut figure = Figure::new(group, side, what, Unit::PerSecond);
        figure.add(value);
        figure
    }

    #[test]
    fn only_what_was_measured_is_judged_and_by_the_round() {
        let figures = [
            figure("noop", "Bellwether", "tasks submitted one by one, until the last result, warm", 8_000.0),
            figure("noop", "Bellwether", "nodes created, 32 in a transaction, warm", 100_000.0),
            figure("noop", "Celery", "tasks until the last result, warm", 500.0),
            figure("workers", "Bellwether, 2 workers", "tasks until the last result", 10.0),
            figure("workers", "Bellwether, 20 workers", "tasks until the last result", 1.0),
            figure("workers", "Bellwether, 200 workers", "tasks until the last result", 9.0),
        ];
        let judged: Vec<(f64, bool)> = goals(&figures).iter().map(|goal| (goal.reached, goal.is_reached())).collect();
        assert_eq!(judged, [(8_000.0, false), (0.4, true), (16.0, true), (0.9, true)]);
    }
}
