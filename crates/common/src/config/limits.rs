//! What one command of a worker may use, as `worker.limits` says it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values::ByteSize;

/// The finest step of a share of processors: a hundredth.
const SHARES: f64 = 100.0;

/// What all processes of one task may use together: kept by cgroups, and only where this process may use their controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Together {
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Hundredths of a processor.
    pub cpu: Option<u64>,
}

impl Together {
    /// Whether there is no limit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The limits of one command. What is `None` is as it is for the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of address space of each process.
    pub memory: Option<u64>,
    /// Time of the processor of each process.
    pub cpu: Option<Duration>,
    /// Open files of each process.
    pub files: Option<u64>,
    /// Processes and threads of the user, all together.
    pub processes: Option<u64>,
    /// Bytes of each file that is written.
    pub file_size: Option<u64>,
    /// What is not of each process.
    pub together: Together,
}

impl Limits {
    /// Reads the table.
    ///
    /// # Errors
    /// The name of an entry, and what is wrong with it.
    pub fn parse(table: &BTreeMap<String, String>) -> Result<Self, (String, String)> {
        let mut limits = Self::default();
        for (name, value) in table {
            let wrong = |why: &str| (name.clone(), why.to_owned());
            let size = || value.parse::<ByteSize>().ok().map(ByteSize::bytes).filter(|bytes| *bytes > 0);
            let number = || value.parse::<u64>().ok().filter(|number| *number > 0);
            let bytes = "must be a size, as \"512MiB\"";
            match name.as_str() {
                "memory" => limits.memory = Some(size().ok_or_else(|| wrong(bytes))?),
                "file_size" => limits.file_size = Some(size().ok_or_else(|| wrong(bytes))?),
                "cpu" => {
                    let time = humantime::parse_duration(value).ok().filter(|time| *time >= Duration::from_secs(1));
                    limits.cpu = Some(time.ok_or_else(|| wrong("must be a duration of at least a second, as \"10m\""))?);
                }
                "files" => limits.files = Some(number().ok_or_else(|| wrong("must be a whole number above 0, as \"256\""))?),
                "processes" => limits.processes = Some(number().ok_or_else(|| wrong("must be a whole number above 0, as \"64\""))?),
                // The thread that starts the task is in its cgroup for a moment, and counts.
                "task_processes" => {
                    let most = number().filter(|number| *number > 1);
                    limits.together.processes = Some(most.ok_or_else(|| wrong("must be a whole number above 1, as \"64\""))?);
                }
                "task_cpu" => {
                    limits.together.cpu = Some(shares(value).ok_or_else(|| wrong("must be a number of processors, as \"0.5\" or \"2\""))?)
                }
                _ => return Err(wrong(UNKNOWN)),
            }
        }
        Ok(limits)
    }

    /// Whether no process is limited by itself.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        Self { together: Together::default(), ..*self } == Self::default()
    }
}

const UNKNOWN: &str = "is no limit; there are memory, cpu, files, processes, file_size, task_processes and task_cpu";

/// At least a hundredth of a processor, at most so many that nobody has them.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 1 and a million")]
fn shares(value: &str) -> Option<u64> {
    let hundredths = (value.parse::<f64>().ok()? * SHARES).round();
    (1.0..=1_000_000.0).contains(&hundredths).then_some(hundredths as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &[(&str, &str)]) -> Result<Limits, (String, String)> {
        Limits::parse(&entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn every_limit_is_read_and_nothing_else() {
        let all = [("memory", "1MiB"), ("cpu", "2m"), ("files", "3"), ("processes", "4"), ("file_size", "5KiB")];
        let expected = Limits {
            memory: Some(1 << 20),
            cpu: Some(Duration::from_secs(120)),
            files: Some(3),
            processes: Some(4),
            file_size: Some(5 << 10),
            together: Together::default(),
        };
        assert_eq!(parse(&all), Ok(expected));
        assert!(parse(&[]).expect("none").is_empty());
        let together = parse(&[("task_processes", "6"), ("task_cpu", "1.5")]).expect("both");
        assert_eq!(together.together, Together { processes: Some(6), cpu: Some(150) });
        assert!(together.is_empty() && !together.together.is_empty(), "no process has a limit of its own");
        for bad in [("task_processes", "1"), ("task_cpu", "0"), ("task_cpu", "-1"), ("task_cpu", "NaN"), ("task_cpu", "all")] {
            assert_eq!(parse(&[bad]).expect_err(bad.0).0, bad.0, "{bad:?}");
        }
        for bad in [("memory", "1"), ("memory", "0B"), ("cpu", "1ms"), ("files", "-1"), ("processes", "0"), ("disk", "1GiB")] {
            assert_eq!(parse(&[bad]).expect_err(bad.0).0, bad.0, "{bad:?}");
        }
    }
}
