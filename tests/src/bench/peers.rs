//! Other systems on the same machine: a program of `tests/peers` each, which starts what it needs, measures twice and says what it found.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::figure::Unit;
use super::{Measured, Side};
use crate::place;

/// Beside tasks that do nothing.
pub(super) fn noop(count: usize) -> Vec<Side> {
    vec![
        peer("Celery", "with_celery.py", &["noop", &count.to_string()], "Redis with AOF everysec, results in Redis, two worker processes"),
        peer("RQ", "with_rq.py", &["noop", &count.to_string()], "the same Redis, two SimpleWorkers"),
    ]
}

/// Beside commands.
pub(super) fn commands(divisor: usize) -> Vec<Side> {
    let count = |tasks: usize| (tasks / divisor).max(40).to_string();
    vec![
        peer("xargs -P2", "xargs.sh", &[&count(10_000)], "one machine, nothing durable"),
        peer("GNU parallel -j2", "parallel.sh", &[&count(2_000)], "one machine, nothing durable"),
        peer("HyperQueue", "with_hyperqueue.py", &[&count(10_000)], "its Python API, no journal, one worker with two cores"),
        peer("Celery", "with_celery.py", &["true", &count(2_000)], "Redis with AOF everysec, results in Redis, two worker processes"),
        peer("gearmand", "gearman.sh", &[&count(4_000)], "in memory, two workers, two clients; results are not recorded"),
    ]
}

/// Beside one task after another.
pub(super) fn latency() -> Vec<Side> {
    vec![peer("Celery", "with_celery.py", &["latency", "300"], "Redis with AOF everysec, results in Redis, two worker processes")]
}

fn peers_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// `MISSING reason` on stdout says that it cannot be measured here.
fn peer(name: &str, program: &str, args: &[&str], configuration: &str) -> Side {
    let tools = place::target_dir().join("tools").join("peers");
    let command = {
        let (path, args) = (peers_dir().join(program), args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        move |check: bool| {
            let mut command = match path.extension().and_then(|extension| extension.to_str()) {
                Some("py") => Command::new(tools.join("bin").join("python")),
                Some(_) | None => Command::new("bash"),
            };
            command.arg(&path).args(&args).env("CHECK", if check { "1" } else { "" });
            command
        }
    };
    let missing = missing(command(true));
    let name = name.to_owned();
    let configuration = format!("{configuration}; {} tasks", args.last().copied().unwrap_or_default());
    let measure = move || {
        let dir = place::Dir::new("peer");
        let output = command(false).current_dir(dir.path()).env("DIR", dir.path()).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::ensure!(output.status.success(), "{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr));
        understand(&said)
    };
    Side { name, configuration, measure: Box::new(measure), missing }
}

fn missing(mut command: Command) -> Option<String> {
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).trim().to_owned() + String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => Some(format!("{}: {error}; run make bench, which installs what it can", command.get_program().display())),
    }
}

/// Lines of a value, its unit and what it is.
fn understand(said: &str) -> anyhow::Result<Measured> {
    let mut measured = Measured::new();
    for line in said.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.splitn(3, ' ');
        let (Some(value), Some(unit), Some(what)) = (words.next(), words.next(), words.next()) else {
            anyhow::bail!("no value, unit and name: {line:?}");
        };
        let unit = match unit {
            "/s" => Unit::PerSecond,
            "ms" => Unit::Milliseconds,
            _ => anyhow::bail!("an unknown unit: {line:?}"),
        };
        measured.push((what.to_owned(), unit, value.parse()?));
    }
    anyhow::ensure!(!measured.is_empty(), "it said nothing");
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_understood_or_refused() {
        let measured = understand("816.5 /s tasks until the last result, warm\n2.1 ms p50\n").expect("two values");
        assert_eq!(measured[0], ("tasks until the last result, warm".to_owned(), Unit::PerSecond, 816.5));
        assert_eq!(measured[1].1, Unit::Milliseconds);
        for bad in ["", "fast\n", "12 parsecs x\n", "x /s y\n"] {
            assert!(understand(bad).is_err(), "{bad:?}");
        }
    }
}
