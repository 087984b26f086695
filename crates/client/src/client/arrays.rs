//! Arrays: submitted, and looked at.

use bellwether_common::signing;
use bellwether_core::protocol::TaskName;
use futures::Stream;

use super::{Client, Rehearsed};
use crate::array_view::{self, ArrayView, Element};
use crate::arrays::NewArray;
use crate::error::{Error, SubmitError};
use crate::lines;
use crate::listing::{self, Filter};
use crate::task::TaskView;

impl Client {
    /// Submits an array under a new id, and gives that. Its lines are written first and its task last, so that all of it is submitted or
    /// nothing runs; each write is repeated until it is confirmed, and none is doubled.
    ///
    /// # Errors
    /// [`SubmitError`]. After all but [`SubmitError::Unconfirmed`] nothing was submitted: lines that were written by then are removed by the
    /// master, after an hour.
    pub async fn submit_array(&self, array: NewArray) -> Result<TaskName, SubmitError> {
        self.submit_array_as(self.new_name(), array).await
    }

    /// As [`submit_array`](Self::submit_array), under a name of the caller's that nobody else has.
    ///
    /// # Errors
    /// As [`submit_array`](Self::submit_array).
    pub async fn submit_array_as(&self, id: TaskName, array: NewArray) -> Result<TaskName, SubmitError> {
        let (task, chunks) = self.prepared(array)?;
        let names = [id];
        let guard = self.guard_of(&names, std::slice::from_ref(&task))?;
        let parents = task.envelope.after.iter().cloned().collect();
        let submittals = self.submittals(&names, vec![task])?;
        self.look_for_parents(parents).await?;
        // Before anything is written.
        self.admit(&submittals).await?;
        let [id] = names;
        lines::write(self, &id, chunks).await?;
        let submitted = self.submit_all(guard, None, submittals).await?;
        Ok(submitted.into_iter().next().unwrap_or(id))
    }

    /// What [`submit_array_as`](Self::submit_array_as) would write, without the lines. Asks nobody.
    ///
    /// # Errors
    /// As [`submit_array_as`](Self::submit_array_as), for all that is wrong with the array itself.
    pub fn rehearse_array(&self, id: &TaskName, array: NewArray) -> Result<Rehearsed, SubmitError> {
        let (task, _) = self.prepared(array)?;
        let rehearsed = self.rehearse(std::slice::from_ref(id), vec![task])?;
        rehearsed.into_iter().next().ok_or_else(|| SubmitError::Contradictory("there is no array".to_owned()))
    }

    fn prepared(&self, array: NewArray) -> Result<(crate::task::NewTask, Vec<crate::arrays::Chunk>), SubmitError> {
        let (mut task, chunks) = array.prepare(self.settings().lines_max)?;
        let lines = task.envelope.array.as_mut().and_then(|array| array.lines.as_mut());
        if let (Some(_), Some(lines)) = (&self.settings().signer, lines) {
            // What is signed is the envelope, and by these the lines.
            lines.digests = chunks.iter().map(|chunk| signing::digest(&chunk.data)).collect();
        }
        Ok((task, chunks))
    }

    /// The array of this id, how far it is, and who runs what of it; `None` if there is none.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn array_of(&self, id: &TaskName) -> Result<Option<ArrayView>, Error> {
        let asked = id.clone();
        self.ask(move |store| {
            let asked = asked.clone();
            async move { array_view::read(&store, &asked).await }
        })
        .await
    }

    /// The arrays that have not ended, by id: how far each is. One request for some hundred of them.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn arrays(&self) -> Result<Vec<TaskView>, Error> {
        self.ask(move |store| async move { listing::arrays(&store, &Filter::default()).await }).await
    }

    /// The elements of an array that have ended for good, in the order in which that was recorded, as far as it is. One request for some
    /// thousand elements.
    pub fn elements_of(&self, id: &TaskName) -> impl Stream<Item = Result<Element, Error>> + use<> {
        array_view::elements(self.clone(), id.clone())
    }
}
