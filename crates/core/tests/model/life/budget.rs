//! How often each thing may still happen in a run. Every history is explored in which nothing happens more often.

/// What may happen only as often as a run allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A master's connection is lost.
    SuspendMaster,
    /// A worker's.
    SuspendWorker,
    /// A client's.
    SuspendClient,
    /// An answer to a master's write is lost while the connection holds.
    UnknownMaster,
    /// To a worker's.
    UnknownWorker,
    /// To a client's.
    UnknownClient,
    /// The server ends a session whose master wants to keep it.
    ExpireMaster,
    /// Whose worker does.
    ExpireWorker,
    /// Whose client does.
    ExpireClient,
    /// A process believes that its session is over before the server does.
    ExpireLocally,
    /// A coordinator is killed.
    CrashMaster,
    /// A worker is killed.
    CrashWorker,
    /// Another coordinator stands for a vacant office.
    Stand,
    /// A worker process starts.
    Hire,
    /// A worker is asked to leave when it is done.
    Drain,
    /// Somebody asks a worker to drain, gracefully.
    AskDrain,
    /// Somebody asks a worker to drain at once.
    AskDrainFast,
    /// Somebody asks that no more.
    Undrain,
    /// Somebody wants nothing to be assigned.
    Pause,
    /// Somebody wants that no more.
    Resume,
    /// A worker's timer rings.
    Ring,
    /// A master compares what it believes with everything.
    Compare,
    /// A client wants a task cancelled.
    Cancel,
    /// A task is submitted by hand.
    Submit,
    /// The name of a task that ended is used again, because its number begins anew.
    Reuse,
    /// A task is withdrawn by whoever submitted it.
    Withdraw,
    /// Its name is used again.
    Resubmit,
    /// `/master` is deleted by hand.
    DeleteMaster,
    /// The epoch is deleted by hand.
    DeleteEpoch,
    /// A registration is deleted by hand.
    DeleteWorker,
    /// A box is deleted by hand, with all that is in it.
    DeleteBox,
    /// An assignment is moved back to `/tasks` by hand.
    MoveBack,
    /// An assignment is deleted by hand.
    DeleteAssignment,
    /// A pending task is given another payload.
    ChangeTask,
    /// An assignment is given another payload.
    ChangeAssignment,
    /// `/status` is deleted by hand.
    DeleteStatuses,
    /// `/tasks` is deleted by hand: whoever numbers its tasks by it begins anew.
    DeleteTasks,
    /// The servers lose everything.
    Reset,
    /// What became of a piece of an array is deleted by hand.
    DeleteRecord,
    /// Somebody writes nonsense into it.
    GarbleRecord,
    /// What of an array is not given out is deleted by hand.
    DeleteTodo,
    /// Somebody writes nonsense into it.
    GarbleTodo,
    /// A master out of the book takes the office; it assigns in two writes.
    BookMaster,
    /// It assigns a task.
    BookAssign,
    /// A worker out of the book is killed.
    CrashBookWorker,
}

const KINDS: usize = Fault::CrashBookWorker as usize + 1;

/// What may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Budget([u8; KINDS]);

impl Budget {
    /// Nothing goes wrong.
    pub(crate) const NONE: Self = Self([0; KINDS]);

    pub(crate) fn of(faults: &[(Fault, u8)]) -> Self {
        let mut budget = Self::NONE;
        faults.iter().for_each(|(fault, times)| budget.0[*fault as usize] = *times);
        budget
    }

    /// What may happen at all may happen this much more often.
    pub(crate) fn and_more(mut self, times: u8) -> Self {
        self.0.iter_mut().filter(|left| **left > 0).for_each(|left| *left += times);
        self
    }

    pub(crate) fn allows(&self, fault: Fault) -> bool {
        self.0[fault as usize] > 0
    }

    pub(crate) fn pay(&mut self, fault: Fault) {
        self.0[fault as usize] = self.0[fault as usize].saturating_sub(1);
    }

    /// Whether everything has happened that may.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.iter().all(|left| *left == 0)
    }
}
