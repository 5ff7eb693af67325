//! A program that answers questions: one start for many of them.

use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Write as _, pipe};

use anyhow::{Context, Result, ensure};

use super::{Process, Program, QUOTED_LINES, tail};
use crate::workspace::Run;

/// A program that runs, and answers each line with a line.
pub struct Conversation {
    questions: PipeWriter,
    answers: BufReader<PipeReader>,
    process: Process,
}

impl Program {
    /// Starts it to talk with it; its log has what it writes to its standard error.
    pub fn converse(mut self, run: &Run) -> Result<Conversation> {
        let log = run.logs().join(format!("{}.log", self.name));
        let (input, questions) = pipe().context("a pipe")?;
        let (answers, output) = pipe().context("a pipe")?;
        self.input = input.into();
        let process = self.spawn(log, output)?;
        Ok(Conversation { questions, answers: BufReader::new(answers), process })
    }
}

impl Conversation {
    /// Sends a line, and returns the line that it is answered with.
    pub fn ask(&mut self, line: &str) -> Result<String> {
        let mut answer = String::new();
        let asked = writeln!(self.questions, "{line}")
            .and_then(|()| self.answers.read_line(&mut answer))
            .with_context(|| format!("ask {}", self.process.name))?;
        ensure!(
            asked > 0,
            "{} ended: {}",
            self.process.name,
            tail(&self.process.log, QUOTED_LINES)
        );
        Ok(answer)
    }
}
