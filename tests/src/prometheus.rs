//! Debian's Prometheus as a process: it scrapes a cluster every second and answers queries.
//!
//! What lives here: the process, whom it scrapes, its HTTP API. What does not: what is asked ([`crate::dashboard`]).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::place::Dir;
use crate::process::{Process, http_get};
use bellwether_common::wait::eventually;

/// From one scrape of a process to the next. Rules are evaluated as often.
pub const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);
/// How long Prometheus may take until it serves.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running Prometheus. It is killed with this handle.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
    dir: Arc<Dir>,
}

/// A process to be scraped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The label `job`.
    pub job: String,
    /// The label `instance`: the process's name, which it keeps through restarts, unlike its port.
    pub instance: String,
    /// Where it serves `/metrics`.
    pub address: SocketAddr,
}

impl Endpoint {
    /// A service, when it listens.
    #[must_use]
    #[track_caller]
    pub fn of(job: &str, process: &Process) -> Self {
        Self { job: job.to_owned(), instance: process.name().to_owned(), address: process.http() }
    }
}

/// One series of an answer: its labels, and its samples by time in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Labels, `__name__` among them.
    pub labels: BTreeMap<String, String>,
    /// Samples, oldest first; one if a single moment was asked for.
    pub samples: Vec<(f64, f64)>,
}

impl Prometheus {
    /// Starts one that scrapes nobody yet, with these files of rules.
    ///
    /// # Panics
    /// It does not start. It is a package of Debian: `make deps`.
    #[must_use]
    #[track_caller]
    pub fn start(rules: &[PathBuf]) -> Self {
        let dir = Arc::new(Dir::new("prometheus"));
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("targets.json"), "[]").expect("a file");
        std::fs::write(at("prometheus.yml"), config(rules)).expect("a file");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", at("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", at("data").display()));
        // Port 0: it takes a free one, and says so in its log.
        command.args(["--web.listen-address=127.0.0.1:0", "--log.level=info"]).current_dir(dir.path()).env("GOMAXPROCS", "1");
        let process = Process::start("prometheus", command, at("log"), dir.clone());
        let address = eventually(READY_WITHIN, "prometheus to listen", || match listening_on(&process.log()) {
            None if !process.is_running() => panic!("prometheus has ended; is it installed? {}", process.log()),
            found => found,
        });
        let prometheus = Self { process, address, dir };
        eventually(READY_WITHIN, "prometheus to be ready", || prometheus.get("/-/ready", &[]).map(drop));
        prometheus
    }

    /// From now on scrapes these, and nobody else.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn scrape(&self, endpoints: &[Endpoint]) {
        let group = |endpoint: &Endpoint| {
            let labels = serde_json::json!({ "job": endpoint.job, "instance": endpoint.instance });
            serde_json::json!({ "targets": [endpoint.address.to_string()], "labels": labels })
        };
        let groups: Vec<Value> = endpoints.iter().map(group).collect();
        // Renamed into its place, so that Prometheus never reads half of it.
        let (new, path) = (self.dir.path().join("targets.new"), self.dir.path().join("targets.json"));
        std::fs::write(&new, Value::from(groups).to_string()).expect("a file");
        std::fs::rename(&new, &path).expect("a file");
    }

    /// GET of a path with parameters: the body.
    ///
    /// # Errors
    /// It does not answer, or not with 200; the text says what it answered.
    pub fn get(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<String> {
        let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let (status, body) = http_get(self.address, &format!("{path}?{}", pairs.join("&")))?;
        ensure!(status == 200, "prometheus answered {status}: {body}");
        Ok(body)
    }

    /// The `data` of its API's answer, as `/api/v1/rules` gives it.
    ///
    /// # Errors
    /// It does not answer, or with an error.
    pub fn api(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let mut answer: Value = serde_json::from_str(&self.get(path, parameters)?)?;
        Ok(answer["data"].take())
    }

    /// What an expression is at a moment: now, if none is given.
    ///
    /// # Errors
    /// Prometheus does not answer, or refuses the expression.
    pub fn query(&self, expr: &str, at: Option<SystemTime>) -> anyhow::Result<Vec<Found>> {
        let at = at.unwrap_or_else(SystemTime::now);
        let data = self.api("/api/v1/query", &[("query", expr), ("time", &seconds(at))]).with_context(|| expr.to_owned())?;
        found(&data).with_context(|| format!("{expr}: {data}"))
    }

    /// What an expression is from a moment to another.
    ///
    /// # Errors
    /// Prometheus does not answer, or refuses the expression.
    pub fn query_range(&self, expr: &str, from: SystemTime, to: SystemTime, step: Duration) -> anyhow::Result<Vec<Found>> {
        let step = format!("{}", step.as_secs_f64());
        let parameters = [("query", expr), ("start", &seconds(from)), ("end", &seconds(to)), ("step", &step)];
        let data = self.api("/api/v1/query_range", &parameters).with_context(|| expr.to_owned())?;
        found(&data).with_context(|| format!("{expr}: {data}"))
    }

    /// The one number that an expression is now.
    ///
    /// # Errors
    /// It is none, or several.
    pub fn number(&self, expr: &str) -> anyhow::Result<f64> {
        let found = self.query(expr, None)?;
        let [Found { samples, .. }] = found.as_slice() else { anyhow::bail!("{expr} has {} series", found.len()) };
        samples.last().map(|(_, value)| *value).with_context(|| format!("{expr} has no sample"))
    }

    /// Waits until it has scraped all of these.
    ///
    /// # Panics
    /// It does not in time.
    #[track_caller]
    pub fn await_scrapes(&self, endpoints: &[Endpoint]) {
        for Endpoint { job, instance, .. } in endpoints {
            let expr = format!("up{{job={job:?},instance={instance:?}}}");
            eventually(READY_WITHIN, &format!("a scrape of {instance}"), || {
                self.number(&expr).and_then(|up| if up == 1.0 { Ok(()) } else { Err(anyhow::anyhow!("up is {up}")) })
            });
        }
    }

    /// Its own log.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn config(rules: &[PathBuf]) -> String {
    let interval = format!("{}s", SCRAPE_INTERVAL.as_secs());
    let mut text = format!("global:\n  scrape_interval: {interval}\n  scrape_timeout: {interval}\n  evaluation_interval: {interval}\n");
    if !rules.is_empty() {
        text.push_str("rule_files:\n");
        for rule in rules {
            // Writing to a String does not fail.
            let _ = writeln!(text, "  - {:?}", rule.display().to_string());
        }
    }
    // The job is a label of each target, and wins over this one.
    text.push_str("scrape_configs:\n  - job_name: cluster\n    file_sd_configs:\n      - files: [targets.json]\n");
    text
}

/// The address of the last line that says `msg="Listening on" address=127.0.0.1:40123`.
fn listening_on(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.rsplit_once("msg=\"Listening on\" address=")?;
    rest.split_once('\n')?.0.trim().parse().ok()
}

fn seconds(time: SystemTime) -> String {
    format!("{:.3}", time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64())
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The series of an answer; a scalar is one without labels.
fn found(data: &Value) -> Option<Vec<Found>> {
    let sample = |pair: &Value| Some((pair[0].as_f64()?, number(pair[1].as_str()?)?));
    match data["resultType"].as_str()? {
        "scalar" => Some(vec![Found { labels: BTreeMap::new(), samples: vec![sample(&data["result"])?] }]),
        _ => data["result"]
            .as_array()?
            .iter()
            .map(|series| {
                let labels =
                    series["metric"].as_object()?.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
                let samples = match series.get("value") {
                    Some(pair) => vec![sample(pair)?],
                    None => series["values"].as_array()?.iter().map(sample).collect::<Option<_>>()?,
                };
                Some(Found { labels: labels.collect(), samples })
            })
            .collect(),
    }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let vector = r#"{"resultType":"vector","result":[{"metric":{"job":"x"},"value":[12.5,"NaN"]}]}"#;
        let read = found(&serde_json::from_str(vector).expect("JSON")).expect("an answer");
        assert_eq!(read[0].labels["job"], "x");
        assert!(read[0].samples[0].0 == 12.5 && read[0].samples[0].1.is_nan());
        let matrix = r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1,"+Inf"],[2,"0.5"]]}]}"#;
        let read = found(&serde_json::from_str(matrix).expect("JSON")).expect("an answer");
        assert_eq!(read[0].samples, [(1.0, f64::INFINITY), (2.0, 0.5)]);
        let scalar = r#"{"resultType":"scalar","result":[1,"3"]}"#;
        assert_eq!(found(&serde_json::from_str(scalar).expect("JSON")).expect("an answer")[0].samples, [(1.0, 3.0)]);
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(encoded("a{b=\"c d\"}+1"), "a%7Bb%3D%22c%20d%22%7D%2B1");
    }
}
