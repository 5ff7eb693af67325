//! Telling a person what takes so long.

use std::time::Duration;

/// Told how the slow steps are going. The library itself prints nothing.
pub trait Progress: Send + Sync {
    /// A step begins, or something is worth knowing.
    fn say(&self, text: &str);

    /// A step that may take minutes is still going on; called about once a second. `detail` is the last thing it said.
    fn waiting(&self, step: &str, elapsed: Duration, detail: &str);
}

/// Tells nobody.
pub struct Quiet;

impl Progress for Quiet {
    fn say(&self, _text: &str) {}

    fn waiting(&self, _step: &str, _elapsed: Duration, _detail: &str) {}
}
