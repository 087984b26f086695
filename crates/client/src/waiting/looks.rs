//! How statuses are looked for: watched one by one, or read many by one request; and what comes of that, as messages to the actor.

use std::time::Duration;

use actix::{Addr, AsyncContext, Context, Handler, Message};
use bellwether_common::reader;
use bellwether_common::store::{Changed, ReadError, Store};
use bellwether_common::zk_runtime;
use bellwether_core::protocol::{Node, TaskName, path};
use bellwether_core::waiting::Event;

use super::{Awaited, Heard, Waiting};
use crate::error::Error;
use crate::finding;

/// After an interrupted read: a break that the session actor has not heard of would answer the next one alike.
const PAUSE: Duration = Duration::from_millis(50);

/// Most statuses that are read by one request, and most such requests on their way.
const READ_TOGETHER: usize = 64;
const READS_IN_FLIGHT: usize = 4;

/// What was found where watches had gone off.
struct Read {
    round: u64,
    answers: Vec<(TaskName, Result<Option<Node>, ReadError>)>,
}

impl Message for Read {
    type Result = ();
}

/// What was found where many were read together.
struct Swept {
    round: u64,
    answers: Vec<(TaskName, Result<Option<Node>, ReadError>)>,
}

impl Message for Swept {
    type Result = ();
}

/// A status cannot be read, ever.
struct Unreadable {
    task: TaskName,
    error: Error,
}

impl Message for Unreadable {
    type Result = ();
}

/// Ends with its handle, and the watch with it.
#[derive(Debug)]
pub(super) struct Look(#[expect(dead_code, reason = "held for its drop")] zk_runtime::Bound);

impl Waiting {
    pub(super) fn look(&mut self, task: TaskName, ctx: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        let asked = store.exists_once(&path::status(&task));
        let reporter = Reporter { actor: ctx.address(), round: self.round, task: task.clone() };
        let look = zk_runtime::spawn_bound(async move {
            match asked.await {
                Ok((None, changed)) => reporter.armed(changed).await,
                Ok((Some(_), _)) => reporter.there(&store).await,
                Err(error) => reporter.failed(error).await,
            }
        });
        self.looks.insert(task, Look(look));
    }

    /// What has stirred is read, many by one request, and none waits for others: those that stir meanwhile go with the next.
    pub(super) fn read_stirred(&mut self, ctx: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        while self.reading < READS_IN_FLIGHT && !self.stirred.is_empty() {
            let tasks: Vec<TaskName> = self.stirred.drain(..self.stirred.len().min(READ_TOGETHER)).collect();
            self.reading += 1;
            let answers = reader::read_together(&store, tasks.iter().map(path::status).collect());
            let (actor, round) = (ctx.address(), self.round);
            zk_runtime::spawn(async move {
                let answers = answers.await.into_iter().map(|(_, answer)| answer);
                // One for each request, and those are few.
                actor.do_send(Read { round, answers: tasks.into_iter().zip(answers).collect() });
            });
        }
    }

    pub(super) fn read_all(&self, tasks: &[TaskName], ctx: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        for tasks in tasks.chunks(READ_TOGETHER).map(<[TaskName]>::to_vec) {
            let answers = reader::read_together(&store, tasks.iter().map(path::status).collect());
            let (actor, round) = (ctx.address(), self.round);
            zk_runtime::spawn(async move {
                let answers = answers.await.into_iter().map(|(_, answer)| answer);
                // As few as core reads at a time, a handful.
                actor.do_send(Swept { round, answers: tasks.into_iter().zip(answers).collect() });
            });
        }
    }

    pub(super) fn locate(&self, task: TaskName, ctx: &Context<Self>) {
        let Some(store) = self.store.clone() else { return };
        let reporter = Reporter { actor: ctx.address(), round: self.round, task };
        zk_runtime::spawn(async move {
            // Without an answer it is looked for again, after the reconnect or a while later.
            if let Ok(somewhere) = finding::exists(&store, &reporter.task).await {
                let task = reporter.task.clone();
                reporter.tell(Event::Located { task, somewhere });
            }
        });
    }
}

/// Tells the actor what became of one look.
struct Reporter {
    actor: Addr<Waiting>,
    round: u64,
    task: TaskName,
}

impl Reporter {
    /// Not bounded by the mailbox: the core arms a fixed number of watches, and each look tells two things at most.
    fn tell(&self, event: Event) {
        self.actor.do_send(Heard { round: self.round, event });
    }

    async fn armed(self, changed: Changed) {
        self.tell(Event::Looked { task: self.task.clone(), found: None });
        changed.await;
        self.tell(Event::Stirred(self.task.clone()));
    }

    async fn there(self, store: &Store) {
        match store.get(&path::status(&self.task)).await {
            Ok(Some(node)) => self.tell(Event::Looked { task: self.task.clone(), found: Some(node.data) }),
            // Removed in between.
            Ok(None) => self.tell(Event::Stirred(self.task.clone())),
            Err(error) => self.failed(error).await,
        }
    }

    async fn failed(self, error: ReadError) {
        if error == ReadError::Interrupted {
            tokio::time::sleep(PAUSE).await;
            return self.tell(Event::Interrupted(self.task.clone()));
        }
        self.actor.do_send(Unreadable { task: self.task, error: error.into() });
    }
}

impl Handler<Read> for Waiting {
    type Result = ();

    fn handle(&mut self, Read { round, answers }: Read, ctx: &mut Self::Context) {
        if round != self.round {
            return;
        }
        self.reading -= 1;
        for (task, answer) in answers {
            match answer {
                Ok(Some(node)) => self.feed(Event::Looked { task, found: Some(node.data) }, ctx),
                // It was something else: a removal, or the end of the connection.
                Ok(None) => self.feed(Event::Stirred(task), ctx),
                Err(error) => {
                    let reporter = Reporter { actor: ctx.address(), round, task };
                    zk_runtime::spawn(reporter.failed(error));
                }
            }
        }
        self.read_stirred(ctx);
    }
}

impl Handler<Swept> for Waiting {
    type Result = ();

    fn handle(&mut self, Swept { round, answers }: Swept, ctx: &mut Self::Context) {
        if round != self.round {
            return;
        }
        let mut found = Vec::with_capacity(answers.len());
        for (task, answer) in answers {
            match answer {
                Ok(node) => found.push((task, node.map(|node| node.data))),
                // The next round asks again, or the next connection.
                Err(ReadError::Interrupted) => found.push((task, None)),
                Err(error) => {
                    found.push((task.clone(), None));
                    ctx.notify(Unreadable { task, error: error.into() });
                }
            }
        }
        self.feed(Event::Read(found), ctx);
    }
}

impl Handler<Unreadable> for Waiting {
    type Result = ();

    fn handle(&mut self, Unreadable { task, error }: Unreadable, ctx: &mut Self::Context) {
        self.feed(Event::Unwanted(vec![task.clone()]), ctx);
        self.answer(task, Awaited::Failed(error));
    }
}
