//! Arrays as programs make them: how many elements, and the lines that they have.

use bellwether_core::protocol::array::{ARRAY_COUNT_MAX, ArrayRequest, LINE_BYTES_MAX, LINES_CHUNK_BYTES_MAX, Lines, Span};

use crate::error::SubmitError;
use crate::task::NewTask;

/// One task of many elements: submitted, waited for and cancelled as one. Its command is run once for each of them.
///
/// ```no_run
/// use bellwether_client::{Client, NewArray, NewTask, SubmitError};
///
/// # async fn example(client: Client) -> Result<(), SubmitError> {
/// let frames = NewArray::numbered(NewTask::shell("render --frame $BELLWETHER_ELEMENT"), 1, 2400).max_fails(10);
/// let film = client.submit_array(frames).await?;
/// let hosts = NewArray::lines(NewTask::shell("ping -c 1 \"$BELLWETHER_LINE\""), ["a.example", "b.example"]);
/// let pings = client.submit_array(hosts).await?;
/// client.wait(vec![film, pings]).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArray {
    /// What is run, and how; `BELLWETHER_ELEMENT` tells the command which element it is.
    pub task: NewTask,
    first: u32,
    count: Option<u32>,
    lines: Option<Vec<String>>,
    max_fails: Option<u32>,
}

impl NewArray {
    /// So many elements, from 0.
    #[must_use]
    pub fn count(task: NewTask, count: u32) -> Self {
        Self { task, first: 0, count: Some(count), lines: None, max_fails: None }
    }

    /// The elements from the first to the last number, both included.
    #[must_use]
    pub fn numbered(task: NewTask, first: u32, last: u32) -> Self {
        let count = last.checked_sub(first).and_then(|more| more.checked_add(1));
        Self { task, first, count, lines: None, max_fails: None }
    }

    /// An element for each line, from 0: the command finds it in `BELLWETHER_LINE`. A handler gets it as its input, as JSON.
    #[must_use]
    pub fn lines<I: IntoIterator<Item = S>, S: Into<String>>(task: NewTask, lines: I) -> Self {
        let lines = lines.into_iter().map(Into::into).collect();
        Self { task, first: 0, count: None, lines: Some(lines), max_fails: None }
    }

    /// The numbers of its elements.
    #[must_use]
    pub fn span(&self) -> Span {
        let count = self.lines.as_ref().map_or(self.count, |lines| u32::try_from(lines.len()).ok()).unwrap_or(0);
        ArrayRequest { first: self.first, ..ArrayRequest::new(count) }.span()
    }

    /// Cancels what is left when more elements than this have failed.
    #[must_use]
    pub fn max_fails(mut self, fails: u32) -> Self {
        self.max_fails = Some(fails);
        self
    }

    /// The task as it is submitted, and what is written before it. At most `lines_max` bytes of lines.
    pub(crate) fn prepare(self, lines_max: usize) -> Result<(NewTask, Vec<Chunk>), SubmitError> {
        let Self { mut task, first, count, lines, max_fails } = self;
        let count = match &lines {
            Some(lines) => u32::try_from(lines.len()).unwrap_or(u32::MAX),
            None => count.ok_or_else(|| refused("its first element comes after its last".to_owned()))?,
        };
        if task.envelope.array.is_some() || task.envelope.group.is_some() {
            return Err(refused("it is made of a task by itself".to_owned()));
        }
        let mut request = ArrayRequest { first, max_fails, ..ArrayRequest::new(count) };
        let mut written = Vec::new();
        if count == 0 {
            return Err(refused(format!("it has no elements; it takes between 1 and {ARRAY_COUNT_MAX}")));
        }
        if let Some(lines) = &lines {
            if task.envelope.key.is_some() {
                return Err(refused("it has lines of its own, and a key does not tell whether those are the same".to_owned()));
            }
            check(lines, lines_max)?;
            written = chunks(first, lines);
            request.lines = Some(Lines { chunks: written.iter().map(|chunk| chunk.from).collect(), digests: Vec::new() });
        }
        request.check().map_err(SubmitError::Rejected)?;
        task.envelope.array = Some(request);
        Ok((task, written))
    }
}

fn refused(why: String) -> SubmitError {
    SubmitError::Contradictory(format!("the array cannot be submitted: {why}"))
}

fn check(lines: &[String], most: usize) -> Result<(), SubmitError> {
    for (index, line) in lines.iter().enumerate() {
        let number = index + 1;
        if line.contains('\0') {
            return Err(refused(format!("line {number} has a NUL byte, which no variable of an environment can hold")));
        }
        if line.len() > LINE_BYTES_MAX {
            let bytes = line.len();
            let why =
                format!("line {number} has {bytes} bytes, at most {LINE_BYTES_MAX} reach a command; put it into a file and pass the path");
            return Err(refused(why));
        }
    }
    let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
    match bytes > most {
        true => {
            Err(refused(format!("its lines have {bytes} bytes, client.lines_max is {most}; submit them in parts, or as paths of files")))
        }
        false => Ok(()),
    }
}

/// Some lines, as they are written to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The element of the first of them.
    pub(crate) from: u32,
    pub(crate) data: Vec<u8>,
}

/// Puts lines into as few chunks as they fit in.
fn chunks(first: u32, lines: &[String]) -> Vec<Chunk> {
    let (mut chunks, mut from, mut begin, mut bytes) = (Vec::new(), first, 0, 0);
    for (index, line) in lines.iter().enumerate() {
        let size = written(line);
        if index > begin && bytes + size + 1 > LINES_CHUNK_BYTES_MAX {
            chunks.push(Chunk { from, data: Lines::encode_chunk(&lines[begin..index]) });
            from = from.saturating_add(u32::try_from(index - begin).unwrap_or(u32::MAX));
            (begin, bytes) = (index, 0);
        }
        bytes += size;
    }
    if begin < lines.len() {
        chunks.push(Chunk { from, data: Lines::encode_chunk(&lines[begin..]) });
    }
    chunks
}

/// How many bytes a line takes in JSON, with the comma behind it.
fn written(line: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    line.bytes().map(escaped).sum::<usize>() + 3
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn task() -> NewTask {
        NewTask::argv(["x"])
    }

    fn refusal(array: NewArray) -> String {
        array.prepare(1 << 20).expect_err("it is refused").to_string()
    }

    #[test]
    fn elements_are_counted_or_numbered() {
        let request = |array: NewArray| array.prepare(0).expect("an array").0.envelope.array.expect("it says so");
        assert_eq!(request(NewArray::count(task(), 7).max_fails(2)), ArrayRequest { max_fails: Some(2), ..ArrayRequest::new(7) });
        assert_eq!(request(NewArray::numbered(task(), 5, 99)), ArrayRequest { first: 5, ..ArrayRequest::new(95) });
        assert_eq!(request(NewArray::numbered(task(), 5, 5)).count, 1);
        assert_eq!(request(NewArray::count(task(), ARRAY_COUNT_MAX)).count, ARRAY_COUNT_MAX);
    }

    #[test]
    fn what_is_no_array_says_why() {
        assert!(refusal(NewArray::count(task(), 0)).contains("no elements"));
        assert!(refusal(NewArray::lines(task(), Vec::<String>::new())).contains("no elements"));
        assert!(refusal(NewArray::numbered(task(), 2, 1)).contains("comes after its last"));
        assert!(refusal(NewArray::numbered(task(), 0, u32::MAX)).contains("comes after its last"));
        assert!(refusal(NewArray::count(task(), ARRAY_COUNT_MAX + 1)).contains("submit several arrays"));
        assert!(refusal(NewArray::lines(task(), ["a", "b\0"])).contains("line 2 has a NUL"));
        assert!(refusal(NewArray::lines(task(), ["a".to_owned(), "x".repeat(LINE_BYTES_MAX + 1)])).contains("line 2 has"));
        assert!(refusal(NewArray::lines(task(), (0..30).map(|_| "x".repeat(100_000)))).contains("client.lines_max"));
        assert!(refusal(NewArray::lines(task().key("k"), ["a"])).contains("key"));
    }

    #[test]
    fn a_long_line_has_a_chunk_of_its_own() {
        let long = "\u{1}".repeat(LINE_BYTES_MAX);
        let lines = ["a".to_owned(), long, String::new()];
        let froms: Vec<u32> = chunks(5, &lines).iter().map(|chunk| chunk.from).collect();
        assert_eq!(froms, [5, 6, 7]);
        assert!(chunks(5, &lines).iter().all(|chunk| chunk.data.len() < 800 * 1024));
    }

    proptest! {
        #[test]
        fn every_line_is_in_the_chunk_of_its_element(lengths in proptest::collection::vec(0_usize..90_000, 1..40), first in 0_u32..9) {
            let line = |(index, length): (usize, &usize)| format!("{index}\"{}", "y".repeat(*length));
            let lines: Vec<String> = lengths.iter().enumerate().map(line).collect();
            let chunks = chunks(first, &lines);
            let place = Lines { chunks: chunks.iter().map(|chunk| chunk.from).collect(), digests: Vec::new() };
            for (element, line) in (first..).zip(&lines) {
                let from = place.chunk_of(element).expect("a chunk");
                let chunk = chunks.iter().find(|chunk| chunk.from == from).expect("it is there");
                let read = Lines::decode_chunk(&chunk.data).expect("it decodes");
                prop_assert_eq!(&read[(element - from) as usize], line);
                prop_assert!(chunk.data.len() <= LINES_CHUNK_BYTES_MAX || read.len() == 1);
            }
            let all: usize = chunks.iter().filter_map(|chunk| Lines::decode_chunk(&chunk.data)).map(|lines| lines.len()).sum();
            prop_assert_eq!(all, lines.len());
        }
    }
}
