//! What one command of a worker may use, as `worker.limits` says it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values::ByteSize;

/// The limits of one command. What is `None` is as it is for the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of address space of each process.
    pub memory: Option<u64>,
    /// Time of the processor of each process.
    pub cpu: Option<Duration>,
    /// Open files of each process.
    pub files: Option<u64>,
    /// Processes and threads of the user, all together; of the command, where it has a cgroup with this controller.
    pub processes: Option<u64>,
    /// Bytes of each file that is written.
    pub file_size: Option<u64>,
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
                _ => return Err(wrong("is no limit; there are memory, cpu, files, processes and file_size")),
            }
        }
        Ok(limits)
    }

    /// Whether there is any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
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
        };
        assert_eq!(parse(&all), Ok(expected));
        assert!(parse(&[]).expect("none").is_empty());
        for bad in [("memory", "1"), ("memory", "0B"), ("cpu", "1ms"), ("files", "-1"), ("processes", "0"), ("disk", "1GiB")] {
            assert_eq!(parse(&[bad]).expect_err(bad.0).0, bad.0, "{bad:?}");
        }
    }
}
