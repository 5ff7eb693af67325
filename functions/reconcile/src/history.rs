//! What a process remembers of a binding from run to run. Only a help: a new one does without.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::claim::{Unbroken, age};
use crate::target::Addresses;
use crate::target_group::TargetHistory;

/// What is remembered of one binding.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What was seen of the target group.
    pub targets: TargetHistory,
    /// When the RDS API last flagged a member, by its identifier, as the only writer.
    pub writers: BTreeMap<String, DateTime<Utc>>,
    /// The writers that this process registered among the readers while no reader was healthy.
    pub stand_ins: BTreeSet<IpAddr>,
    /// What DNS and the RDS API have both named.
    pub agreement: Option<Unbroken<Addresses>>,
    /// What DNS has answered, where absence from its answers counts.
    pub answers: Option<AnswerHistory>,
}

/// Runs further apart than the slowest schedule's five minutes say nothing about the time between.
pub(crate) const AGREEMENT_GAP: Duration = Duration::from_secs(330);

/// An address that was last named so long ago is as absent as one that never was.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);

/// When DNS named which address, and how many answers it has given.
#[derive(Clone, Debug, Default)]
pub struct AnswerHistory {
    first: Option<DateTime<Utc>>,
    count: u64,
    /// When each address was named last, and by which answer.
    named: BTreeMap<IpAddr, (DateTime<Utc>, u64)>,
}

impl AnswerHistory {
    pub(crate) fn record(&mut self, addresses: &Addresses, now: DateTime<Utc>) {
        self.first.get_or_insert(now);
        self.count += 1;
        self.named.retain(|_, (at, _)| age(*at, now) <= FORGOTTEN_AFTER);
        self.named.extend(addresses.iter().map(|address| (address, (now, self.count))));
    }

    pub(crate) fn absent_for(
        &self,
        address: IpAddr,
        now: DateTime<Utc>,
    ) -> Option<(Duration, u64)> {
        let (since, answer) =
            self.named.get(&address).copied().or(self.first.map(|first| (first, 0)))?;
        Some((age(since, now), self.count - answer))
    }
}

/// How many a process remembers of a binding, or of a load balancer, which has one in each zone.
const ADDRESSES_AT_MOST: usize = 8;

/// Puts these last, each once, and forgets those that were named longest ago.
pub(crate) fn remember_last(known: &mut Vec<IpAddr>, named: impl Iterator<Item = IpAddr>) {
    for address in named {
        known.retain(|known| *known != address);
        known.push(address);
    }
    known.drain(..known.len().saturating_sub(ADDRESSES_AT_MOST));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).expect("a time")
    }

    #[test]
    fn absence_is_counted_in_answers_and_from_the_first_that_was_heard() {
        let [one, other, third]: [IpAddr; 3] = [1, 2, 3].map(|host| [10, 0, 0, host].into());
        let mut answers = AnswerHistory::default();
        assert_eq!(answers.absent_for(one, at(0)), None, "nobody knows");
        for second in 0..10 {
            answers.record(&if second == 4 { other } else { one }.into(), at(second));
        }
        for (address, expected) in [(one, (0, 0)), (other, (5, 5)), (third, (9, 10))] {
            let (seconds, count) = expected;
            assert_eq!(
                answers.absent_for(address, at(9)),
                Some((Duration::from_secs(seconds), count)),
                "{address}"
            );
        }
    }

    #[test]
    fn what_was_named_by_both_goes_on_over_the_slowest_schedule_and_no_longer() {
        let named = Addresses::from(IpAddr::from([10, 0, 0, 1]));
        let agreement = Unbroken { value: named, since: at(0), last: at(60) };
        assert!(agreement.is_within(AGREEMENT_GAP, at(60 + 330)));
        assert!(!agreement.is_within(AGREEMENT_GAP, at(60 + 331)));
    }
}
