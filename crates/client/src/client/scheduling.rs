//! Schedules: made, looked at, paused and deleted.

use super::Client;
use bellwether_core::protocol::ScheduleName;
use bellwether_core::protocol::schedule::ScheduleRecord;

use crate::error::{Error, SubmitError};
use crate::schedules::{self, ScheduleView, Scheduled};
use crate::task::NewTask;

impl Client {
    /// A new unique name for a schedule.
    #[must_use]
    pub fn new_schedule_name(&self) -> ScheduleName {
        let unique = self.inner.names.task();
        ScheduleName::listed(&format!("schedule-{}", unique.as_str().trim_start_matches("task-")))
    }

    /// Makes a schedule: `record` says when, `task` what; the record's own task is not looked at.
    ///
    /// ```no_run
    /// # use bellwether_client::Client;
    /// use bellwether_client::{NewTask, ScheduleName, ScheduleRecord};
    ///
    /// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut nightly = ScheduleRecord::cron("30 2 * * *");
    /// nightly.timezone = Some("Europe/Berlin".to_owned());
    /// client.make_schedule(&ScheduleName::parse("backup")?, NewTask::argv(["/usr/local/bin/backup"]), nightly).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SubmitError`]: what is wrong with it; [`Error::ScheduleExists`] if there is another one of this name.
    pub async fn make_schedule(&self, name: &ScheduleName, task: NewTask, record: ScheduleRecord) -> Result<Scheduled, SubmitError> {
        let record = self.schedule_of(name, task, record)?;
        let name = name.clone();
        let made = self.ask(move |store| {
            let (name, record) = (name.clone(), record.clone());
            async move { schedules::make(&store, &name, &record).await }
        });
        Ok(made.await??)
    }

    /// The schedule, with the task as it is made at each tick.
    pub(super) fn schedule_of(&self, name: &ScheduleName, task: NewTask, record: ScheduleRecord) -> Result<ScheduleRecord, SubmitError> {
        let settings = &self.inner.settings;
        let mut envelope = task.envelope(&settings.submitter, settings.payload_max)?;
        if let Some(signer) = &settings.signer {
            envelope = signer.seal_schedule(name, envelope)?;
        }
        let record = ScheduleRecord { task: envelope, ..record };
        record.check().map_err(SubmitError::BadSchedule)?;
        Ok(record)
    }

    /// All schedules, by name.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn schedules(&self) -> Result<Vec<ScheduleView>, Error> {
        self.ask(|store| async move { schedules::list(&store).await }).await
    }

    /// One schedule.
    ///
    /// # Errors
    /// [`Error::NoSuchSchedule`], or why there is no answer.
    pub async fn schedule(&self, name: &ScheduleName) -> Result<ScheduleView, Error> {
        let asked = name.clone();
        let shown = self.ask(move |store| {
            let asked = asked.clone();
            async move { schedules::show(&store, &asked).await }
        });
        shown.await?.ok_or_else(|| Error::NoSuchSchedule(name.clone()))
    }

    /// Deletes a schedule. The tasks that it made stay.
    ///
    /// # Errors
    /// [`Error::NoSuchSchedule`], or why there is no answer.
    pub async fn delete_schedule(&self, name: &ScheduleName) -> Result<(), Error> {
        let asked = name.clone();
        let deleted = self.ask(move |store| {
            let asked = asked.clone();
            async move { schedules::delete(&store, &asked).await }
        });
        deleted.await??.then_some(()).ok_or_else(|| Error::NoSuchSchedule(name.clone()))
    }

    /// From now on no tick of a schedule counts.
    ///
    /// # Errors
    /// [`Error::NoSuchSchedule`], or why there is no answer.
    pub async fn pause_schedule(&self, name: &ScheduleName) -> Result<(), Error> {
        self.change_schedule(name, schedules::Wish::Pause).await
    }

    /// From now on the ticks of a schedule count again.
    ///
    /// # Errors
    /// [`Error::NoSuchSchedule`], or why there is no answer.
    pub async fn resume_schedule(&self, name: &ScheduleName) -> Result<(), Error> {
        let now = self.zookeeper_time().await?;
        self.change_schedule(name, schedules::Wish::Resume(now.as_second())).await
    }

    async fn change_schedule(&self, name: &ScheduleName, wish: schedules::Wish) -> Result<(), Error> {
        let asked = name.clone();
        let changed = self.ask(move |store| {
            let asked = asked.clone();
            async move { schedules::change(&store, &asked, wish).await }
        });
        changed.await??.then_some(()).ok_or_else(|| Error::NoSuchSchedule(name.clone()))
    }
}
