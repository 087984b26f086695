//! Whether each server of the ensemble can be reached, and what it says of itself.

use std::io;
use std::time::Duration;

use bellwether_client::Finding;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// One finding per server, and one about what they are together.
pub(super) async fn look(connect: &str) -> Vec<Finding> {
    let hosts = connect.split('/').next().unwrap_or_default();
    let servers: Vec<&str> = hosts.split(',').filter(|server| !server.is_empty()).collect();
    let mut findings: Vec<Finding> = join_all(servers.iter().map(|server| one(server))).await;
    if servers.len() == 2 {
        let text = "two servers stop when either one stops: they are worse than one".to_owned();
        findings.push(Finding::odd("ensemble", text, "use an odd number of servers: 1, 3 or 5".to_owned()));
    }
    findings
}

async fn one(server: &str) -> Finding {
    match timeout(ANSWER_WITHIN, four_letters(server)).await {
        Err(_) => unreachable(server, &format!("no answer within {}", humantime::format_duration(ANSWER_WITHIN))),
        Ok(Err(error)) => unreachable(server, &error.to_string()),
        Ok(Ok(said)) => understood(server, &said),
    }
}

fn unreachable(server: &str, why: &str) -> Finding {
    let mend = format!("start ZooKeeper at {server}, or see what is between: a firewall, a wrong port, a name that does not resolve");
    Finding::broken("server", format!("{server} cannot be reached: {why}"), mend)
}

fn understood(server: &str, said: &str) -> Finding {
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    if said.contains("not currently serving requests") {
        let mend = "start the other servers of the ensemble: a majority must run".to_owned();
        return Finding::broken("server", format!("{server} does not serve: it has no quorum"), mend);
    }
    match value("Zookeeper version:") {
        Some(version) => {
            let version = version.split(['-', ',']).next().unwrap_or(version);
            Finding::fine("server", format!("{server} serves, {} of version {version}", value("Mode:").unwrap_or("a server")))
        }
        // It speaks ZooKeeper's protocol all the same: the session tells.
        None => Finding::fine("server", format!("{server} is reached; it does not execute srvr, so that its version is not known")),
    }
}

async fn four_letters(server: &str) -> io::Result<String> {
    let address = if server.contains(':') { server.to_owned() } else { format!("{server}:2181") };
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"srvr").await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use bellwether_client::Severity;

    use super::*;

    #[test]
    fn a_server_is_judged_by_what_it_says() {
        let fine = understood("a:1", "Zookeeper version: 3.8.0-5a0, built on 2022\nMode: follower\n");
        assert_eq!((fine.severity, fine.text.as_str()), (Severity::Fine, "a:1 serves, follower of version 3.8.0"));
        assert_eq!(understood("a:1", "This ZooKeeper instance is not currently serving requests\n").severity, Severity::Broken);
        assert_eq!(understood("a:1", "srvr is not executed because it is not in the whitelist.\n").severity, Severity::Fine);
    }
}
