//! Types of values that are more than text or a number: byte sizes, secrets, and how durations are spelled.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A number of bytes, spelled as a whole number and one of `B`, `KiB`, `MiB`, `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(u64);

/// Text that is no byte size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a size is a whole number and one of B, KiB, MiB, GiB, as \"16KiB\"")]
pub struct BadByteSize;

/// Largest first, so that the first that divides a size is the one to print it with.
const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl ByteSize {
    /// `number` × 1024 bytes.
    #[must_use]
    pub const fn kib(number: u32) -> Self {
        Self((number as u64) << 10)
    }

    /// `number` × 1024 × 1024 bytes.
    #[must_use]
    pub const fn mib(number: u32) -> Self {
        Self((number as u64) << 20)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The size in bytes, for memory; no value that passes validation is cut off.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = BadByteSize;

    fn from_str(text: &str) -> Result<Self, BadByteSize> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| BadByteSize)?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or(BadByteSize)?;
        number.checked_mul(*factor).map(Self).ok_or(BadByteSize)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = UNITS.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = fits.unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl TryFrom<String> for ByteSize {
    type Error = BadByteSize;

    fn try_from(text: String) -> Result<Self, BadByteSize> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)$" })
    }
}

/// Bytes that no log, no error and no debug print shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Keeps `bytes` from being printed.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, for the one who must send them.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Durations are spelled as people do: `"300ms"`, `"10s"`, `"1h 30m"`.
pub(super) mod duration {
    use std::borrow::Cow;
    use std::time::Duration;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    /// How a duration looks in a file, for the schema.
    pub(in super::super) struct Spelled;

    impl JsonSchema for Spelled {
        fn schema_name() -> Cow<'static, str> {
            "Duration".into()
        }

        fn inline_schema() -> bool {
            true
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "string", "pattern": "^([0-9]+ *[a-z]+ *)+$" })
        }
    }

    pub(in super::super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        let spelled = "a duration is a whole number and one of ms, s, m, h, d, as \"10s\"";
        humantime::parse_duration(&text).map_err(|_| D::Error::custom(spelled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_printed_alike() {
        for (text, bytes) in [("0B", 0), ("1B", 1), ("16KiB", 16_384), ("64MiB", 67_108_864), ("3GiB", 3_221_225_472)] {
            let size: ByteSize = text.parse().expect(text);
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, text));
        }
        assert_eq!("1024 KiB".parse(), Ok(ByteSize::mib(1)));
        assert_eq!(ByteSize(1025).to_string(), "1025B");
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "16", "KiB", "-1B", "+1B", "1.5MiB", "16KB", "16kib", "16KiB ", " 16KiB", "99999999999GiB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(BadByteSize), "{text:?}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new(b"user:hunter2".to_vec());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(secret.reveal(), b"user:hunter2");
    }
}
