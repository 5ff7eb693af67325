//! When a zone knows of a change of the target group.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Lag, Targets, lock};
use crate::history::Change;

/// What a zone forwards to: what the group has held, or lacked, for as long as the zone is late.
pub(super) struct Follower {
    lag: Lag,
    /// Since when the group differs from what the zone knows of a target.
    differs_since: BTreeMap<SocketAddr, Instant>,
    publish: watch::Sender<Targets>,
    changes: Arc<Mutex<Vec<Change>>>,
}

impl Follower {
    pub(super) fn new(
        lag: Lag,
        publish: watch::Sender<Targets>,
        changes: Arc<Mutex<Vec<Change>>>,
    ) -> Self {
        Self { lag, differs_since: BTreeMap::new(), publish, changes }
    }

    /// The group holds this now.
    pub(super) fn look(&mut self, group: &Targets, now: Instant) {
        let known = self.publish.borrow().clone();
        let mut targets = known.clone();
        for target in known.union(group) {
            let (is_known, is_registered) = (known.contains(target), group.contains(target));
            if is_known == is_registered {
                // What was undone before the zone knew of it never happened there.
                self.differs_since.remove(target);
                continue;
            }
            let since = *self.differs_since.entry(*target).or_insert(now);
            let lag = if is_registered { self.lag.registration } else { self.lag.deregistration };
            if now.saturating_duration_since(since) < lag {
                continue;
            }
            self.differs_since.remove(target);
            if is_registered {
                targets.insert(*target);
            } else {
                targets.remove(target);
            }
        }
        self.differs_since.retain(|target, _| known.contains(target) || group.contains(target));
        if targets != known {
            lock(&self.changes).push((now, targets.clone()));
            self.publish.send_replace(targets);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OLD: SocketAddr = SocketAddr::new(crate::postgres::ADDRESSES[0], 5432);
    const NEW: SocketAddr = SocketAddr::new(crate::postgres::ADDRESSES[1], 5432);

    struct Zone {
        follower: Follower,
        targets: watch::Receiver<Targets>,
        began: Instant,
    }

    impl Zone {
        /// Late by eight seconds and six, and leads to the old target.
        fn new() -> Self {
            let (publish, targets) = watch::channel(Targets::from([OLD]));
            let follower = Follower::new(Lag::SHORTENED, publish, Arc::default());
            Self { follower, targets, began: Instant::now() }
        }

        /// Where new connections go when it has looked at the group at this second.
        fn leads_to(&mut self, second: u64, group: &[SocketAddr]) -> Targets {
            let now = self.began + Duration::from_secs(second);
            self.follower.look(&group.iter().copied().collect(), now);
            self.targets.borrow().clone()
        }
    }

    #[test]
    fn a_zone_leaves_the_old_target_and_takes_the_new_one_each_after_its_own_time() {
        let mut zone = Zone::new();
        for (second, expected) in
            [(0, vec![OLD]), (5, vec![OLD]), (6, vec![]), (7, vec![]), (8, vec![NEW])]
        {
            let leads_to = zone.leads_to(second, &[NEW]);
            assert_eq!(leads_to, expected.into_iter().collect(), "second {second}");
        }
        let changes = lock(&zone.follower.changes).clone();
        assert_eq!(changes.len(), 2, "{changes:?}");
    }

    #[test]
    fn what_is_undone_in_time_never_happened_in_the_zone() {
        let mut zone = Zone::new();
        for (second, group) in [(0, vec![NEW]), (4, vec![OLD]), (9, vec![OLD]), (20, vec![OLD])] {
            assert_eq!(zone.leads_to(second, &group), Targets::from([OLD]), "second {second}");
        }
        assert_eq!(zone.leads_to(21, &[NEW]), Targets::from([OLD]), "the times begin anew");
        assert_eq!(zone.leads_to(26, &[NEW]), Targets::from([OLD]));
        assert_eq!(zone.leads_to(27, &[NEW]), Targets::new());
    }

    #[test]
    fn each_further_zone_is_later() {
        let milliseconds = |number| {
            let lag = Lag::SHORTENED.of_zone(number);
            (lag.registration.as_millis(), lag.deregistration.as_millis())
        };
        assert_eq!([milliseconds(0), milliseconds(2)], [(8_000, 6_000), (9_400, 7_400)]);
        assert_eq!(Lag::SHORTENED.longest(3), Duration::from_millis(9_400));
        assert_eq!(Lag::NONE.longest(3), Duration::ZERO);
    }
}
