//! What the databases do by themselves where the function asks through a load balancer.

use std::ops::Range;

use fastrand::Rng;

use crate::database::{Change, Database, Host, What};
use crate::dice::{Moment, chance};
use crate::distributions::path as d;

/// When databases let nobody in, or are mistaken about themselves.
#[derive(Debug, Default)]
pub(crate) struct Lapses {
    /// When a writer lets nobody in, and stays the writer.
    shut: Vec<(Host, Range<Moment>, Shut)>,
    /// When an old writer says that it takes writes.
    relapses: Vec<(Host, Range<Moment>)>,
}

/// Why a writer lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// It restarts.
    Restart,
    /// All its connections are taken.
    Full,
}

impl Lapses {
    /// Each after a change, and before the next one.
    pub(super) fn new(database: &Database, rng: &mut Rng) -> Lapses {
        let (mut shut, mut relapses) = (Vec::new(), Vec::new());
        for (number, change) in database.changes.iter().enumerate() {
            let next = database.changes.get(number + 1).map_or(Moment::MAX, |next| next.started);
            let until_next = |Range { start, end }: Range<Moment>| {
                let range = start..next.min(end);
                (!range.is_empty()).then_some(range)
            };
            let new = shut_after(change, rng).into_iter();
            shut.extend(new.filter_map(|(range, why)| Some((change.to, until_next(range)?, why))));
            let is_failover = change.what == What::Failover && database.engine.is_cluster();
            let relapse = d::relapse_of_writer(rng).filter(|_| is_failover);
            let relapse =
                relapse.and_then(|it| until_next(change.moved + it.start..change.moved + it.end));
            relapses.extend(relapse.map(|range| (change.from, range)));
        }
        Lapses { shut, relapses }
    }

    /// Why the database of this host lets nobody in, if it is the writer and does not.
    pub(crate) fn shut(&self, host: Host, at: Moment) -> Option<Shut> {
        let is_now =
            |(who, range, _): &&(Host, Range<Moment>, _)| *who == host && range.contains(&at);
        self.shut.iter().find(is_now).map(|(_, _, why)| *why)
    }

    /// How often the database of this host restarted.
    pub(crate) fn restarts(&self, host: Host, at: Moment) -> usize {
        let is_over = |(who, range, why): &&(Host, Range<Moment>, Shut)| {
            *who == host && range.end <= at && *why == Shut::Restart
        };
        self.shut.iter().filter(is_over).count()
    }

    /// Whether the database of this host says in a session of its own that it takes writes, and is
    /// none of the writers any more. Kept sessions do not see it: what becomes of a switch then,
    /// the worlds with deployments show.
    pub(crate) fn is_relapsed(&self, host: Host, at: Moment) -> bool {
        self.relapses.iter().any(|(who, range)| *who == host && range.contains(&at))
    }

    /// From when to when what happens, in words for a trace.
    pub(super) fn told(&self, database: &Database) -> Vec<(Range<Moment>, String)> {
        let name = |host: &Host| database.hosts[*host].0;
        let shut = self.shut.iter().map(|(host, range, why)| {
            (range.clone(), format!("{} lets nobody in: {why:?}", name(host)))
        });
        let relapses = self.relapses.iter().map(|(host, range)| {
            (range.clone(), format!("{} says in new sessions that it takes writes", name(host)))
        });
        shut.chain(relapses).collect()
    }

    /// When each is over.
    pub(super) fn ends(&self) -> impl Iterator<Item = Moment> {
        let shut = self.shut.iter().map(|(_, range, _)| range.end);
        shut.chain(self.relapses.iter().map(|(_, range)| range.end))
    }
}

/// When the new writer lets nobody in.
fn shut_after(change: &Change, rng: &mut Rng) -> Vec<(Range<Moment>, Shut)> {
    let mut shut = Vec::new();
    let range = |from: Moment, until: Moment| change.completed + from..change.completed + until;
    if let Some(Range { start, end }) = d::lapse(rng) {
        let why = if chance(rng, d::FULL) { Shut::Full } else { Shut::Restart };
        shut.push((range(start, end), why));
    }
    if let Some(Range { mut start, end }) = d::restarts(rng) {
        while start < end {
            let [up, down] = d::up_and_down(rng);
            shut.push((range(start + up, start + up + down), Shut::Restart));
            start += up + down;
        }
    }
    shut
}
