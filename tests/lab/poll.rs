//! Waiting for a condition, with a deadline and an error that says what did not happen.

use std::time::Duration;

use anyhow::{Error, Result, anyhow};
use tokio::time::{Instant, sleep};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// What one look at a condition found.
pub enum Look<T> {
    /// It holds.
    Ready(T),
    /// Not yet, and why; the last reason becomes part of the error at the deadline.
    NotYet(Error),
}

impl<T> From<Result<T>> for Look<T> {
    fn from(result: Result<T>) -> Self {
        result.map_or_else(Self::NotYet, Self::Ready)
    }
}

/// Looks at a condition until it holds. At the deadline the error names `what` and the last reason;
/// an error of `look` ends the wait at once.
pub async fn until<T>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<Look<T>>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        let reason = match look().await? {
            Look::Ready(value) => return Ok(value),
            Look::NotYet(reason) => reason,
        };
        if Instant::now() >= end {
            return Err(reason.context(anyhow!("{what} did not happen within {deadline:?}")));
        }
        sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_error_at_the_deadline_says_what_did_not_happen_and_why() {
        let look = async || Ok(Look::<()>::NotYet(anyhow!("it holds nothing")));
        let error =
            until("the switch", Duration::from_millis(10), look).await.expect_err("it never holds");
        assert_eq!(format!("{error:#}"), "the switch did not happen within 10ms: it holds nothing");
    }

    #[tokio::test]
    async fn an_error_of_the_look_ends_the_wait() {
        let look = async || -> Result<Look<()>> { Err(anyhow!("it is gone")) };
        let error =
            until("the switch", Duration::from_secs(60), look).await.expect_err("it is gone");
        assert_eq!(error.to_string(), "it is gone");
    }
}
