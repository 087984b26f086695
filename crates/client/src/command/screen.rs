//! What a task wrote, on a terminal: text and colours pass, everything else that a terminal would obey is shown instead.

use std::borrow::Cow;
use std::fmt::Write;

/// The longest colour sequence that is waited for.
const SEQUENCE_MAX: usize = 32;

/// Passes bytes as they are, or, for a terminal, made harmless. Bytes come in pieces that may end anywhere.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    guarded: bool,
    /// The beginning of a character or of a sequence.
    held: Vec<u8>,
}

/// What begins some bytes.
enum Piece {
    /// So many bytes that pass.
    Pass(usize),
    /// So many bytes that are shown as this.
    Show(usize, String),
    /// Too little to say.
    Short,
}

impl Screen {
    /// `guarded`: it is a terminal.
    pub(crate) fn new(guarded: bool) -> Self {
        Self { guarded, held: Vec::new() }
    }

    /// What is to be printed of this.
    pub(crate) fn show<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.guarded {
            return Cow::Borrowed(bytes);
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut shown = Vec::with_capacity(all.len());
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            rest = match piece(rest) {
                Piece::Pass(count) => {
                    shown.extend_from_slice(&rest[..count]);
                    &rest[count..]
                }
                Piece::Show(count, text) => {
                    shown.extend_from_slice(text.as_bytes());
                    &rest[count..]
                }
                Piece::Short => {
                    self.held = rest.to_vec();
                    &[]
                }
            };
        }
        Cow::Owned(shown)
    }

    /// What is left when there is no more.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        let escape = |byte: &u8| if *byte == 0x1b { "^[".to_owned() } else { format!("\\x{byte:02x}") };
        let shown: String = std::mem::take(&mut self.held).iter().map(escape).collect();
        shown.into_bytes()
    }
}

fn piece(bytes: &[u8]) -> Piece {
    match bytes[0] {
        b'\n' | b'\t' | b'\r' | b' '..=b'~' => {
            let plain = bytes.iter().take_while(|byte| matches!(byte, b'\n' | b'\t' | b'\r' | b' '..=b'~')).count();
            Piece::Pass(plain)
        }
        0x1b => sequence(bytes),
        byte @ (..0x20 | 0x7f) => Piece::Show(1, format!("^{}", char::from(byte ^ 0x40))),
        _ => character(bytes),
    }
}

/// Colours and weights, `ESC [ 1;31 m`, are harmless; whatever else begins with an escape is not looked into.
fn sequence(bytes: &[u8]) -> Piece {
    let inside = bytes.iter().skip(2).take_while(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')).count();
    match (bytes.get(1), bytes.get(2 + inside)) {
        (Some(b'['), Some(b'm')) => Piece::Pass(3 + inside),
        (None, _) | (Some(b'['), None) if bytes.len() < SEQUENCE_MAX => Piece::Short,
        _ => Piece::Show(1, "^[".to_owned()),
    }
}

fn character(bytes: &[u8]) -> Piece {
    let most = bytes.len().min(4);
    let valid = match std::str::from_utf8(&bytes[..most]) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() > 0 => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        Err(error) if error.error_len().is_none() && most == bytes.len() => return Piece::Short,
        Err(_) => return Piece::Show(1, format!("\\x{:02x}", bytes[0])),
    };
    let Some(first) = valid.chars().next() else { return Piece::Show(1, format!("\\x{:02x}", bytes[0])) };
    // C1 controls, and those that turn the direction of text: they show what is not there.
    let turns = matches!(first, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if first.is_control() || turns {
        let mut shown = String::new();
        // Writing to a String does not fail.
        let _ = write!(shown, "\\u{{{:x}}}", u32::from(first));
        return Piece::Show(first.len_utf8(), shown);
    }
    Piece::Pass(first.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8], portion: usize) -> String {
        let mut screen = Screen::new(true);
        let mut all: Vec<u8> = bytes.chunks(portion).flat_map(|bytes| screen.show(bytes).into_owned()).collect();
        all.extend(screen.end());
        String::from_utf8(all).expect("what is shown is text")
    }

    #[test]
    fn text_and_colours_pass_and_what_a_terminal_would_obey_is_shown() {
        for (bytes, expected) in [
            ("plain\tü€😀\r\n".as_bytes(), "plain\tü€😀\r\n"),
            (b"\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
            (b"\x1b[2J\x1b]0;title\x07", "^[[2J^[]0;title^G"),
            (b"a\0b\x7f\x08", "a^@b^?^H"),
            (b"\xff\xc3\x28\xe2\x82", "\\xff\\xc3(\\xe2\\x82"),
            ("\u{9b}31m\u{202e}x".as_bytes(), "\\u{9b}31m\\u{202e}x"),
            (b"\x1b", "^["),
        ] {
            for portion in [1, 2, 3, 100] {
                assert_eq!(shown(bytes, portion), expected, "in portions of {portion}");
            }
        }
    }

    #[test]
    fn a_sequence_without_end_is_not_waited_for() {
        let endless = [b"\x1b[".as_slice(), &[b'1'; 100]].concat();
        assert!(shown(&endless, 7).starts_with("^[[111"));
    }

    #[test]
    fn a_pipe_gets_every_byte() {
        let mut screen = Screen::new(false);
        assert_eq!(screen.show(b"\x1b[2J\xff\0").as_ref(), b"\x1b[2J\xff\0");
        assert!(screen.end().is_empty());
    }
}
