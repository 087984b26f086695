//! What `bellwether top` shows: who rules, what waits, who works, what happened of late. Fits into 80 columns and 24 lines.

mod scroll;

use std::cmp::Reverse;
use std::collections::VecDeque;

use bellwether_client::{ArrayProgress, Happening, Overview, TaskView, WorkerView};
use bellwether_common::clock::wall as now;
use bellwether_core::protocol::array::piece_of;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table};

use crate::command::array;
use crate::command::events;
use crate::command::table::{ago, or_dash, printable};
use crate::command::{master, worker};
use scroll::{Scroll, seen};

pub(super) use scroll::Step;

/// How many events are kept.
const EVENTS_KEPT: usize = 500;

/// How many arrays are shown.
const ARRAYS_SHOWN: usize = 5;

/// By what workers are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Name,
    Load,
    Since,
}

/// Which part is scrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pane {
    Workers,
    Events,
}

/// What an array is called, and how far it is.
type ArrayRow = (String, ArrayProgress);

fn rows(arrays: Vec<TaskView>) -> Vec<ArrayRow> {
    let row = |view: TaskView| {
        let name = view.name.map_or_else(|| view.task.to_string(), |name| format!("{} {name}", view.task));
        Some((name, *view.array?))
    };
    arrays.into_iter().filter_map(row).collect()
}

/// All that is shown.
#[derive(Debug)]
pub(super) struct Screen {
    overview: Overview,
    /// Those that have not ended.
    arrays: Vec<ArrayRow>,
    /// Why the overview is not fresh.
    failed: Option<String>,
    events: VecDeque<Happening>,
    order: Order,
    pane: Pane,
    workers_seen: Scroll,
    events_seen: Scroll,
    help: bool,
    colored: bool,
}

impl Screen {
    pub(super) fn new(overview: Overview, arrays: Vec<TaskView>, colored: bool) -> Self {
        let (order, pane, workers_seen, events_seen) = (Order::Name, Pane::Workers, Scroll::default(), Scroll::default());
        let (arrays, events) = (rows(arrays), VecDeque::new());
        Self { overview, arrays, failed: None, events, order, pane, workers_seen, events_seen, help: false, colored }
    }

    pub(super) fn looked(&mut self, overview: Overview, arrays: Vec<TaskView>) {
        (self.overview, self.arrays, self.failed) = (overview, rows(arrays), None);
    }

    pub(super) fn failed(&mut self, why: String) {
        self.failed = Some(why);
    }

    pub(super) fn happened(&mut self, happening: &Happening) {
        // An array is one row; its pieces would be most of what happens.
        if happening.task.as_ref().is_some_and(|task| piece_of(task).is_some()) {
            return;
        }
        self.events.push_front(happening.clone());
        self.events.truncate(EVENTS_KEPT);
        self.events_seen.pushed();
    }

    pub(super) fn toggle_help(&mut self) {
        self.help = !self.help;
    }

    pub(super) fn next_pane(&mut self) {
        self.pane = if self.pane == Pane::Workers { Pane::Events } else { Pane::Workers };
    }

    pub(super) fn next_order(&mut self) {
        self.order = match self.order {
            Order::Name => Order::Load,
            Order::Load => Order::Since,
            Order::Since => Order::Name,
        };
    }

    pub(super) fn scroll(&mut self, step: Step) {
        match self.pane {
            Pane::Workers => self.workers_seen.step(step, self.overview.workers.len()),
            Pane::Events => self.events_seen.step(step, self.events.len()),
        }
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let head = self.head();
        let lines = u16::try_from(head.len()).unwrap_or(u16::MAX);
        let arrays = if self.arrays.is_empty() { 0 } else { u16::try_from(self.arrays.len().min(ARRAYS_SHOWN)).unwrap_or(0) + 2 };
        let heights =
            [Constraint::Length(lines), Constraint::Length(arrays), Constraint::Fill(3), Constraint::Fill(2), Constraint::Length(1)];
        let [above, arrays, workers, events, foot] = Layout::vertical(heights).areas(frame.area());
        frame.render_widget(Paragraph::new(Text::from(head)), above);
        frame.render_widget(self.arrays(), arrays);
        // Without the frame, and the names of the columns.
        let seen = self.workers_seen.draw(usize::from(workers.height.saturating_sub(3)), self.overview.workers.len());
        frame.render_widget(self.workers(seen), workers);
        let seen = self.events_seen.draw(usize::from(events.height.saturating_sub(2)), self.events.len());
        frame.render_widget(self.events(seen), events);
        let keys = "q quit · ? help · tab pane · s sort · ↑↓ scroll";
        frame.render_widget(Line::styled(keys, self.style(Style::new().add_modifier(Modifier::DIM))), foot);
        if self.help {
            help(frame);
        }
    }

    fn style(&self, style: Style) -> Style {
        if self.colored { style } else { Style::new() }
    }

    fn head(&self) -> Vec<Line<'static>> {
        let (overview, queue) = (&self.overview, &self.overview.queue);
        let standbys: Vec<&str> = overview.standbys.iter().map(|standby| standby.name.as_str()).collect();
        let ruled = if overview.master.is_some() { Style::new() } else { self.style(Style::new().fg(Color::Red)) };
        let stopped = self.style(Style::new().fg(Color::Yellow));
        let state = self.failed.as_ref().map_or_else(|| overview.zookeeper.clone(), |why| format!("NOT FRESH: {why}"));
        let line = |key: &str, value: String| printable(&format!("{key:<10} {value}"));
        let mut lines = vec![Line::raw(line("zookeeper", state)), Line::styled(line("master", master::in_one_line(overview)), ruled)];
        lines.extend(overview.paused.iter().map(|paused| {
            let how = format!("nothing is assigned, {}", master::how_paused(paused));
            Line::styled(line("paused", how), stopped)
        }));
        // The first one: there may be many.
        lines.extend(overview.closed.first().map(|closure| {
            let more = if overview.closed.len() > 1 { format!("; and {} more", overview.closed.len() - 1) } else { String::new() };
            Line::styled(line("closed", format!("no more work is taken in: {closure}{more}")), stopped)
        }));
        lines.push(Line::raw(line("standbys", if standbys.is_empty() { "none".to_owned() } else { standbys.join(", ") })));
        let queued = format!("{} pending, {} assigned, {} held", queue.pending, queue.assigned, queue.held);
        lines.push(Line::raw(line("tasks", format!("{queued}, {} ended, {} dead letters", queue.ended, queue.dead))));
        let (taken, slots) = overview.slots();
        lines.push(Line::raw(line("slots", format!("{taken} of {slots} taken {}", bar(taken, slots)))));
        lines
    }

    fn title(&self, pane: Pane, text: String) -> Block<'_> {
        let style = if self.pane == pane { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
        Block::bordered().title(Line::styled(text, style))
    }

    fn workers(&self, (first, shown): (usize, usize)) -> Table<'_> {
        let mut workers: Vec<&WorkerView> = self.overview.workers.iter().collect();
        let by = match self.order {
            Order::Name => "name",
            Order::Load => {
                workers.sort_by_key(|worker| Reverse(worker.assigned));
                "load"
            }
            Order::Since => {
                workers.sort_by_key(|worker| Reverse(worker.since));
                "since"
            }
        };
        let now = now();
        let rows = workers.iter().skip(first).take(shown).map(|worker| {
            let cells = [
                worker.worker.to_string(),
                worker::state(worker).to_owned(),
                format!("{}/{}", worker.assigned, worker.slots),
                bar(worker.assigned, worker.slots),
                or_dash(worker.host.as_ref()),
                ago(worker.since, now),
            ];
            Row::new(cells.map(|cell| printable(&cell)))
        });
        let (fill, length) = (Constraint::Fill, Constraint::Length);
        let widths = [fill(3), length(8), length(9), length(10), fill(2), length(9)];
        let title = format!(" workers: {}, by {by} ", seen((first, shown), self.overview.workers.len()));
        let header = Row::new(["WORKER", "STATE", "ASSIGNED", "", "HOST", "SINCE"]);
        Table::new(rows, widths).header(header).block(self.title(Pane::Workers, title))
    }

    /// The first ones: those that were submitted first.
    fn arrays(&self) -> Table<'_> {
        let row =
            |(name, progress): &ArrayRow| Row::new([name.clone(), done(progress), array::in_short(progress)].map(|cell| printable(&cell)));
        let rows = self.arrays.iter().take(ARRAYS_SHOWN).map(row);
        let widths = [Constraint::Fill(2), Constraint::Length(12), Constraint::Fill(3)];
        let more = self.arrays.len().saturating_sub(ARRAYS_SHOWN);
        let more = if more > 0 { format!(", {more} not shown") } else { String::new() };
        let title = format!(" arrays: {}{more} ", self.arrays.len());
        Table::new(rows, widths).block(Block::bordered().title(title))
    }

    fn events(&self, (first, shown): (usize, usize)) -> Paragraph<'_> {
        let lines: Vec<Line<'_>> = self.events.iter().skip(first).take(shown).map(|event| Line::raw(events::line(event))).collect();
        let title = format!(" events: {} ", seen((first, shown), self.events.len()));
        Paragraph::new(lines).block(self.title(Pane::Events, title))
    }
}

/// Ten places, as many of them filled as slots are taken.
fn bar(taken: u32, of: u32) -> String {
    let filled = if of == 0 { 0 } else { (u64::from(taken) * 10).div_ceil(u64::from(of)).min(10) as usize };
    format!("{}{}", "█".repeat(filled), "░".repeat(10 - filled))
}

const HELP: &str = "\
q, Esc      quit
?           this help, and away with it
tab         workers or events
s           order of workers: name, load, since
↑ ↓ j k     a line up or down
PgUp PgDn   a page up or down
Home End    the first or the last page";

/// Ten places, all of them filled when all has ended.
fn done(progress: &ArrayProgress) -> String {
    let filled = (u64::from(progress.done()) * 10).checked_div(u64::from(progress.summary.count)).unwrap_or(0).min(10) as usize;
    format!("{}{}", "█".repeat(filled), "░".repeat(10 - filled))
}

fn help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = (54.min(area.width), 9.min(area.height));
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(HELP).block(Block::bordered().title(" keys ")), place);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bellwether_client::Paused;
    use bellwether_core::protocol::array::{ArraySummary, ElementEnd, Span};
    use bellwether_core::protocol::request::{DrainMode, DrainRequest};
    use bellwether_core::protocol::{TaskName, WorkerId};
    use jiff::Timestamp;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn cluster(workers: u32) -> Overview {
        let worker = |number: u32| {
            let foreign = WorkerView::foreign(WorkerId::listed(&format!("w{number}-0000000000000001")), Timestamp::UNIX_EPOCH);
            WorkerView { slots: 4, assigned: number, foreign: false, ..foreign }
        };
        Overview { workers: (1..=workers).map(worker).collect(), ..Overview::empty("zk:1/prod".to_owned()) }
    }

    fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| screen.draw(frame)).expect("drawn");
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_there_in_80_by_24() {
        let mut screen = Screen::new(cluster(2), Vec::new(), false);
        let at = Timestamp::UNIX_EPOCH;
        screen.happened(&Happening {
            at,
            what: "worker-joined",
            task: None,
            worker: Some(WorkerId::listed("w9")),
            epoch: None,
            detail: None,
        });
        let shown = drawn(&mut screen, 80, 24);
        for words in
            ["master     nobody", "zk:1/prod", "workers: 2, by name", "w1-0000000000000001", "1/4", "worker-joined", "w9", "q quit"]
        {
            assert!(shown.contains(words), "{words} is missing:\n{shown}");
        }
        screen.toggle_help();
        assert!(drawn(&mut screen, 80, 24).contains("order of workers"));
    }

    #[test]
    fn an_array_is_one_row_with_its_progress_and_its_pieces_are_no_events() {
        let mut summary = ArraySummary::new(Span { from: 0, to: 99 });
        summary.note(Span { from: 0, to: 38 }, ElementEnd::Exit(0));
        summary.note(Span::one(39), ElementEnd::Exit(1));
        let progress = ArrayProgress { summary, waiting: 40, running: 20, stopped: None };
        let mut screen = Screen::new(cluster(2), Vec::new(), false);
        screen.arrays = vec![("a sweep".to_owned(), progress); ARRAYS_SHOWN + 2];
        let (at, task) = (Timestamp::UNIX_EPOCH, Some(TaskName::listed("a.0-9.1")));
        screen.happened(&Happening { at, what: "assigned", task, worker: None, epoch: None, detail: None });
        let shown = drawn(&mut screen, 80, 24);
        for words in ["arrays: 7, 2 not shown", "a sweep", "████░░░░░░", "40 of 100 ended, 1 failed, 20 running", "w1-0000000000000001"]
        {
            assert!(shown.contains(words), "{words} is missing:\n{shown}");
        }
        assert!(!shown.contains("a.0-9.1"), "{shown}");
        screen.looked(cluster(2), Vec::new());
        assert!(!drawn(&mut screen, 80, 24).contains("arrays"));
    }

    #[test]
    fn keys_change_order_and_scroll() {
        let mut screen = Screen::new(cluster(4), Vec::new(), false);
        screen.next_order();
        let shown = drawn(&mut screen, 80, 24);
        assert!(shown.find("w4-") < shown.find("w1-") && shown.contains("by load"), "{shown}");
        screen.scroll(Step::Down);
        assert!(drawn(&mut screen, 80, 24).contains("w4-"), "all of them are seen: there is nothing to scroll");
    }

    #[test]
    fn two_hundred_workers_are_scrolled_through_and_none_is_left_out() {
        for (width, height, page) in [(80, 24, 8), (200, 60, 29)] {
            let mut screen = Screen::new(cluster(200), Vec::new(), false);
            let shown = drawn(&mut screen, width, height);
            assert!(shown.contains(&format!(" workers: 1-{page} of 200, by name ")), "{shown}");
            assert!(shown.contains(" 794 of 800 taken "), "{shown}");
            let mut found = BTreeSet::new();
            for _ in 0..200 {
                let shown = drawn(&mut screen, width, height);
                found.extend((1..=200).filter(|number| shown.contains(&format!("w{number}-"))));
                screen.scroll(Step::PageDown);
            }
            assert_eq!(found.len(), 200);
            assert!(drawn(&mut screen, width, height).contains(&format!(" workers: {}-200 of 200, by name ", 201 - page)));
            screen.next_pane();
            screen.scroll(Step::Home);
            assert!(drawn(&mut screen, width, height).contains("-200 of 200"), "the other pane was scrolled");
            // Most of them go: the rest is seen.
            screen.looked(cluster(2), Vec::new());
            let shown = drawn(&mut screen, width, height);
            assert!(shown.contains(" workers: 2, by name ") && shown.contains("w1-") && shown.contains("w2-"), "{shown}");
        }
    }

    #[test]
    fn what_keeps_work_waiting_is_said() {
        let mut overview = cluster(1);
        overview.paused = Some(Paused { since: Timestamp::UNIX_EPOCH, reason: Some("new disks".into()), by: Some("eve@host".into()) });
        overview.workers[0].drain = Some(DrainRequest::new(DrainMode::Quick));
        let shown = drawn(&mut Screen::new(overview, Vec::new(), false), 80, 24);
        assert!(shown.contains("paused     nothing is assigned") && shown.contains("eve@host") && shown.contains("draining"), "{shown}");
    }

    #[test]
    fn no_size_is_too_small_to_draw() {
        for (width, height) in [(1, 1), (10, 3), (200, 60)] {
            let mut screen = Screen::new(cluster(40), Vec::new(), true);
            screen.toggle_help();
            screen.failed("lost".to_owned());
            let _ = drawn(&mut screen, width, height);
        }
        assert_eq!((bar(0, 0), bar(1, 4), bar(9, 4)), ("░".repeat(10), format!("███{}", "░".repeat(7)), "█".repeat(10)));
    }
}
