//! failover-sync in many worlds, and in those that once showed a defect.

use std::sync::Arc;

use simulation::campaign::{self, run_world};
use simulation::kinds::Kind;
use simulation::lambda::live;
use simulation::report::PROMPT;
use simulation::scenario::Scenario;
use simulation::strategy::{Ours, Strategy, WithRoleProbe};

/// Worlds in which a rule that was tried did something wrong, and what that was.
const REGRESSIONS: [(u64, &str); 25] = [
    (
        10_000_004,
        "two runs took opposite sides: an outdated event with stale DNS outvoted the RDS API",
    ),
    (10_000_014, "two runs deregistered each other's target"),
    (10_000_018, "a run with stale DNS took away what another run had just registered"),
    (
        10_000_030,
        "the RDS API failed once, and stale DNS led back to an address that was left and fully \
         drained",
    ),
    (10_000_042, "an outdated event with stale DNS, against the RDS API"),
    (
        10_000_051,
        "deregistered again and again while the description lagged, then the writer itself",
    ),
    (10_000_056, "the RDS API failed once, and stale DNS led back although it was honest before"),
    (
        10_000_063,
        "the RDS API's last answer, two seconds old, took away what another run had just \
         registered",
    ),
    (10_000_068, "many runs registered and deregistered in turn"),
    (10_000_075, "all runs at once, each with a description that lagged"),
    (10_000_088, "as 10000063, with a DNS that failed"),
    (
        10_001_841,
        "the RDS API fell silent, and stale DNS led to an address that it had contradicted",
    ),
    (10_008_237, "stale DNS alone took away what a run with two witnesses had registered"),
    (10_011_969, "stale DNS alone led back as soon as the old address was drained"),
    (
        10_012_543,
        "a member's address moved, and a stale lookup of its name passed for two witnesses",
    ),
    (
        10_013_536,
        "steady DNS took away what another run had just registered, while that took the other away",
    ),
    (10_013_755, "a failed lookup of the members silenced an RDS API that answered"),
    (10_014_377, "as 10013536, with three members"),
    (10_014_761, "as 10013536, without the RDS API"),
    (
        20_003_129,
        "the group could be read again, and all runs acted at once: DNS with an event against the \
         RDS API",
    ),
    (20_003_756, "the group could be read again, and a first look found both addresses"),
    (20_014_319, "a registration failed, and a description from before it passed for in sync"),
    (20_017_512, "an event with stale DNS outvoted the RDS API"),
    (50_015_591, "a first look found both addresses, and its two witnesses were both stale"),
    (
        10_000_673,
        "an outdated event with an RDS API that lagged took away what another run had just \
         registered",
    ),
];

/// Worlds in which a rule that was tried with the role probe did something wrong, and what is
/// special about them.
const REGRESSIONS_WITH_ROLE_PROBE: [(u64, &str); 6] = [
    (
        10_000_330,
        "an answer to a deregistration is lost, and the new writer is silent now and then",
    ),
    (10_000_018, "five runs at once, and none of them knows the new writer in every second"),
    (
        10_003_957,
        "a role of four seconds ago took away what another run had just registered, while that \
         took the other away",
    ),
    (
        10_002_206,
        "the role of a member that others had just deregistered, and that the description still \
         showed, took away the other one",
    ),
    (10_020_000_366, "as 10002206, after a failback"),
    (
        10_013_654,
        "the group could be read again and held both, and the role acted at once, as an outdated \
         event did",
    ),
];

fn ours() -> Vec<Arc<dyn Strategy>> {
    vec![Arc::new(Ours)]
}

#[test]
fn every_invariant_holds_in_3000_failovers() {
    let outcome = campaign::run(Kind::Writer, &ours(), 3_000, 1_000, |_| ());
    let violations: Vec<String> = outcome.violations.iter().map(ToString::to_string).collect();
    assert!(
        violations.is_empty(),
        "replay with cargo run -p simulation -- --world SEED\n{}",
        violations.join("\n")
    );
    assert!(outcome.misled.is_empty(), "wrong-way switches in {:?}", outcome.misled);
    let (_, ours) = &outcome.strategies[0];
    assert_eq!(ours.converged.len(), ours.changes, "not every failover converged");
    assert!(
        ours.promptness(50.0) <= PROMPT,
        "from the second witness to the switch: {:.1} s",
        ours.promptness(50.0)
    );
}

#[test]
fn what_was_wrong_once_is_right() {
    for (seed, what) in REGRESSIONS {
        let outcome = run_world(Kind::Writer, &ours(), seed);
        assert!(outcome.violations.is_empty(), "{what}: {}", outcome.violations[0]);
        assert!(outcome.misled.is_empty(), "{what}: cargo run -p simulation -- --world {seed}");
    }
}

fn with_role_probe() -> Vec<Arc<dyn Strategy>> {
    vec![Arc::new(WithRoleProbe)]
}

#[test]
fn every_invariant_holds_with_the_role_probe_in_2000_failovers() {
    let outcome = campaign::run(Kind::Writer, &with_role_probe(), 2_000, 1_002, |_| ());
    let violations: Vec<String> = outcome.violations.iter().map(ToString::to_string).collect();
    let replay = "replay with cargo run -p simulation -- --strategy with-role-probe --world SEED";
    assert!(violations.is_empty(), "{replay}\n{}", violations.join("\n"));
    assert!(outcome.misled.is_empty(), "wrong-way switches in {:?}", outcome.misled);
    let (_, measures) = &outcome.strategies[0];
    assert_eq!(measures.converged.len(), measures.changes, "not every failover converged");
    assert!(measures.convergence(50.0) <= 3.5, "p50 is {:.1} s", measures.convergence(50.0));
}

#[test]
fn what_was_wrong_once_with_the_role_probe_is_right() {
    for (seed, what) in REGRESSIONS_WITH_ROLE_PROBE {
        let outcome = run_world(Kind::Writer, &with_role_probe(), seed);
        assert!(outcome.violations.is_empty(), "{what}: {}", outcome.violations[0]);
        assert!(
            outcome.misled.is_empty(),
            "{what}: cargo run -p simulation -- --world {seed} --strategy with-role-probe"
        );
    }
}

#[test]
fn a_world_is_the_same_each_time() {
    let scenario = Scenario::new(Kind::Writer, 7);
    let strategy: Arc<dyn Strategy> = Arc::new(Ours);
    let [first, second] = [0; 2].map(|_| live(&scenario, &strategy, true).trace);
    assert_eq!(first, second);
    assert!(first.len() > 100, "a trace of {} lines", first.len());
}
