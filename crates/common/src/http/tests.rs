//! The pages over a real port.

use std::future::{pending, ready};
use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

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
        let runtime = Runtime::new().expect("a runtime");
        let health = Health::new();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let metrics = MetricsHandle::detached("blue");
        let server = runtime
            .block_on(serve(runtime.handle(), SocketAddr::from(([127, 0, 0, 1], 0)), metrics, health.clone(), shutdown))
            .expect("a free port");
        Self { runtime, server, health, stop }
    }

    /// Status line, headers and body of one request.
    fn request(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.server.address).expect("the server accepts");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a deadline");
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
fn a_taken_address_is_named_together_with_its_key() {
    let world = World::start();
    let address = world.server.address;
    let again = serve(world.runtime.handle(), address, MetricsHandle::detached("blue"), Health::new(), pending());
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
