//! Commands that a worker with `exec = "allowlist"` runs: a name, the program, and which arguments a task may choose. Pure: whether
//! the program exists, and what a path leads to, is looked at by the worker.
//!
//! `/usr/bin/convert {path:/srv/in} -resize {int:1..4096} {path:/srv/out}`: words between blanks. A word in braces is a value that the
//! task gives, of one of four types:
//!
//! | word | the value is |
//! |---|---|
//! | `{int:1..4096}` | a whole number between these |
//! | `{choice:fast\|good}` | one of these |
//! | `{text:[a-z0-9_]{1,32}}` | text that this regular expression matches as a whole, and that does not begin with a dash |
//! | `{path:/srv/in}` | what lies below this directory, wherever symbolic links lead to; given to the program as an absolute path |

use std::fmt;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Longest value that a task may give.
const VALUE_BYTES_MAX: usize = 4096;

/// One command that tasks may ask for by its name.
#[derive(Debug, Clone)]
pub struct AllowedCommand {
    program: String,
    words: Vec<Word>,
}

#[derive(Debug, Clone)]
enum Word {
    Fixed(String),
    Value(Type),
}

#[derive(Debug, Clone)]
enum Type {
    Integer(i64, i64),
    Choice(Vec<String>),
    Text(Regex),
    Path(PathBuf),
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Integer(least, most) => write!(f, "a whole number between {least} and {most}"),
            Type::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Type::Text(_) => write!(f, "text of the form that its worker demands"),
            Type::Path(root) => write!(f, "a path below {}", root.display()),
        }
    }
}

impl AllowedCommand {
    /// Reads the line of the configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let program = words.next().unwrap_or_default().to_owned();
        if !program.starts_with('/') || program.contains('{') {
            return Err(
                "must begin with the absolute path of a program, as \"/usr/bin/convert {path:/srv/in} -resize {int:1..4096}\"".into()
            );
        }
        Ok(Self { program, words: words.map(word).collect::<Result<_, _>>()? })
    }

    /// The program, an absolute path.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The directories that paths lie below.
    pub fn roots(&self) -> impl Iterator<Item = &Path> {
        self.words.iter().filter_map(|word| match word {
            Word::Value(Type::Path(root)) => Some(root.as_path()),
            Word::Value(Type::Integer(..) | Type::Choice(_) | Type::Text(_)) | Word::Fixed(_) => None,
        })
    }

    /// The program and its arguments with these values. `below` finds what a value means below a directory.
    ///
    /// # Errors
    /// Which value is wrong, and what it must be.
    pub fn fill(&self, values: &[String], below: impl Fn(&Path, &str) -> Result<String, String>) -> Result<Vec<String>, String> {
        let wanted = self.words.iter().filter(|word| matches!(word, Word::Value(_))).count();
        if wanted != values.len() {
            return Err(format!("it takes {wanted} values, and was given {}", values.len()));
        }
        let mut values = values.iter().zip(1..);
        let mut filled = vec![self.program.clone()];
        for word in &self.words {
            filled.push(match (word, word.value().and_then(|kind| Some((kind, values.next()?)))) {
                (Word::Fixed(text), _) => text.clone(),
                (Word::Value(_), Some((kind, (value, number)))) => {
                    kind.take(value, &below).map_err(|why| format!("value {number}, {value:?}: {why}"))?
                }
                (Word::Value(_), None) => return Err("a value is missing".to_owned()),
            });
        }
        Ok(filled)
    }
}

impl Word {
    fn value(&self) -> Option<&Type> {
        match self {
            Word::Fixed(_) => None,
            Word::Value(kind) => Some(kind),
        }
    }
}

impl Type {
    fn take(&self, value: &str, below: impl Fn(&Path, &str) -> Result<String, String>) -> Result<String, String> {
        let must = || format!("must be {self}");
        if value.len() > VALUE_BYTES_MAX || value.contains('\0') {
            return Err(format!("must be at most {VALUE_BYTES_MAX} bytes, without NUL"));
        }
        match self {
            // As it is shown, not as it was written: "+5" and "05" may mean something to a program.
            Type::Integer(least, most) => {
                let number: i64 = value.parse().map_err(|_| must())?;
                (*least..=*most).contains(&number).then(|| number.to_string()).ok_or_else(must)
            }
            Type::Choice(words) => words.iter().find(|word| *word == value).cloned().ok_or_else(must),
            Type::Text(form) if value.starts_with('-') || !form.is_match(value) => Err(must()),
            Type::Text(_) => Ok(value.to_owned()),
            Type::Path(root) => below(root, value),
        }
    }
}

fn word(text: &str) -> Result<Word, String> {
    let Some(inside) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return match text.contains(['{', '}']) {
            true => Err(format!("{text}: a value in braces is a word of its own")),
            false => Ok(Word::Fixed(text.to_owned())),
        };
    };
    let unknown = || format!("{text}: the types are {{int:1..10}}, {{choice:a|b}}, {{text:[a-z]+}} and {{path:/directory}}");
    let (name, rest) = inside.split_once(':').ok_or_else(unknown)?;
    let kind = match name {
        "int" => {
            let ends = rest.split_once("..").and_then(|(least, most)| Some((least.parse().ok()?, most.parse().ok()?)));
            let (least, most) = ends.filter(|(least, most)| least <= most).ok_or_else(|| format!("{text}: a range is {{int:1..10}}"))?;
            Type::Integer(least, most)
        }
        "choice" if rest.split('|').all(|word| !word.is_empty()) => Type::Choice(rest.split('|').map(str::to_owned).collect()),
        "text" => Type::Text(Regex::new(&format!(r"\A(?:{rest})\z")).map_err(|_| format!("{text}: is no regular expression"))?),
        "path" if rest.starts_with('/') => Type::Path(PathBuf::from(rest)),
        _ => return Err(unknown()),
    };
    Ok(Word::Value(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(line: &str, values: &[&str]) -> Result<Vec<String>, String> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        AllowedCommand::parse(line)?.fill(&values, |root, value| Ok(root.join(value).display().to_string()))
    }

    #[test]
    fn values_of_the_right_type_take_their_places() {
        let line = "/bin/x -q {path:/srv} --size {int:-1..10} {choice:a|-b} {text:[a-z]{1,3}}";
        let filled = fill(line, &["p", "05", "-b", "abc"]).expect("filled");
        assert_eq!(filled, ["/bin/x", "-q", "/srv/p", "--size", "5", "-b", "abc"]);
        assert_eq!(fill("/bin/true", &[]), Ok(vec!["/bin/true".to_owned()]));
    }

    #[test]
    fn no_value_becomes_more_than_one_argument_or_another_one() {
        let refused = [
            ("/bin/x {int:1..10}", "11"),
            ("/bin/x {int:1..10}", "1 2"),
            ("/bin/x {int:1..10}", "$(id)"),
            ("/bin/x {choice:a|b}", "a|b"),
            ("/bin/x {text:[a-z]+}", "a b"),
            ("/bin/x {text:[a-z]+}", "a\nb"),
            ("/bin/x {text:.+}", "--output=/etc/passwd"),
            ("/bin/x {text:a|.*}", "-a"),
            ("/bin/x {text:a|b}", "ab"),
            ("/bin/x {text:.*}", "a\0b"),
        ];
        for (line, value) in refused {
            assert!(fill(line, &[value]).is_err(), "{line} {value:?}");
        }
        assert_eq!(fill("/bin/x {text:.*}", &["; rm -rf $HOME"]).map(|words| words.len()), Ok(2), "it stays one word");
        assert!(fill("/bin/x {int:1..2}", &["1", "1"]).expect_err("too many").contains("takes 1 values"));
        assert!(fill("/bin/x {int:1..2}", &[]).expect_err("too few").contains("was given 0"));
    }

    #[test]
    fn a_line_that_makes_no_sense_says_where() {
        for (line, told) in [
            ("", "absolute path"),
            ("convert {int:1..2}", "absolute path"),
            ("/bin/{choice:a|b}", "absolute path"),
            ("/bin/x --size={int:1..2}", "a word of its own"),
            ("/bin/x {int:2..1}", "{int:1..10}"),
            ("/bin/x {choice:a||b}", "the types are"),
            ("/bin/x {text:[}", "no regular expression"),
            ("/bin/x {path:srv}", "the types are"),
            ("/bin/x {float:1}", "the types are"),
        ] {
            let why = AllowedCommand::parse(line).expect_err(line);
            assert!(why.contains(told), "{line}: {why}");
        }
    }
}
