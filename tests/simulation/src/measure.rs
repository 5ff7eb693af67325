//! What a world says about a strategy.

use reconcile::target::Target;

use crate::dice::{Moment, SECOND};
use crate::scenario::{Move, PORT, Scenario};
use crate::world::State;

/// A failover after which the group is not exactly the writer within this time has not converged.
pub const CONVERGENCE_LIMIT: Moment = 900 * SECOND;

/// The numbers of one strategy in one or many worlds. A failover is a move of the writer to another address.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    /// How many failovers there were.
    pub failovers: usize,
    /// Seconds from the writer's move until the group was exactly the writer of that moment, for each failover that
    /// converged. When the writer moves on before, the clock goes on.
    pub converged: Vec<f32>,
    /// Seconds from the first moment at which two witnesses named the new writer until the group was exactly that
    /// writer, for each failover in which both came.
    pub pair_to_switch: Vec<f32>,
    /// Seconds in which a target that was not the writer was a member.
    pub nonwriter_s: f64,
    /// Seconds in which the group was empty.
    pub empty_s: f64,
    /// Switches to an address that was not the writer at that moment.
    pub wrong_ways: usize,
    /// Those among them for which at least as many readable witnesses were honest as were not.
    pub wrong_ways_despite_witnesses: usize,
    /// Those among them for which any readable witness was honest, be it one against two.
    pub wrong_ways_with_honest_witness: usize,
    /// Write calls that reached ELBv2.
    pub writes: usize,
}

impl Measures {
    pub(crate) fn of(scenario: &Scenario, state: &State, end: Moment) -> Measures {
        let moves = &scenario.moves;
        let first_moved = moves.first().map_or(end, |change| change.moved);
        let mut changes: Vec<Moment> = state.group.history.iter().map(|(at, _)| *at).collect();
        changes.extend(moves.iter().map(|change| change.moved));
        changes.retain(|at| (first_moved..end).contains(at));
        changes.sort_unstable();
        changes.dedup();
        let mut measures = Measures {
            failovers: moves.len(),
            wrong_ways: state.wrong_ways.len(),
            wrong_ways_despite_witnesses: state.wrong_ways.iter().filter(|way| way.is_despite_witnesses()).count(),
            wrong_ways_with_honest_witness: state.wrong_ways.iter().filter(|way| way.honest > 0).count(),
            writes: state.writes as usize,
            ..Measures::default()
        };
        let mut exact_from = Vec::new();
        for (number, at) in changes.iter().enumerate() {
            let members = members_at(&state.group.history, *at);
            let writer = Target { address: scenario.writer_address(*at), port: PORT };
            let lasted = (changes.get(number + 1).unwrap_or(&end) - at) as f64 / 1e3;
            if members.iter().any(|member| *member != writer) {
                measures.nonwriter_s += lasted;
            }
            if members.is_empty() {
                measures.empty_s += lasted;
            }
            if members == [writer] {
                exact_from.push(*at);
            }
        }
        for (number, change) in moves.iter().enumerate() {
            let exact = exact_from.iter().find(|at| **at >= change.moved);
            measures
                .converged
                .extend(exact.map(|at| at - change.moved).filter(|t| *t <= CONVERGENCE_LIMIT).map(seconds));
            let next = moves.get(number + 1);
            let superseded = next.map_or(end, |next| next.moved);
            let switch = state.switches.iter().find(|switch| (change.moved..superseded).contains(&switch.at));
            if let Some(switch) = switch
                && let Some(pair) = second_witness(scenario, change, next, switch.resolver)
            {
                measures.pair_to_switch.push(seconds(switch.at.saturating_sub(pair)));
            }
        }
        measures
    }

    /// Adds the numbers of other worlds.
    pub fn add(&mut self, other: Measures) {
        self.failovers += other.failovers;
        self.converged.extend(other.converged);
        self.pair_to_switch.extend(other.pair_to_switch);
        self.nonwriter_s += other.nonwriter_s;
        self.empty_s += other.empty_s;
        self.wrong_ways += other.wrong_ways;
        self.wrong_ways_despite_witnesses += other.wrong_ways_despite_witnesses;
        self.wrong_ways_with_honest_witness += other.wrong_ways_with_honest_witness;
        self.writes += other.writes;
    }

    /// The share of failovers that converged, in percent.
    pub fn converged_pct(&self) -> f64 {
        100.0 * self.converged.len() as f64 / self.failovers.max(1) as f64
    }

    /// A percentile of the seconds to convergence. A failover that did not converge counts as the limit.
    pub fn convergence(&self, percent: f64) -> f64 {
        let mut times = self.converged.clone();
        times.resize(self.failovers, seconds(CONVERGENCE_LIMIT));
        percentile(times, percent)
    }

    /// A percentile of the seconds from the second witness to the switch.
    pub fn promptness(&self, percent: f64) -> f64 {
        percentile(self.pair_to_switch.clone(), percent)
    }

    /// A total per failover.
    pub fn mean(&self, total: f64) -> f64 {
        total / self.failovers.max(1) as f64
    }
}

/// When a second witness named the new writer: DNS at that resolver, the RDS API, or an event that was delivered.
fn second_witness(scenario: &Scenario, change: &Move, next: Option<&Move>, resolver: usize) -> Option<Moment> {
    let limit = next.map_or(Moment::MAX, |next| next.moved);
    let dns = (change.moved..limit.min(change.dns_steady + 20 * SECOND))
        .step_by(250)
        .find(|at| scenario.writer_by_dns(resolver, *at).0 == change.to);
    let topology = scenario.is_cluster.then_some(change.topology).filter(|_| !change.is_replacement);
    let about = change.started..next.map_or(Moment::MAX, |next| next.started);
    let event = scenario
        .deliveries
        .iter()
        .find(|delivery| delivery.names.is_some_and(|(host, time)| host == change.to && about.contains(&time)));
    let event = event.map(|delivery| delivery.at.max(change.moved));
    let mut witnesses: Vec<Moment> = [dns, topology, event].into_iter().flatten().filter(|at| *at < limit).collect();
    witnesses.sort_unstable();
    witnesses.get(1).copied()
}

fn members_at(history: &[(Moment, Vec<Target>)], at: Moment) -> &[Target] {
    let number = history.partition_point(|(from, _)| *from <= at);
    number.checked_sub(1).map_or(&[], |number| &history[number].1)
}

fn seconds(time: Moment) -> f32 {
    time as f32 / 1e3
}

fn percentile(mut times: Vec<f32>, percent: f64) -> f64 {
    times.sort_unstable_by(f32::total_cmp);
    let rank = (percent / 100.0 * times.len() as f64).ceil() as usize;
    times.get(rank.saturating_sub(1)).copied().map_or(0.0, f64::from)
}
