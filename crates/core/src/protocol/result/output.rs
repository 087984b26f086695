//! What is kept of what a task wrote, and where the rest lies.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is kept of one output stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub struct Stream {
    /// The last bytes, as text or in base64.
    pub tail: String,
    /// How `tail` is to be read.
    pub encoding: Encoding,
    /// How many bytes there were in all.
    pub bytes: u64,
    /// Whether `tail` is less than all.
    pub truncated: bool,
}

/// How a [`Stream::tail`] is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Encoding {
    /// The text itself.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// The bytes were no UTF-8.
    #[serde(rename = "base64")]
    Base64,
}

impl Stream {
    /// Keeps the last bytes of a stream of `bytes` in all. A character that was cut at the front is left out.
    #[must_use]
    pub fn of_tail(tail: &[u8], bytes: u64) -> Self {
        let truncated = bytes > tail.len() as u64;
        let cut = if truncated { tail.iter().take(3).take_while(|byte| (**byte & 0xC0) == 0x80).count() } else { 0 };
        let (tail, encoding) = match std::str::from_utf8(&tail[cut..]) {
            Ok(text) => (text.to_owned(), Encoding::Utf8),
            Err(_) => (BASE64.encode(tail), Encoding::Base64),
        };
        Self { tail, encoding, bytes, truncated }
    }

    /// The bytes of the tail.
    #[must_use]
    pub fn tail_bytes(&self) -> Vec<u8> {
        match self.encoding {
            Encoding::Utf8 => self.tail.clone().into_bytes(),
            Encoding::Base64 => BASE64.decode(&self.tail).unwrap_or_default(),
        }
    }
}

/// Where the whole output of an attempt lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(from = "WrittenPlace")]
pub struct OutputPlace {
    /// Where its worker serves it, `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// The directory on the worker's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Where it was shipped to, as a URL: it is there when the worker is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Why it is not, or not wholly, in one of these places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// [`OutputPlace`] as it is written; once it was the directory alone.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum WrittenPlace {
    Path(String),
    Place {
        #[serde(default)]
        http: Option<String>,
        #[serde(default)]
        path: Option<String>,
        #[serde(default)]
        store: Option<String>,
        #[serde(default)]
        problem: Option<String>,
    },
}

impl From<WrittenPlace> for OutputPlace {
    fn from(written: WrittenPlace) -> Self {
        match written {
            WrittenPlace::Path(path) => Self { path: Some(path), ..Self::default() },
            WrittenPlace::Place { http, path, store, problem } => Self { http, path, store, problem },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_in_its_old_form_too() {
        let read = |json: &str| serde_json::from_str::<OutputPlace>(json).unwrap();
        assert_eq!(read(r#""/out/t""#), OutputPlace { path: Some("/out/t".into()), ..OutputPlace::default() });
        let place = OutputPlace { http: Some("w:9642".into()), problem: Some("disk full".into()), ..OutputPlace::default() };
        assert_eq!(serde_json::to_string(&place).unwrap(), r#"{"http":"w:9642","problem":"disk full"}"#);
        assert_eq!(read(r#"{"http":"w:9642","problem":"disk full","later":1}"#), place);
    }

    #[test]
    fn a_tail_keeps_text_as_text_and_bytes_as_bytes() {
        let cut = Stream::of_tail(&"é!".as_bytes()[1..], 3);
        assert_eq!((cut.tail.as_str(), cut.encoding, cut.truncated), ("!", Encoding::Utf8, true));
        let binary = Stream::of_tail(b"\xff\x00", 2);
        assert_eq!((binary.encoding, binary.tail_bytes()), (Encoding::Base64, b"\xff\x00".to_vec()));
    }
}
