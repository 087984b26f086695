//! The pages over a real port.

use std::future::{pending, ready};
use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::connections::Limits;
use super::*;

/// A server on a port of its own, on a runtime of its own.
struct World {
    runtime: Runtime,
    server: Server,
    health: Health,
    stop: oneshot::Sender<()>,
}

impl World {
    fn start() -> Self {
        Self::start_with(connections::LIMITS)
    }

    fn start_with(limits: Limits) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let health = Health::new();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let more = MorePages::default();
        more.add(Router::new().route("/v1/more", get(async || "more\n")));
        let pages = Pages { metrics: MetricsHandle::detached("blue"), health: health.clone(), more };
        let server = runtime
            .block_on(serve_within(limits, runtime.handle(), SocketAddr::from(([127, 0, 0, 1], 0)), pages, shutdown))
            .expect("a free port");
        Self { runtime, server, health, stop }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.address).expect("the server accepts");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a deadline");
        stream
    }

    /// Status line, headers and body of one request.
    fn request(&self, method: &str, path: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn get(&self, path: &str) -> (u16, String) {
        let answer = self.request("GET", path);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).expect("a body"))
    }
}

#[test]
fn metrics_are_served_as_prometheus_reads_them() {
    let world = World::start();
    let answer = world.request("GET", "/metrics");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains(r#"bellwether_zk_requests_in_flight{cluster="blue"} 0"#), "{answer}");
}

#[test]
fn ready_is_what_the_supervisor_says() {
    let world = World::start();
    assert_eq!(world.get("/health/ready"), (503, "not ready: starting\n".into()));
    world.health.set_ready(true, "leading epoch 7");
    assert_eq!(world.get("/health/ready"), (200, "ready: leading epoch 7\n".into()));
    world.health.set_ready(false, "session suspended");
    assert_eq!(world.get("/health/ready"), (503, "not ready: session suspended\n".into()));
}

#[test]
fn live_is_a_supervisor_that_answers_in_time() {
    let world = World::start();
    assert_eq!(world.get("/health/live"), (503, "not live: the supervisor has not started\n".into()));
    world.health.set_probe(Arc::new(|| Box::pin(ready(true))));
    assert_eq!(world.get("/health/live"), (200, "live\n".into()));
    world.health.set_probe(Arc::new(|| Box::pin(ready(false))));
    assert_eq!(world.get("/health/live"), (503, "not live: the supervisor is gone\n".into()));
    world.health.set_probe(Arc::new(|| Box::pin(pending())));
    assert_eq!(world.get("/health/live"), (503, "not live: the supervisor did not answer within 1s\n".into()));
}

#[test]
fn other_paths_and_methods_are_refused_with_a_line() {
    let world = World::start();
    let (status, line) = world.get("/metrics/");
    assert_eq!((status, line.as_str()), (404, "nothing at /metrics/; there are /metrics, /health/live and /health/ready\n"));
    assert_eq!(world.get("/").0, 404);
    let answer = world.request("POST", "/metrics");
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("only GET\n"), "{answer}");
    assert!(answer.to_lowercase().contains("allow: get"), "{answer}");
}

#[test]
fn ten_scrapers_at_once_are_answered_beside_mute_ones() {
    let world = World::start();
    // As many as there may be but for a few, all of which say nothing.
    let mute: Vec<TcpStream> = (0..connections::LIMITS.connections - 2).map(|_| world.connect()).collect();
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| assert_eq!(world.get("/metrics").0, 200));
        }
    });
    drop(mute);
}

#[test]
fn no_more_are_served_at_a_time_than_there_may_be() {
    let world = World::start_with(Limits { head: Duration::from_secs(60), connections: 2, ..connections::LIMITS });
    let mute = [world.connect(), world.connect()];
    let mut third = world.connect();
    write!(third, "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("sent");
    third.set_read_timeout(Some(Duration::from_millis(300))).expect("a deadline");
    let mut answer = [0; 12];
    assert!(third.read(&mut answer).is_err(), "it is answered although two others are there");
    drop(mute);
    third.set_read_timeout(Some(Duration::from_secs(10))).expect("a deadline");
    third.read_exact(&mut answer).expect("an answer, now that there is room");
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[test]
fn who_says_nothing_or_little_is_let_go() {
    let world = World::start_with(Limits { head: Duration::from_millis(200), connections: 2, ..connections::LIMITS });
    let (mut mute, mut slow) = (world.connect(), world.connect());
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: ").expect("sent");
    // Served only once one of the two is gone.
    assert_eq!(world.get("/metrics").0, 200);
    let mut rest = String::new();
    mute.read_to_string(&mut rest).expect("closed");
    assert_eq!(rest, "");
    slow.read_to_string(&mut rest).expect("closed");
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408 "), "{rest}");
}

#[test]
fn who_does_not_read_the_answers_is_let_go() {
    let world = World::start_with(Limits { stalled: Duration::from_millis(200), connections: 1, ..connections::LIMITS });
    let mut greedy = world.connect();
    greedy.set_nonblocking(true).expect("a socket");
    // Far more answers than the buffers of both sides hold; none is read.
    let requests = b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n".repeat(2000);
    let _ = greedy.write(&requests).expect("sent");
    assert_eq!(world.get("/health/ready").0, 503, "the only connection is free again");
}

#[test]
fn a_head_without_end_is_refused() {
    // Its size alone ends it, long before its time is over.
    let world = World::start_with(Limits { head: Duration::from_secs(600), ..connections::LIMITS });
    let mut stream = world.connect();
    let _ = stream.write_all(format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(64 * 1024)).as_bytes());
    let mut answer = Vec::new();
    let waited_in_vain = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    assert!(!stream.read_to_end(&mut answer).is_err_and(|error| waited_in_vain(&error)), "the connection stays open");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(world.get("/health/ready").0, 503, "others are served");
}

#[test]
fn a_body_is_not_read_and_a_request_of_many_headers_is_refused() {
    let world = World::start();
    for method in ["GET", "POST"] {
        let mut stream = world.connect();
        write!(stream, "{method} /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 1099511627776\r\n\r\n").expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer, before the body");
        assert_eq!(&answer, if method == "GET" { b"HTTP/1.1 200" } else { b"HTTP/1.1 405" });
        // Whoever goes on sending is cut off, rather than read to the end.
        let block = vec![b'x'; 1024 * 1024];
        let sent = (0..64).take_while(|_| stream.write_all(&block).is_ok()).count();
        assert!(sent < 64, "{method}: 64 MiB of a body were taken in");
    }
    let mut stream = world.connect();
    let headers: String = (0..200).map(|number| format!("X-{number}: x\r\n")).collect();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: test\r\n{headers}\r\n").expect("sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 431");
    assert_eq!(world.get("/health/ready").0, 503, "others are served");
}

#[test]
fn a_taken_address_is_named_together_with_its_key() {
    let world = World::start();
    let address = world.server.address;
    let again = serve(world.runtime.handle(), address, MetricsHandle::detached("blue"), Health::new(), MorePages::default(), pending());
    let error = world.runtime.block_on(again).expect_err("the address is taken").to_string();
    assert!(error.starts_with(&format!("cannot listen on {address} for metrics and health: ")), "{error}");
    assert!(error.ends_with("choose another address with http.listen"), "{error}");
}

#[test]
fn a_shutdown_ends_the_server_and_frees_its_port() {
    let World { runtime, server, stop, .. } = World::start();
    let address = server.address;
    stop.send(()).expect("the server waits for it");
    runtime.block_on(async { timeout(Duration::from_secs(10), server.ended()).await }).expect("it ends");
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn a_role_adds_pages_of_its_own_and_nothing_else() {
    let world = World::start();
    assert_eq!(world.get("/v1/more"), (200, "more\n".to_owned()));
    assert_eq!(world.get("/v1/less").0, 404);
    assert_eq!(world.get("/v2/more").0, 404);
}
