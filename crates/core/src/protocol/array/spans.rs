//! Sets of elements, as spans that do not touch.

use std::collections::BTreeMap;

use super::Span;

/// Elements: by the first of each span the last of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Spans(BTreeMap<u32, u32>);

impl Spans {
    /// Adds them; says whether none was there. If some were, nothing changes.
    pub(crate) fn insert(&mut self, span: Span) -> bool {
        let before = self.0.range(..=span.to).next_back().filter(|(_, to)| **to >= span.from).is_some();
        if before || span.is_empty() {
            return !before;
        }
        let follows = self.0.range(..span.from).next_back().filter(|(_, to)| to.checked_add(1) == Some(span.from)).map(|(from, _)| *from);
        let next = span.to.checked_add(1).and_then(|next| self.0.remove(&next));
        self.0.insert(follows.unwrap_or(span.from), next.unwrap_or(span.to));
        true
    }

    /// Adds them, whichever are there already; says which were not.
    pub(crate) fn cover(&mut self, span: Span) -> Vec<Span> {
        let gaps = self.gaps(span);
        for gap in &gaps {
            self.insert(*gap);
        }
        gaps
    }

    /// Which of these are not there.
    fn gaps(&self, all: Span) -> Vec<Span> {
        let (mut gaps, mut next) = (Vec::new(), Some(all.from));
        let first = self.0.range(..all.from).next_back();
        for (from, to) in first.into_iter().chain(self.0.range(all.from..).take_while(|(from, _)| **from <= all.to)) {
            let Some(free) = next else { break };
            if *from > free {
                gaps.push(Span { from: free, to: from - 1 });
            }
            if *to >= free {
                next = to.checked_add(1);
            }
        }
        gaps.extend(next.filter(|from| *from <= all.to).map(|from| Span { from, to: all.to }));
        gaps
    }

    /// How many elements there are.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|(from, to)| u64::from(to - from) + 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_added_and_said() {
        let mut spans = Spans::default();
        let mut cover = |from, to| spans.cover(Span { from, to }).into_iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>();
        assert_eq!(cover(5, 9), [(5, 9)]);
        assert_eq!(cover(0, 12), [(0, 4), (10, 12)]);
        assert_eq!(cover(3, 11), []);
        assert_eq!(cover(20, 21), [(20, 21)]);
        assert_eq!(cover(12, 30), [(13, 19), (22, 30)]);
        assert_eq!(cover(u32::MAX - 1, u32::MAX), [(u32::MAX - 1, u32::MAX)]);
        assert_eq!(cover(31, u32::MAX), [(31, u32::MAX - 2)]);
        assert_eq!((spans.0.len(), spans.len()), (1, u64::from(u32::MAX) + 1), "they do not touch");
        assert!(!spans.insert(Span::one(7)), "it was there");
    }
}
