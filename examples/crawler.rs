//! A web crawler that is polite: of each host it asks for one page at a time, and pauses between two.
//!
//! Crawling is what the tutorial of ZooKeeper assigns to its workers. Here each page is a task, so that a worker that dies in mid-page costs
//! nothing but that page, and it is another worker that fetches it. The web is two little servers of this program.
//!
//! `cargo run --example crawler`, against `bellwether dev`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bellwether_client::{Client, Task};
use bellwether_examples::{Outcome, beside, connect_string};
use bellwether_worker::layers::LimitLayer;
use bellwether_worker::{TaskContext, TaskError, TaskRequest, Worker};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Between two requests to one host.
const PAUSE: Duration = Duration::from_millis(50);

/// Fetches a page.
#[derive(Debug, Serialize, Deserialize)]
struct Fetch {
    host: String,
    path: String,
}

/// What a page links to.
#[derive(Debug, Serialize, Deserialize)]
struct Links(Vec<(String, String)>);

impl Task for Fetch {
    const KIND: &'static str = "fetch";
    type Output = Links;
}

async fn fetch(ctx: TaskContext, task: Fetch) -> Result<Links, TaskError> {
    ctx.print(format!("GET http://{}{}", task.host, task.path));
    let page = get(&task.host, &task.path).await?;
    // The layer lets nobody else in before this is over.
    tokio::time::sleep(PAUSE).await;
    let links = page.lines().filter_map(|line| line.strip_prefix("link http://")).filter_map(|link| link.split_once('/'));
    Ok(Links(links.map(|(host, path)| (host.to_owned(), format!("/{path}"))).collect()))
}

async fn get(host: &str, path: &str) -> Result<String, TaskError> {
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((head, page)) if head.starts_with("HTTP/1.0 200") => Ok(page.to_owned()),
        // A server that has a bad moment may have a better one later; a page that is not there stays away.
        Some((head, _)) if head.starts_with("HTTP/1.0 5") => Err(TaskError::retry(head)),
        _ => Err(TaskError::fatal(format!("no such page: http://{host}{path}"))),
    }
}

fn host_of(request: &TaskRequest) -> Option<String> {
    request.input["host"].as_str().map(str::to_owned)
}

#[tokio::main]
async fn main() -> Outcome {
    let connect = connect_string()?;
    let worker = Worker::builder(&connect).name("crawler").slots(8).layer(LimitLayer::keyed(1, host_of)).handler(fetch);
    beside(worker, crawl(&connect)).await
}

async fn crawl(connect: &str) -> Outcome {
    let web = Web::serve().await?;
    let client = Client::connect(connect).await?;
    let mut seen = BTreeSet::from([(web.hosts[0].clone(), "/".to_owned())]);
    let mut new: Vec<(String, String)> = seen.iter().cloned().collect();
    let (mut waiting, mut fetched, mut missing) = (FuturesUnordered::new(), 0, 0);
    loop {
        for (host, path) in new.drain(..) {
            let handle = client.task(Fetch { host, path }).retries(5).backoff(PAUSE, PAUSE).submit().await?;
            waiting.push(async move { handle.wait().await });
        }
        let Some(page) = waiting.next().await else { break };
        let Ok(Links(links)) = page else {
            missing += 1;
            continue;
        };
        fetched += 1;
        new.extend(links.into_iter().filter(|link| seen.insert(link.clone())));
    }
    let most = web.most_at_once.load(Ordering::SeqCst);
    println!("fetched {fetched} pages of {} hosts, {missing} missing; at most {most} request at a time to each", web.hosts.len());
    client.close().await;
    Ok(())
}

/// Two hosts, whose pages link to one another.
struct Web {
    hosts: Vec<String>,
    most_at_once: Arc<AtomicUsize>,
}

impl Web {
    async fn serve() -> Outcome<Self> {
        let listeners = [TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?];
        let mut hosts = Vec::new();
        for listener in &listeners {
            hosts.push(listener.local_addr()?.to_string());
        }
        let most_at_once = Arc::default();
        for (own, listener) in listeners.into_iter().enumerate() {
            let pages = pages(&hosts[own], &hosts[1 - own]);
            tokio::spawn(host(listener, pages, Arc::clone(&most_at_once)));
        }
        Ok(Self { hosts, most_at_once })
    }
}

fn pages(own: &str, other: &str) -> BTreeMap<String, String> {
    let chapters = (1..=4).map(|n| format!("link http://{own}/{n}\n")).collect::<String>();
    let mut pages = BTreeMap::from([("/".to_owned(), format!("{chapters}link http://{other}/\nlink http://{own}/gone\n"))]);
    pages.extend((1..=4).map(|n| (format!("/{n}"), format!("link http://{own}/\nlink http://{other}/{n}\n"))));
    pages
}

/// Notes how many requests are open at once.
async fn host(listener: TcpListener, pages: BTreeMap<String, String>, most: Arc<AtomicUsize>) {
    let (pages, open) = (Arc::new(pages), Arc::new(AtomicUsize::new(0)));
    while let Ok((mut stream, _)) = listener.accept().await {
        let (pages, open, most) = (Arc::clone(&pages), Arc::clone(&open), Arc::clone(&most));
        tokio::spawn(async move {
            most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let mut request = [0; 1024];
            let count = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..count]);
            let page = request.split(' ').nth(1).and_then(|path| pages.get(path));
            let answer = match page {
                Some(page) => format!("HTTP/1.0 200 OK\r\n\r\n{page}"),
                None => "HTTP/1.0 404 Not Found\r\n\r\n".to_owned(),
            };
            // Counted down before the answer is heard: the next request may come at once.
            open.fetch_sub(1, Ordering::SeqCst);
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}
