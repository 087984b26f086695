//! What can be asked of an output: from where, how much, whether to wait for more, and what to do where bytes are missing.

use axum::http::StatusCode;

use super::Refusal;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// At this offset.
    Offset(u64),
    /// So many bytes before what is the end now.
    End(u64),
}

/// What becomes of bytes that were not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtGap {
    /// A line says how many there were, and what comes behind them follows.
    Mark,
    /// The answer ends before them. One that would begin inside begins behind them, and says so in its header.
    Stop,
}

/// `offset=` or `tail=`, `limit=`, `follow=`, `gap=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) from: From,
    pub(super) limit: Option<u64>,
    pub(super) follow: bool,
    pub(super) gap: AtGap,
}

impl Question {
    /// Reads the part of an address behind the question mark.
    pub(super) fn parse(query: &str) -> Result<Self, Refusal> {
        let bad = |message: String| Refusal::new(StatusCode::BAD_REQUEST, "bad-parameter", message);
        let mut question = Self { from: From::Offset(0), limit: None, follow: false, gap: AtGap::Mark };
        let (mut offset, mut tail) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number =
                || value.parse::<u64>().map_err(|_| bad(format!("{key} must be a whole number of bytes, 0 or more, not {value:?}")));
            match (key, value) {
                ("offset", _) => offset = Some(number()?),
                ("tail", _) => tail = Some(number()?),
                ("limit", _) => question.limit = Some(number()?),
                ("follow", "" | "true" | "1") => question.follow = true,
                ("follow", "false" | "0") => question.follow = false,
                ("gap", "mark") => question.gap = AtGap::Mark,
                ("gap", "stop") => question.gap = AtGap::Stop,
                ("follow", _) => return Err(bad(format!("follow must be true or false, not {value:?}"))),
                ("gap", _) => return Err(bad(format!("gap must be mark or stop, not {value:?}"))),
                _ => return Err(bad(format!("there is no parameter {key:?}; there are offset, tail, limit, follow and gap"))),
            }
        }
        question.from = match (offset, tail) {
            (Some(_), Some(_)) => return Err(bad("offset and tail cannot both be asked for".to_owned())),
            (None, Some(tail)) => From::End(tail),
            (offset, None) => From::Offset(offset.unwrap_or(0)),
        };
        Ok(question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_understood() {
        let nothing = Question { from: From::Offset(0), limit: None, follow: false, gap: AtGap::Mark };
        let read = |query| Question::parse(query).expect("a question");
        assert_eq!(read(""), nothing);
        assert_eq!(
            read("offset=7&limit=2&follow=true&gap=stop"),
            Question { from: From::Offset(7), limit: Some(2), follow: true, gap: AtGap::Stop }
        );
        assert_eq!(read("tail=9&follow"), Question { from: From::End(9), follow: true, ..nothing });
    }

    #[test]
    fn what_cannot_be_asked_is_named() {
        for (query, named) in [
            ("offset=-1", "offset must be a whole number of bytes, 0 or more, not \"-1\""),
            ("offset=18446744073709551616", "offset must be"),
            ("offset=", "offset must be"),
            ("offset=1&tail=1", "cannot both"),
            ("follow=maybe", "follow must be true or false"),
            ("gap=jump", "gap must be mark or stop"),
            ("ofset=1", "there is no parameter \"ofset\""),
        ] {
            let refusal = Question::parse(query).expect_err(query);
            assert!(refusal.message.contains(named), "{query}: {}", refusal.message);
        }
    }
}
