//! The public API of the library crates, listed in `docs/reference/api`: what changes there is seen in review.
//!
//! The listing is read out of the sources, which rustfmt keeps in one form: whatever is `pub`, the variants of enums and the items of traits,
//! and which traits a public type implements. In these crates `pub` means public, because the lint `unreachable_pub` sees to it. It is no
//! compiler: what a macro or a derive makes, and what is re-exported from `bellwether-core`, shows only as the line that says so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::repository;

const CRATES: [(&str, &str); 2] = [("bellwether-worker", "crates/worker/src"), ("bellwether-client", "crates/client/src")];

/// What encloses a line.
enum Inside {
    /// An `impl` block of this type.
    Impl(String),
    /// The body of a public struct, enum or trait.
    Body { name: String, open: bool },
}

/// One listing, sorted.
fn listing(source: &Path) -> BTreeSet<String> {
    let mut files = Vec::new();
    rust_files(source, &mut files);
    let texts: Vec<String> = files.iter().map(|file| fs::read_to_string(file).expect("a source")).collect();
    let mut items = BTreeSet::new();
    let mut implemented = Vec::new();
    for text in &texts {
        list(text, &mut items, &mut implemented);
    }
    let public: BTreeSet<String> = items.iter().filter_map(|item| declared(item)).collect();
    let ours = implemented.into_iter().filter(|(name, _)| public.contains(name)).map(|(_, header)| header);
    items.extend(ours.collect::<Vec<_>>());
    items
}

fn rust_files(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // The command is a program of its own, and the executor is public for the tests of its crate alone.
        if matches!(name.as_str(), "command" | "executor" | "main" | "tests") {
            continue;
        }
        if entry.is_dir() {
            rust_files(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

fn list(text: &str, items: &mut BTreeSet<String>, implemented: &mut Vec<(String, String)>) {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut inside: Option<Inside> = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let deep = line.len() - line.trim_start().len();
        match (&inside, deep) {
            (_, 0) if line == "}" => inside = None,
            (_, 0) if line.starts_with("impl") => {
                let header = whole(line, &mut lines, &['{']);
                let header = header.split(" where ").next().unwrap_or_default().trim().to_owned();
                let name = implementer(&header);
                if header.contains(" for ") {
                    implemented.push((name, header));
                    inside = None;
                } else {
                    inside = Some(Inside::Impl(name));
                }
                if line.ends_with("{}") {
                    inside = None;
                }
            }
            (_, 0) if line.starts_with("pub ") => {
                let item = whole(line, &mut lines, &['{', ';']);
                inside = body(&item, line);
                items.insert(item);
            }
            (Some(Inside::Impl(name)), 4) if line.trim_start().starts_with("pub ") => {
                let item = whole(line, &mut lines, &['{', ';']);
                items.insert(format!("{name}::{}", item.trim_start_matches("pub ")));
            }
            (Some(Inside::Body { name, open }), 4 | 8) => {
                let item = line.trim();
                let own = deep == 4 && (*open || item.starts_with("pub "));
                let says = item.starts_with(|c: char| c.is_alphabetic()) && !item.starts_with("where");
                if own && says {
                    let item = whole(line, &mut lines, &['{', ';', ',', '(']);
                    items.insert(format!("{name}::{}", item.trim_start_matches("pub ")));
                }
            }
            _ => {}
        }
    }
}

/// A declaration that may go on in the next lines, without what follows it.
fn whole<'a>(first: &str, lines: &mut impl Iterator<Item = &'a str>, ends: &[char]) -> String {
    let mut text = first.trim().to_owned();
    while !text.ends_with(ends) && !text.ends_with("{}") {
        let Some(next) = lines.next() else { break };
        let next = next.trim();
        let glued = text.ends_with('(') || next.starts_with(')');
        text = if glued { format!("{text}{next}") } else { format!("{text} {next}") };
    }
    let text = text.replace(",)", ")").replace("{}", "");
    text.trim_end_matches(['{', ';', ',']).trim().to_owned()
}

/// The name of the type behind `impl<T> Trait for Name<T>`.
fn implementer(header: &str) -> String {
    let behind = header.rsplit_once(" for ").map_or_else(|| header.trim_start_matches("impl"), |(_, behind)| behind);
    let behind = if behind.starts_with('<') { behind.split_once("> ").map_or(behind, |(_, rest)| rest) } else { behind };
    behind.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The name that a declaration brings in.
fn declared(item: &str) -> Option<String> {
    let rest = ["pub struct ", "pub enum ", "pub trait "].iter().find_map(|start| item.strip_prefix(start))?;
    Some(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

fn body(item: &str, line: &str) -> Option<Inside> {
    let name = declared(item)?;
    let opens = line.ends_with('{') || (!line.ends_with(';') && !line.ends_with("{}"));
    opens.then(|| Inside::Body { name, open: !item.starts_with("pub struct ") })
}

#[test]
fn the_public_api_is_what_the_listing_says() {
    for (name, source) in CRATES {
        let items = listing(&repository().join(source));
        let text = items.iter().map(|item| format!("{item}\n")).collect::<String>();
        let file = repository().join(format!("docs/reference/api/{name}.txt"));
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
            fs::write(&file, &text).expect("written");
        }
        let listed = fs::read_to_string(&file).unwrap_or_default();
        let remedy = "if that is meant: UPDATE_REFERENCE=1 cargo test -p bellwether-tests --test cli api";
        for item in &items {
            assert!(listed.lines().any(|line| line == item), "{item} is new in {name}; {remedy}");
        }
        for line in listed.lines() {
            assert!(items.contains(line), "{line} is gone from {name}; {remedy}");
        }
        assert!(items.len() > 60, "the sources of {name} are not found: {} items", items.len());
    }
}

#[test]
fn the_listing_sees_what_is_public() {
    let source = "\
pub struct Open {
    /// It.
    pub field: u32,
    private: u32,
}

pub enum Either {
    Left(u32),
    Right {
        inner: u32,
    },
}

impl<T: Clone> Open {
    pub fn long(
        &self,
        other: u32,
    ) -> u32 {
        1
    }

    fn hidden(&self) {}
}

impl fmt::Debug for Open {
    fn fmt(&self) {}
}

impl fmt::Debug for Hidden {}

pub(crate) fn internal() {}
";
    let (mut items, mut implemented) = (BTreeSet::new(), Vec::new());
    list(source, &mut items, &mut implemented);
    let expected = [
        "Either::Left(u32)",
        "Either::Right",
        "Open::field: u32",
        "Open::fn long(&self, other: u32) -> u32",
        "pub enum Either",
        "pub struct Open",
    ];
    assert_eq!(items.into_iter().collect::<Vec<_>>(), expected);
    let names: Vec<&str> = implemented.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Open", "Hidden"]);
}

/// What `rust-version` promises is what CI builds with.
#[test]
fn the_oldest_compiler_that_is_promised_is_the_one_that_builds_this() {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).expect("a manifest");
    let promised =
        manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("it is promised").trim_matches('"').to_owned();
    let rustc = std::process::Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("--version").output();
    let told = String::from_utf8(rustc.expect("rustc runs").stdout).expect("text");
    let built = told.split(' ').nth(1).expect("a version");
    assert!(built == promised || built.starts_with(&format!("{promised}.")), "built with {built}, Cargo.toml promises {promised}");
}
