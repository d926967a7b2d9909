//! Every scenario of the design has a test: the table of them in `docs/fmuc-scenarios.md` is held against the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// How many scenarios each letter has.
const LETTERS: &[(char, u32)] = &[
    ('A', 16),
    ('B', 20),
    ('C', 7),
    ('D', 24),
    ('E', 9),
    ('F', 9),
    ('G', 14),
    ('H', 8),
];

/// Those of which the table says that they have none.
const WITHOUT: &[&str] = &[];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Number → the names of its tests.
fn table(text: &str) -> BTreeMap<String, Vec<String>> {
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split('|');
        let (number, tests) = (cells.next()?.trim(), cells.next()?);
        let tests = tests.split('`').skip(1).step_by(2);
        Some((number.to_owned(), tests.map(str::to_owned).collect()))
    });
    rows.filter(|(number, _)| number != "Number").collect()
}

/// The names of all tests below a folder.
fn tests(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            tests(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("a source");
            // What lacks the attribute is none, whatever it is called.
            for after in source.split("#[test]").skip(1) {
                let after = after.split("fn ").nth(1);
                let name = after.and_then(|after| after.split('(').next());
                names.extend(name.map(str::to_owned));
            }
        }
    }
}

#[test]
fn every_scenario_has_a_test() {
    let text = fs::read_to_string(workspace().join("docs/fmuc-scenarios.md")).expect("the table");
    let table = table(&text);
    let mut names = BTreeSet::new();
    for folder in ["xmpp-muc-federated/src", "xmpp-core/src/s2s"] {
        tests(&workspace().join(folder), &mut names);
    }
    let all = LETTERS
        .iter()
        .flat_map(|(letter, count)| (1..=*count).map(move |at| format!("{letter}{at}")));
    let all: BTreeSet<_> = all.collect();
    assert_eq!(all.len(), 107);
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), all);
    let without = table.iter().filter(|(_, tests)| tests.is_empty());
    let without: Vec<_> = without.map(|(number, _)| number.as_str()).collect();
    assert_eq!(without, WITHOUT, "scenarios without a test");
    for (number, tests) in &table {
        for test in tests {
            assert!(names.contains(test), "{number}: there is no test {test}");
        }
    }
}

#[test]
fn what_is_missing_shows() {
    let table = table(
        "| Number | Tests | |\n|---|---|---|\n| A1 | `a1_x` `a1_y` | z |\n| A2 | | `no test` |\n",
    );
    assert_eq!(table["A1"], ["a1_x", "a1_y"]);
    assert!(table["A2"].is_empty());
    assert_eq!(table.len(), 2);
}
