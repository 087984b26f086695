//! Handlers and layers, without a worker around them.

use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use bellwether_core::protocol::{TaskName, WorkerId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use super::layers::{LimitLayer, ObserveLayer, TimeoutLayer};
use super::*;

#[derive(Serialize, Deserialize)]
struct Double(u32);

impl Task for Double {
    const KIND: &'static str = "double";
    type Output = u32;
}

#[derive(Serialize, Deserialize)]
struct Large;

impl Task for Large {
    const KIND: &'static str = "large";
    type Output = String;
}

#[derive(Default)]
struct Paper(Mutex<Vec<String>>);

impl Desk for Paper {
    fn write(&self, bytes: &[u8]) {
        self.0.lock().expect("unpoisoned").push(String::from_utf8_lossy(bytes).into_owned());
    }

    fn progress(&self, done: u64, total: Option<u64>, note: &str) {
        self.0.lock().expect("unpoisoned").push(format!("{done}/{total:?} {note}"));
    }
}

pub(crate) fn request(kind: &str, input: Value) -> TaskRequest {
    let facts = Facts {
        task: TaskName::listed("t"),
        kind: kind.to_owned(),
        attempt: 2,
        worker: WorkerId::listed("w-1"),
        epoch: Some(7),
        element: None,
        trace: None,
        deadline: None,
    };
    let (_running, phase) = watch::channel(Phase::Running);
    TaskRequest { context: TaskContext::new(facts, phase, Arc::new(Paper::default())), input }
}

fn handlers() -> Handlers {
    let mut handlers = Handlers::default();
    handlers.add(|_, Double(number)| async move { Ok(number * 2) }).expect("the first of its kind");
    handlers.add(|_, _: Large| async move { Ok::<_, TaskError>("x".repeat(VALUE_BYTES_MAX)) }).expect("the first of its kind");
    handlers
}

#[tokio::test]
async fn a_handler_is_given_what_it_expects_and_says_what_is_wrong_otherwise() {
    let service = handlers().into_service();
    assert_eq!(call(service.clone(), request("double", json!(21))).await.expect("a number"), json!(42));
    let wrong = call(service.clone(), request("double", json!({"number": 21}))).await.expect_err("no number");
    assert!(wrong.is_fatal() && wrong.text().starts_with("the input is none for the kind double: invalid type: map"), "{wrong:?}");
    let large = call(service.clone(), request("large", Value::Null)).await.expect_err("too large");
    assert!(large.is_fatal() && large.text().contains("131074 bytes of JSON"), "{large:?}");
    assert!(call(service, request("halve", json!(1))).await.is_err_and(|error| error.is_fatal()));
}

#[test]
fn one_kind_has_one_handler() {
    let mut handlers = handlers();
    assert_eq!(handlers.add(|_, Double(number)| async move { Ok(number) }), Err("double"));
    assert_eq!(handlers.kinds().into_iter().collect::<Vec<_>>(), ["double", "large"]);
}

/// Notes how many run at once of each key, and the most there ever were.
#[derive(Default)]
struct Crowd(Mutex<BTreeMap<u32, (u32, u32)>>);

impl Crowd {
    fn enter(&self, key: u32) {
        let mut all = self.0.lock().expect("unpoisoned");
        let (now, most) = all.entry(key).or_default();
        *now += 1;
        *most = (*most).max(*now);
    }

    fn leave(&self, key: u32) {
        self.0.lock().expect("unpoisoned").entry(key).or_default().0 -= 1;
    }

    fn most(&self) -> Vec<u32> {
        self.0.lock().expect("unpoisoned").values().map(|(_, most)| *most).collect()
    }
}

/// Handles numbers, which are counted by their remainder, and lets others run meanwhile.
fn crowded(by: u32) -> (Arc<Crowd>, TaskService) {
    let (crowd, mut handlers) = (Arc::<Crowd>::default(), Handlers::default());
    let inside = Arc::clone(&crowd);
    let slow = move |_, Double(number): Double| {
        let inside = Arc::clone(&inside);
        async move {
            inside.enter(number % by);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            inside.leave(number % by);
            Ok(number)
        }
    };
    handlers.add(slow).expect("the first of its kind");
    (crowd, handlers.into_service())
}

async fn call_all(service: &TaskService, numbers: std::ops::Range<u32>) {
    let calls = numbers.map(|number| call(service.clone(), request("double", json!(number))));
    assert!(futures::future::join_all(calls).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_limit_holds_for_all_or_for_each_key() {
    let (crowd, service) = crowded(2);
    call_all(&service, 0..8).await;
    assert_eq!(crowd.most(), [4, 4], "nobody limits them");
    let (crowd, service) = crowded(1);
    call_all(&wrap(&LimitLayer::new(3), service), 0..8).await;
    assert_eq!(crowd.most(), [3]);
    let (crowd, service) = crowded(3);
    let polite =
        LimitLayer::keyed(1, |request| request.input.as_u64().map(|number| number % 3).filter(|key| *key < 2).map(|key| key.to_string()));
    call_all(&wrap(&polite, service), 0..9).await;
    assert_eq!(crowd.most(), [1, 1, 3], "what has no key is not limited");
}

#[tokio::test]
async fn a_timeout_is_a_failure_that_may_be_tried_again_and_who_observes_is_told() {
    let mut handlers = Handlers::default();
    let stays = |_, Double(number): Double| async move {
        if number > 0 {
            std::future::pending::<()>().await;
        }
        Ok(number)
    };
    handlers.add(stays).expect("the first of its kind");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let tell = move |o: &layers::Observed<'_>| told.lock().expect("unpoisoned").push((o.kind.to_owned(), o.succeeded));
    let service = wrap(&TimeoutLayer::new(Duration::from_millis(50)), handlers.into_service());
    let service = wrap(&ObserveLayer::new(tell), service);
    assert!(call(service.clone(), request("double", json!(0))).await.is_ok());
    let late = call(service, request("double", json!(1))).await.expect_err("it never ends");
    assert!(!late.is_fatal() && late.text() == "it took longer than the worker's limit of 0.05 s", "{late:?}");
    assert_eq!(*seen.lock().expect("unpoisoned"), [("double".to_owned(), true), ("double".to_owned(), false)]);
}

/// A layer as strangers write them: with an error of its own, or none.
#[derive(Clone)]
struct Note(&'static str, Arc<Mutex<Vec<&'static str>>>);

#[derive(Clone)]
struct Noted<S>(S, Note);

impl<S> Layer<S> for Note {
    type Service = Noted<S>;

    fn layer(&self, inner: S) -> Noted<S> {
        Noted(inner, self.clone())
    }
}

impl<S: Service<TaskRequest, Response = Value>> Service<TaskRequest> for Noted<S> {
    type Response = Value;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: TaskRequest) -> S::Future {
        self.1.1.lock().expect("unpoisoned").push(self.1.0);
        self.0.call(request)
    }
}

#[tokio::test]
async fn layers_of_strangers_fit_and_what_handlers_say_goes_through() {
    let mut handlers = Handlers::default();
    handlers.add(|_, _: Double| async move { Err(TaskError::fatal("never")) }).expect("the first of its kind");
    let notes = Arc::default();
    let service = wrap(&Note("inner", Arc::clone(&notes)), handlers.into_service());
    let service = wrap(&Note("outer", Arc::clone(&notes)), service);
    let error = call(service, request("double", json!(1))).await.expect_err("it fails");
    assert!(error.is_fatal() && error.text() == "never", "{error:?}");
    assert_eq!(*notes.lock().expect("unpoisoned"), ["outer", "inner"]);

    let infallible = tower::service_fn(|request: TaskRequest| async move { Ok::<_, Infallible>(request.input) });
    let constant = tower::layer::layer_fn(move |_: TaskService| infallible);
    let service = wrap(&constant, Handlers::default().into_service());
    assert_eq!(call(service, request("double", json!(1))).await.expect("it cannot fail"), json!(1));
}
