//! What the timetable asks of ZooKeeper, as tasks on ZooKeeper's runtime.

use actix::{AsyncContext, Context};
use bellwether_common::store::{LayoutError, Store};
use bellwether_common::zk_runtime;
use bellwether_core::election;
use bellwether_core::protocol::{Multi, ScheduleName, TaskName, WorkerId, path};
use bellwether_core::timetable::{Effect, Event};
use futures::stream::{self, StreamExt};
use tracing::{debug, warn};

use super::{Answers, TimetableActor, WatchArmed};
use crate::master::{known, names, reading};
use crate::office::Told;

/// Most questions in flight, and most answers in one message.
const WINDOW: usize = 64;

impl TimetableActor {
    pub(super) fn arm_watch(&mut self, context: &Context<Self>) {
        self.round += 1;
        let (round, own, office, serial) = (self.round, context.address(), self.office.clone(), self.serial());
        let arming = self.pen.store().watch_tree(path::SCHEDULES, own.clone().recipient());
        zk_runtime::spawn(async move {
            match arming.await {
                Ok(watch) => own.do_send(WatchArmed { round, watch }),
                Err(error) => {
                    debug!(%error, "a watch could not be armed");
                    office.do_send(Told { serial, event: election::Event::WriteUnknown });
                }
            }
        });
    }

    /// Sends questions in core's order and posts the answers in portions. An answer that was cut off is no answer: the office
    /// proves itself anew, and everything is read again.
    pub(super) fn ask(&mut self, questions: Vec<Effect>, context: &Context<Self>) {
        if questions.is_empty() {
            return;
        }
        let (own, store, office, serial) = (context.address(), self.pen.store().clone(), self.office.clone(), self.serial());
        zk_runtime::spawn(async move {
            let answers = stream::iter(questions).map(|question| answer(&store, question)).buffered(WINDOW);
            let mut portions = answers.ready_chunks(WINDOW);
            while let Some(portion) = portions.next().await {
                let asked = portion.len();
                let events: Vec<Event> = portion.into_iter().flatten().collect();
                let cut_off = events.len() < asked;
                if own.send(Answers(events)).await.is_err() {
                    return;
                }
                if cut_off {
                    office.do_send(Told { serial, event: election::Event::WriteUnknown });
                    return;
                }
            }
        });
    }

    pub(super) fn write(&mut self, id: u64, multi: Multi, context: &Context<Self>) {
        let own = context.address();
        let writing = self.pen.write_as("schedule", multi);
        zk_runtime::spawn(async move {
            let outcome = writing.await;
            // Bounded by the transactions that core lets fly.
            own.do_send(Answers(vec![Event::WriteEnded(id, outcome)]));
        });
    }

    pub(super) fn mend_layout(&mut self, context: &Context<Self>) {
        let (own, store, office, serial) = (context.address(), self.pen.store().clone(), self.office.clone(), self.serial());
        zk_runtime::spawn(async move {
            match store.ensure_layout().await {
                Ok(()) => own.do_send(Answers(vec![Event::LayoutMended])),
                Err(LayoutError::Read(_)) => office.do_send(Told { serial, event: election::Event::WriteUnknown }),
                Err(error) => warn!(%error, "the layout is incomplete and could not be mended"),
            }
        });
    }
}

async fn answer(store: &Store, question: Effect) -> Option<Event> {
    match question {
        Effect::ReadClock(q) => known(store.stat(path::EPOCH).await).map(|stat| Event::ClockRead(q, stat.map(|stat| stat.mtime_ms))),
        Effect::List(q) => names(store, path::SCHEDULES, ScheduleName::listed).await.map(|names| Event::Listed(q, names)),
        Effect::Read(q, name) => reading(store.get(&path::schedule(&name)).await).map(|found| Event::Read(q, name, found)),
        Effect::LookFor(q, name, task) => has_ended(store, &task).await.map(|ended| Event::LookedFor(q, name, ended)),
        Effect::Write(..) | Effect::MendLayout | Effect::Arm(_) | Effect::Tell(_) => None,
    }
}

/// Whether it has a status, or is nowhere: somebody removed it. Looked for twice, because it may move meanwhile.
async fn has_ended(store: &Store, task: &TaskName) -> Option<bool> {
    for _ in 0..2 {
        if known(store.stat(&path::status(task)).await)?.is_some() {
            return Some(true);
        }
        for place in [path::task(task), path::held(task)] {
            if known(store.stat(&place).await)?.is_some() {
                return Some(false);
            }
        }
        let boxes = names(store, path::ASSIGN, WorkerId::listed).await?;
        let looks = stream::iter(boxes).map(|worker| store.stat(&path::assignment(&worker, task)));
        let mut looks = looks.buffered(WINDOW);
        while let Some(answer) = looks.next().await {
            if known(answer)?.is_some() {
                return Some(false);
            }
        }
    }
    Some(true)
}
