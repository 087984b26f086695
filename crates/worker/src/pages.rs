//! The worker's pages below `/v1/`: which outputs it has, and the outputs themselves, while they are written and after.
//!
//! | page | what |
//! |---|---|
//! | `/v1/tasks` | what runs here, and what ended last |
//! | `/v1/tasks/<task>` | the attempts of one task that were made here |
//! | `/v1/tasks/<task>/attempts/<n>` | one attempt |
//! | `/v1/tasks/<task>/attempts/<n>/stdout`, `…/stderr` | its output, byte for byte |
//!
//! What lives here: the routes and their answers. What does not: who may ask (`access`), what can be asked for (`question`), where
//! an attempt is found (`attempts`), and how an output is read (`reading`).

mod access;
mod attempts;
mod question;
mod reading;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bellwether_common::config::Http;
use bellwether_common::output::{BYTES, ENDED, OFFSET, StreamName};
use bellwether_core::protocol::TaskName;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::executor::shelf::Shelf;
use access::{Access, Allowed};
use attempts::Attempt;
use question::Question;
use reading::Reading;

/// Most outputs that are sent at once: others are told to come again, so that scrapes find a connection.
const READERS_MAX: usize = 64;

/// What the pages are made from.
#[derive(Debug, Clone)]
struct Pages {
    worker: Arc<str>,
    shelf: Shelf,
    access: Arc<Access>,
    readers: Arc<Semaphore>,
}

/// Why a page is not shown: a status, a word, and what to do.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    word: &'static str,
    message: String,
    hint: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, word: &'static str, message: impl Into<String>) -> Self {
        Self { status, word, message: message.into(), hint: None }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    fn not_here(message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-such-output", message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.word, "message": self.message, "hint": self.hint}});
        let mut response = page(self.status, &body);
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn page(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, format!("{body}\n")).into_response()
}

/// The pages of the worker that the operator calls `worker`, on a server that listens at `bound`.
pub(crate) fn pages(worker: &str, shelf: Shelf, http: &Http, bound: SocketAddr) -> Router {
    let access = Arc::new(Access::new(http.token.clone(), bound.ip()));
    router(Pages { worker: worker.into(), shelf, access, readers: Arc::new(Semaphore::new(READERS_MAX)) })
}

fn router(pages: Pages) -> Router {
    Router::new()
        .route("/v1/tasks", get(tasks))
        .route("/v1/tasks/{task}", get(task))
        .route("/v1/tasks/{task}/attempts/{attempt}", get(attempt))
        .route("/v1/tasks/{task}/attempts/{attempt}/{stream}", get(output))
        .fallback(elsewhere)
        .method_not_allowed_fallback(only_get)
        .with_state(pages)
}

async fn elsewhere(request: Request) -> Refusal {
    let message = format!("nothing at {}", request.uri().path());
    let pages = "there are /v1/tasks, /v1/tasks/<task>, /v1/tasks/<task>/attempts/<n> and below it stdout and stderr";
    Refusal::new(StatusCode::NOT_FOUND, "no-such-page", message).hint(pages)
}

async fn only_get() -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "only-get", "these pages are only read")
}

async fn tasks(_: Allowed, State(pages): State<Pages>) -> Response {
    let attempts: Vec<Value> = pages.shelf.all().iter().map(|shelved| Attempt::shelved(shelved).json()).collect();
    page(StatusCode::OK, &json!({"bellwether": 1, "worker": *pages.worker, "attempts": attempts}))
}

async fn task(_: Allowed, State(pages): State<Pages>, Path(task): Path<String>) -> Result<Response, Refusal> {
    let task = name(&task)?;
    let found = attempts::of(&pages.shelf, &task).await?;
    if found.is_empty() {
        return Err(pages.unknown(&task, None));
    }
    let attempts: Vec<Value> = found.iter().map(Attempt::json).collect();
    Ok(page(StatusCode::OK, &json!({"bellwether": 1, "worker": *pages.worker, "attempts": attempts})))
}

async fn attempt(_: Allowed, State(pages): State<Pages>, Path((task, attempt)): Path<(String, String)>) -> Result<Response, Refusal> {
    let attempt = pages.find(&task, &attempt).await?;
    Ok(page(StatusCode::OK, &json!({"bellwether": 1, "worker": *pages.worker, "attempt": attempt.json()})))
}

async fn output(
    _: Allowed,
    State(pages): State<Pages>,
    Path((task, attempt, stream)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let stream: StreamName = stream.parse().map_err(|why| Refusal::new(StatusCode::NOT_FOUND, "no-such-page", why))?;
    let question = Question::parse(query.as_deref().unwrap_or_default())?;
    let attempt = pages.find(&task, &attempt).await?;
    let Ok(reader) = Arc::clone(&pages.readers).try_acquire_owned() else {
        let message = format!("{READERS_MAX} outputs are being read here already");
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).hint("ask again later"));
    };
    let reading = Reading::begin(&pages.shelf, attempt, stream, question).await?;
    let (offset, total, ended) = (reading.offset(), reading.total(), reading.has_ended());
    let body = Body::from_stream(reading.into_stream(reader));
    let told = [(OFFSET, offset.to_string()), (BYTES, total.to_string()), (ENDED, ended.to_string())];
    let kind = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    let guard = [(header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((kind, guard, told, body).into_response())
}

/// Any name that a znode may have: what it is on disk, `escape` decides.
fn name(task: &str) -> Result<TaskName, Refusal> {
    let nameable = !task.is_empty() && !task.contains(['/', '\0']) && task != "." && task != "..";
    let bad = || Refusal::new(StatusCode::BAD_REQUEST, "bad-name", format!("{task:?} is no name of a task"));
    nameable.then(|| TaskName::listed(task)).ok_or_else(bad)
}

impl Pages {
    async fn find(&self, task: &str, attempt: &str) -> Result<Attempt, Refusal> {
        let task = name(task)?;
        let bad =
            |_| Refusal::new(StatusCode::BAD_REQUEST, "bad-attempt", format!("{attempt:?} is no number of an attempt: they begin with 1"));
        let number = attempt.parse().map_err(bad)?;
        let found = attempts::find(&self.shelf, &task, number).await?;
        found.ok_or_else(|| self.unknown(&task, Some(number)))
    }

    fn unknown(&self, task: &TaskName, attempt: Option<u32>) -> Refusal {
        let what = attempt.map_or_else(|| "an attempt".to_owned(), |attempt| format!("attempt {attempt}"));
        Refusal::not_here(format!("worker {} knows no output of {what} of {task}: it made none, or what it kept was removed", self.worker))
    }
}
