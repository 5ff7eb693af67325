//! What a person may ask for in a payload: the keys that the functions know.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// The longest watch: clusters fail over in up to a minute, instances in two; DNS follows in one.
pub const WATCH_LIMIT: Duration = Duration::from_secs(180);

/// What a person may ask for, at the top of a payload: deeper or in a text it must not disarm a
/// failover. Case, `-` and `_` do not matter: a misspelled dry run would be a real one. Other keys,
/// such as the console's `key1`, are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `dryRun`: true or false.
    pub dry_run: bool,
    /// `binding`: a name.
    pub binding: Option<String>,
    /// `watchSeconds`: 0 to [`WATCH_LIMIT`].
    pub watch: Option<Duration>,
}

impl Options {
    /// Reads the options of a payload.
    ///
    /// # Errors
    /// A key with a value of the wrong type, or two spellings of one with different values.
    pub fn parse(payload: &Value) -> Result<Options, PayloadError> {
        let in_limit = |watch: &Duration| *watch <= WATCH_LIMIT;
        let seconds = |value: &Value| value.as_u64().map(Duration::from_secs).filter(in_limit);
        let is_short = |name: &&str| (1..=64).contains(&name.len());
        let name = |value: &Value| value.as_str().filter(is_short).map(str::to_owned);
        let dry_run = option(payload, "dryrun", Value::as_bool, "true or false, without quotes")?;
        Ok(Options {
            dry_run: dry_run.unwrap_or_default(),
            watch: option(payload, "watchseconds", seconds, "whole seconds from 0 to 180")?,
            binding: option(payload, "binding", name, "the name of a binding")?,
        })
    }

    /// The dry run, for a function that has neither bindings nor watches.
    ///
    /// # Errors
    /// When a binding or a watch is asked for: to ignore that would do more than was asked.
    pub fn dry_run_alone(self) -> Result<bool, PayloadError> {
        let problem =
            "is not known to this function, which has neither bindings nor watches: leave it out";
        let unknown = match self {
            Options { binding: Some(_), .. } => "binding",
            Options { watch: Some(_), .. } => "watchSeconds",
            Options { dry_run, .. } => return Ok(dry_run),
        };
        Err(PayloadError::new(unknown, problem.to_owned()))
    }
}

/// The value of an option, however its key is spelled: two spellings must agree.
fn option<T>(
    payload: &Value,
    name: &str,
    read: impl Fn(&Value) -> Option<T>,
    expected: &str,
) -> Result<Option<T>, PayloadError> {
    let is_it = |key: &str| key.to_ascii_lowercase().replace(['-', '_'], "") == name;
    let mut spelled = payload.as_object().into_iter().flatten().filter(|(key, _)| is_it(key));
    let Some((key, value)) = spelled.next() else { return Ok(None) };
    if let Some((other, _)) = spelled.find(|(_, other)| *other != value) {
        let problem = format!("contradicts {:?}: give one of them", bounded(other));
        return Err(PayloadError::new(key, problem));
    }
    let wrong = || format!("is {}: give {expected}", bounded(&value.to_string()));
    read(value).map(Some).ok_or_else(|| PayloadError::new(key, wrong()))
}

/// A payload with an option that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadError {
    key: String,
    problem: String,
}

impl PayloadError {
    fn new(key: &str, problem: String) -> PayloadError {
        PayloadError { key: bounded(key), problem }
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the payload's {:?} {}; nothing was done", self.key, self.problem)
    }
}

impl std::error::Error for PayloadError {}

/// The beginning of a text that somebody else wrote, for a log and an answer.
pub fn bounded(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} bytes in all)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}
