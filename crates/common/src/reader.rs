//! Bulk reads: many paths, pipelined, a bounded number in flight. What the answers mean is the caller's affair.

use std::future::Future;

use bellwether_core::protocol::Node;
use futures::{StreamExt, stream};

use crate::store::{ReadError, Store};
use crate::zk_runtime;

/// How many reads are in flight at once: enough to hide the round trip, few enough to leave room for writes.
pub const WINDOW: usize = 256;

/// Each path with what was found there, in the order of the question.
pub type Answers<T> = Vec<(String, Result<Option<T>, ReadError>)>;

/// Reads data and state of many nodes. Runs on the ZooKeeper runtime, as one task, to the end even if nobody awaits it. When the
/// session is suspended meanwhile, the rest is [`ReadError::Interrupted`] at once.
pub fn read_nodes(store: &Store, paths: Vec<String>) -> impl Future<Output = Answers<Node>> + Send + use<> {
    let store = store.clone();
    ask_all(paths, move |path| store.get(path))
}

/// How many small nodes are asked for by one request, and how many such requests are in flight.
const TOGETHER: (usize, usize) = (100, 4);

/// Reads many small nodes, a hundred by one request; otherwise as [`read_nodes`]. A request costs several times as much as a small node.
pub fn read_small_nodes(store: &Store, paths: Vec<String>) -> impl Future<Output = Answers<Node>> + Send + use<> {
    let store = store.clone();
    let task = zk_runtime::spawn(async move {
        let (many, in_flight) = TOGETHER;
        let portions: Vec<Vec<String>> = paths.chunks(many).map(<[String]>::to_vec).collect();
        let questions = stream::iter(portions).map(|portion| read_together(&store, portion));
        questions.buffered(in_flight).collect::<Vec<_>>().await.into_iter().flatten().collect()
    });
    async move { task.await.expect("nothing here panics, and nobody aborts it") }
}

/// Reads a few small nodes by one request, which is sent at once; otherwise as [`read_nodes`].
pub fn read_together(store: &Store, paths: Vec<String>) -> impl Future<Output = Answers<Node>> + Send + use<> {
    // A single one needs no list, in the request nor in the reply.
    let alone = if let [path] = paths.as_slice() { Some(store.get(path)) } else { None };
    let together = alone.is_none().then(|| store.get_together(paths.clone()));
    let store = store.clone();
    async move {
        if let Some(answer) = alone {
            let answer = answer.await;
            return paths.into_iter().map(|path| (path, answer.clone())).collect();
        }
        let Some(answers) = together else { return Vec::new() };
        match answers.await {
            Ok(answers) => answers,
            Err(error @ ReadError::Interrupted) => paths.into_iter().map(|path| (path, Err(error.clone()))).collect(),
            // One of them spoils the others.
            Err(ReadError::NoAuth { .. } | ReadError::BadPath { .. }) => read_nodes(&store, paths).await,
        }
    }
}

/// Lists the children of many nodes; otherwise as [`read_nodes`].
pub fn list_many(store: &Store, paths: Vec<String>) -> impl Future<Output = Answers<Vec<String>>> + Send + use<> {
    let store = store.clone();
    ask_all(paths, move |path| store.children(path))
}

fn ask_all<T, F, A>(paths: Vec<String>, ask: A) -> impl Future<Output = Answers<T>> + Send + use<T, F, A>
where
    T: Send + 'static,
    F: Future<Output = Result<Option<T>, ReadError>> + Send + 'static,
    A: Fn(&str) -> F + Send + Sync + 'static,
{
    let task = zk_runtime::spawn(async move {
        let questions = stream::iter(paths).map(|path| {
            let answer = ask(&path);
            async move { (path, answer.await) }
        });
        questions.buffered(WINDOW).collect::<Vec<_>>().await
    });
    async move { task.await.expect("nothing here panics, and nobody aborts it") }
}
