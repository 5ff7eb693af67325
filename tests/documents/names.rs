//! Identifiers, keys, parameters and metrics given up for the field's own do not come back.

use super::*;

/// One a line, found as a whole word only.
const RETIRED: &str = include_str!("retired.txt");

/// Where they may stand: in what tells of them, and in what others wrote.
fn may_name_them(path: &str) -> bool {
    ["CHANGELOG.md", "Cargo.lock", "tests/documents/retired.txt"].contains(&path)
        || path.ends_with(".pem")
}

#[test]
fn no_retired_name_is_left() {
    let retired: BTreeSet<&str> = RETIRED.lines().collect();
    assert!(retired.len() > 100, "{}", retired.len());
    let word = Regex::new(r"[A-Za-z_][A-Za-z0-9_-]*").unwrap();
    let mut found = Vec::new();
    let mut files = 0;
    for (path, text) in project_files() {
        if may_name_them(&path) {
            continue;
        }
        files += 1;
        for (number, line) in text.lines().enumerate() {
            let names = word
                .find_iter(line)
                .map(|name| name.as_str())
                .filter(|name| retired.contains(name));
            found.extend(names.map(|name| format!("{path}:{}: {name}", number + 1)));
        }
    }
    assert!(files > 200, "{files}");
    assert!(found.is_empty(), "{}", found.join("\n"));
}
