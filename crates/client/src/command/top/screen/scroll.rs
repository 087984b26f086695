//! A window on a list that is longer than its place on the screen: which lines are seen.

/// Where the window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Scroll {
    /// How many lines are before it.
    first: usize,
    /// How many lines fitted when it was drawn last.
    page: usize,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::command::top) enum Step {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
}

impl Scroll {
    pub(super) fn step(&mut self, step: Step, lines: usize) {
        // A line of the page before stays, for the eye.
        let page = self.page.saturating_sub(1).max(1);
        self.first = match step {
            Step::Up => self.first.saturating_sub(1),
            Step::Down => self.first + 1,
            Step::PageUp => self.first.saturating_sub(page),
            Step::PageDown => self.first + page,
            Step::Home => 0,
            Step::End => lines,
        };
        self.first = self.first.min(lines.saturating_sub(self.page.max(1)));
    }

    /// A line was put before all others: whoever looks at older ones goes on looking at them.
    pub(super) fn pushed(&mut self) {
        if self.first > 0 {
            self.first += 1;
        }
    }

    /// The list is drawn with room for so many lines: the first one that is seen, and how many are. There may be fewer lines than before.
    pub(super) fn draw(&mut self, page: usize, lines: usize) -> (usize, usize) {
        self.page = page;
        self.first = self.first.min(lines.saturating_sub(page.max(1)));
        (self.first, page.min(lines - self.first))
    }
}

/// What is seen of how many, if that is not all.
pub(super) fn seen((first, shown): (usize, usize), lines: usize) -> String {
    match shown {
        _ if shown == lines => lines.to_string(),
        0 => format!("none of {lines}"),
        _ => format!("{}-{} of {lines}", first + 1, first + shown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_is_full_and_the_window_stays_within_the_list() {
        let mut scroll = Scroll::default();
        assert_eq!(scroll.draw(10, 25), (0, 10));
        for (step, first) in
            [(Step::Up, 0), (Step::Down, 1), (Step::PageDown, 10), (Step::End, 15), (Step::Down, 15), (Step::PageUp, 6), (Step::Home, 0)]
        {
            scroll.step(step, 25);
            assert_eq!(scroll.draw(10, 25), (first, 10), "{step:?}");
        }
        scroll.step(Step::End, 25);
        assert_eq!(scroll.draw(10, 4), (0, 4), "most of them have gone");
        scroll.step(Step::PageDown, 4);
        assert_eq!((scroll.draw(10, 0), scroll.draw(0, 3)), ((0, 0), (0, 0)));
    }

    #[test]
    fn what_is_new_moves_nothing_for_who_looks_at_older_ones() {
        let mut scroll = Scroll::default();
        scroll.draw(2, 5);
        scroll.pushed();
        assert_eq!(scroll.draw(2, 6).0, 0);
        scroll.step(Step::Down, 6);
        scroll.pushed();
        assert_eq!(scroll.draw(2, 7).0, 2);
    }

    #[test]
    fn it_says_what_is_seen_of_how_many() {
        assert_eq!([seen((0, 3), 3), seen((2, 5), 20), seen((0, 0), 4), seen((0, 0), 0)], ["3", "3-7 of 20", "none of 4", "0"]);
    }
}
