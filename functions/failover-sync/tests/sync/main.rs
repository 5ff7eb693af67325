//! The loop over a world of fakes: what it changes, in which order, and what it says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod calls;
mod endpoints;
mod hanging;
mod observing;
mod path;
mod pressure;
mod role_probe;
mod watches;
#[path = "../world/mod.rs"]
mod world;

use std::sync::Arc;
use std::time::Duration;

use failover_sync::error::RunError;
use failover_sync::ports::Clock;
use failover_sync::sync::Synchronizer;
use lambda_runtime::Diagnostic;
use reconcile::event::RdsEvent;
use reconcile::report::{BindingReport, Report, State};
use reconcile::target::strings;
use reconcile::trigger::{Cause, Trigger};
use reconcile::watch::DRIFT_LIMIT;
use tokio::time::{Instant, sleep, timeout};
use world::World;

const LONG: Duration = Duration::from_secs(240);

async fn run(
    world: &World,
    bindings: &[(&str, &str)],
    trigger: &Trigger,
) -> Result<Report, RunError> {
    world.synchronizer(bindings).run(trigger, Instant::now() + LONG).await
}

/// Reconciles the binding `db` and returns what became of it, failed or not.
async fn run_db(world: &World, kind: &str) -> BindingReport {
    let report = match run(world, &[("db", kind)], &Trigger::default()).await {
        Ok(report) | Err(RunError::Bindings(report)) => report,
        Err(other) => panic!("{other}"),
    };
    report.bindings.into_iter().next().unwrap()
}

/// The writer moved from `orders-a`, 10.0.0.1, to `orders-b`, 10.0.0.2. DNS and the RDS API know,
/// the group does not.
fn failed_over() -> World {
    let world = World::default();
    world.resolve("orders-a.example", &["10.0.0.1"]);
    world.resolve("orders-b.example", &["10.0.0.2"]);
    world.resolve("db.example", &["10.0.0.2"]);
    world.state().writer = Some("orders-b");
    world.group("db", &["10.0.0.1:5432 unhealthy"]);
    world
}

fn error_of(report: &BindingReport) -> (&'static str, String) {
    let error = report.error.clone().unwrap();
    (error.kind, error.message)
}

#[tokio::test(start_paused = true)]
async fn a_group_in_sync_is_looked_at_once_and_left_alone() {
    let world = failed_over();
    world.group("db", &["10.0.0.2:5432 healthy"]);
    let synchronizer = world.synchronizer(&[("db", "cluster")]);
    for (title, calls, minutes) in
        [("a new process asks the RDS API", 5, 1), ("then not", 2, 1), ("for a while", 2, 1)]
            .into_iter()
            .chain([("and every three minutes", 5, 1)])
    {
        world.state().calls.clear();
        let report = synchronizer
            .run(&Trigger::default(), Instant::now() + LONG)
            .await
            .unwrap()
            .bindings
            .remove(0);
        assert_eq!((report.state, report.observations), (State::InSync, 1), "{title}");
        assert_eq!(strings(&report.kept), ["10.0.0.2:5432"]);
        assert_eq!(world.state().calls.len(), calls, "{title}: {:?}", world.state().calls);
        assert_eq!(report.elapsed, Duration::ZERO, "nothing waited");
        sleep(Duration::from_secs(60 * minutes)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dns_that_is_wrong_for_good_is_no_agreement() {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    let synchronizer = world.synchronizer(&[("db", "cluster")]);
    let trigger = Trigger { binding: Some("db".into()), ..Trigger::default() };
    for _ in 0..3 {
        let report =
            synchronizer.run(&trigger, Instant::now() + LONG).await.unwrap().bindings.remove(0);
        assert_eq!(report.state, State::Waiting, "{report:?}");
        let reason = report.reason.unwrap().to_string();
        assert_eq!(reason, "contradiction: DNS names 10.0.0.1 and the RDS API names 10.0.0.2");
    }
    assert_eq!(world.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_failover_registers_describes_deregisters_and_verifies() {
    let world = failed_over();
    let report = run_db(&world, "cluster").await;
    assert_eq!(report.state, State::Updated);
    let calls = world.state().calls.clone();
    assert_eq!(
        calls,
        [
            "lookup db.example",
            "topology orders",
            "lookup orders-a.example",
            "lookup orders-b.example",
            "describe db",
            "register db 10.0.0.2:5432",
            "describe db",
            "deregister db 10.0.0.1:5432",
            "lookup db.example",
            "describe db",
        ]
    );
    assert_eq!(
        (strings(&report.registered), strings(&report.deregistered)),
        (vec!["10.0.0.2:5432".to_owned()], vec!["10.0.0.1:5432".to_owned()])
    );
    assert!(report.kept.is_empty(), "{:?}", report.kept);
    assert_eq!(report.elapsed, Duration::ZERO, "a switch waits for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_second_run_right_after_makes_no_write_call() {
    let world = failed_over();
    run_db(&world, "cluster").await;
    let writes = world.writes().len();
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state, world.writes().len()), (State::InSync, writes));
}

#[tokio::test(start_paused = true)]
async fn an_empty_group_is_filled_on_the_word_of_dns_alone() {
    let world = World::default();
    world.resolve("db.example", &["10.0.0.1"]);
    world.group("db", &[]);
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state, report.witnesses.topology), (State::Updated, None));
    assert_eq!(world.writes(), ["register db 10.0.0.1:5432"]);
}

#[tokio::test(start_paused = true)]
async fn a_draining_target_is_registered_again_and_never_deregistered_twice() {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    world.state().writer = Some("orders-a");
    world.group(
        "db",
        &["10.0.0.1:5432 draining", "10.0.0.2:5432 healthy", "10.0.0.3:5432 draining"],
    );
    let report = run_db(&world, "cluster").await;
    assert_eq!(report.elapsed.as_secs(), 30, "a step back needs a steady DNS beside topology");
    assert_eq!(world.writes(), ["register db 10.0.0.1:5432", "deregister db 10.0.0.2:5432"]);
    assert_eq!(
        world.targets("db"),
        ["10.0.0.1:5432 initial", "10.0.0.2:5432 draining", "10.0.0.3:5432 draining"]
    );
}

#[tokio::test(start_paused = true)]
async fn deregistration_uses_the_described_port() {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    world.state().writer = Some("orders-a");
    world.group("db", &["10.0.0.1:5432 healthy", "10.0.0.1:3307 healthy", "10.0.0.2:3306 resting"]);
    run_db(&world, "cluster").await;
    assert_eq!(world.writes(), ["deregister db 10.0.0.1:3307 10.0.0.2:3306"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_registration_deregisters_nothing() {
    let world = failed_over();
    world.fail("register", 0);
    let report = run_db(&world, "cluster").await;
    let (kind, message) = error_of(&report);
    assert_eq!(kind, "AwsAnswerUnreadable");
    assert!(message.contains("nothing was deregistered"), "{message}");
    assert_eq!(world.count("deregister"), 0);
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 unhealthy"]);
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_cannot_be_verified_deregisters_nothing() {
    let world = failed_over();
    world.fail("describe", 1);
    let report = run_db(&world, "cluster").await;
    let (_, message) = error_of(&report);
    assert!(
        message.contains("the writer is registered, and nothing was deregistered"),
        "{message}"
    );
    assert_eq!(world.count("deregister"), 0);
    assert_eq!(strings(&report.registered), ["10.0.0.2:5432"], "what was done is told");
}

#[tokio::test(start_paused = true)]
async fn the_old_target_stays_until_the_new_one_is_seen_as_a_member() {
    let world = failed_over();
    world.state().stale_describes = 3;
    let report = run_db(&world, "cluster").await;
    assert_eq!(report.state, State::Updated);
    let calls = world.state().calls.clone();
    let shown = calls.iter().rposition(|call| call.starts_with("register")).unwrap();
    let removed = calls.iter().position(|call| call.starts_with("deregister")).unwrap();
    assert!(shown < removed, "{calls:?}");
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 draining", "10.0.0.2:5432 initial"]);
    assert_eq!(
        strings(&report.registered),
        ["10.0.0.2:5432"],
        "told once, however often it was sent"
    );
    assert!(report.elapsed >= Duration::from_secs(1), "it does not hammer the API while it waits");
}

#[tokio::test(start_paused = true)]
async fn a_failed_deregistration_is_an_error_that_the_next_run_mends() {
    let world = failed_over();
    world.fail("deregister", 0);
    let (_, message) = error_of(&run_db(&world, "cluster").await);
    assert!(message.contains("the old target may not have been deregistered"), "{message}");
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state, report.registered.len()), (State::Updated, 0));
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 draining", "10.0.0.2:5432 initial"]);
}

#[tokio::test(start_paused = true)]
async fn without_dns_or_without_the_group_nothing_is_written() {
    for (failing, kind, words) in [
        (
            &["lookup"][..],
            "EndpointNotResolved",
            &["db.example", "10.0.0.2:53", "did not answer in time"][..],
        ),
        (&["describe"], "AwsAnswerUnreadable", &["the target group could not be read"]),
        (
            &["lookup", "describe"],
            "EndpointNotResolved",
            &["neither DNS nor the target group", "it was to fail"],
        ),
    ] {
        let world = failed_over();
        failing.iter().for_each(|call| world.fail(call, 0));
        let report = run_db(&world, "cluster").await;
        let (seen, message) = error_of(&report);
        assert_eq!(seen, kind);
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(world.writes().is_empty(), "{failing:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_may_not_be_registered_is_refused() {
    let world = World::default();
    world.resolve("db.example", &["52.1.2.3"]);
    world.group("db", &["10.0.0.1:5432"]);
    let (kind, message) = error_of(&run_db(&world, "cluster").await);
    assert_eq!(kind, "AddressRefused");
    assert!(message.contains("52.1.2.3") && message.contains("FunctionSubnetIds"), "{message}");
    assert!(world.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_switches_once_topology_agrees() {
    let world = failed_over();
    let report = run_db(&world, "cluster").await;
    assert_eq!(report.state, State::Updated);
    assert_eq!(report.witnesses.topology, Some(vec!["10.0.0.2".parse().unwrap()]));
    assert_eq!(world.count("topology orders"), 1);
}

#[tokio::test(start_paused = true)]
async fn witnesses_that_disagree_are_watched_and_then_left_to_the_next_run() {
    let world = failed_over();
    world.state().writer = Some("orders-a");
    let report = run_db(&world, "cluster").await;
    assert_eq!(report.state, State::Waiting);
    let reason = report.reason.unwrap().to_string();
    assert!(reason.contains("10.0.0.2") && reason.contains("10.0.0.1"), "{reason}");
    assert!(world.writes().is_empty());
    assert!(
        (DRIFT_LIMIT..DRIFT_LIMIT + Duration::from_secs(2)).contains(&report.elapsed),
        "{:?}",
        report.elapsed
    );
}

#[tokio::test(start_paused = true)]
async fn a_disagreement_that_ends_ends_in_a_switch() {
    let world = failed_over();
    world.state().writer = Some("orders-a");
    let later = world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(7)).await;
        later.state().writer = Some("orders-b");
    });
    let report = run_db(&world, "cluster").await;
    assert_eq!(report.state, State::Updated);
    assert!(report.elapsed <= Duration::from_secs(9), "{:?}", report.elapsed);
}

#[tokio::test(start_paused = true)]
async fn a_topology_that_fails_or_hangs_is_silent() {
    let world = failed_over();
    world.state().writer = None;
    let report = run_db(&world, "cluster").await;
    assert_eq!(
        (report.state, report.elapsed.as_secs()),
        (State::Updated, 10),
        "DNS alone, once it is steady"
    );

    let world = failed_over();
    world.state().hanging.push("topology".into());
    world.state().lookup_time = Duration::from_millis(200);
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state, report.witnesses.topology), (State::Updated, None));
    assert!(report.elapsed < DRIFT_LIMIT, "{:?}", report.elapsed);
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_while_a_description_took_its_time_is_as_old_as_it_is() {
    let world = failed_over();
    world.state().slow = Some(("describe", Duration::from_secs(15)));
    let moves_back = world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(10)).await;
        moves_back.resolve("db.example", &["10.0.0.1"]);
        moves_back.state().writer = Some("orders-a");
    });
    // A watch: topology is asked beside the description.
    let trigger = Trigger { watch: Some(Duration::from_secs(60)), ..Trigger::default() };
    let report = run(&world, &[("db", "cluster")], &trigger).await.unwrap();
    assert_eq!(report.bindings[0].state, State::InSync);
    assert_eq!(world.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_it_would_do_and_writes_nothing() {
    let world = failed_over();
    let trigger = Trigger { dry_run: true, ..Trigger::default() };
    let report = run(&world, &[("db", "cluster")], &trigger).await.unwrap();
    let binding = &report.bindings[0];
    assert_eq!(binding.state, State::WouldUpdate);
    assert_eq!(
        (strings(&binding.registered), strings(&binding.deregistered)),
        (vec!["10.0.0.2:5432".to_owned()], vec!["10.0.0.1:5432".to_owned()])
    );
    assert!(binding.kept.is_empty(), "{:?}", binding.kept);
    assert!(world.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_literal_address_is_kept_registered_without_dns() {
    let world = World::default();
    world.group("ec2", &[]);
    run(&world, &[("ec2", "address")], &Trigger::default()).await.unwrap();
    assert_eq!(
        (world.writes(), world.count("lookup")),
        (vec!["register ec2 10.0.0.7:5432".to_owned()], 0)
    );
}

#[tokio::test(start_paused = true)]
async fn one_binding_that_fails_hangs_or_panics_does_not_stop_another() {
    let world = failed_over();
    for name in ["lost.example", "slow.example", "bad.example"] {
        world.resolve(name, &["10.0.0.5"]);
    }
    world.fail("lookup lost", 0);
    world.state().hanging.push("lookup slow".into());
    world.state().panicking.push("lookup bad".into());
    let bindings =
        [("lost", "instance"), ("slow", "instance"), ("bad", "instance"), ("db", "cluster")];
    let error = run(&world, &bindings, &Trigger::default()).await.unwrap_err();
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 draining", "10.0.0.2:5432 initial"]);

    let message = error.to_string();
    assert!(message.starts_with("3 of 4 bindings failed: "), "{message}");
    for word in ["lost: ", "slow: ", "bad: failover-sync panicked", "it was to panic"] {
        assert!(message.contains(word), "{word} in {message}");
    }
    assert_eq!(Diagnostic::from(error).error_type, "SeveralFailures");
}

#[tokio::test(start_paused = true)]
async fn a_run_stops_before_the_deadline_and_says_what_is_unfinished() {
    for (hanging, doing) in [
        ("describe", "reading DNS and the target group"),
        ("register", "registering 10.0.0.2:5432"),
        ("deregister", "deregistering 10.0.0.1:5432"),
    ] {
        let world = failed_over();
        world.state().hanging.push(hanging.into());
        let deadline = Instant::now() + Duration::from_secs(9);
        let outcome =
            world.synchronizer(&[("db", "cluster")]).run(&Trigger::default(), deadline).await;
        assert_eq!(Instant::now(), deadline);
        let Err(RunError::Bindings(report)) = outcome else { panic!("it did not fail") };
        let (kind, message) = error_of(&report.bindings[0]);
        assert_eq!(kind, "DeadlineNear");
        assert!(message.contains(doing), "{message}");
        let registered = usize::from(hanging == "deregister");
        assert_eq!(report.bindings[0].registered.len(), registered, "what was done is told");
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_can_ask_for_one_binding() {
    let world = failed_over();
    let bindings = [("db", "cluster"), ("other", "instance")];
    let trigger = |name: &str| Trigger { binding: Some(name.to_owned()), ..Trigger::default() };
    let report = run(&world, &bindings, &trigger("db")).await.unwrap();
    assert_eq!(report.bindings.len(), 1);
    assert_eq!(world.count("lookup other"), 0);

    let error = run(&world, &bindings, &trigger("writer")).await.unwrap_err();
    assert!(error.to_string().contains("no binding \"writer\": there are db, other"), "{error}");
    assert_eq!(Diagnostic::from(error).error_type, "UnknownBinding");
}
