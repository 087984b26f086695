//! Asks every server for `mntr`, all at once, each with a deadline, and keeps the answers for a moment.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{info, warn};

use super::mntr::{self, Answer};
use super::page::{self, Asked};

/// How long a server may take, so that a scrape takes less than a second whoever is down.
const ANSWER_WITHIN: Duration = Duration::from_millis(900);
/// How long an answer serves other scrapers, too: `mntr` is not free.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// Far more than a server has to say.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Why there are no figures of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("no answer within {}", humantime::format_duration(ANSWER_WITHIN))]
    Late,
    #[error("{0}")]
    Unreachable(String),
    #[error("it does not execute mntr; add mntr to 4lw.commands.whitelist in its zoo.cfg, and restart it")]
    NotWhitelisted,
    #[error("it is not serving requests: it has no quorum")]
    NotServing,
    #[error("this is no answer to mntr: {0:?}")]
    Nonsense(String),
}

/// The servers of an ensemble.
pub(super) struct Servers {
    servers: Vec<String>,
    cluster: String,
    /// Held while servers are asked, so that ten scrapers cost one.
    fresh: tokio::sync::Mutex<Option<(Instant, String)>>,
    /// What was last said of each, so that it is said once.
    said: Mutex<BTreeMap<String, Option<NoAnswer>>>,
}

impl Servers {
    /// Those of a connect string: its chroot, if it has one, does not matter here.
    pub(super) fn new(connect: &str, cluster: &str) -> Self {
        let hosts = connect.split('/').next().unwrap_or_default();
        let servers = hosts.split(',').filter(|server| !server.is_empty()).map(with_port).collect();
        Self { servers, cluster: cluster.to_owned(), fresh: tokio::sync::Mutex::default(), said: Mutex::default() }
    }

    pub(super) fn names(&self) -> &[String] {
        &self.servers
    }

    /// The figures of all servers that answer, in Prometheus' text format.
    pub(super) async fn scrape(&self) -> String {
        let mut fresh = self.fresh.lock().await;
        match &*fresh {
            Some((asked, page)) if asked.elapsed() < FRESH_FOR => page.clone(),
            Some(_) | None => {
                let answers = join_all(self.servers.iter().map(|server| ask(server))).await;
                answers.iter().for_each(|asked| self.say(asked));
                let page = page::page(&self.cluster, &answers);
                *fresh = Some((Instant::now(), page.clone()));
                page
            }
        }
    }

    fn say(&self, asked: &Asked<'_>) {
        let now = asked.answer.as_ref().err().cloned();
        let before = self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(asked.server.to_owned(), now.clone());
        let Asked { server, .. } = asked;
        match now {
            Some(why) if before != Some(Some(why.clone())) => warn!(server, %why, "no figures of this server"),
            None if before != Some(None) => info!(server, "the server answers"),
            Some(_) | None => {}
        }
    }
}

/// ZooKeeper's own port, if none is named.
fn with_port(server: &str) -> String {
    let named = server.rsplit_once(':').is_some_and(|(host, _)| !host.is_empty() && (!host.contains(':') || host.ends_with(']')));
    if named { server.to_owned() } else { format!("{server}:2181") }
}

async fn ask(server: &str) -> Asked<'_> {
    let begun = Instant::now();
    let answer = match timeout(ANSWER_WITHIN, four_letters(server)).await {
        Err(_) => Err(NoAnswer::Late),
        Ok(Err(error)) => Err(NoAnswer::Unreachable(error.to_string())),
        Ok(Ok(text)) => understood(&text),
    };
    Asked { server, answer, took: begun.elapsed() }
}

async fn four_letters(server: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(b"mntr").await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn understood(text: &str) -> Result<Answer, NoAnswer> {
    if text.contains("is not in the whitelist") {
        return Err(NoAnswer::NotWhitelisted);
    }
    if text.contains("not currently serving requests") {
        return Err(NoAnswer::NotServing);
    }
    mntr::read(text).ok_or_else(|| NoAnswer::Nonsense(text.chars().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::TcpListener;
    use tokio::runtime::Runtime;

    use super::*;

    #[test]
    fn servers_are_those_of_the_connect_string() {
        let names = |connect: &str| Servers::new(connect, "blue").names().to_vec();
        assert_eq!(names("zk1:2181,zk2:2182,zk3/prod"), ["zk1:2181", "zk2:2182", "zk3:2181"]);
        assert_eq!(names("[::1],[::1]:7"), ["[::1]:2181", "[::1]:7"]);
    }

    #[test]
    fn what_is_no_answer_says_why_and_how_to_mend_it() {
        let refused = understood("mntr is not executed because it is not in the whitelist.\n").expect_err("refused");
        assert!(refused.to_string().contains("4lw.commands.whitelist"), "{refused}");
        assert_eq!(understood("This ZooKeeper instance is not currently serving requests\n"), Err(NoAnswer::NotServing));
        assert_eq!(understood("HTTP/1.1 400 Bad Request\r\n"), Err(NoAnswer::Nonsense("HTTP/1.1 400 Bad Request\r\n".into())));
        assert_eq!(understood(""), Err(NoAnswer::Nonsense(String::new())));
    }

    /// A server that counts who asks; it answers if it has an answer.
    async fn server(answer: Option<&'static str>) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, asked) = (listener.local_addr().expect("an address").to_string(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut mute = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                match answer {
                    Some(answer) => {
                        // Who closes before he has read resets the connection, and takes his answer back with it.
                        let mut word = [0; 4];
                        drop(stream.read_exact(&mut word).await);
                        drop(stream.write_all(answer.as_bytes()).await);
                    }
                    None => mute.push(stream),
                }
            }
        });
        (address, asked)
    }

    #[test]
    fn ten_scrapers_cost_a_server_as_much_as_one() {
        Runtime::new().expect("a runtime").block_on(async {
            let (address, asked) = server(Some("zk_version\t3.8.0-x\nzk_server_state\tleader\n")).await;
            let servers = Servers::new(&address, "blue");
            let pages = join_all((0..10).map(|_| servers.scrape())).await;
            let up = format!(r#"bellwether_zookeeper_up{{cluster="blue",server="{address}"}} 1"#);
            assert!(pages.iter().all(|page| page.contains(&up)), "{}", pages[0]);
            assert_eq!(asked.load(Ordering::Relaxed), 1);
            let asked_again = async {
                while asked.load(Ordering::Relaxed) == 1 {
                    let _ = servers.scrape().await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(FRESH_FOR * 10, asked_again).await.expect("an answer is not kept for ever");
        });
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up_in_time_for_the_scrape() {
        Runtime::new().expect("a runtime").block_on(async {
            let (address, _) = server(None).await;
            let servers = Servers::new(&address, "blue");
            let page = timeout(ANSWER_WITHIN * 3, servers.scrape()).await.expect("an answer whatever the server does");
            assert!(page.contains(&format!(r#"bellwether_zookeeper_up{{cluster="blue",server="{address}"}} 0"#)), "{page}");
        });
        assert!(ANSWER_WITHIN < Duration::from_secs(1), "a scrape takes less than a second");
    }
}
