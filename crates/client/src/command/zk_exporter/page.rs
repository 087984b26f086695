//! What a scrape of the exporter is answered: the figures of all servers, by metric. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use bellwether_common::metrics::{self as names, METRICS, label};

use super::ask::NoAnswer;
use super::mntr::{Answer, Sample};
use super::names::Type;

/// What came of asking a server.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) server: &'a str,
    pub(super) answer: Result<Answer, NoAnswer>,
    pub(super) took: Duration,
}

/// The page, in Prometheus' text format: our own series of each server, then ZooKeeper's. Every series carries `cluster` and `server`.
pub(super) fn page(cluster: &str, asked: &[Asked<'_>]) -> String {
    let mut families: BTreeMap<&str, (String, Type, Vec<String>)> = BTreeMap::new();
    for one in asked {
        let common = format!(r#"cluster="{}",server="{}""#, escaped(cluster), escaped(one.server));
        for (name, more, value) in ours(one) {
            let help = METRICS.iter().find(|metric| metric.name == name).map_or_else(String::new, |metric| metric.help.to_owned());
            let family = families.entry(name).or_insert_with(|| (help, Type::Gauge, Vec::new()));
            family.2.push(format!("{name}{{{common}{more}}} {value}"));
        }
        for sample in one.answer.iter().flat_map(|answer| &answer.samples) {
            let help = || (format!("{} of mntr", sample.family), sample.kind, Vec::new());
            families.entry(&sample.family).or_insert_with(help).2.push(line(sample, &common));
        }
    }
    let mut page = String::new();
    for (name, (help, kind, lines)) in families {
        // Writing to a String does not fail.
        let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {}\n{}\n\n", kind.as_str(), lines.join("\n"));
    }
    page
}

/// Our own series of a server: metric, labels beside the common ones, value.
fn ours(asked: &Asked<'_>) -> Vec<(&'static str, String, f64)> {
    let answer = asked.answer.as_ref().ok();
    let mut series = vec![
        (names::ZOOKEEPER_UP, String::new(), f64::from(u8::from(answer.is_some()))),
        (names::ZOOKEEPER_SCRAPE_DURATION_SECONDS, String::new(), asked.took.as_secs_f64()),
    ];
    let state = answer.and_then(|answer| answer.state.as_deref());
    for known in names::ZOOKEEPER_STATES {
        let current = f64::from(u8::from(state == Some(known)));
        series.push((names::ZOOKEEPER_SERVER_STATE, format!(r#",{}="{known}""#, label::STATE), current));
    }
    if let Some(version) = answer.and_then(|answer| answer.version.as_deref()) {
        series.push((names::ZOOKEEPER_VERSION_INFO, format!(r#",{}="{}""#, label::VERSION, escaped(version)), 1.0));
    }
    series
}

fn line(sample: &Sample, common: &str) -> String {
    let labels: String = sample.labels.iter().map(|(label, value)| format!(r#",{label}="{}""#, escaped(value))).collect();
    format!("{}{}{{{common}{labels}}} {}", sample.family, sample.suffix, sample.value)
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::mntr;
    use super::*;

    #[test]
    fn a_server_that_is_down_is_0_and_the_others_still_show() {
        let up = mntr::read("zk_version\t3.8.0-x, built\nzk_server_state\tleader\nzk_znode_count\t5\nzk_cnt_fsynctime\t2\n");
        let asked = [
            Asked { server: "zk1:2181", answer: Ok(up.expect("an answer")), took: Duration::from_millis(5) },
            Asked { server: "zk2:2181", answer: Err(NoAnswer::Late), took: Duration::from_millis(900) },
        ];
        let page = page("blue \"1\"", &asked);
        let expected = [
            r#"bellwether_zookeeper_up{cluster="blue \"1\"",server="zk1:2181"} 1"#,
            r#"bellwether_zookeeper_up{cluster="blue \"1\"",server="zk2:2181"} 0"#,
            r#"bellwether_zookeeper_scrape_duration_seconds{cluster="blue \"1\"",server="zk2:2181"} 0.9"#,
            r#"bellwether_zookeeper_server_state{cluster="blue \"1\"",server="zk1:2181",state="leader"} 1"#,
            r#"bellwether_zookeeper_server_state{cluster="blue \"1\"",server="zk2:2181",state="leader"} 0"#,
            r#"bellwether_zookeeper_version_info{cluster="blue \"1\"",server="zk1:2181",version="3.8.0"} 1"#,
            "# TYPE znode_count gauge",
            r#"znode_count{cluster="blue \"1\"",server="zk1:2181"} 5"#,
            "# TYPE fsynctime summary",
            r#"fsynctime_count{cluster="blue \"1\"",server="zk1:2181"} 2"#,
        ];
        for line in expected {
            assert!(page.lines().any(|found| found == line), "no {line} in\n{page}");
        }
        assert!(!page.contains(r#"znode_count{cluster="blue \"1\"",server="zk2:2181"}"#), "{page}");
    }
}
