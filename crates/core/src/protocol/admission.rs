//! Whether more work may come in: what stands in `/bellwether/admission` while it may not, and in `/bellwether/rates` about work that is
//! assigned no faster than somebody wants.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PROTOCOL_VERSION;

/// A label of a task with its value, `team=blue`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Label {
    /// Reads `name=value`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=')?;
        (!name.is_empty() && !value.is_empty()).then(|| Self { name: name.to_owned(), value: value.to_owned() })
    }

    /// Whether a task with these labels has it.
    #[must_use]
    pub fn is_of(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.get(&self.name) == Some(&self.value)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Excess {
    /// Tasks that wait.
    Waiting,
    /// Tasks that wait and have a certain label.
    Quota,
    /// Results that somebody needs still.
    Results,
}

/// Why something may not come in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Closure {
    /// What there is too much of.
    pub excess: Excess,
    /// Of a quota: whose, as `team=blue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How many there were when it was closed.
    pub count: u64,
    /// How many there may be.
    pub limit: u64,
    /// When it was closed, in milliseconds since 1970 by ZooKeeper's clock; unknown if nobody could say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
}

impl Closure {
    /// Whether it concerns a task with these labels.
    #[must_use]
    pub fn concerns(&self, labels: &BTreeMap<String, String>) -> bool {
        self.label.as_ref().is_none_or(|label| Label::parse(label).is_some_and(|label| label.is_of(labels)))
    }
}

impl fmt::Display for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, limit, .. } = self;
        match (self.excess, &self.label) {
            (Excess::Waiting, _) => write!(f, "{count} tasks were waiting, coordinator.max_pending is {limit}"),
            (Excess::Quota, label) => {
                let label = label.as_deref().unwrap_or("a label");
                write!(f, "{count} tasks with {label} were waiting, its quota is {limit}")
            }
            (Excess::Results, _) => write!(
                f,
                "{count} results are kept because somebody waits for them, more than coordinator.status_max or status_bytes allow"
            ),
        }
    }
}

/// The data of `/bellwether/admission`, which is there while something may not come in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct AdmissionRecord {
    /// Version of this format.
    pub bellwether: u32,
    /// Whose term it was written in.
    pub epoch: i32,
    /// What may not come in, and why. Never empty.
    pub closed: Vec<Closure>,
}

impl AdmissionRecord {
    /// Reads it; what does not decode keeps nothing out.
    #[must_use]
    pub fn decode(data: &[u8]) -> Self {
        let none = Self { bellwether: PROTOCOL_VERSION, epoch: 0, closed: Vec::new() };
        serde_json::from_slice(data).unwrap_or(none)
    }

    /// Why a task with these labels may not come in.
    #[must_use]
    pub fn refuses(&self, labels: &BTreeMap<String, String>) -> Option<&Closure> {
        self.closed.iter().find(|closure| closure.concerns(labels))
    }
}

/// How fast tasks with a label are assigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaceRecord {
    /// How fast, as `10/s`.
    pub rate: String,
    /// When the last one that was assigned has used up its share of time, in microseconds since 1970 by ZooKeeper's clock.
    pub spent_us: i64,
}

/// The data of `/bellwether/rates`: set with what is assigned, so that the next master goes on at the same pace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RatesRecord {
    /// Version of this format.
    pub bellwether: u32,
    /// By label, as `team=blue`.
    pub labels: BTreeMap<String, PaceRecord>,
}

impl RatesRecord {
    /// Reads it; what does not decode says nothing.
    #[must_use]
    pub fn decode(data: &[u8]) -> Self {
        serde_json::from_slice(data).unwrap_or(Self { bellwether: PROTOCOL_VERSION, labels: BTreeMap::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_concerns_all_or_those_with_its_label() {
        let data = br#"{"bellwether":1,"epoch":3,"closed":[{"excess":"quota","label":"team=blue","count":9,"limit":9}]}"#;
        let record = AdmissionRecord::decode(data);
        let labels = |team: &str| BTreeMap::from([("team".to_owned(), team.to_owned())]);
        assert!(record.refuses(&labels("red")).is_none() && record.refuses(&BTreeMap::new()).is_none());
        let closure = record.refuses(&labels("blue")).expect("refused");
        assert_eq!(closure.to_string(), "9 tasks with team=blue were waiting, its quota is 9");
        let all = Closure { excess: Excess::Waiting, label: None, ..closure.clone() };
        assert!(all.concerns(&BTreeMap::new()));
        assert!(AdmissionRecord::decode(b"\xff").closed.is_empty());
    }

    #[test]
    fn a_label_is_a_name_and_a_value() {
        assert_eq!(Label::parse("team=a=b").map(|label| (label.name, label.value)), Some(("team".into(), "a=b".into())));
        assert!(["", "team", "=x", "team="].iter().all(|text| Label::parse(text).is_none()));
    }
}
