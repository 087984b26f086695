//! What a run came to, and the table in which it is printed.

use std::time::Duration;

/// What one run came to.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) states: usize,
    pub(crate) depth: usize,
    pub(crate) took: Duration,
    /// In how many steps something was found, what, and the whole story.
    pub(crate) found: Option<(usize, String, String)>,
    /// What should have been reachable and was not.
    pub(crate) vacuous: Option<&'static str>,
    /// Whether it was given up because it is too large.
    pub(crate) unfinished: bool,
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The rules as they are: nothing may be found.
    Holds,
    /// A rule is taken out: that must be found.
    Hole {
        /// Which.
        rule: &'static str,
        /// What is left.
        without: &'static str,
    },
    /// A rule is taken out, and nothing is found: others suffice, as far as these runs see.
    Spare {
        /// Which.
        rule: &'static str,
        /// What is left.
        without: &'static str,
    },
}

/// One run of the checker.
pub(crate) struct Run {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) job: Box<dyn Fn() -> Report + Send + Sync>,
}

impl Report {
    pub(crate) fn new(name: &str, states: usize, depth: usize, took: Duration) -> Self {
        Self { name: name.to_owned(), states, depth, took, found: None, vacuous: None, unfinished: false }
    }

    /// Why it failed, if nothing should have been found.
    pub(crate) fn complaint(&self) -> Option<String> {
        if let Some((steps, _, story)) = &self.found {
            return Some(format!("{}: after {steps} steps: {story}", self.name));
        }
        let vacuous = self.vacuous.map(|what| format!("{}: never seen: {what}", self.name));
        vacuous.or_else(|| self.unfinished.then(|| format!("{}: too large, not all of it was seen", self.name)))
    }

    pub(crate) fn line(&self) -> String {
        format!("{:<44} {:>9} states  depth {:>3}  {:>6.1} s", self.name, self.states, self.depth, self.took.as_secs_f64())
    }
}

impl Run {
    /// Under which it is found by name.
    pub(crate) fn title(&self) -> String {
        match self.kind {
            Kind::Holds => self.name.to_owned(),
            Kind::Hole { rule, without } | Kind::Spare { rule, without } => format!("without {rule}: {without} ({})", self.name),
        }
    }

    /// Why it failed.
    pub(crate) fn complaint(&self, report: &Report) -> Option<String> {
        match self.kind {
            Kind::Holds | Kind::Spare { .. } => report.complaint(),
            Kind::Hole { .. } => report.found.is_none().then(|| format!("{}: nothing was found in {} states", self.title(), report.states)),
        }
    }

    /// The line of the table of holes.
    pub(crate) fn line_of_hole(&self, report: &Report) -> Option<String> {
        let (rule, without) = match self.kind {
            Kind::Holds => return None,
            Kind::Hole { rule, without } | Kind::Spare { rule, without } => (rule, without),
        };
        let found = match &report.found {
            Some((steps, what, _)) => format!("{steps:>3} steps  {what}"),
            None => format!("nothing in {} states: other guards suffice", report.states),
        };
        Some(format!("{rule:<22} {without:<56} {found}  ({})", self.name))
    }
}

/// Rules that no run takes out, and why.
pub(crate) const NOT_HERE: &[(&str, &str)] = &[
    ("9 delays, P9", "time stands still in a life, and whatever rests may wake at any time; schedules and the simulation have a clock"),
    ("10, 11 dialects", "pure functions: unit tests and properties of payloads and results"),
];
