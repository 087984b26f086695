//! The documents: what they link to exists, every page is in the book's table of contents, and (in `facts`) what they tell is true.

mod api;
mod facts;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub(super) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// Every Markdown file that people read.
fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| repository().join(name)).into();
    for directory in ["docs", "deploy", "dashboards", "config"] {
        collect(&repository().join(directory), &mut found);
    }
    found
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() && entry.file_name().is_some_and(|name| name != "node_modules") {
            collect(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "md") {
            found.push(entry);
        }
    }
}

/// Text outside of fenced code.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link)
}

/// The fragment under which a heading is found.
fn fragment(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn has_heading(file: &Path, wanted: &str) -> bool {
    let text = fs::read_to_string(file).expect("a document");
    prose(&text).lines().filter(|line| line.starts_with('#')).any(|heading| fragment(heading) == wanted)
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    for document in documents() {
        let text = prose(&fs::read_to_string(&document).expect("a document"));
        for link in links(&text).filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:")) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { document.clone() } else { document.parent().expect("a directory").join(path) };
            assert!(target.exists(), "{} links to {link}, which does not exist", document.display());
            assert!(heading.is_empty() || has_heading(&target, heading), "{} links to {link}: no such heading", document.display());
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} links were found: this test does not see what it should");
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let docs = repository().join("docs");
    let contents = fs::read_to_string(docs.join("SUMMARY.md")).expect("the table of contents");
    let listed: BTreeSet<PathBuf> = links(&contents).filter(|link| !link.is_empty()).map(|link| docs.join(link)).collect();
    let mut pages = Vec::new();
    collect(&docs, &mut pages);
    let pages: BTreeSet<PathBuf> = pages.into_iter().filter(|page| !page.ends_with("SUMMARY.md")).collect();
    let missing: Vec<&PathBuf> = pages.symmetric_difference(&listed).collect();
    assert!(missing.is_empty(), "in one of the book and its table of contents only: {missing:?}");
}

#[test]
fn documents_are_about_the_product_alone() {
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document");
        for word in ["/work/", "/root/", "crates.io/api", "registry.npmjs.org"] {
            assert!(!text.contains(word), "{} speaks of {word}", document.display());
        }
    }
}
