//! What a server's answer to `mntr` means in the words of ZooKeeper's own Prometheus provider.
//!
//! `mntr` writes a line for each figure, a summary as several: `zk_cnt_readlatency`, `zk_sum_readlatency`, `zk_p50_readlatency` and
//! so on are what the provider calls `readlatency_count`, `readlatency_sum` and `readlatency{quantile="0.5"}`.

use std::collections::BTreeSet;

use super::names::{self, Type};

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Answer {
    /// `leader`, `follower`, `standalone`, …
    pub(super) state: Option<String>,
    /// The version, without what was built when.
    pub(super) version: Option<String>,
    pub(super) samples: Vec<Sample>,
}

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// The metric that it belongs to.
    pub(super) family: String,
    pub(super) kind: Type,
    /// What follows the metric's name: nothing, `_count` or `_sum`.
    pub(super) suffix: &'static str,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
}

/// How `mntr` begins the names of a summary's parts, the suffix or the quantile that it is to Prometheus.
const PARTS: [(&str, Part); 6] = [
    ("cnt_", Part::Suffix("_count")),
    ("sum_", Part::Suffix("_sum")),
    ("p50_", Part::Quantile("0.5")),
    ("p95_", Part::Quantile("0.95")),
    ("p99_", Part::Quantile("0.99")),
    ("p999_", Part::Quantile("0.999")),
];

/// Parts that the provider does not have: they never fade, so that one slow moment hides all later ones.
const LEFT_OUT: [&str; 3] = ["avg_", "min_", "max_"];

#[derive(Debug, Clone, Copy)]
enum Part {
    Suffix(&'static str),
    Quantile(&'static str),
}

/// Reads an answer; `None` if this is none.
pub(super) fn read(text: &str) -> Option<Answer> {
    let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.strip_prefix("zk_")?.split_once('\t')).collect();
    let summaries: BTreeSet<&str> = lines.iter().filter_map(|(key, _)| key.strip_prefix("cnt_")).collect();
    let mut answer = Answer::default();
    for (key, value) in lines {
        match key {
            "server_state" => answer.state = Some(value.to_owned()),
            "version" => answer.version = value.split(['-', ',', ' ']).next().map(str::to_owned),
            key => answer.samples.extend(value.trim().parse().ok().and_then(|value| sample(key, value, &summaries))),
        }
    }
    (answer.state.is_some() || !answer.samples.is_empty()).then_some(answer)
}

fn sample(key: &str, value: f64, summaries: &BTreeSet<&str>) -> Option<Sample> {
    if let Some((name, labels)) = key.split_once('{') {
        return labelled(name, labels, value);
    }
    if LEFT_OUT.iter().any(|part| key.strip_prefix(part).is_some_and(|base| summaries.contains(base))) {
        return None;
    }
    let part = PARTS.iter().find_map(|(prefix, part)| Some((key.strip_prefix(prefix)?, part)));
    let Some((base, part)) = part.filter(|(base, _)| summaries.contains(base)) else {
        let (family, key, kind) = names::of(key);
        return Some(Sample { family: family.to_owned(), kind, suffix: "", labels: key.map(keyed).into_iter().collect(), value });
    };
    let (family, key) = names::of_summary(base);
    let mut labels: Vec<(String, String)> = key.map(keyed).into_iter().collect();
    let suffix = match part {
        Part::Suffix(suffix) => suffix,
        Part::Quantile(quantile) => {
            labels.push(("quantile".to_owned(), (*quantile).to_owned()));
            ""
        }
    };
    Some(Sample { family: family.to_owned(), kind: Type::Summary, suffix, labels, value })
}

fn keyed(key: &str) -> (String, String) {
    ("key".to_owned(), key.to_owned())
}

/// `name{label="value",…}`: a server with the provider configured answers `mntr` in the provider's words.
fn labelled(name: &str, labels: &str, value: f64) -> Option<Sample> {
    let pairs = labels.strip_suffix('}')?.split(',').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| pair.split_once('=').map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned()));
    let labels = pairs.map(pair).collect::<Option<Vec<_>>>()?;
    let part = ["_count", "_sum"].into_iter().find(|suffix| name.ends_with(suffix) && names::of(name).2 == Type::Untyped);
    let kind = match part {
        Some(_) => Type::Summary,
        None if labels.iter().any(|(label, _)| label == "quantile") => Type::Summary,
        None => names::of(name).2,
    };
    let suffix = part.unwrap_or("");
    Some(Sample { family: name.strip_suffix(suffix).unwrap_or(name).to_owned(), kind, suffix, labels, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as ZooKeeper 3.8.0 wrote them.
    const RECORDED: &str = "zk_version\t3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC\n\
        zk_server_state\tleader\nzk_peer_state\tleading - broadcast\nzk_znode_count\t5\nzk_avg_latency\t0.25\nzk_max_latency\t7\n\
        zk_max_file_descriptor_count\t20000\nzk_connection_drop_probability\t0.0\nzk_commit_count\t12\nzk_synced_followers\t2\n\
        zk_avg_readlatency\t0.5\nzk_min_readlatency\t0\nzk_max_readlatency\t3\nzk_cnt_readlatency\t10\nzk_sum_readlatency\t5\n\
        zk_p50_readlatency\t0\nzk_p95_readlatency\t1\nzk_p99_readlatency\t2\nzk_p999_readlatency\t3\n\
        zk_avg_fsynctime\t1.0\nzk_cnt_fsynctime\t4\nzk_sum_fsynctime\t4\n\
        zk_cnt_zookeeper_write_per_namespace\t3\nzk_sum_zookeeper_write_per_namespace\t30\nzk_made_up\t1\n";

    fn lines(text: &str) -> Vec<String> {
        let one = |sample: &Sample| {
            let labels: Vec<String> = sample.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
            format!("{:?} {}{}{{{}}} {}", sample.kind, sample.family, sample.suffix, labels.join(","), sample.value)
        };
        read(text).expect("an answer").samples.iter().map(one).collect()
    }

    #[test]
    fn a_recorded_answer_is_told_in_the_providers_words() {
        let answer = read(RECORDED).expect("an answer");
        assert_eq!((answer.state.as_deref(), answer.version.as_deref()), (Some("leader"), Some("3.8.0")));
        let expected = [
            "Gauge znode_count{} 5",
            "Gauge avg_latency{} 0.25",
            "Gauge max_latency{} 7",
            "Gauge max_file_descriptor_count{} 20000",
            "Gauge connection_drop_probability{} 0",
            "Counter commit_count{} 12",
            "Gauge synced_followers{} 2",
            "Summary readlatency_count{} 10",
            "Summary readlatency_sum{} 5",
            "Summary readlatency{quantile=0.5} 0",
            "Summary readlatency{quantile=0.95} 1",
            "Summary readlatency{quantile=0.99} 2",
            "Summary readlatency{quantile=0.999} 3",
            "Summary fsynctime_count{} 4",
            "Summary fsynctime_sum{} 4",
            "Summary write_per_namespace_count{key=zookeeper} 3",
            "Summary write_per_namespace_sum{key=zookeeper} 30",
            "Untyped made_up{} 1",
        ];
        assert_eq!(lines(RECORDED), expected);
    }

    #[test]
    fn a_server_with_the_provider_is_understood_too() {
        let own = "zk_server_state\tfollower\nzk_readlatency{quantile=\"0.5\"}\t1.0\nzk_write_per_namespace_count{key=\"a\"}\t2.0\n";
        let expected = ["Summary readlatency{quantile=0.5} 1", "Summary write_per_namespace_count{key=a} 2"];
        assert_eq!(lines(own), expected);
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for text in ["", "HTTP/1.1 400\r\n", "zk_", "zk_znode_count 5\n"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
