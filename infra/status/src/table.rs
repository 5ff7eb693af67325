//! A report as a table for people.

use comfy_table::{Cell, Table, presets};
use reconcile::plan::Mode;
use reconcile::report::{BindingReport, Report, State};
use reconcile::target::strings;

/// One row a binding, and below it the rule that made each verdict, or what went wrong.
pub fn render(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["BINDING", "ENDPOINT", "DNS", "RDS API", "TARGETS", "VERDICT"]);
    for binding in &report.bindings {
        let topology = binding
            .witnesses
            .topology
            .as_ref()
            .map_or("-".to_owned(), |addresses| lines(&strings(addresses)));
        table.add_row(
            [
                binding.binding.clone(),
                binding.endpoint.clone(),
                lines(&strings(&binding.resolved)),
                topology,
                lines(&targets(binding)),
                verdict(binding),
            ]
            .map(Cell::new),
        );
    }
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    let explained = report.bindings.iter().flat_map(|binding| {
        let told = [why(binding), binding.path_note.clone()].into_iter().flatten();
        told.map(|text| format!("{}: {text}", binding.binding))
    });
    let table = table.lines().map(|line| line.trim_end().to_owned());
    let attention = explained.collect::<Vec<_>>();
    let mode = match report.mode {
        Mode::Act => None,
        Mode::Observe => Some("The function only observes: it changes nothing.\n".to_owned()),
    };
    let separator = if attention.is_empty() { None } else { Some(String::new()) };
    { mode.into_iter() }
        .chain(table)
        .chain(separator)
        .chain(attention)
        .collect::<Vec<_>>()
        .join("\n")
}

fn targets(binding: &BindingReport) -> Vec<String> {
    [strings(&binding.kept), strings(&binding.deregistered)].concat()
}

fn verdict(binding: &BindingReport) -> String {
    match binding.state {
        State::WouldUpdate => {
            let register = binding.registered.iter().map(|target| format!("register {target}"));
            let deregister =
                binding.deregistered.iter().map(|target| format!("deregister {target}"));
            lines(&register.chain(deregister).collect::<Vec<_>>())
        }
        state => state.to_string(),
    }
}

fn why(binding: &BindingReport) -> Option<String> {
    if let Some(error) = &binding.error {
        return Some(error.message.clone());
    }
    let note = binding.note.map(|note| format!("; {note}")).unwrap_or_default();
    binding.reason.as_ref().map(|reason| format!("{reason}{note}"))
}

fn lines(items: &[String]) -> String {
    if items.is_empty() { "-".to_owned() } else { items.join("\n") }
}

#[cfg(test)]
mod tests {
    use base::report::Failure;
    use std::time::Duration;

    use reconcile::reason::Reason;
    use reconcile::target::{DescribedTarget, Target, TargetState};
    use reconcile::trigger::Trigger;

    use super::*;

    fn binding(change: impl FnOnce(&mut BindingReport)) -> Report {
        let mut binding = BindingReport {
            binding: "writer".into(),
            endpoint: "orders.cluster-c1.eu-west-1.rds.amazonaws.com".into(),
            resolved: vec!["10.0.0.2".parse().expect("an address")],
            kept: vec![Target { address: "10.0.0.2".parse().expect("an address"), port: 5432 }],
            dry_run: true,
            ..BindingReport::default()
        };
        change(&mut binding);
        let error = binding.error.take();
        let trigger = Trigger { dry_run: true, ..Trigger::default() };
        Report::new(&trigger, Mode::Act, vec![binding.end(error, Duration::ZERO)])
    }

    #[test]
    fn a_group_that_is_right_is_one_row() {
        let expected = "\
BINDING  ENDPOINT                                       DNS       RDS API  TARGETS        VERDICT
writer   orders.cluster-c1.eu-west-1.rds.amazonaws.com  10.0.0.2  -        10.0.0.2:5432  in-sync";
        assert_eq!(render(&binding(|_| {})), expected);
    }

    #[test]
    fn that_the_function_only_observes_comes_first() {
        let report = Report { mode: Mode::Observe, ..binding(|_| {}) };
        let shown = render(&report);
        let lines: Vec<_> = shown.lines().take(3).collect();
        assert!(lines[0].contains("only observes") && lines[1].is_empty(), "{shown}");
        assert!(lines[2].starts_with("BINDING"), "{shown}");
    }

    #[test]
    fn what_the_function_would_do_stands_in_the_row() {
        let shown = render(&binding(|binding| {
            binding.witnesses.topology = Some(binding.resolved.clone());
            binding.registered = std::mem::take(&mut binding.kept);
            let old = DescribedTarget::new("10.0.0.1".into(), 5432, TargetState::Healthy, None);
            binding.deregistered = vec![old];
        }));
        let rows: Vec<_> = shown.lines().collect();
        assert!(rows[1].ends_with("10.0.0.2  10.0.0.1:5432  register 10.0.0.2:5432"), "{shown}");
        assert!(rows[2].ends_with("deregister 10.0.0.1:5432") && rows.len() == 3, "{shown}");
    }

    #[test]
    fn what_needs_attention_is_said_below() {
        let failure = Failure { kind: "AccessDenied", message: "allow this".into() };
        for (change, state, text) in [
            (
                Box::new(|binding: &mut BindingReport| binding.error = Some(failure))
                    as Box<dyn FnOnce(&mut _)>,
                "failed",
                "writer: allow this",
            ),
            (
                Box::new(|binding: &mut BindingReport| {
                    (binding.is_waiting, binding.reason) = (true, Some(Reason::NoDnsAnswer));
                }),
                "waiting",
                "writer: no-answer: DNS does not answer",
            ),
            (
                Box::new(|binding: &mut BindingReport| {
                    binding.path_note = Some("asked by the function alone".into());
                }),
                "in-sync",
                "writer: asked by the function alone",
            ),
        ] {
            let shown = render(&binding(change));
            assert!(shown.contains(state) && shown.ends_with(&format!("\n\n{text}")), "{shown}");
        }
    }

    #[test]
    fn nothing_seen_is_a_dash() {
        let shown =
            render(&binding(|binding| (binding.resolved, binding.kept) = (Vec::new(), Vec::new())));
        assert!(shown.ends_with("-    -        -        in-sync"), "{shown}");
    }
}
