//! Telling a person what takes so long.

use std::time::Duration;

/// Told how the slow steps are going. The library itself prints nothing.
pub trait Progress: Send + Sync {
    /// A step begins, or something is worth knowing.
    fn say(&self, text: &str);

    /// A long step goes on; called about once a second with the last thing it said.
    fn waiting(&self, step: &str, elapsed: Duration, detail: &str);
}

/// Tells nobody.
pub struct Quiet;

impl Progress for Quiet {
    fn say(&self, _text: &str) {}

    fn waiting(&self, _step: &str, _elapsed: Duration, _detail: &str) {}
}

/// Says on standard error which step a test of minutes is at, and does not follow it.
pub struct Steps;

impl Steps {
    /// Says what comes next.
    #[expect(clippy::print_stderr, reason = "a test of minutes says where it is")]
    pub fn begin(name: &str) {
        eprintln!("---- {name}");
    }
}

impl Progress for Steps {
    #[expect(clippy::print_stderr, reason = "a test of minutes says where it is")]
    fn say(&self, text: &str) {
        eprintln!("     {text}");
    }

    fn waiting(&self, _step: &str, _elapsed: Duration, _detail: &str) {}
}
