//! The commands of `infra/adopt.md`, as its reader finds them.

use anyhow::{Context, Result};
use lab::workspace::root;

/// The commands of a section, each on one line.
pub(crate) fn commands(heading: &str) -> Result<Vec<String>> {
    let section = section(heading)?.replace("\\\n", " ");
    let blocks = section.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.trim().to_owned());
    Ok(lines.filter(|line| !line.is_empty()).collect())
}

/// The command that begins like this, in a sentence of a section without blocks.
pub(crate) fn in_sentence(heading: &str, beginning: &str) -> Result<String> {
    let section = section(heading)?;
    let spans = section.split('`').skip(1).step_by(2);
    let mut commands = spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "));
    let found = commands.find(|command| command.starts_with(beginning));
    found.with_context(|| format!("no {beginning:?} under {heading:?} of infra/adopt.md"))
}

/// What stands under a heading, up to the next.
fn section(heading: &str) -> Result<String> {
    let guide = std::fs::read_to_string(root().join("infra/adopt.md"))?;
    let (_, rest) = guide
        .split_once(&format!("\n{heading}\n"))
        .with_context(|| format!("infra/adopt.md has no heading {heading:?}"))?;
    let rest = rest.split("\n### ").next().unwrap_or_default();
    Ok(rest.split("\n## ").next().unwrap_or_default().to_owned())
}
