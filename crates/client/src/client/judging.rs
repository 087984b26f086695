//! What is judged without doing anything: why a task does not run.

use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::admission::Label;

use super::Client;
use crate::array_view;
use crate::error::Error;
use crate::explaining::{self, Explanation, Surroundings};
use crate::listing::Filter;
use crate::overview::Overview;
use crate::task::{TaskState, TaskView};

/// How much of what waits is looked at: the oldest of it, among which is what goes first, unless thousands are more important.
const LOOKED_AT: usize = 2_000;

impl Client {
    /// Why a task does not run.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`], or why there is no answer.
    pub async fn explain(&self, task: &TaskName) -> Result<Explanation, Error> {
        let (view, overview) = (self.status(task).await?, self.overview().await?);
        let obstacle = self.obstacle(task).await?;
        let mut around = Surroundings { obstacle, ..Surroundings::default() };
        if !view.state.is_final() {
            self.look_around(&mut around).await?;
            if around.waiting.iter().all(|waiting| waiting.task != view.task) && view.state != TaskState::Assigned {
                around.waiting.push(view.clone());
            }
            around.now = self.time_if_it_matters(&view, &overview).await;
        }
        Ok(explaining::explain(&view, &overview, &around))
    }

    pub(super) async fn look_around(&self, around: &mut Surroundings) -> Result<(), Error> {
        let assigned = self.list(Filter { states: vec![TaskState::Assigned], ..Filter::default() });
        around.assigned = assigned.await?.tasks;
        let pieces = self.ask(|store| async move { array_view::taken(&store).await });
        around.assigned.extend(pieces.await?);
        let states = vec![TaskState::Pending, TaskState::Held];
        let waiting = self.list(Filter { states, limit: Some(LOOKED_AT), ..Filter::default() });
        around.waiting = waiting.await?.tasks;
        Ok(())
    }

    /// Asking for it writes, so it is asked only where there is a rate; whoever may not ask does without.
    async fn time_if_it_matters(&self, view: &TaskView, overview: &Overview) -> Option<jiff::Timestamp> {
        let limited = |label: &String| Label::parse(label).is_some_and(|label| label.is_of(&view.labels));
        match overview.rates.keys().any(limited) {
            true => self.zookeeper_time().await.ok(),
            false => None,
        }
    }
}
