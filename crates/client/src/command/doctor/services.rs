//! Whether the services of a cluster are of one version, and whether their pages can be reached from here.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_client::{Finding, Overview};
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What is known of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    name: String,
    http: Option<String>,
    version: Option<String>,
}

/// One finding about their versions, and one about the pages of each.
pub(super) async fn look(overview: &Overview) -> Vec<Finding> {
    let services = services_of(overview);
    let mut findings = vec![versions(&services, env!("CARGO_PKG_VERSION"))];
    findings.extend(join_all(services.iter().filter_map(pages)).await);
    findings
}

/// All that are ours.
fn services_of(overview: &Overview) -> Vec<Service> {
    let service = |name: &str, http: Option<&String>, version: Option<&String>| Service {
        name: name.to_owned(),
        http: http.filter(|http| !http.is_empty()).cloned(),
        version: version.cloned(),
    };
    let master = overview.master.iter().filter(|master| !master.foreign);
    let masters = master.map(|master| {
        let name = format!("coordinator {}", master.name.as_deref().unwrap_or("?"));
        service(&name, master.http.as_ref(), master.version.as_ref())
    });
    let standbys = overview
        .standbys
        .iter()
        .map(|standby| service(&format!("coordinator {}", standby.name), Some(&standby.http), Some(&standby.version)));
    let workers = overview.workers.iter().filter(|worker| !worker.foreign);
    let workers = workers.map(|worker| service(&format!("worker {}", worker.worker), worker.http.as_ref(), worker.version.as_ref()));
    masters.chain(standbys).chain(workers).collect()
}

/// Neighbouring versions work together, so that a fleet can be upgraded one by one; nobody should stay there.
fn versions(services: &[Service], ours: &str) -> Finding {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::from([(ours, vec!["this command"])]);
    for service in services {
        found.entry(service.version.as_deref().unwrap_or("unknown")).or_default().push(&service.name);
    }
    match found.len() {
        1 => Finding::fine("versions", format!("{} services, all of version {ours}", services.len())),
        _ => {
            let who = |(version, names): (&&str, &Vec<&str>)| format!("{version}: {}", names.join(", "));
            let text = format!("several versions work together: {}", found.iter().map(who).collect::<Vec<_>>().join("; "));
            Finding::odd("versions", text, "upgrade the others, too".to_owned())
        }
    }
}

/// What a service says at its pages; nothing of one that has none.
fn pages(service: &Service) -> Option<impl Future<Output = Finding>> {
    let (name, address) = (service.name.clone(), service.http.clone()?);
    Some(async move {
        let asked = timeout(ANSWER_WITHIN, ready(&address)).await;
        let said = asked.unwrap_or_else(|_| Err(format!("no answer within {}", humantime::format_duration(ANSWER_WITHIN))));
        judge(&name, &address, said)
    })
}

fn judge(name: &str, address: &str, said: Result<String, String>) -> Finding {
    match said {
        Ok(status) if status.split_whitespace().nth(1) == Some("200") => Finding::fine("pages", format!("{name} is ready, says {address}")),
        Ok(status) => Finding::odd("pages", format!("{name} is not ready, says {address}: {status}"), "see why in its log".to_owned()),
        Err(why) => Finding::odd(
            "pages",
            format!("the pages of {name} at {address} cannot be reached from here: {why}"),
            "let http.listen and http.advertise in its configuration be an address that this machine reaches; otherwise `run` and `logs` \
             show only the end of an output"
                .to_owned(),
        ),
    }
}

/// The first line of its answer.
async fn ready(address: &str) -> Result<String, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).await.map_err(text)?;
    let request = format!("GET /health/ready HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(text)?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await.map_err(text)?;
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use bellwether_client::Severity;

    use super::*;

    fn service(name: &str, version: &str) -> Service {
        Service { name: name.to_owned(), http: None, version: Some(version.to_owned()) }
    }

    #[test]
    fn several_versions_are_named_with_who_has_them() {
        assert_eq!(versions(&[service("worker w", "1.0.0")], "1.0.0").severity, Severity::Fine);
        let mixed = versions(&[service("worker w", "1.0.0"), service("coordinator c", "1.1.0")], "1.1.0");
        assert_eq!(mixed.severity, Severity::Odd);
        assert!(mixed.text.contains("1.0.0: worker w; 1.1.0: this command, coordinator c"), "{mixed:?}");
    }

    #[test]
    fn what_does_not_answer_or_is_not_ready_is_odd() {
        for (said, severity) in [
            (Ok("HTTP/1.0 200 OK".to_owned()), Severity::Fine),
            (Ok("HTTP/1.0 503 Service Unavailable".to_owned()), Severity::Odd),
            (Ok(String::new()), Severity::Odd),
            (Err("connection refused".to_owned()), Severity::Odd),
        ] {
            assert_eq!(judge("worker w", "h:1", said).severity, severity);
        }
    }
}
