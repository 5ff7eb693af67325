//! The outcome as a table and as JSON.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::campaign::Outcome;
use crate::kinds::Kind;
use crate::measure::{Measures, PathMeasures};
use crate::strategy::{Ours, Strategy, WithRoleProbe};

/// The median from the second honest witness to the switch, at most. Seconds.
pub const PROMPT: f64 = 2.0;

/// The median from the real move on with the role probe, at most. Seconds.
const ROLE_PROBE_P50: f64 = 3.5;

/// Nor 99 in 100 of them. In one world in ten no database can be asked. Seconds.
const ROLE_PROBE_P99: f64 = 95.0;

/// Nor may there be more wrong-way switches in 100,000 failovers.
const ROLE_PROBE_WRONG_WAYS: f64 = 300.0;

/// With fewer failovers, these three say little.
const ENOUGH: usize = 20_000;

impl Outcome {
    /// What `target/simulation/report.json` holds.
    pub fn json(&self, failovers: usize, seed: u64) -> Value {
        let strategies: Map<String, Value> = self
            .strategies
            .iter()
            .map(|(name, measures)| ((*name).to_owned(), numbers(measures)))
            .collect();
        let mut kinds = Map::new();
        for (kind, strategy, m) in &self.kinds {
            let of_kind = kinds.entry(kind.to_string()).or_insert_with(|| json!({}));
            of_kind[*strategy] = self.of_kind(*kind, strategy, m);
        }
        json!({
            "failovers": failovers, "seed": seed, "strategies": strategies, "kinds": kinds,
            "invariant_violations": self.violations.len(), "goals_missed": self.missed(),
        })
    }

    fn of_kind(&self, kind: Kind, strategy: &str, m: &Measures) -> Value {
        let mut numbers = numbers(m);
        numbers["unserved_s_mean"] = m.mean(m.unserved_s).into();
        numbers["invariant_violations"] = self.violations_in(kind, strategy).into();
        if kind.has_path() {
            numbers["path"] = path_numbers(&m.path);
        }
        numbers
    }

    /// What became of a strategy in the worlds that the rivals know too.
    pub fn of(&self, strategy: &dyn Strategy) -> Option<&Measures> {
        self.strategies
            .iter()
            .find(|(name, _)| *name == strategy.name())
            .map(|(_, measures)| measures)
    }

    /// What failover-sync promises and this outcome does not show, each in a sentence.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        if !self.violations.is_empty() {
            missed.push(format!("{} invariant violations", self.violations.len()));
        }
        for (kind, name, m) in &self.kinds {
            if kind.has_to_converge() && m.converged.len() < m.changes {
                missed.push(format!("{kind}: {name}: {:.3} % converged", m.converged_pct()));
            }
        }
        // With the role probe there is one witness more: no rival, and held to promises of its own.
        missed.extend(self.of(&WithRoleProbe).into_iter().flat_map(missed_with_role_probe));
        let Some(ours) = self.of(&Ours) else { return missed };
        if ours.converged.len() < ours.changes {
            missed.push(format!("{:.3} % converged", ours.converged_pct()));
        }
        let misled = ours.wrong_ways_despite_witnesses;
        if misled > 0 {
            missed.push(format!(
                "{misled} wrong-way switches although the honest witnesses were not outvoted"
            ));
        }
        if ours.promptness(50.0) > PROMPT {
            missed.push(format!(
                "p50 from the second witness to the switch is {:.1} s",
                ours.promptness(50.0)
            ));
        }
        let is_ours = |name: &str| [Ours.name(), WithRoleProbe.name()].contains(&name);
        for (name, other) in self.strategies.iter().filter(|(name, _)| !is_ours(name)) {
            // The same loop without events is no rival: fewer switches in haste is what it is for.
            let [our_wrong_ways, theirs] = [ours, other].map(Measures::wrong_ways_in_100_000);
            if *name != "schedule-only" && our_wrong_ways >= theirs && ours.wrong_ways > 0 {
                missed.push(format!(
                    "{our_wrong_ways:.0} wrong-way switches in 100,000, {name} has {theirs:.0}"
                ));
            }
            if ours.convergence(99.0) >= other.convergence(99.0) {
                let (ours, theirs) = (ours.convergence(99.0), other.convergence(99.0));
                missed.push(format!("p99 is {ours:.1} s, that of {name} is {theirs:.1} s"));
            }
        }
        missed
    }
}

/// What failover-sync with the role probe promises and these numbers do not show.
fn missed_with_role_probe(m: &Measures) -> Vec<String> {
    let (name, mut missed) = (WithRoleProbe.name(), Vec::new());
    if m.converged.len() < m.changes {
        missed.push(format!("{name}: {:.3} % converged", m.converged_pct()));
    }
    let misled = m.wrong_ways_despite_witnesses;
    if misled > 0 {
        missed.push(format!(
            "{name}: {misled} wrong-way switches although the honest witnesses were not outvoted"
        ));
    }
    if m.changes >= ENOUGH {
        for (percent, limit) in [(50.0, ROLE_PROBE_P50), (99.0, ROLE_PROBE_P99)] {
            let time = m.convergence(percent);
            if time > limit {
                missed.push(format!("{name}: p{percent} is {time:.1} s, more than {limit} s"));
            }
        }
        let wrong_ways = m.wrong_ways_in_100_000();
        if wrong_ways > ROLE_PROBE_WRONG_WAYS {
            missed.push(format!(
                "{name}: {wrong_ways:.0} wrong-way switches in 100,000, more than \
                 {ROLE_PROBE_WRONG_WAYS}"
            ));
        }
    }
    missed
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.strategies.is_empty() {
            return self.kinds_table(f);
        }
        writeln!(
            f,
            "| {:<14} | {:>9} | {:>9} | {:>7} | {:>6} | {:>12} | {:>7} | {:>26} | {:>8} |",
            "strategy",
            "failovers",
            "converged",
            "p50",
            "p99",
            "wrong target",
            "empty",
            "wrong ways in 100,000",
            "writes"
        )?;
        writeln!(
            f,
            "|{:-<16}|{:->11}|{:->11}|{:->9}|{:->8}|{:->14}|{:->9}|{:->28}|{:->10}|",
            "", ":", ":", ":", ":", ":", ":", ":", ":"
        )?;
        for (name, m) in &self.strategies {
            let (converged, p50, p99) =
                (m.converged_pct(), m.convergence(50.0), m.convergence(99.0));
            let (nonwriter, empty) = (m.mean(m.wrong_s), m.mean(m.empty_s));
            let writes = m.mean(m.writes as f64);
            writeln!(
                f,
                "| {name:<14} | {:>9} | {converged:>7.2} % | {p50:>5.1} s | {p99:>4.0} s | \
                 {nonwriter:>10.1} s | {empty:>5.2} s | {:>26.0} | {writes:>8.2} |",
                m.changes,
                m.wrong_ways_in_100_000()
            )?;
        }
        self.kinds_table(f)
    }
}

impl Outcome {
    fn kinds_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kinds.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\n| {:<16} | {:<13} | {:>7} | {:>9} | {:>6} | {:>6} | {:>12} | {:>7} | {:>10} | {:>6} \
             | {:>10} |",
            "kind of world",
            "strategy",
            "changes",
            "converged",
            "p50",
            "p99",
            "wrong target",
            "empty",
            "no healthy",
            "writes",
            "violations"
        )?;
        writeln!(
            f,
            "|{:-<18}|{:-<15}|{:->9}|{:->11}|{:->8}|{:->8}|{:->14}|{:->9}|{:->12}|{:->8}|{:->12}|",
            "", "", ":", ":", ":", ":", ":", ":", ":", ":", ":"
        )?;
        for (kind, strategy, m) in &self.kinds {
            let (converged, p50, p99) =
                (m.converged_pct(), m.convergence(50.0), m.convergence(99.0));
            let [wrong, empty, unserved] =
                [m.wrong_s, m.empty_s, m.unserved_s].map(|total| m.mean(total));
            let (writes, violations) =
                (m.mean(m.writes as f64), self.violations_in(*kind, strategy));
            writeln!(
                f,
                "| {:<16} | {strategy:<13} | {:>7} | {converged:>7.2} % | {p50:>4.1} s | \
                 {p99:>4.0} s | {wrong:>10.1} s | {empty:>5.2} s | {unserved:>8.1} s | \
                 {writes:>6.2} | {violations:>10} |",
                kind.to_string(),
                m.changes
            )?;
        }
        Ok(())
    }
}

/// What the report says of a strategy.
fn numbers(m: &Measures) -> Value {
    json!({
        "changes": m.changes,
        "converged_pct": m.converged_pct(),
        "p50_s": m.convergence(50.0),
        "p99_s": m.convergence(99.0),
        "nonwriter_s_mean": m.mean(m.wrong_s),
        "empty_s_mean": m.mean(m.empty_s),
        "wrong_way_switches": m.wrong_ways,
        "wrong_way_switches_despite_witnesses": m.wrong_ways_despite_witnesses,
        "wrong_way_switches_with_honest_witness": m.wrong_ways_with_honest_witness,
        "writes_mean": m.mean(m.writes as f64),
        "pair_to_switch_p50_s": m.promptness(50.0),
    })
}

fn path_numbers(path: &PathMeasures) -> Value {
    json!({
        "followed": path.latencies.len(),
        "too_early": path.too_early(50.0).1,
        "too_early_p50_s": path.too_early(50.0).0,
        "too_early_p99_s": path.too_early(99.0).0,
        "p50_s": path.latency(50.0),
        "p99_s": path.latency(99.0),
        "true_p50_s": path.true_latency(50.0),
        "true_p99_s": path.true_latency(99.0),
        "verdicts": path.verdicts,
        "wrong_verdicts": path.wrong_verdicts,
        "sessions_a_minute_at_most": path.most_a_minute,
        "sessions_at_once_at_most": path.most_at_once,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each change converged after so long.
    fn measures(changes: usize, seconds: f32, wrong_ways: usize) -> Measures {
        Measures {
            changes,
            converged: vec![seconds; changes],
            limit: 900.0,
            wrong_ways,
            ..Measures::default()
        }
    }

    fn missed(with_role_probe: Measures) -> Vec<String> {
        let strategies = vec![
            ("failover-sync", measures(20_000, 20.0, 300)),
            (WithRoleProbe.name(), with_role_probe),
        ];
        Outcome { strategies, ..Outcome::default() }.missed()
    }

    #[test]
    fn the_role_probe_is_no_rival_and_keeps_promises_of_its_own() {
        let misled = Measures { wrong_ways_despite_witnesses: 1, ..measures(20_000, 3.0, 60) };
        let mut slow = measures(20_000, 3.0, 60);
        slow.converged[..201].fill(96.0);
        for (title, with_role_probe, expected) in [
            ("better than ours", measures(20_000, 3.0, 60), &[][..]),
            (
                "as slow as ours",
                measures(20_000, 20.0, 60),
                &["with-role-probe: p50 is 20.0 s, more than 3.5 s"],
            ),
            ("one in a hundred is slow", slow, &["with-role-probe: p99 is 96.0 s, more than 95 s"]),
            (
                "often wrong",
                measures(20_000, 3.0, 61),
                &["with-role-probe: 305 wrong-way switches in 100,000, more than 300"],
            ),
            ("too few to tell", measures(19_999, 20.0, 1_000), &[]),
            (
                "one does not converge",
                Measures { changes: 20_001, ..measures(20_000, 3.0, 0) },
                &["with-role-probe: 99.995 % converged"],
            ),
            (
                "misled",
                misled,
                &["with-role-probe: 1 wrong-way switches \
                   although the honest witnesses were not outvoted"],
            ),
        ] {
            assert_eq!(missed(with_role_probe), expected, "{title}");
        }
    }
}
