//! The version is that of `Cargo.toml` wherever it is told; what programs tell is tested with them.

use std::fs::read_to_string;

use base::VERSION;
use lab::workspace::root;
use regex::Regex;

fn text(path: &str) -> String {
    read_to_string(root().join(path)).unwrap()
}

#[test]
fn every_crate_has_the_version_of_the_workspace() {
    let members = Regex::new(r#""([a-z/-]+)""#).unwrap();
    let manifest = text("Cargo.toml");
    let line = manifest.lines().find(|line| line.starts_with("members")).unwrap();
    // Its version is that of the crate whose place it takes.
    let ours = members.captures_iter(line).filter(|member| &member[1] != "functions/no-web-roots");
    for member in ours {
        let manifest = text(&format!("{}/Cargo.toml", &member[1]));
        assert!(manifest.contains("\nversion.workspace = true\n"), "{}", &member[1]);
    }
}

#[test]
fn the_templates_that_can_be_published_tell_the_version() {
    for path in ["template.yaml", "infra/flush-hosts.yaml"] {
        assert!(text(path).contains(&format!("\n    SemanticVersion: {VERSION}\n")), "{path}");
    }
}

/// A version that is not released yet stands first, without a date.
#[test]
fn the_changelog_begins_with_the_version() {
    let changelog = text("CHANGELOG.md");
    let first = changelog.lines().find(|line| line.starts_with("## ")).unwrap();
    let heading =
        Regex::new(r"^## \[(\d+\.\d+\.\d+)\] - (unreleased|20\d\d-[01]\d-[0-3]\d)$").unwrap();
    let version = heading
        .captures(first)
        .unwrap_or_else(|| panic!("{first}"))
        .get(1)
        .unwrap()
        .as_str()
        .to_owned();
    assert_eq!(version, VERSION);
}
