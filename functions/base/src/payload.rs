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
        let keys = payload.as_object().into_iter().flatten();
        let known = |name: &str| {
            let is_it = |key: &str| key.to_ascii_lowercase().replace(['-', '_'], "") == name;
            let mut spelled = keys.clone().filter(|(key, _)| is_it(key));
            let first = spelled.next();
            match first
                .and_then(|(key, value)| Some((key, spelled.find(|(_, other)| *other != value)?.0)))
            {
                Some((key, other)) => Err(PayloadError::new(
                    key,
                    format!("contradicts {:?}: give one of them", bounded(other)),
                )),
                None => Ok(first),
            }
        };
        let wrong = |key: &str, value: &Value, expected: &str| {
            PayloadError::new(key, format!("is {}: give {expected}", bounded(&value.to_string())))
        };
        let mut options = Options::default();
        if let Some((key, value)) = known("dryrun")? {
            options.dry_run = value
                .as_bool()
                .ok_or_else(|| wrong(key, value, "true or false, without quotes"))?;
        }
        if let Some((key, value)) = known("watchseconds")? {
            let seconds =
                value.as_u64().map(Duration::from_secs).filter(|watch| *watch <= WATCH_LIMIT);
            options.watch =
                Some(seconds.ok_or_else(|| wrong(key, value, "whole seconds from 0 to 180"))?);
        }
        if let Some((key, value)) = known("binding")? {
            let name = value.as_str().filter(|name| (1..=64).contains(&name.len()));
            options.binding =
                Some(name.ok_or_else(|| wrong(key, value, "the name of a binding"))?.to_owned());
        }
        Ok(options)
    }

    /// The dry run, for a function that has neither bindings nor watches.
    ///
    /// # Errors
    /// When a binding or a watch is asked for: to ignore that would do more than was asked.
    pub fn dry_run_alone(self) -> Result<bool, PayloadError> {
        let problem =
            "is not known to this function, which has neither bindings nor watches: leave it out";
        match self {
            Options { binding: Some(_), .. } => {
                Err(PayloadError::new("binding", problem.to_owned()))
            }
            Options { watch: Some(_), .. } => {
                Err(PayloadError::new("watchSeconds", problem.to_owned()))
            }
            Options { dry_run, .. } => Ok(dry_run),
        }
    }
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
