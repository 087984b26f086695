//! One request: sent at the call, answered within a deadline, counted.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{Either, ready};
use metrics::{counter, gauge, histogram};
use tokio::time::{Instant, timeout};
use zookeeper_client::{Client, Error, MultiWriteError};

use super::{ReadError, Store, definite, zk_runtime};
use crate::metrics as names;

/// How a request ended.
pub(crate) enum Reply<T, E = Error> {
    /// ZooKeeper answered, or its client did.
    Answer(Result<T, E>),
    /// It was certainly never sent.
    NotSent,
    /// The deadline passed: the request may still be on its way.
    Late,
}

/// Why a read has no answer, with the one reason that most callers take for an answer.
pub(crate) enum NoAnswer {
    /// There is no such node.
    NoNode,
    /// Anything else.
    Because(ReadError),
}

impl From<NoAnswer> for ReadError {
    /// For the reads that no missing node can disturb: `sync` and `exists`. ZooKeeper says "no node" to them only when the root
    /// itself is gone.
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::NoNode => ReadError::Interrupted,
            NoAnswer::Because(error) => error,
        }
    }
}

impl<T> Reply<T> {
    pub(crate) fn read(self, path: &str) -> Result<T, NoAnswer> {
        match self {
            Reply::Answer(Ok(found)) => Ok(found),
            Reply::Answer(Err(Error::NoNode)) => Err(NoAnswer::NoNode),
            Reply::Answer(Err(Error::NoAuth)) => Err(NoAnswer::Because(ReadError::NoAuth { path: path.to_owned() })),
            Reply::Answer(Err(Error::BadArguments(why))) => {
                Err(NoAnswer::Because(ReadError::BadPath { path: path.to_owned(), why: (*why).to_owned() }))
            }
            Reply::Answer(Err(_)) | Reply::NotSent | Reply::Late => Err(NoAnswer::Because(ReadError::Interrupted)),
        }
    }
}

/// What an error says about its request, for the label `result`.
pub(crate) trait Verdict {
    /// Whether ZooKeeper certainly did nothing.
    fn is_definite(&self) -> bool;
}

impl Verdict for Error {
    fn is_definite(&self) -> bool {
        definite(self).is_some()
    }
}

impl Verdict for MultiWriteError {
    fn is_definite(&self) -> bool {
        match self {
            MultiWriteError::RequestFailed { source } | MultiWriteError::OperationFailed { source, .. } => source.is_definite(),
        }
    }
}

impl Store {
    /// Sends a request now and gives the future of its reply. `send` is polled once before this returns, which is when the
    /// client hands the request over; so calls from one thread are sent in their order.
    pub(crate) fn request<T, E, F, S>(&self, op: &'static str, send: S) -> impl Future<Output = Reply<T, E>> + Send + use<T, E, F, S>
    where
        T: Send + 'static,
        E: Verdict + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
        S: FnOnce(Arc<Client>) -> F,
    {
        let Some(client) = self.client() else {
            counter!(names::ZK_REQUESTS_TOTAL, "op" => op, "result" => "refused").increment(1);
            return Either::Left(ready(Reply::NotSent));
        };
        let watch = Stopwatch::start(op);
        let mut reply = Box::pin(send(client));
        let early = (&mut reply).now_or_never();
        // The deadline belongs to the ZooKeeper runtime's clock, so that the future may be awaited anywhere.
        let entered = zk_runtime::handle().enter();
        let reply = timeout(self.timeout(), reply);
        drop(entered);
        Either::Right(async move {
            let reply = match early {
                Some(answer) => Reply::Answer(answer),
                None => reply.await.map_or(Reply::Late, Reply::Answer),
            };
            watch.stop(&reply);
            reply
        })
    }
}

/// Measures one request; dropped early, it still leaves the number in flight right.
struct Stopwatch {
    op: &'static str,
    sent: Instant,
}

impl Stopwatch {
    fn start(op: &'static str) -> Self {
        gauge!(names::ZK_REQUESTS_IN_FLIGHT).increment(1.0);
        Self { op, sent: Instant::now() }
    }

    fn stop<T, E: Verdict>(self, reply: &Reply<T, E>) {
        let result = match reply {
            Reply::Answer(Ok(_)) => "ok",
            Reply::Answer(Err(error)) if error.is_definite() => "refused",
            Reply::Answer(Err(_)) | Reply::Late => "unknown",
            Reply::NotSent => "refused",
        };
        counter!(names::ZK_REQUESTS_TOTAL, "op" => self.op, "result" => result).increment(1);
        histogram!(names::ZK_REQUEST_DURATION_SECONDS, "op" => self.op).record(self.sent.elapsed().as_secs_f64());
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        gauge!(names::ZK_REQUESTS_IN_FLIGHT).decrement(1.0);
    }
}
