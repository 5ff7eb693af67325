//! Which errors a watch goes on after, and when.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Remedy, SyncError};

/// So many looks in a row that fail with what no look can mend end the run.
const IN_VAIN: u32 = 3;

/// A refused address that is named for so long ends the run.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// IAM is eventually consistent (IAM guide, "Troubleshoot IAM"): a new right may take seconds.
const DENIED_FOR: Duration = Duration::from_secs(60);

/// ELBv2 throttles the whole account: after so long at first, then after twice as long each time.
const BACK_OFF: Duration = Duration::from_secs(1);

const BACK_OFF_AT_MOST: Duration = Duration::from_secs(16);

#[derive(Default)]
pub(crate) struct Errors(Option<Row>);

struct Row {
    remedy: Remedy,
    count: u32,
    since: Instant,
}

impl Errors {
    pub(crate) fn end(&mut self) {
        self.0 = None;
    }

    /// How much longer than usual to wait before the next look; nothing if none can help.
    pub(crate) fn next(&mut self, error: &SyncError) -> Option<Duration> {
        let remedy = error.remedy();
        let row = match self.0.take().filter(|row| row.remedy == remedy) {
            Some(row) => Row { count: row.count + 1, ..row },
            None => Row { remedy, count: 1, since: Instant::now() },
        };
        let (count, lasted) = (row.count, row.since.elapsed());
        self.0 = Some(row);
        match remedy {
            Remedy::None => (count < IN_VAIN).then_some(Duration::ZERO),
            Remedy::OtherEvidence => (lasted < REFUSED_FOR).then_some(Duration::ZERO),
            Remedy::Permission if lasted >= DENIED_FOR => None,
            Remedy::Patience | Remedy::Permission => {
                Some(jittered((BACK_OFF * (1 << (count - 1).min(4))).min(BACK_OFF_AT_MOST)))
            }
            Remedy::Retry => Some(Duration::ZERO),
        }
    }
}

/// Functions that were throttled together must not come back together.
fn jittered(pause: Duration) -> Duration {
    let share = u32::from(RandomState::new().hash_one(()) as u16);
    pause / 2 + pause / 2 * share / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use reconcile::network::AddressRefusal;

    use super::*;
    use crate::error::{AwsError, DEREGISTER, REGISTER};

    fn refused_with(code: &str) -> SyncError {
        refused("elasticloadbalancing:DescribeTargetHealth", code)
    }

    fn refused(action: &'static str, code: &str) -> SyncError {
        let mut source = AwsError::incomplete(action, "group", "no");
        source.code = Some(code.to_owned());
        SyncError::Aws { progress: "", source: source.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_look_can_mend_ends_after_three_in_a_row() {
        for code in ["AccessDenied", "AccessDeniedException", "TargetGroupNotFound"] {
            let mut errors = Errors::default();
            for expected in [true, true, false] {
                assert_eq!(errors.next(&refused_with(code)).is_some(), expected, "{code}");
            }
            errors.end();
            assert!(errors.next(&refused_with(code)).is_some(), "{code}: not in a row");
        }
        let mut errors = Errors::default();
        for code in ["AccessDenied", "AccessDenied", "InternalFailure", "AccessDenied"] {
            assert!(errors.next(&refused_with(code)).is_some(), "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_denied_is_tried_again_for_a_minute() {
        for action in [REGISTER, DEREGISTER] {
            let mut errors = Errors::default();
            let began = Instant::now();
            while let Some(pause) = errors.next(&refused(action, "AccessDenied")) {
                assert!(!pause.is_zero(), "{action}: like throttling");
                tokio::time::sleep(pause).await;
            }
            let lasted = began.elapsed();
            assert!(lasted >= DENIED_FOR && lasted < 2 * DENIED_FOR, "{action}: {lasted:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_address_ends_after_half_a_minute_and_the_rest_never() {
        let refused = SyncError::Refused(AddressRefusal::SeveralWriters(Vec::new()));
        let (mut errors, mut others) = (Errors::default(), Errors::default());
        for second in 0..=30 {
            assert_eq!(errors.next(&refused).is_some(), second < 30, "after {second} s");
            assert_eq!(others.next(&refused_with("InternalFailure")), Some(Duration::ZERO));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    #[test]
    fn throttling_waits_longer_each_time_and_not_always_alike() {
        let mut errors = Errors::default();
        for most in [1, 2, 4, 8, 16, 16, 16] {
            let pause = errors.next(&refused_with("Throttling")).expect("it goes on");
            let most = Duration::from_secs(most);
            assert!((most / 2..=most).contains(&pause), "{pause:?} of {most:?}");
        }
        let pauses: std::collections::BTreeSet<_> =
            (0..20).map(|_| jittered(Duration::from_secs(16))).collect();
        assert!(pauses.len() > 1, "{pauses:?}");
    }
}
