//! Medians, budgets, and the table.

use std::fmt::Write;

use serde_json::{Value, json};

/// What a figure may be at most.
#[derive(Clone, Copy)]
pub(crate) enum Budget {
    /// A time, missed when the lower quartile is over it: a busy machine makes runs slower, never
    /// faster. When only the median is, the machine was too busy to tell.
    Noisy(f64),
    /// A size or a count, which is the same in every run.
    Exact(f64),
    /// Only shown.
    None,
}

/// A figure with its samples, in order of size.
pub(crate) struct Figure {
    name: String,
    unit: &'static str,
    samples: Vec<f64>,
    budget: Budget,
}

/// Whether a budget was kept.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Met,
    Unclear,
    Missed,
}

impl Figure {
    /// Of at least one sample.
    pub(crate) fn new(
        name: impl Into<String>,
        unit: &'static str,
        mut samples: Vec<f64>,
        budget: Budget,
    ) -> Figure {
        samples.sort_by(f64::total_cmp);
        Figure { name: name.into(), unit, samples, budget }
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(1, 2)
    }

    pub(crate) fn is_missed(&self) -> bool {
        self.verdict() == Some(Verdict::Missed)
    }

    fn quantile(&self, part: usize, of: usize) -> f64 {
        self.samples[(self.samples.len() - 1) * part / of]
    }

    fn limit(&self) -> Option<f64> {
        match self.budget {
            Budget::Noisy(limit) | Budget::Exact(limit) => Some(limit),
            Budget::None => None,
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        let limit = self.limit()?;
        let (judged, unclear) = match self.budget {
            Budget::Noisy(_) => (self.quantile(1, 4), self.median()),
            _ => (self.quantile(1, 1), self.quantile(1, 1)),
        };
        Some(match (judged > limit, unclear > limit) {
            (true, _) => Verdict::Missed,
            (false, true) => Verdict::Unclear,
            (false, false) => Verdict::Met,
        })
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "median": self.median(), "budget": self.limit(),
            "verdict": self.verdict().map(Verdict::word), "samples": self.samples,
        })
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::Unclear => "unclear: the machine is busy",
            Verdict::Missed => "MISSED",
        }
    }
}

/// The figures as a Markdown table.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut text =
        String::from("| | median | fastest | slowest | budget | |\n|---|--:|--:|--:|--:|---|\n");
    for figure in figures {
        let [median, fastest, slowest] =
            [figure.median(), figure.quantile(0, 1), figure.quantile(1, 1)]
                .map(|value| shown(value, figure.unit));
        let budget = figure.limit().map(|limit| shown(limit, figure.unit)).unwrap_or_default();
        let verdict = figure.verdict().map_or("", Verdict::word);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {median} | {fastest} | {slowest} | {budget} | {verdict} |",
            figure.name
        );
    }
    text
}

/// The figures for programs.
pub(crate) fn json(figures: &[Figure]) -> Value {
    json!({"figures": figures.iter().map(Figure::json).collect::<Vec<_>>()})
}

fn shown(value: f64, unit: &str) -> String {
    if value.fract() == 0.0 { format!("{value:.0} {unit}") } else { format!("{value:.2} {unit}") }
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_missed_when_three_quarters_of_the_runs_are_over_it() {
        for (samples, budget, expected) in [
            (&[1.0, 1.0, 1.0, 9.0][..], Budget::Noisy(2.0), Some(Verdict::Met)),
            (&[1.0, 1.0, 9.0, 9.0, 9.0], Budget::Noisy(2.0), Some(Verdict::Unclear)),
            (&[1.0, 9.0, 9.0, 9.0, 9.0], Budget::Noisy(2.0), Some(Verdict::Missed)),
            (&[1.0, 1.0, 1.0, 9.0], Budget::Exact(2.0), Some(Verdict::Missed)),
            (&[2.0], Budget::Exact(2.0), Some(Verdict::Met)),
            (&[9.0], Budget::None, None),
        ] {
            assert!(
                Figure::new("", "", samples.to_vec(), budget).verdict() == expected,
                "{samples:?}"
            );
        }
    }
}
