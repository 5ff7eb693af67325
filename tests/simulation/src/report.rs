//! The outcome as a table and as JSON.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::campaign::Outcome;
use crate::kinds::Kind;
use crate::measure::Measures;

/// From the second honest witness to the switch, the half of all failovers must not take longer. Seconds.
pub const PROMPT: f64 = 2.0;

impl Outcome {
    /// What `target/simulation/report.json` holds.
    pub fn json(&self, failovers: usize, seed: u64) -> Value {
        let strategies: Map<String, Value> =
            self.strategies.iter().map(|(name, measures)| ((*name).to_owned(), numbers(measures))).collect();
        let kinds: Map<String, Value> =
            self.kinds.iter().map(|(kind, m)| (kind.to_string(), self.of_kind(*kind, m))).collect();
        json!({
            "failovers": failovers, "seed": seed, "strategies": strategies, "kinds": kinds,
            "invariant_violations": self.violations.len(), "goals_missed": self.missed(),
        })
    }

    fn of_kind(&self, kind: Kind, m: &Measures) -> Value {
        let mut numbers = numbers(m);
        numbers["changes"] = m.changes.into();
        numbers["unserved_s_mean"] = m.mean(m.unserved_s).into();
        numbers["invariant_violations"] = self.violations_in(kind).into();
        numbers
    }

    /// What failover-sync promises and this outcome does not show, each in a sentence. Ours is the first strategy.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        if !self.violations.is_empty() {
            missed.push(format!("{} invariant violations", self.violations.len()));
        }
        for (kind, ours) in &self.kinds {
            if kind.has_to_converge() && ours.converged.len() < ours.changes {
                missed.push(format!("{kind}: {:.3} % converged", ours.converged_pct()));
            }
        }
        let Some(((_, ours), others)) = self.strategies.split_first() else { return missed };
        if ours.converged.len() < ours.changes {
            missed.push(format!("{:.3} % converged", ours.converged_pct()));
        }
        let misled = ours.wrong_ways_despite_witnesses;
        if misled > 0 {
            missed.push(format!("{misled} wrong-way switches although the honest witnesses were not outvoted"));
        }
        if ours.promptness(50.0) > PROMPT {
            missed.push(format!("p50 from the second witness to the switch is {:.1} s", ours.promptness(50.0)));
        }
        for (name, other) in others {
            // The same loop without events is no rival: fewer switches in haste is what it is for.
            if *name != "schedule-only" && ours.wrong_ways >= other.wrong_ways && ours.wrong_ways > 0 {
                missed.push(format!("{} wrong-way switches, {name} has {}", ours.wrong_ways, other.wrong_ways));
            }
            if ours.convergence(99.0) >= other.convergence(99.0) {
                let (ours, theirs) = (ours.convergence(99.0), other.convergence(99.0));
                missed.push(format!("p99 is {ours:.1} s, that of {name} is {theirs:.1} s"));
            }
        }
        missed
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.strategies.is_empty() {
            return self.kinds_table(f);
        }
        writeln!(
            f,
            "| {:<14} | {:>9} | {:>6} | {:>6} | {:>11} | {:>7} | {:>16} | {:>8} |",
            "strategy", "converged", "p50", "p99", "wrong target", "empty", "wrong-way switches", "writes"
        )?;
        writeln!(
            f,
            "|{:-<16}|{:->11}|{:->8}|{:->8}|{:->14}|{:->9}|{:->20}|{:->10}|",
            "", ":", ":", ":", ":", ":", ":", ":"
        )?;
        for (name, m) in &self.strategies {
            let (converged, p50, p99) = (m.converged_pct(), m.convergence(50.0), m.convergence(99.0));
            let (nonwriter, empty) = (m.mean(m.wrong_s), m.mean(m.empty_s));
            let writes = m.mean(m.writes as f64);
            writeln!(
                f,
                "| {name:<14} | {converged:>7.2} % | {p50:>4.1} s | {p99:>4.0} s | {nonwriter:>10.1} s | {empty:>5.2} s | \
                 {:>18} | {writes:>8.2} |",
                m.wrong_ways
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
            "\n| {:<16} | {:>7} | {:>9} | {:>6} | {:>6} | {:>12} | {:>7} | {:>10} | {:>6} | {:>10} |",
            "kind of world",
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
            "|{:-<18}|{:->9}|{:->11}|{:->8}|{:->8}|{:->14}|{:->9}|{:->12}|{:->8}|{:->12}|",
            "", ":", ":", ":", ":", ":", ":", ":", ":", ":"
        )?;
        for (kind, m) in &self.kinds {
            let (converged, p50, p99) = (m.converged_pct(), m.convergence(50.0), m.convergence(99.0));
            let [wrong, empty, unserved] = [m.wrong_s, m.empty_s, m.unserved_s].map(|total| m.mean(total));
            let (writes, violations) = (m.mean(m.writes as f64), self.violations_in(*kind));
            writeln!(
                f,
                "| {:<16} | {:>7} | {converged:>7.2} % | {p50:>4.1} s | {p99:>4.0} s | {wrong:>10.1} s | {empty:>5.2} s | \
                 {unserved:>8.1} s | {writes:>6.2} | {violations:>10} |",
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
