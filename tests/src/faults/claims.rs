//! Which test claims which row: read from the sources of the tests, so that a row without a test is found without running any.

use std::path::Path;

/// A test that claims a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Which row.
    pub row: String,
    /// Of which test binary.
    pub binary: String,
    /// The test, with its module, as `cargo test` knows it.
    pub test: String,
}

/// How a test claims.
const CLAIM: &str = "Scenario::of(\"";

/// All claims in the sources of `e2e` and `cli`.
///
/// # Panics
/// A source cannot be read, or something else than a test claims.
#[must_use]
pub fn all() -> Vec<Claim> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut claims = Vec::new();
    for binary in ["e2e", "cli"] {
        for path in sources(&here.join(binary)) {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let below = path.strip_prefix(here.join(binary)).unwrap_or(&path).with_extension("");
            let module: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            let found = claims_in(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let claim = |(row, test)| Claim { row, binary: binary.to_owned(), test: format!("{}::{test}", module.join("::")) };
            claims.extend(found.into_iter().map(claim));
        }
    }
    claims.sort();
    claims
}

fn sources(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Row and function of each claim in a source that rustfmt has laid out: functions begin and end at the margin.
fn claims_in(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut claims = Vec::new();
    let (mut is_test, mut function) = (false, None);
    for (number, line) in (1..).zip(text.lines()) {
        if line == "#[test]" {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
            function = rest.split('(').next().map(str::to_owned);
            is_test = false;
        } else if line == "}" {
            function = None;
        }
        for claimed in line.split(CLAIM).skip(1).filter(|_| !line.trim_start().starts_with("//")) {
            let row = claimed.split('"').next().unwrap_or_default().to_owned();
            let Some(function) = &function else {
                return Err(format!("line {number}: {row} is claimed outside of a test function"));
            };
            claims.push((row, function.clone()));
        }
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::rows::ROWS;

    #[test]
    fn every_row_is_claimed_by_a_test_and_every_claim_is_of_a_row() {
        let claims = all();
        for row in &ROWS {
            let claimed = claims.iter().any(|claim| claim.row == row.name);
            assert!(claimed, "no test claims {}", row.name);
        }
        let foreign: Vec<&Claim> = claims.iter().filter(|claim| !ROWS.iter().any(|row| row.name == claim.row)).collect();
        assert!(foreign.is_empty(), "{foreign:?}");
    }

    #[test]
    fn a_claim_is_found_with_its_test() {
        let text = "#[test]\nfn one() {\n    let _a = Scenario::of(\"F1\");\n    let _b = Scenario::of(\"F2\");\n}\n\nfn helper() {\n}\n";
        let claimed = |row: &str, test: &str| (row.to_owned(), test.to_owned());
        assert_eq!(claims_in(text), Ok(vec![claimed("F1", "one"), claimed("F2", "one")]));
        assert!(claims_in("fn helper() {\n    let _ = Scenario::of(\"F1\");\n}\n").is_err());
        assert!(claims_in("#[test]\nfn one() {\n}\n\nfn helper() {\n    let _ = Scenario::of(\"F1\");\n}\n").is_err());
    }
}
