//! `bellwether submit -f`: a file with a task in each line, as a JSON object.
//!
//! What lives here: reading the file as a whole, and how its lines refer to one another. What does not: what one line may say (`line`).

mod line;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use bellwether_client::{NewElement, NewTask};
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::group::GROUP_SIZE_MAX;

use super::failure::Failure;
pub(crate) use line::Line;
use line::Reference;

/// Longest file.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// How many bad lines are named.
const NAMED: usize = 10;
/// What some editors put in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    number: usize,
    why: String,
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.number, self.why)
    }
}

/// The tasks of a file; `-` is our own standard input. With `partial`, bad lines are left out and handed back. No task may have more
/// than `payload_max` bytes.
pub(crate) fn read(file: &Path, partial: bool, payload_max: usize) -> Result<(Vec<NewElement>, Vec<BadLine>), Failure> {
    let shown = file.display();
    let cannot = |error: std::io::Error| Failure::usage(format!("--file {shown}: cannot be read: {error}"));
    let mut bytes = Vec::new();
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    } else {
        std::fs::File::open(file).map_err(cannot)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("--file {shown}: it has more than {FILE_BYTES_MAX} bytes; submit it in parts")));
    }
    let (tasks, bad) = understand(&bytes, payload_max);
    if !bad.is_empty() && !partial {
        let lines: Vec<String> = bad.iter().take(NAMED).map(ToString::to_string).collect();
        let more = bad.len().saturating_sub(NAMED);
        let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
        let summary = match bad.len() {
            1 => format!("--file {shown}: one of its lines is bad, nothing was submitted"),
            several => format!("--file {shown}: {several} of its lines are bad, nothing was submitted"),
        };
        let failure = Failure::usage(format!("{}{more}\n{summary}", lines.join("\n")));
        return Err(failure.hint("mend them, or submit the others with --partial"));
    }
    match tasks.len() {
        0 if bad.is_empty() => Err(Failure::usage(format!("--file {shown}: there is no task in it")).hint(EXAMPLE)),
        0 => Err(Failure::usage(format!("{}\n--file {shown}: none of its lines is a task", bad[0])).hint(EXAMPLE)),
        tasks if tasks > GROUP_SIZE_MAX => {
            Err(Failure::usage(format!("--file {shown}: it has {tasks} tasks, at most {GROUP_SIZE_MAX} are taken; submit it in parts")))
        }
        _ => Ok((tasks, bad)),
    }
}

const EXAMPLE: &str = r#"each line is a task, as {"argv": ["make", "test"]} or {"shell": "make test | tee log"}"#;

/// A line that is not blank.
struct Entry {
    /// Where it stands, from 1.
    number: usize,
    /// What it asks for; nothing if it is bad.
    task: Option<NewTask>,
    /// The other entries that it waits for.
    after: BTreeSet<usize>,
}

fn understand(bytes: &[u8], payload_max: usize) -> (Vec<NewElement>, Vec<BadLine>) {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    let read: Vec<(usize, Result<Line, String>)> = lines.map(|(index, line)| (index + 1, Line::parse(line))).collect();
    let mut names: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (entry, (_, line)) in read.iter().enumerate() {
        if let Some(name) = line.as_ref().ok().and_then(|line| line.name.clone()) {
            names.entry(name).or_default().push(entry);
        }
    }
    let numbers: Vec<usize> = read.iter().map(|(number, _)| *number).collect();
    let mut bad = Vec::new();
    let mut entries: Vec<Entry> = Vec::with_capacity(read.len());
    for (number, line) in read {
        let made = line.and_then(|line| make(line, &names, &numbers, payload_max));
        entries.push(match made {
            Ok((task, after)) => Entry { number, task: Some(task), after },
            Err(why) => {
                bad.push(BadLine { number, why });
                Entry { number, task: None, after: BTreeSet::new() }
            }
        });
    }
    in_circles(&mut entries, &mut bad);
    waiting_for_bad(&mut entries, &mut bad);
    bad.sort_by_key(|bad| bad.number);
    (without_gaps(entries), bad)
}

fn make(
    mut line: Line,
    names: &BTreeMap<String, Vec<usize>>,
    numbers: &[usize],
    payload_max: usize,
) -> Result<(NewTask, BTreeSet<usize>), String> {
    let (mut inside, mut outside) = (BTreeSet::new(), Vec::new());
    for reference in std::mem::take(&mut line.after) {
        match refer(reference, names, numbers.len())? {
            Other::Entry(entry) => drop(inside.insert(entry)),
            Other::Task(task) => outside.push(task),
        }
    }
    let mut task = line.task()?;
    task.envelope.after = outside;
    task.check(payload_max).map_err(|error| error.to_string())?;
    Ok((task, inside))
}

enum Other {
    Entry(usize),
    Task(TaskName),
}

fn refer(reference: Reference, names: &BTreeMap<String, Vec<usize>>, tasks: usize) -> Result<Other, String> {
    let name = match reference {
        Reference::Number(number) => {
            let entry = usize::try_from(number).ok().filter(|number| *number < tasks);
            let none = || format!("after: there is no task {number} in this file; they are numbered from 0 to {}", tasks.saturating_sub(1));
            return entry.map(Other::Entry).ok_or_else(none);
        }
        Reference::Name(name) => name,
    };
    match names.get(&name).map(Vec::as_slice) {
        Some([entry]) => Ok(Other::Entry(*entry)),
        Some(several) => Err(format!("after: {} tasks of this file are called {name:?}; say its number", several.len())),
        None => TaskName::parse(&name).map(Other::Task).map_err(|bad| format!("after {name:?}: {bad}")),
    }
}

/// Tasks that wait for one another in a circle are bad: each would wait for ever. What lies between two circles counts as part of them.
fn in_circles(entries: &mut [Entry], bad: &mut Vec<BadLine>) {
    let mut left: BTreeSet<usize> = (0..entries.len()).filter(|entry| entries[*entry].task.is_some()).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); entries.len()];
    for (entry, waits) in entries.iter().enumerate() {
        waits.after.iter().for_each(|parent| children[*parent].push(entry));
    }
    let parents: Vec<Vec<usize>> = entries.iter().map(|entry| entry.after.iter().copied().collect()).collect();
    // Those that wait for nobody that is left are in no circle; nor are those for which nobody waits that is left.
    peel(&mut left, &parents, &children);
    peel(&mut left, &children, &parents);
    for entry in &left {
        let Some(parent) = parents[*entry].iter().find(|parent| left.contains(parent)) else { continue };
        let why = match parent == entry {
            true => "it waits for itself".to_owned(),
            false => format!("it waits for itself, by way of line {}", entries[*parent].number),
        };
        bad.push(BadLine { number: entries[*entry].number, why });
    }
    left.into_iter().for_each(|entry| entries[entry].task = None);
}

/// Takes away what waits for nobody that is left, again and again.
fn peel(left: &mut BTreeSet<usize>, waits_for: &[Vec<usize>], waited_for_by: &[Vec<usize>]) {
    let mut open: Vec<usize> = waits_for.iter().map(|others| others.iter().filter(|other| left.contains(other)).count()).collect();
    let mut free: Vec<usize> = left.iter().copied().filter(|entry| open[*entry] == 0).collect();
    while let Some(entry) = free.pop() {
        left.remove(&entry);
        for other in waited_for_by[entry].iter().filter(|other| left.contains(other)) {
            open[*other] -= 1;
            if open[*other] == 0 {
                free.push(*other);
            }
        }
    }
}

/// What waits for a line that is bad is bad, too.
fn waiting_for_bad(entries: &mut [Entry], bad: &mut Vec<BadLine>) {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); entries.len()];
    for (entry, waits) in entries.iter().enumerate() {
        waits.after.iter().for_each(|parent| children[*parent].push(entry));
    }
    let mut spoiled: Vec<usize> = (0..entries.len()).filter(|entry| entries[*entry].task.is_none()).collect();
    while let Some(parent) = spoiled.pop() {
        for child in &children[parent] {
            if entries[*child].task.take().is_some() {
                bad.push(BadLine {
                    number: entries[*child].number,
                    why: format!("it waits for line {}, which is bad", entries[parent].number),
                });
                spoiled.push(*child);
            }
        }
    }
}

/// The good ones, numbered anew.
fn without_gaps(entries: Vec<Entry>) -> Vec<NewElement> {
    let mut numbers = Vec::with_capacity(entries.len());
    let mut next: u32 = 0;
    for entry in &entries {
        numbers.push(next);
        next += u32::from(entry.task.is_some());
    }
    let element = |entry: Entry| {
        let after = entry.after.iter().map(|parent| numbers[*parent]).collect();
        entry.task.map(|task| NewElement { task, after })
    };
    entries.into_iter().filter_map(element).collect()
}

#[cfg(test)]
mod tests {
    use bellwether_client::AfterFailure;

    use super::*;

    const MAX: usize = 512 * 1024;

    fn numbers(bad: &[BadLine]) -> Vec<usize> {
        bad.iter().map(|bad| bad.number).collect()
    }

    #[test]
    fn each_line_is_a_task_and_they_refer_to_one_another() {
        let file = b"\xef\xbb\xbf{\"argv\":[\"a\"],\"name\":\"first\",\"timeout\":\"5s\",\"retries\":2,\"labels\":{\"x\":\"1\"}}\r\n\r\n\
            {\"shell\":\"b | c\",\"after\":[\"first\",0,\"task-other\"],\"after_failure\":\"run\",\"delay\":\"1m\",\"retry_backoff\":\"1s..2s\"}";
        let (elements, bad) = understand(file, MAX);
        assert_eq!((elements.len(), bad.as_slice()), (2, &[][..]));
        let first = &elements[0].task.envelope;
        assert_eq!((first.timeout_ms, first.retries, first.labels["x"].as_str()), (Some(5000), Some(2), "1"));
        let second = &elements[1];
        assert_eq!((&second.after, &second.task.envelope.after), (&vec![0], &vec![TaskName::listed("task-other")]));
        assert_eq!((second.task.envelope.after_failure, second.task.envelope.delay_ms), (AfterFailure::Run, 60_000));
    }

    #[test]
    fn bad_lines_are_named_by_their_number_and_the_others_can_do_without_them() {
        let mut file = br#"{"argv":["a"]}
{"argv":[]}
{"argv":["c"],"color":"red"}
not json
{"argv":["e"],"after":[1]}
{"argv":["f"],"after":[0]}
{"argv":["g"],"timeout":"soon"}
{"argv":["h"],"shell":"h"}
{"argv":["i"],"retry_on":[0]}
{"argv":["j"],"after":["a/b"]}
{"argv":["k"],"after":[5,4]}
{"argv":["l"],"after":[99]}
"#
        .to_vec();
        file.extend(b"{\"shell\":\"\xff\"}\n");
        let (elements, bad) = understand(&file, MAX);
        assert_eq!((elements.len(), &elements[1].after), (2, &vec![0]));
        assert_eq!(numbers(&bad), [2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13], "{bad:?}");
        assert_eq!(bad[8].why, "it waits for line 5, which is bad");
        assert_eq!(understand(br#"{"argv":["xxxxxxxxxxxxxxxx"]}"#, 10).1[0].number, 1, "too large to be submitted");
    }

    #[test]
    fn circles_are_named_and_what_waits_for_them_is_bad_too() {
        let line = |after: &str| format!("{{\"shell\":\"x\",\"after\":[{after}]}}\n");
        let file: String = ["", "3", "0", "1", "1", "5", "0"].map(line).concat();
        let (elements, bad) = understand(file.as_bytes(), MAX);
        assert_eq!(numbers(&bad), [2, 4, 5, 6]);
        let why: Vec<&str> = bad.iter().map(|bad| bad.why.as_str()).collect();
        assert_eq!(why[..2], ["it waits for itself, by way of line 4", "it waits for itself, by way of line 2"]);
        assert_eq!(why[2..], ["it waits for line 2, which is bad", "it waits for itself"]);
        assert_eq!(elements.iter().map(|element| element.after.clone()).collect::<Vec<_>>(), [vec![], vec![0], vec![0]]);
    }

    #[test]
    fn a_name_that_several_have_is_no_reference() {
        let file = br#"{"shell":"a","name":"n"}
{"shell":"b","name":"n"}
{"shell":"c","after":["n"]}"#;
        assert!(understand(file, MAX).1[0].why.contains("2 tasks of this file are called \"n\""));
    }
}
