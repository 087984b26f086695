//! What `bellwether top` shows: who rules, what waits, who works, what happened of late. Fits into 80 columns and 24 lines.

use std::cmp::Reverse;
use std::collections::VecDeque;

use bellwether_client::{Happening, Overview, WorkerView};
use bellwether_common::clock::wall as now;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table};

use crate::command::events;
use crate::command::master;
use crate::command::table::{ago, or_dash, printable};

/// How many events are kept.
const EVENTS_KEPT: usize = 500;

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

/// All that is shown.
#[derive(Debug)]
pub(super) struct Screen {
    overview: Overview,
    /// Why the overview is not fresh.
    failed: Option<String>,
    events: VecDeque<Happening>,
    order: Order,
    pane: Pane,
    /// How many lines of workers and of events are scrolled away.
    scrolled: (usize, usize),
    help: bool,
    colored: bool,
}

impl Screen {
    pub(super) fn new(overview: Overview, colored: bool) -> Self {
        let (order, pane) = (Order::Name, Pane::Workers);
        Self { overview, failed: None, events: VecDeque::new(), order, pane, scrolled: (0, 0), help: false, colored }
    }

    pub(super) fn looked(&mut self, overview: Overview) {
        (self.overview, self.failed) = (overview, None);
    }

    pub(super) fn failed(&mut self, why: String) {
        self.failed = Some(why);
    }

    pub(super) fn happened(&mut self, happening: &Happening) {
        self.events.push_front(happening.clone());
        self.events.truncate(EVENTS_KEPT);
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

    pub(super) fn scroll(&mut self, lines: isize) {
        let (place, most) = match self.pane {
            Pane::Workers => (&mut self.scrolled.0, self.overview.workers.len()),
            Pane::Events => (&mut self.scrolled.1, self.events.len()),
        };
        *place = place.saturating_add_signed(lines).min(most.saturating_sub(1));
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let heights = [Constraint::Length(5), Constraint::Fill(3), Constraint::Fill(2), Constraint::Length(1)];
        let [head, workers, events, foot] = Layout::vertical(heights).areas(frame.area());
        frame.render_widget(self.head(), head);
        frame.render_widget(self.workers(), workers);
        frame.render_widget(self.events(), events);
        let keys = "q quit · ? help · tab pane · s sort · ↑↓ scroll";
        frame.render_widget(Line::styled(keys, self.style(Style::new().add_modifier(Modifier::DIM))), foot);
        if self.help {
            help(frame);
        }
    }

    fn style(&self, style: Style) -> Style {
        if self.colored { style } else { Style::new() }
    }

    fn head(&self) -> Paragraph<'_> {
        let (overview, queue) = (&self.overview, &self.overview.queue);
        let standbys: Vec<&str> = overview.standbys.iter().map(|standby| standby.name.as_str()).collect();
        let slots: u32 = overview.workers.iter().map(|worker| worker.slots).sum();
        let ruled = if overview.master.is_some() { Style::new() } else { self.style(Style::new().fg(Color::Red)) };
        let state = self.failed.as_ref().map_or_else(|| overview.zookeeper.clone(), |why| format!("NOT FRESH: {why}"));
        let line = |key: &str, value: String| printable(&format!("{key:<10} {value}"));
        let lines = vec![
            Line::raw(line("zookeeper", state)),
            Line::styled(line("master", master::in_one_line(overview)), ruled),
            Line::raw(line("standbys", if standbys.is_empty() { "none".to_owned() } else { standbys.join(", ") })),
            Line::raw(line(
                "tasks",
                format!(
                    "{} pending, {} assigned, {} held, {} ended, {} dead letters",
                    queue.pending, queue.assigned, queue.held, queue.ended, queue.dead
                ),
            )),
            Line::raw(line("slots", format!("{} of {slots} taken {}", queue.assigned.min(slots), bar(queue.assigned, slots)))),
        ];
        Paragraph::new(Text::from(lines))
    }

    fn title(&self, pane: Pane, text: String) -> Block<'_> {
        let style = if self.pane == pane { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
        Block::bordered().title(Line::styled(text, style))
    }

    fn workers(&self) -> Table<'_> {
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
        let rows = workers.iter().skip(self.scrolled.0).map(|worker| {
            let slots = format!("{}/{}", worker.assigned, worker.slots);
            let cells = [
                worker.worker.to_string(),
                slots,
                bar(worker.assigned, worker.slots),
                or_dash(worker.host.as_ref()),
                ago(worker.since, now),
            ];
            Row::new(cells.map(|cell| printable(&cell)))
        });
        let widths = [Constraint::Fill(3), Constraint::Length(9), Constraint::Length(12), Constraint::Fill(2), Constraint::Length(10)];
        let title = format!(" workers: {}, by {by} ", self.overview.workers.len());
        Table::new(rows, widths).header(Row::new(["WORKER", "ASSIGNED", "", "HOST", "SINCE"])).block(self.title(Pane::Workers, title))
    }

    fn events(&self) -> Paragraph<'_> {
        let lines: Vec<Line<'_>> = self.events.iter().skip(self.scrolled.1).map(|happening| Line::raw(events::line(happening))).collect();
        Paragraph::new(lines).block(self.title(Pane::Events, " events ".to_owned()))
    }
}

/// Ten places, as many of them filled as slots are taken.
fn bar(taken: u32, of: u32) -> String {
    let filled = if of == 0 { 0 } else { (u64::from(taken) * 10).div_ceil(u64::from(of)).min(10) as usize };
    format!("{}{}", "█".repeat(filled), "░".repeat(10 - filled))
}

fn help(frame: &mut Frame<'_>) {
    let text = "q, Esc   quit\n?        this help, and away with it\ntab      workers or events\ns        order of workers: name, load, since\n↑ ↓ j k  scroll";
    let area = frame.area();
    let (width, height) = (50.min(area.width), 7.min(area.height));
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(text).block(Block::bordered().title(" keys ")), place);
}

#[cfg(test)]
mod tests {
    use bellwether_core::protocol::WorkerId;
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

    fn drawn(screen: &Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        terminal.draw(|frame| screen.draw(frame)).expect("drawn");
        terminal.backend().to_string()
    }

    #[test]
    fn everything_is_there_in_80_by_24() {
        let mut screen = Screen::new(cluster(2), false);
        let at = Timestamp::UNIX_EPOCH;
        screen.happened(&Happening {
            at,
            what: "worker-joined",
            task: None,
            worker: Some(WorkerId::listed("w9")),
            epoch: None,
            detail: None,
        });
        let shown = drawn(&screen, 80, 24);
        for words in
            ["master     nobody", "zk:1/prod", "workers: 2, by name", "w1-0000000000000001", "1/4", "worker-joined", "w9", "q quit"]
        {
            assert!(shown.contains(words), "{words} is missing:\n{shown}");
        }
        screen.toggle_help();
        assert!(drawn(&screen, 80, 24).contains("order of workers"));
    }

    #[test]
    fn keys_change_order_and_scroll() {
        let mut screen = Screen::new(cluster(4), false);
        screen.next_order();
        let shown = drawn(&screen, 80, 24);
        assert!(shown.find("w4-") < shown.find("w1-") && shown.contains("by load"), "{shown}");
        screen.scroll(1);
        assert!(!drawn(&screen, 80, 24).contains("w4-"), "scrolled away");
        screen.scroll(-9);
        screen.next_pane();
        screen.scroll(1);
        assert!(drawn(&screen, 80, 24).contains("w4-"), "the other pane was scrolled");
    }

    #[test]
    fn no_size_is_too_small_to_draw() {
        for (width, height) in [(1, 1), (10, 3), (200, 60)] {
            let mut screen = Screen::new(cluster(40), true);
            screen.toggle_help();
            screen.failed("lost".to_owned());
            let _ = drawn(&screen, width, height);
        }
        assert_eq!((bar(0, 0), bar(1, 4), bar(9, 4)), ("░".repeat(10), format!("███{}", "░".repeat(7)), "█".repeat(10)));
    }
}
