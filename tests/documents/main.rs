//! What the guides promise: links that lead somewhere, tables that are the templates', commands
//! that their programs take, and a README that can be read at once.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

mod columns;
mod commands;
mod modules;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use lab::workspace::{root, venv_program};
use regex::Regex;

/// Each guide by its path, such as `infra/README.md`.
static GUIDES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    project_files().into_iter().filter(|(path, _)| path.ends_with(".md")).collect()
});

/// The text of each file of the project by its path; of what is built or installed there is none.
fn project_files() -> BTreeMap<String, String> {
    let ignored = std::fs::read_to_string(root().join(".gitignore")).unwrap();
    let ignored: BTreeSet<&str> =
        ignored.lines().map(|line| line.trim_matches('/')).chain([".git"]).collect();
    let (mut folders, mut files) = (vec![root().to_owned()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if ignored.contains(entry.file_name().to_str().unwrap()) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                files.insert(name_of(&path).unwrap(), text);
            }
        }
    }
    files
}

#[test]
fn a_heading_has_the_anchor_that_github_gives_it() {
    for (heading, anchor) in [
        ("Deploy", "deploy"),
        ("MySQL and MariaDB: error 1129", "mysql-and-mariadb-error-1129"),
        ("What it guarantees, and what it does not", "what-it-guarantees-and-what-it-does-not"),
        ("The database's role", "the-databases-role"),
        ("`make status` and its answer", "make-status-and-its-answer"),
        ("**Bold** and [a link](infra/README.md)", "bold-and-a-link"),
        ("snake_case — with a dash", "snake_case--with-a-dash"),
        ("Überblick", "überblick"),
    ] {
        assert_eq!(
            anchors(&format!("text\n\n## {heading}\n")),
            BTreeSet::from([anchor.to_owned()])
        );
    }
    let twice = anchors(
        "# Same\n```\n# no heading\n```\n## Same\n\
         1. ```sh\n   # none either\n   ```\n### Same ###\n",
    );
    assert_eq!(twice, ["same", "same-1", "same-2"].map(str::to_owned).into());
}

#[test]
fn a_link_is_found_wherever_it_stands_and_nowhere_else() {
    for (text, found) in [
        ("see [a](b.md), [c](d.md#e) and [f](#g)", vec!["b.md", "d.md#e", "#g"]),
        ("| cell [a](b.md) |", vec!["b.md"]),
        ("[![picture](a.svg)](b.md)", vec!["a.svg", "b.md"]),
        ("[a](b.md \"title\")", vec!["b.md"]),
        ("[a][1]\n\n[1]: b.md", vec!["b.md"]),
        ("<img src=\"a.svg\"> <a href=\"b.md\">", vec!["a.svg", "b.md"]),
        ("`[a](b.md)` and\n```\n[c](d.md)\n```\n", vec![]),
        ("[a](https://example.com/b.md) <https://example.com> [m](mailto:a@example.com)", vec![]),
    ] {
        assert_eq!(links(text), found, "{text}");
    }
}

#[test]
fn every_relative_link_leads_to_a_file_and_to_a_heading_of_it() {
    let mut seen = 0;
    for (guide, text) in GUIDES.iter() {
        for link in links(text) {
            let (file, anchor) = link
                .split_once('#')
                .map_or((link.as_str(), None), |(file, anchor)| (file, Some(anchor)));
            let target = leads_to(guide, file)
                .unwrap_or_else(|| panic!("{guide}: {link} leads to no file of the project"));
            if let Some(anchor) = anchor {
                let text = GUIDES
                    .get(&target)
                    .unwrap_or_else(|| panic!("{guide}: {link}: {target} has no headings"));
                assert!(
                    anchors(text).contains(anchor),
                    "{guide}: {link}: {target} has no such heading"
                );
            }
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn every_guide_can_be_reached_from_the_readme() {
    let (mut waiting, mut reached) = (vec!["README.md".to_owned()], BTreeSet::new());
    while let Some(guide) = waiting.pop() {
        if reached.insert(guide.clone()) {
            let files = links(&GUIDES[&guide]).into_iter().filter_map(|link| {
                let file = link.split('#').next().unwrap_or_default();
                leads_to(&guide, file).filter(|target| GUIDES.contains_key(target))
            });
            waiting.extend(files);
        }
    }
    assert_eq!(reached.iter().collect::<Vec<_>>(), GUIDES.keys().collect::<Vec<_>>());
}

#[test]
fn the_readme_stays_below_200_lines_and_a_guide_of_infra_below_401() {
    for (guide, text) in GUIDES.iter() {
        let limit = if guide == "README.md" { 199 } else { 400 };
        let lines = text.lines().count();
        assert!(
            lines <= limit || !(guide == "README.md" || guide.starts_with("infra/")),
            "{guide} has {lines} lines: move what is not for the first minute next to what it \
             describes"
        );
    }
}

#[test]
fn tables_are_those_of_the_templates() {
    let python = venv_program("python").unwrap();
    let check =
        Command::new(python).arg(root().join("tests/tables.py")).arg("--check").output().unwrap();
    let said = [check.stdout, check.stderr].concat();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_readme_installs_the_sam_and_the_aws_that_the_tests_use() {
    let requirements = std::fs::read_to_string(root().join("tests/requirements.txt")).unwrap();
    for program in ["aws-sam-cli", "awscli"] {
        let pinned = Regex::new(&format!(r"\b{program}==[\d.]+")).unwrap();
        let tested = pinned.find(&requirements).unwrap().as_str();
        let named: Vec<_> =
            GUIDES.values().flat_map(|text| pinned.find_iter(text)).map(|it| it.as_str()).collect();
        assert!(
            !named.is_empty() && named.iter().all(|version| *version == tested),
            "{named:?}, tested is {tested}"
        );
    }
}

/// The project's file at the end of a relative path; an empty path is the guide itself.
fn leads_to(guide: &str, file: &str) -> Option<String> {
    if file.is_empty() {
        return Some(guide.to_owned());
    }
    let path = root().join(guide).parent().unwrap().join(file).canonicalize().ok()?;
    name_of(&path)
}

/// The path in the project of a file that is in it.
fn name_of(path: &Path) -> Option<String> {
    Some(path.strip_prefix(root()).ok()?.to_str().unwrap().to_owned())
}

/// The relative links of a guide.
fn links(text: &str) -> Vec<String> {
    static LINK: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]:\s*(\S+)|\b(?:src|href)="([^"]+)""#).unwrap()
    });
    static CODE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"`[^`]*`").unwrap());
    let lines = prose(text).map(|line| CODE.replace_all(line, "").into_owned());
    let found = lines.flat_map(|line| {
        let found = LINK
            .captures_iter(&line)
            .map(|found| found.iter().flatten().nth(1).unwrap().as_str().to_owned());
        found.collect::<Vec<_>>()
    });
    found.filter(|link| !link.contains("://") && !link.starts_with("mailto:")).collect()
}

/// The anchors of a guide's headings, as GitHub makes them: small letters, digits, `_` and `-`
/// stay, a space becomes `-`, and a repeated heading gets a number.
fn anchors(text: &str) -> BTreeSet<String> {
    static HEADING: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^#{1,6}\s+(.*?)\s*#*\s*$").unwrap());
    static LINK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[([^\]]*)\]\([^)]*\)").unwrap());
    static DROPPED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[^\w\- ]").unwrap());
    let (mut times, mut anchors) = (BTreeMap::<String, usize>::new(), BTreeSet::new());
    for heading in prose(text).filter_map(|line| HEADING.captures(line)) {
        let shown = LINK.replace_all(&heading[1], "$1").to_lowercase();
        let anchor = DROPPED.replace_all(&shown, "").replace(' ', "-");
        let before = times.entry(anchor.clone()).and_modify(|times| *times += 1).or_default();
        anchors.insert(if *before == 0 { anchor } else { format!("{anchor}-{before}") });
    }
    anchors
}

/// The lines of a guide that are not in a block of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    static FENCE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^\s*(?:(?:\d+\.|[-*])\s+)?```").unwrap());
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = FENCE.is_match(line);
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}
