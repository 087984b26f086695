//! Shell lines that need no shell: they are split here and run directly, which saves the second exec.
//!
//! Conservative by design: whatever is not certain to mean the same without a shell is left to the shell, including every word
//! that a shell might run by itself.

/// Words that common shells do not look up in `PATH`.
#[rustfmt::skip]
const SHELL_WORDS: &[&str] = &[
    "!", ".", ":", "[", "[[", "]]", "{", "}", "alias", "autoload", "bg", "bind", "break", "builtin", "caller", "case", "cd", "chdir", "command",
    "compgen", "complete", "compopt", "continue", "coproc", "declare", "dirs", "disown", "do", "done", "echo", "elif", "else", "enable", "esac",
    "eval", "exec", "exit", "export", "false", "fc", "fg", "fi", "float", "for", "function", "getopts", "global", "hash", "help", "history", "if",
    "in", "inlib", "integer", "jobs", "kill", "let", "local", "logout", "mapfile", "nameref", "newgrp", "popd", "print", "printf", "pushd", "pwd",
    "read", "readarray", "readonly", "return", "select", "set", "shift", "shopt", "source", "stop", "suspend", "test", "then", "time", "times",
    "trap", "true", "type", "typeset", "ulimit", "umask", "unalias", "unset", "until", "wait", "whence", "while",
];

/// Shells whose rules for plain words are the ones applied here.
const KNOWN_SHELLS: &[&str] = &["sh", "dash", "bash", "ash", "ksh", "mksh"];

/// Splits `line` as `shell` would, if the line is nothing but a program and its arguments; `None`: ask the shell.
pub(super) fn split(line: &str, shell: &str) -> Option<Vec<String>> {
    let name = shell.rsplit('/').next()?;
    if !KNOWN_SHELLS.contains(&name) {
        return None;
    }
    let words = words(line.trim_matches([' ', '\t', '\n']))?;
    let program = words.first()?;
    let plain = program.bytes().all(is_plain) && !program.contains('=') && !program.starts_with('-');
    (plain && !program.is_empty() && !SHELL_WORDS.contains(&program.as_str())).then_some(words)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b',' | b':' | b'=' | b'@' | b'%' | b'+' | b'-')
}

fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' | '"' => word.get_or_insert_default().push_str(&quoted(c, &mut rest)?),
            _ if u8::try_from(c).is_ok_and(is_plain) => word.get_or_insert_default().push(c),
            _ => return None,
        }
    }
    words.extend(word);
    Some(words)
}

// What is between two quotes stands for itself, but for what a shell expands between double ones.
fn quoted(quote: char, rest: &mut std::str::Chars<'_>) -> Option<String> {
    let mut text = String::new();
    loop {
        match rest.next()? {
            c if c == quote => return Some(text),
            '\0' => return None,
            '$' | '`' | '\\' | '!' if quote == '"' => return None,
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct(line: &str) -> Option<Vec<String>> {
        split(line, "/bin/sh")
    }

    #[test]
    fn plain_lines_are_split() {
        assert_eq!(direct("sleep 1").expect("plain"), ["sleep", "1"]);
        assert_eq!(direct("  /usr/bin/env\t-i  a=b \n").expect("plain"), ["/usr/bin/env", "-i", "a=b"]);
        assert_eq!(direct("ls 'a  b'\"c;d\" ''").expect("plain"), ["ls", "a  bc;d", ""]);
        assert_eq!(direct("grep '$x' \"it's\"").expect("plain"), ["grep", "$x", "it's"]);
    }

    #[test]
    fn whatever_means_something_to_a_shell_is_left_to_it() {
        #[rustfmt::skip]
        let lines = [
            "", " ", "a|b", "a;b", "a&", "a>b", "a<b", "ls *", "ls ?", "ls [a]", "ls ~", "ls {a,b}", "X=1 env", "cd /", "true", "echo hi", "time ls",
            "'cd' /", "$X", "ls \"$X\"", "ls `x`", "ls \\a", "a # b", "ls 'open", "ls \"open", "a\nb", "! ls", "(ls)", "ls ü", "-x", "''", "ls \"!x\"",
            "ls a^b", "[ 1 ]",
        ];
        for line in lines {
            assert_eq!(direct(line), None, "{line:?}");
        }
    }

    #[test]
    fn an_unknown_shell_has_its_own_rules() {
        assert_eq!(split("sleep 1", "/usr/bin/fish"), None);
        assert_eq!(split("sleep 1", "/usr/bin/zsh"), None);
    }
}
