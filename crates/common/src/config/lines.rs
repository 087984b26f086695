//! On which line of a TOML file each key stands: for reports, and for `config show --origin`.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

/// The line of every key that has a value, counted from 1. Empty if `text` is no TOML: who reads it says why.
pub(super) fn of(text: &str) -> BTreeMap<Vec<String>, usize> {
    let mut lines = BTreeMap::new();
    if let Ok(table) = DeTable::parse(text) {
        collect(&[], table.get_ref(), text, &mut lines);
    }
    lines
}

fn collect(path: &[String], table: &DeTable<'_>, text: &str, lines: &mut BTreeMap<Vec<String>, usize>) {
    for (name, value) in table {
        let inner = [path, &[name.get_ref().to_string()]].concat();
        if let DeValue::Table(table) = value.get_ref() {
            collect(&inner, table, text, lines);
        } else {
            lines.insert(inner, 1 + text[..name.span().start].matches('\n').count());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_however_they_are_spelled() {
        let text = "cluster = \"a\"\n\n[worker]\n# why\nslots = 4\nlabels = { zone = \"eu\" }\n[http]\n\"listen\" = \"\"\n";
        let lines = of(text);
        let line = |key: &str| lines.get(&key.split('.').map(str::to_owned).collect::<Vec<_>>()).copied();
        assert_eq!((line("cluster"), line("worker.slots"), line("worker.labels.zone")), (Some(1), Some(5), Some(6)));
        assert_eq!((line("http.listen"), line("http.advertise")), (Some(8), None));
        assert!(of("[worker\n").is_empty());
    }
}
