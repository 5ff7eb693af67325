//! What a world says about a strategy.

use reconcile::target::Target;

use crate::database::{Change, What};
use crate::dice::{Moment, SECOND};
use crate::group::INITIAL;
use crate::kinds::Kind;
use crate::scenario::Scenario;
use crate::subject::Subject;
use crate::world::{Kept, State};

/// A strategy's numbers, in one or many worlds. A change is when a group should have other members:
/// for a writer, a move to another address.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    /// How many changes there were.
    pub changes: usize,
    /// Seconds from each change that converged until the group was right. If another change comes
    /// first, the clock goes on.
    pub converged: Vec<f32>,
    /// Seconds after which a change has not converged.
    pub limit: f32,
    /// Seconds from the second witness of the new writer until the group was exactly that, where
    /// both came.
    pub pair_to_switch: Vec<f32>,
    /// Seconds in which a target that should not be one was a member.
    pub wrong_s: f64,
    /// Seconds in which the group was empty.
    pub empty_s: f64,
    /// Seconds in which no member was healthy. Not counted in the worlds of the rivals.
    pub unserved_s: f64,
    /// Switches to an address that was not the writer at that moment.
    pub wrong_ways: usize,
    /// Those among them for which at least as many readable witnesses were honest as were not.
    pub wrong_ways_despite_witnesses: usize,
    /// Those among them for which any readable witness was honest, be it one against two.
    pub wrong_ways_with_honest_witness: usize,
    /// Write calls that reached ELBv2.
    pub writes: usize,
    /// What was asked and said of the path.
    pub path: PathMeasures,
}

/// What a strategy asked through the load balancer, and said of it.
#[derive(Clone, Debug, Default)]
pub struct PathMeasures {
    /// Each claimed time from the registration, and the true one, in seconds, from which on every
    /// zone leads to the new target alone.
    pub latencies: Vec<(f32, f32)>,
    /// How many runs said that the path is up or down.
    pub verdicts: usize,
    /// In how many of them that was wrong, a zone with two targets not being right.
    pub wrong_verdicts: usize,
    /// Each session, from when to when.
    pub sessions: Vec<(Moment, Moment)>,
    /// The most sessions that began within a minute in one world.
    pub most_a_minute: usize,
    /// The most sessions that were open at once in one world.
    pub most_at_once: usize,
}

impl PathMeasures {
    /// A world is over: its sessions are counted.
    fn count(&mut self) {
        self.sessions.sort_unstable();
        let minute = |(number, (began, _)): (usize, &(Moment, Moment))| {
            let until = self.sessions.partition_point(|(other, _)| *other < began + 60 * SECOND);
            until - number
        };
        self.most_a_minute = self.sessions.iter().enumerate().map(minute).max().unwrap_or(0);
        let mut ends: Vec<Moment> = self.sessions.iter().map(|(_, ended)| *ended).collect();
        ends.sort_unstable();
        let open = |(number, (began, _)): (usize, &(Moment, Moment))| {
            number + 1 - ends.partition_point(|ended| ended <= began)
        };
        self.most_at_once = self.sessions.iter().enumerate().map(open).max().unwrap_or(0);
    }

    fn add(&mut self, other: PathMeasures) {
        self.latencies.extend(other.latencies);
        self.verdicts += other.verdicts;
        self.wrong_verdicts += other.wrong_verdicts;
        self.most_a_minute = self.most_a_minute.max(other.most_a_minute);
        self.most_at_once = self.most_at_once.max(other.most_at_once);
    }

    /// A percentile of how much too early the claims were that were made while some zone still had
    /// the old target, and how many these are.
    pub fn too_early(&self, percent: f64) -> (f64, usize) {
        let early = self.latencies.iter().filter(|(claimed, truth)| claimed < truth);
        let early: Vec<f32> = early.map(|(claimed, truth)| truth - claimed).collect();
        let count = early.len();
        (percentile(early, percent), count)
    }

    /// A percentile of the claimed times.
    pub fn latency(&self, percent: f64) -> f64 {
        percentile(self.latencies.iter().map(|(claimed, _)| *claimed).collect(), percent)
    }

    /// A percentile of the true times.
    pub fn true_latency(&self, percent: f64) -> f64 {
        percentile(self.latencies.iter().map(|(_, truth)| *truth).collect(), percent)
    }
}

impl Measures {
    /// Of every binding that nothing is wrong with.
    pub(crate) fn of(scenario: &Scenario, state: &State, end: Moment) -> Measures {
        let mut sum = Measures::default();
        for binding in scenario.sound() {
            sum.add(Measures::of_binding(scenario, binding, &state.kept[binding], end));
        }
        sum.path = state.path.clone();
        sum.path.count();
        sum
    }

    fn of_binding(scenario: &Scenario, binding: usize, kept: &Kept, end: Moment) -> Measures {
        let (subject, limit) = (&*scenario.subjects[binding], scenario.kind.convergence_limit());
        let changes = subject.changes();
        let first = changes.first().copied().unwrap_or(end);
        let mut measures = Measures {
            changes: changes.len(),
            limit: seconds(limit),
            wrong_ways: kept.wrong_ways.len(),
            wrong_ways_despite_witnesses: kept
                .wrong_ways
                .iter()
                .filter(|way| way.is_despite_witnesses())
                .count(),
            wrong_ways_with_honest_witness: kept
                .wrong_ways
                .iter()
                .filter(|way| way.honest > 0)
                .count(),
            writes: kept.writes as usize,
            ..Measures::default()
        };
        let right_from = measures.watch_members(subject, kept, first, end);
        for change in &changes {
            let right = right_from.iter().find(|at| **at >= *change);
            measures
                .converged
                .extend(right.map(|at| at - change).filter(|time| *time <= limit).map(seconds));
        }
        if scenario.kind != Kind::Writer {
            measures.unserved_s = unserved(subject, &kept.group.history, first, end);
        }
        if scenario.config.bindings[binding].kind.is_single_writer() {
            measures.time_switches(scenario, kept, end);
        }
        measures
    }

    /// Adds up for how long the members were wrong; returns since when they are right.
    fn watch_members(
        &mut self,
        subject: &dyn Subject,
        kept: &Kept,
        first: Moment,
        end: Moment,
    ) -> Vec<Moment> {
        let mut moments: Vec<Moment> = kept.group.history.iter().map(|(at, _)| *at).collect();
        moments.extend(subject.changes());
        moments.retain(|at| (first..end).contains(at));
        moments.sort_unstable();
        moments.dedup();
        let mut right_from = Vec::new();
        for (number, at) in moments.iter().enumerate() {
            let members = kept.group.members_at(*at);
            let wanted = subject.wanted(*at);
            let lasted = (moments.get(number + 1).unwrap_or(&end) - at) as f64 / 1e3;
            if members.iter().any(|member| wanted.is_wrong(*member)) {
                self.wrong_s += lasted;
            }
            if members.is_empty() {
                self.empty_s += lasted;
            }
            if wanted.is_met_by(members) {
                right_from.push(*at);
            }
        }
        right_from
    }

    /// From the second witness of each move of the writer to the switch.
    fn time_switches(&mut self, scenario: &Scenario, kept: &Kept, end: Moment) {
        let moves: Vec<&Change> = scenario.database.moves().collect();
        for (number, change) in moves.iter().enumerate() {
            let next = moves.get(number + 1).copied();
            let superseded = next.map_or(end, |next| next.moved);
            let switch =
                kept.switches.iter().find(|switch| (change.moved..superseded).contains(&switch.at));
            if let Some(switch) = switch
                && let Some(pair) = second_witness(scenario, change, next, switch.resolver)
            {
                self.pair_to_switch.push(seconds(switch.at.saturating_sub(pair)));
            }
        }
    }

    /// Adds the numbers of other worlds.
    pub fn add(&mut self, other: Measures) {
        self.changes += other.changes;
        self.converged.extend(other.converged);
        self.limit = self.limit.max(other.limit);
        self.pair_to_switch.extend(other.pair_to_switch);
        self.wrong_s += other.wrong_s;
        self.empty_s += other.empty_s;
        self.unserved_s += other.unserved_s;
        self.wrong_ways += other.wrong_ways;
        self.wrong_ways_despite_witnesses += other.wrong_ways_despite_witnesses;
        self.wrong_ways_with_honest_witness += other.wrong_ways_with_honest_witness;
        self.writes += other.writes;
        self.path.add(other.path);
    }

    /// The share of changes that converged, in percent.
    pub fn converged_pct(&self) -> f64 {
        100.0 * self.converged.len() as f64 / self.changes.max(1) as f64
    }

    /// A percentile of the seconds to convergence. A change that did not converge counts as the
    /// limit.
    pub fn convergence(&self, percent: f64) -> f64 {
        let mut times = self.converged.clone();
        times.resize(self.changes, self.limit);
        percentile(times, percent)
    }

    /// A percentile of the seconds from the second witness to the switch.
    pub fn promptness(&self, percent: f64) -> f64 {
        percentile(self.pair_to_switch.clone(), percent)
    }

    /// The wrong-way switches that there would be in 100,000 changes.
    pub fn wrong_ways_in_100_000(&self) -> f64 {
        100_000.0 * self.mean(self.wrong_ways as f64)
    }

    /// A total per change.
    pub fn mean(&self, total: f64) -> f64 {
        total / self.changes.max(1) as f64
    }
}

/// When a second witness named the new writer: DNS there, the RDS API, or an event.
fn second_witness(
    scenario: &Scenario,
    change: &Change,
    next: Option<&Change>,
    resolver: usize,
) -> Option<Moment> {
    let database = &scenario.database;
    let limit = next.map_or(Moment::MAX, |next| next.moved);
    let dns = (change.moved..limit.min(change.dns.steady + 20 * SECOND))
        .step_by(250)
        .find(|at| database.writer_by_dns(resolver, *at).0 == change.to);
    let is_named = database.engine.is_cluster() && change.what == What::Failover;
    let topology = is_named.then_some(change.topology);
    let about = change.started..next.map_or(Moment::MAX, |next| next.started);
    let event = scenario.deliveries.iter().find(|delivery| {
        delivery.names.is_some_and(|(host, time)| host == change.to && about.contains(&time))
    });
    let event = event.map(|delivery| delivery.at.max(change.moved));
    let mut witnesses: Vec<Moment> =
        [dns, topology, event].into_iter().flatten().filter(|at| *at < limit).collect();
    witnesses.sort_unstable();
    witnesses.get(1).copied()
}

/// Seconds in which no member was healthy, in steps of one.
fn unserved(
    subject: &dyn Subject,
    history: &[(Moment, Vec<Target>)],
    first: Moment,
    end: Moment,
) -> f64 {
    let mut since: Vec<(Target, Moment)> = Vec::new();
    let mut coming = history.iter().peekable();
    let mut unserved = 0.0;
    for at in (0..end).step_by(SECOND as usize) {
        while let Some((from, members)) = coming.next_if(|(from, _)| *from <= at) {
            since.retain(|(target, _)| members.contains(target));
            let new =
                members.iter().filter(|member| !since.iter().any(|(target, _)| target == *member));
            let new: Vec<(Target, Moment)> = new.map(|member| (*member, *from)).collect();
            since.extend(new);
        }
        let is_healthy = |(target, from): &(Target, Moment)| {
            from + INITIAL <= at && !subject.is_down(target.address, at)
        };
        if at >= first && !since.iter().any(is_healthy) {
            unserved += 1.0;
        }
    }
    unserved
}

fn seconds(time: Moment) -> f32 {
    time as f32 / 1e3
}

fn percentile(mut times: Vec<f32>, percent: f64) -> f64 {
    times.sort_unstable_by(f32::total_cmp);
    let rank = (percent / 100.0 * times.len() as f64).ceil() as usize;
    times.get(rank.saturating_sub(1)).copied().map_or(0.0, f64::from)
}
