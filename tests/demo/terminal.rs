//! The one place that prints.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program talks to its user"
)]

use std::io::{IsTerminal, Write, stdout};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lab::progress::Progress;

/// How often a long step shows a sign of life in a file or a pipe; on a terminal every second.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Steps shorter than this need no progress.
const SHORT: Duration = Duration::from_secs(2);

const WIDTH: usize = 100;

/// Prints to the user's terminal, or plainly to whatever stands in for it.
pub(crate) struct Terminal {
    started: Instant,
    interactive: bool,
    last_sign: Mutex<Instant>,
}

/// A way to set words off.
#[derive(Clone, Copy)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
    Quiet,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let started = Instant::now();
        Self { started, interactive: stdout().is_terminal(), last_sign: Mutex::new(started) }
    }

    /// A line of its own, set off by a blank one.
    pub(crate) fn title(&self, text: &str) {
        self.clear();
        println!("\n{}", self.paint("1", text));
    }

    /// A plain line.
    pub(crate) fn line(&self, text: &str) {
        self.clear();
        println!("{text}");
    }

    /// Something that happened, at a time since whatever the lines around it count from.
    pub(crate) fn event(&self, after: Duration, tone: Tone, text: &str) {
        self.clear();
        let code = match tone {
            Tone::Plain => "0",
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Quiet => "2",
        };
        println!("  {:>+8.3} s  {}", after.as_secs_f64(), self.paint(code, text));
    }

    /// Why we could not do it.
    pub(crate) fn failure(&self, error: &anyhow::Error) {
        self.clear();
        eprintln!("\n{}", self.paint("1;31", "failed"));
        for cause in error.chain() {
            eprintln!("  {cause}");
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.interactive { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Takes the line of a step that is going on away.
    fn clear(&self) {
        if self.interactive {
            print!("\r\x1b[K");
        }
    }
}

impl Progress for Terminal {
    fn say(&self, text: &str) {
        self.event(self.started.elapsed(), Tone::Plain, text);
    }

    fn waiting(&self, step: &str, elapsed: Duration, detail: &str) {
        if elapsed < SHORT {
            return;
        }
        let mut last_sign =
            self.last_sign.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.interactive {
            let line = format!("            {step} for {} s: {}", elapsed.as_secs(), detail.trim());
            print!("\r\x1b[K{}", self.paint("2", &line.chars().take(WIDTH).collect::<String>()));
            // Only cosmetics are lost if the terminal is gone.
            let _ = stdout().flush();
        } else if elapsed < SIGN_OF_LIFE || last_sign.elapsed() < SIGN_OF_LIFE {
            return;
        } else {
            self.event(
                self.started.elapsed(),
                Tone::Quiet,
                &format!("still at {step}: {}", detail.trim()),
            );
        }
        *last_sign = Instant::now();
    }
}
