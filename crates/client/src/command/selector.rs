//! Which tasks a command is about: ids, ranges, elements, `last`, `all`, labels. One reading of them for all commands.

use std::collections::{BTreeMap, HashSet};

use bellwether_client::{Filter, Group, TaskState};
use bellwether_core::protocol::TaskName;
use bellwether_core::protocol::group::GroupState;
use clap::Args;

use super::arguments::values::pair;
use super::context::Context;
use super::failure::Failure;
use super::memory;

/// Most elements that one selector names: each is looked at by itself.
const ELEMENTS_MAX: u32 = 100_000;

/// The tasks that a command is about, as they are typed.
#[derive(Debug, Clone, Args)]
pub(crate) struct SelectorArgs {
    /// Tasks: an id (of a task, or of a group), ID..ID (all between them), ID.1..9 (elements), last (what you submitted last), or all
    #[arg(required_unless_present = "label", value_name = "TASK", value_parser = Selector::parse)]
    pub(crate) tasks: Vec<Selector>,
    /// Tasks with this label; given several times, with all of these
    #[arg(short, long, value_name = "LABEL=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
}

/// One word that names tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selector {
    /// This one.
    Task(TaskName),
    /// Those from the first to the last name, both included. Names of ours sort by age.
    Between(TaskName, TaskName),
    /// Elements of a group or an array, both included.
    Elements(TaskName, u32, u32),
    /// What this user submitted last.
    Last,
    /// All of them.
    All,
}

/// What somebody means: the ids that were typed or found, and the tasks that these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meant {
    /// Tasks and groups.
    pub(crate) ids: Vec<TaskName>,
    /// Tasks.
    pub(crate) tasks: Vec<TaskName>,
}

/// Which tasks a description can mean, for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All that are known.
    Any,
    /// Those that have not ended.
    Living,
    /// Those that have.
    Ended,
    /// `all` means those that have not ended; a label or a range finds ended ones, too.
    Awaited,
    /// Those that have ended otherwise than well.
    Unsuccessful,
    /// Those with a dead letter.
    Letters,
}

impl Selector {
    /// Reads one word.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let name = |text: &str| TaskName::parse(text).map_err(|bad| bad.to_string());
        match text {
            "last" => return Ok(Self::Last),
            "all" => return Ok(Self::All),
            _ => {}
        }
        let Some((from, to)) = text.split_once("..") else { return name(text).map(Self::Task) };
        if from.is_empty() || to.is_empty() || to.starts_with('.') {
            return Err("a range has two ends: ID..ID, or ID.1..9 for elements".to_owned());
        }
        match (from.rsplit_once('.'), number(to)) {
            (Some((task, first)), Some(to)) if number(first).is_some() && !task.is_empty() => {
                elements(name(task)?, number(first).unwrap_or(0), to)
            }
            _ => {
                let (from, to) = (name(from)?, name(to)?);
                if from > to { Err(format!("{from} does not come before {to}")) } else { Ok(Self::Between(from, to)) }
            }
        }
    }
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn elements(task: TaskName, from: u32, to: u32) -> Result<Selector, String> {
    match to.checked_sub(from) {
        None => Err(format!("element {from} does not come before {to}")),
        Some(more) if more >= ELEMENTS_MAX => Err(format!("at most {ELEMENTS_MAX} elements can be named at once")),
        Some(_) => Ok(Selector::Elements(task, from, to)),
    }
}

impl SelectorArgs {
    fn text(&self) -> String {
        let words = self.tasks.iter().map(Selector::text);
        words.chain(self.label.iter().map(|(label, value)| format!("-l {label}={value}"))).collect::<Vec<_>>().join(" ")
    }
}

impl Selector {
    fn text(&self) -> String {
        match self {
            Self::Task(task) => task.to_string(),
            Self::Between(from, to) => format!("{from}..{to}"),
            Self::Elements(task, from, to) => format!("{task}.{from}..{to}"),
            Self::Last => "last".to_owned(),
            Self::All => "all".to_owned(),
        }
    }
}

/// The tasks that are meant, each once, in the order in which they were typed or found. Never none. What is named by its id is not
/// looked for here: it is the command that finds it missing. A group means its elements.
pub(crate) async fn resolve(ctx: &Context, asked: &SelectorArgs, scope: Scope) -> Result<Vec<TaskName>, Failure> {
    Ok(meant(ctx, asked, scope).await?.tasks)
}

/// As [`resolve`], and how they were named.
pub(crate) async fn meant(ctx: &Context, asked: &SelectorArgs, scope: Scope) -> Result<Meant, Failure> {
    let ids = resolve_ids(ctx, asked, scope).await?;
    let typed = |found: &Selector| matches!(found, Selector::Task(_) | Selector::Last);
    let groups = match asked.tasks.iter().any(typed) {
        true => ctx.client().await?.groups_among(&ids).await?,
        false => BTreeMap::new(),
    };
    if groups.is_empty() {
        return Ok(Meant { tasks: ids.clone(), ids });
    }
    let mut tasks = Vec::new();
    for id in &ids {
        match groups.get(id) {
            None => tasks.push(id.clone()),
            Some(group) => tasks.extend(elements_of(ctx, group, scope).await?),
        }
    }
    let mut seen = HashSet::new();
    tasks.retain(|task| seen.insert(task.clone()));
    match tasks.is_empty() {
        false => Ok(Meant { ids, tasks }),
        true => Err(nothing(asked, scope)),
    }
}

/// Those elements of a group that a command can be about.
async fn elements_of(ctx: &Context, group: &Group, scope: Scope) -> Result<Vec<TaskName>, Failure> {
    if scope == Scope::Awaited && group.state == GroupState::Open {
        let failure = Failure::error("not-submitted", format!("the group {} is not wholly submitted", group.group));
        return Err(failure.hint(super::group::half_submitted(&group.group)));
    }
    if matches!(scope, Scope::Any | Scope::Awaited) {
        return Ok(group.elements());
    }
    let inside = |task: &TaskName| task.group().is_some_and(|(of, _)| of == group.group);
    let found = match scope {
        Scope::Letters => {
            let letters = ctx.client().await?.dead_letters().await?;
            letters.into_iter().map(|letter| letter.task).filter(inside).collect()
        }
        Scope::Any | Scope::Awaited | Scope::Living | Scope::Ended | Scope::Unsuccessful => {
            let filter = Filter { states: scope.states(false), group: Some(group.group.clone()), ..Filter::default() };
            ctx.client().await?.list(filter).await?.tasks.into_iter().map(|view| view.task).collect()
        }
    };
    Ok(found)
}

/// The ids that are meant, each once: tasks, and groups as such.
pub(crate) async fn resolve_ids(ctx: &Context, asked: &SelectorArgs, scope: Scope) -> Result<Vec<TaskName>, Failure> {
    let mut names = Vec::new();
    let described = |found: &Selector| matches!(found, Selector::Between(..) | Selector::All);
    if let (Some(named), false) = (asked.tasks.iter().find(|selector| !described(selector)), asked.label.is_empty()) {
        return Err(Failure::usage(format!("{} is named already: -l can narrow down a range or all only", named.text())));
    }
    if asked.tasks.is_empty() {
        names = find(ctx, &asked.label, None, scope, false).await?;
    }
    for selector in &asked.tasks {
        match selector {
            Selector::Task(task) => names.push(task.clone()),
            Selector::Elements(task, from, to) => names.extend((*from..=*to).map(|index| TaskName::listed(&format!("{task}.{index}")))),
            Selector::Last => names.extend(last(ctx)?),
            Selector::Between(from, to) => {
                names.extend(find(ctx, &asked.label, Some((from.clone(), to.clone())), scope, false).await?);
            }
            Selector::All => names.extend(find(ctx, &asked.label, None, scope, asked.label.is_empty()).await?),
        }
    }
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    match names.is_empty() {
        false => Ok(names),
        true => Err(nothing(asked, scope)),
    }
}

/// The one id that is meant: of a task, or of a group.
pub(crate) async fn resolve_id(ctx: &Context, asked: &Selector) -> Result<TaskName, Failure> {
    let args = SelectorArgs { tasks: vec![asked.clone()], label: Vec::new() };
    one(asked, resolve_ids(ctx, &args, Scope::Any).await?)
}

/// The one task that is meant.
pub(crate) async fn resolve_one(ctx: &Context, asked: &Selector) -> Result<TaskName, Failure> {
    let args = SelectorArgs { tasks: vec![asked.clone()], label: Vec::new() };
    one(asked, resolve(ctx, &args, Scope::Any).await?)
}

fn one(asked: &Selector, tasks: Vec<TaskName>) -> Result<TaskName, Failure> {
    match <[TaskName; 1]>::try_from(tasks) {
        Ok([task]) => Ok(task),
        Err(tasks) => Err(Failure::usage(format!("{} means {} tasks, and this is about one", asked.text(), tasks.len()))),
    }
}

fn nothing(asked: &SelectorArgs, scope: Scope) -> Failure {
    let (word, what, see) = match scope {
        Scope::Letters => ("no-such-letter", "dead letter", "bellwether dead list"),
        Scope::Living => ("nothing-matches", "task that has not ended", "bellwether list"),
        Scope::Ended => ("nothing-matches", "task that has ended", "bellwether list"),
        Scope::Unsuccessful => ("nothing-matches", "task that has ended otherwise than well", "bellwether list"),
        Scope::Any | Scope::Awaited => ("nothing-matches", "task", "bellwether list"),
    };
    Failure::error(word, format!("there is no {what} that matches {}", asked.text())).hint(format!("see what there is with: {see}"))
}

fn last(ctx: &Context) -> Result<Vec<TaskName>, Failure> {
    let address = ctx.address();
    let hint = "it is remembered where and by whom it was typed; otherwise see: bellwether list";
    memory::recall(&address)
        .ok_or_else(|| Failure::error("nothing-matches", format!("no last submission to {address} is remembered")).hint(hint))
}

async fn find(
    ctx: &Context,
    labels: &[(String, String)],
    between: Option<(TaskName, TaskName)>,
    scope: Scope,
    all: bool,
) -> Result<Vec<TaskName>, Failure> {
    let labels: BTreeMap<String, String> = labels.iter().cloned().collect();
    let client = ctx.client().await?;
    if scope == Scope::Letters {
        let letters = client.dead_letters().await?.into_iter();
        let inside = |task: &TaskName| between.as_ref().is_none_or(|(from, to)| (from..=to).contains(&task));
        let labelled = |found: &BTreeMap<String, String>| labels.iter().all(|(label, value)| found.get(label) == Some(value));
        return Ok(letters.filter(|letter| inside(&letter.task) && labelled(&letter.labels)).map(|letter| letter.task).collect());
    }
    let listing = client.list(Filter { states: scope.states(all), labels, between, ..Filter::default() }).await?;
    Ok(listing.tasks.into_iter().map(|view| view.task).collect())
}

impl Scope {
    /// The states of tasks that it finds; all if it is empty. `all`: nothing narrows it down.
    fn states(self, all: bool) -> Vec<TaskState> {
        match self {
            Scope::Awaited if all => states(false),
            Scope::Any | Scope::Awaited | Scope::Letters => Vec::new(),
            Scope::Living => states(false),
            Scope::Ended => states(true),
            Scope::Unsuccessful => states(true).into_iter().filter(|state| *state != TaskState::Succeeded).collect(),
        }
    }
}

fn states(ended: bool) -> Vec<TaskState> {
    TaskState::ALL.into_iter().filter(|state| state.is_final() == ended).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str) -> TaskName {
        TaskName::listed(name)
    }

    #[test]
    fn words_are_read() {
        for (text, selector) in [
            ("task-1", Selector::Task(task("task-1"))),
            ("task-1.7", Selector::Task(task("task-1.7"))),
            ("last", Selector::Last),
            ("all", Selector::All),
            ("a..b", Selector::Between(task("a"), task("b"))),
            ("a.1..9", Selector::Elements(task("a"), 1, 9)),
            ("a.1..a.9", Selector::Between(task("a.1"), task("a.9"))),
            ("a..9x", Selector::Task(task("never"))),
        ] {
            match Selector::parse(text) {
                Ok(read) => assert_eq!((read.text().as_str(), &read), (text, &selector)),
                Err(why) => assert!(text == "a..9x" && why.contains("does not come before"), "{text}: {why}"),
            }
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (text, says) in [
            ("", "must not be empty"),
            ("..", "two ends"),
            ("a..", "two ends"),
            ("..b", "two ends"),
            ("a...b", "two ends"),
            ("b..a", "does not come before"),
            ("a.9..1", "does not come before"),
            ("a.0..100000", "at most 100000 elements"),
            ("a/b", "must not contain"),
            ("a..b/c", "must not contain"),
        ] {
            let why = Selector::parse(text).expect_err(text);
            assert!(why.contains(says), "{text}: {why}");
        }
    }
}
