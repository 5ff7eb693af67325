//! The loop over a world of fakes: what it changes, in which order, and what it says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod world;

use std::sync::Arc;
use std::time::Duration;

use failover_sync::error::RunError;
use failover_sync::ports::Clock;
use failover_sync::sync::Synchronizer;
use lambda_runtime::Diagnostic;
use reconcile::event::RdsEvent;
use reconcile::report::{BindingReport, Report, State};
use reconcile::trigger::{Cause, Trigger};
use reconcile::watch::DRIFT_LIMIT;
use tokio::time::{Instant, sleep, timeout};
use world::World;

const LONG: Duration = Duration::from_secs(240);

async fn run(world: &World, bindings: &[(&str, &str)], trigger: &Trigger) -> Result<Report, RunError> {
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

/// The writer moved from `orders-a`, 10.0.0.1, to `orders-b`, 10.0.0.2. DNS and the RDS API know, the group does not.
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
    let world = World::default();
    world.resolve("db.example", &["10.0.0.1"]);
    world.group("db", &["10.0.0.1:5432 healthy"]);
    let report = run_db(&world, "cluster").await;
    assert_eq!(report.state(), State::InSync);
    assert_eq!(report.kept, ["10.0.0.1:5432"]);
    assert_eq!(world.state().calls.len(), 2, "one look-up, one describe and no RDS call");
    assert_eq!(report.elapsed, Duration::ZERO, "nothing waited");
}

#[tokio::test(start_paused = true)]
async fn a_failover_registers_describes_deregisters_and_verifies() {
    let world = failed_over();
    let report = run_db(&world, "cluster").await;
    assert_eq!(report.state(), State::Updated);
    let calls = world.state().calls.clone();
    assert_eq!(
        calls,
        [
            "lookup db.example",
            "describe db",
            "topology orders",
            "lookup orders-a.example",
            "lookup orders-b.example",
            "register db 10.0.0.2:5432",
            "describe db",
            "deregister db 10.0.0.1:5432",
            "lookup db.example",
            "describe db",
        ]
    );
    assert_eq!((report.registered, report.deregistered), (vec!["10.0.0.2:5432".into()], vec!["10.0.0.1:5432".into()]));
    assert!(report.kept.is_empty(), "{:?}", report.kept);
    assert_eq!(report.elapsed, Duration::ZERO, "a switch waits for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_second_run_right_after_makes_no_write_call() {
    let world = failed_over();
    run_db(&world, "cluster").await;
    let writes = world.writes().len();
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state(), world.writes().len()), (State::InSync, writes));
}

#[tokio::test(start_paused = true)]
async fn an_empty_group_is_filled_without_asking_topology() {
    let world = World::default();
    world.resolve("db.example", &["10.0.0.1"]);
    world.group("db", &[]);
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state(), world.count("topology")), (State::Updated, 0));
    assert_eq!(world.writes(), ["register db 10.0.0.1:5432"]);
}

#[tokio::test(start_paused = true)]
async fn a_draining_target_is_registered_again_and_never_deregistered_twice() {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    world.state().writer = Some("orders-a");
    world.group("db", &["10.0.0.1:5432 draining", "10.0.0.2:5432 healthy", "10.0.0.3:5432 draining"]);
    let report = run_db(&world, "cluster").await;
    assert_eq!(report.elapsed.as_secs(), 30, "a step back needs a steady DNS beside topology");
    assert_eq!(world.writes(), ["register db 10.0.0.1:5432", "deregister db 10.0.0.2:5432"]);
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 initial", "10.0.0.2:5432 draining", "10.0.0.3:5432 draining"]);
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
    assert!(message.contains("the writer is registered, and nothing was deregistered"), "{message}");
    assert_eq!(world.count("deregister"), 0);
    assert_eq!(report.registered, ["10.0.0.2:5432"], "what was done is told");
}

#[tokio::test(start_paused = true)]
async fn the_old_target_stays_until_the_new_one_is_seen_as_a_member() {
    let world = failed_over();
    world.state().stale_describes = 3;
    let report = run_db(&world, "cluster").await;
    assert_eq!(report.state(), State::Updated);
    let calls = world.state().calls.clone();
    let shown = calls.iter().rposition(|call| call.starts_with("register")).unwrap();
    let removed = calls.iter().position(|call| call.starts_with("deregister")).unwrap();
    assert!(shown < removed, "{calls:?}");
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 draining", "10.0.0.2:5432 initial"]);
    assert_eq!(report.registered, ["10.0.0.2:5432"], "told once, however often it was sent");
    assert!(report.elapsed >= Duration::from_secs(1), "it does not hammer the API while it waits");
}

#[tokio::test(start_paused = true)]
async fn a_failed_deregistration_is_an_error_that_the_next_run_mends() {
    let world = failed_over();
    world.fail("deregister", 0);
    let (_, message) = error_of(&run_db(&world, "cluster").await);
    assert!(message.contains("the old target may not have been deregistered"), "{message}");
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state(), report.registered.len()), (State::Updated, 0));
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 draining", "10.0.0.2:5432 initial"]);
}

#[tokio::test(start_paused = true)]
async fn without_dns_or_without_the_group_nothing_is_written() {
    for (failing, kind, words) in [
        (&["lookup"][..], "EndpointNotResolved", &["db.example", "10.0.0.2:53", "did not answer in time"][..]),
        (&["describe"], "AwsAnswerUnreadable", &["the target group could not be read"]),
        (&["lookup", "describe"], "EndpointNotResolved", &["neither DNS nor the target group", "it was to fail"]),
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
    assert_eq!(report.state(), State::Updated);
    assert_eq!(report.topology, Some(vec!["10.0.0.2".parse().unwrap()]));
    assert_eq!(world.count("topology orders"), 1);
}

#[tokio::test(start_paused = true)]
async fn witnesses_that_disagree_are_watched_and_then_left_to_the_next_run() {
    let world = failed_over();
    world.state().writer = Some("orders-a");
    let report = run_db(&world, "cluster").await;
    assert_eq!(report.state(), State::Waiting);
    let reason = report.waiting_for.unwrap();
    assert!(reason.contains("10.0.0.2") && reason.contains("10.0.0.1"), "{reason}");
    assert!(world.writes().is_empty());
    assert!((DRIFT_LIMIT..DRIFT_LIMIT + Duration::from_secs(2)).contains(&report.elapsed), "{:?}", report.elapsed);
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
    assert_eq!(report.state(), State::Updated);
    assert!(report.elapsed <= Duration::from_secs(9), "{:?}", report.elapsed);
}

#[tokio::test(start_paused = true)]
async fn a_topology_that_fails_or_hangs_is_silent() {
    let world = failed_over();
    world.state().writer = None;
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state(), report.elapsed.as_secs()), (State::Updated, 10), "DNS alone, once it is steady");

    let world = failed_over();
    world.state().hanging.push("topology".into());
    world.state().lookup_time = Duration::from_millis(200);
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state(), report.topology), (State::Updated, None));
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
    assert_eq!(report.bindings[0].state(), State::InSync);
    assert_eq!(world.writes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_it_would_do_and_writes_nothing() {
    let world = failed_over();
    let trigger = Trigger { dry_run: true, ..Trigger::default() };
    let report = run(&world, &[("db", "cluster")], &trigger).await.unwrap();
    let binding = &report.bindings[0];
    assert_eq!(binding.state(), State::WouldUpdate);
    assert_eq!(
        (&binding.registered[..], &binding.deregistered[..]),
        (&["10.0.0.2:5432".into()][..], &["10.0.0.1:5432".into()][..])
    );
    assert!(binding.kept.is_empty(), "{:?}", binding.kept);
    assert!(world.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_literal_address_is_kept_registered_without_dns() {
    let world = World::default();
    world.group("ec2", &[]);
    run(&world, &[("ec2", "address")], &Trigger::default()).await.unwrap();
    assert_eq!((world.writes(), world.count("lookup")), (vec!["register ec2 10.0.0.7:5432".to_owned()], 0));
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
    let bindings = [("lost", "instance"), ("slow", "instance"), ("bad", "instance"), ("db", "cluster")];
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
        ("lookup", "reading DNS and the target group"),
        ("register", "registering 10.0.0.2:5432"),
        ("deregister", "deregistering 10.0.0.1:5432"),
    ] {
        let world = failed_over();
        world.state().hanging.push(hanging.into());
        let deadline = Instant::now() + Duration::from_secs(9);
        let outcome = world.synchronizer(&[("db", "cluster")]).run(&Trigger::default(), deadline).await;
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

/// How many calls of AWS, one after the other, a run takes: nothing else takes time here.
async fn round_trips(
    world: &World,
    synchronizer: &Arc<Synchronizer<World, World, World, World>>,
    trigger: &Trigger,
) -> u128 {
    world.state().round_trip = Duration::from_millis(10);
    let report = synchronizer.run(trigger, Instant::now() + LONG).await.unwrap();
    report.bindings[0].elapsed.as_millis() / 10
}

#[tokio::test(start_paused = true)]
async fn a_run_takes_so_many_round_trips_to_aws_and_no_more() {
    let schedule = Trigger::default();
    let watching = Trigger { watch: Some(Duration::ZERO), ..Trigger::default() };
    for (title, targets, trigger, expected) in [
        ("in sync: describe", &["10.0.0.2:5432"][..], &schedule, 1),
        ("in sync, watched: describe, and topology meanwhile", &["10.0.0.2:5432"], &watching, 1),
        ("empty: describe, register, verify", &[], &schedule, 3),
        ("a switch of a watch: describe, register, describe, deregister, verify", &["10.0.0.1:5432"], &watching, 5),
        ("a switch of a new process, which learns of the drift by describing", &["10.0.0.1:5432"], &schedule, 6),
    ] {
        let world = failed_over();
        world.group("db", targets);
        assert_eq!(round_trips(&world, &world.synchronizer(&[("db", "cluster")]), trigger).await, expected, "{title}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_saw_the_group_in_sync_asks_topology_as_soon_as_the_name_moves() {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    world.group("db", &["10.0.0.1:5432"]);
    let synchronizer = world.synchronizer(&[("db", "cluster")]);
    for _ in 0..2 {
        assert_eq!(round_trips(&world, &synchronizer, &Trigger::default()).await, 1);
    }
    assert_eq!(world.count("topology"), 0, "nothing moved");
    world.resolve("db.example", &["10.0.0.2"]);
    assert_eq!(round_trips(&world, &synchronizer, &Trigger::default()).await, 5);
    assert_eq!(world.count("topology"), 1, "once for the switch");
}

#[tokio::test(start_paused = true)]
async fn many_bindings_share_a_few_calls_at_a_time() {
    let names: Vec<String> = (0..30).map(|number| format!("db-{number}")).collect();
    let bindings: Vec<_> = names.iter().map(|name| (name.as_str(), "address")).collect();
    let groups = |world: &World| names.iter().for_each(|name| world.group(name, &["10.0.0.7:5432"]));

    let world = World::default();
    groups(&world);
    world.state().round_trip = Duration::from_millis(10);
    let began = Instant::now();
    run(&world, &bindings, &Trigger::default()).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(40), "thirty calls, eight at a time");

    // A call that the SDK tries again keeps its place, so that one that is throttled slows the others down.
    let world = World::default();
    groups(&world);
    world.state().hanging.push("describe".into());
    let outcome = timeout(Duration::from_secs(9), run(&world, &bindings, &Trigger::default())).await;
    assert!(outcome.is_err(), "they hang");
    assert_eq!(world.count("describe"), 8);
}

#[tokio::test(start_paused = true)]
async fn the_warm_up_makes_the_first_calls_of_a_run_and_no_others() {
    let world = failed_over();
    world.synchronizer(&[("db", "cluster")]).warm_up().await;
    assert_eq!(world.state().calls, ["lookup db.example", "describe db"]);
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_that_fails_or_hangs_is_over_soon_and_leaves_nothing_behind() {
    for call in ["lookup", "describe"] {
        let world = failed_over();
        world.fail(call, 0);
        let synchronizer = world.synchronizer(&[("db", "cluster")]);
        Arc::clone(&synchronizer).warm_up().await;
        let report = synchronizer.run(&Trigger::default(), Instant::now() + LONG).await.unwrap();
        assert_eq!(report.bindings[0].state(), State::Updated, "{call} failed");

        let world = failed_over();
        world.state().hanging.push(call.into());
        let synchronizer = world.synchronizer(&[("db", "cluster")]);
        let began = Instant::now();
        Arc::clone(&synchronizer).warm_up().await;
        assert_eq!(began.elapsed(), Duration::from_millis(500), "{call} hung");
        world.state().hanging.clear();
        let report = synchronizer.run(&Trigger::default(), Instant::now() + LONG).await.unwrap();
        assert_eq!(report.bindings[0].state(), State::Updated, "{call} hung");
    }
}

/// An RDS event about the cluster, as old as given.
fn event(world: &World, number: &str, message: &str, age: Duration) -> Trigger {
    let time = world.now() - age;
    let event = RdsEvent {
        id: Some(format!("RDS-EVENT-{number}")),
        time: Some(time),
        source_arn: None,
        source_id: Some("orders".to_owned()),
        message: message.to_owned(),
    };
    Trigger { cause: Cause::Failover, events: vec![event], ..Trigger::default() }
}

async fn watch(world: &World, kind: &str, trigger: &Trigger) -> BindingReport {
    let report = match run(world, &[("db", kind)], trigger).await {
        Ok(report) | Err(RunError::Bindings(report)) => report,
        Err(other) => panic!("{other}"),
    };
    report.bindings.into_iter().next().unwrap()
}

/// Changes the world when so much time has passed.
fn later(world: &World, after: u64, change: impl FnOnce(&World) + Send + 'static) {
    let world = world.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(after)).await;
        change(&world);
    });
}

#[tokio::test(start_paused = true)]
async fn an_event_is_watched_until_all_have_agreed_for_a_while() {
    let world = failed_over();
    let completed = event(&world, "0071", "Completed failover to DB instance: orders-b", Duration::from_secs(5));
    let report = watch(&world, "cluster", &completed).await;
    assert_eq!(report.state(), State::Updated);
    assert_eq!(report.event, Some(vec!["10.0.0.2".parse().unwrap()]));
    assert_eq!(report.elapsed.as_secs(), 55, "sixty seconds after the event");
    assert_eq!(world.writes().len(), 2);
    assert!(world.count("describe") <= 8, "{} describes", world.count("describe"));
    assert!((25..=30).contains(&world.count("topology")), "{} topologies", world.count("topology"));
}

#[tokio::test(start_paused = true)]
async fn agreement_on_the_old_address_right_after_the_event_is_no_end() {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    world.state().writer = Some("orders-a");
    later(&world, 40, |world| {
        world.resolve("db.example", &["10.0.0.2"]);
        world.state().writer = Some("orders-b");
    });
    let started = event(&world, "0013", "", Duration::from_secs(1));
    let report = watch(&world, "cluster", &started).await;
    assert_eq!(report.state(), State::Updated);
    assert!((70..75).contains(&report.elapsed.as_secs()), "{:?}", report.elapsed);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_after_three_minutes_whatever_it_saw() {
    let world = failed_over();
    world.state().writer = Some("orders-a");
    let moved = event(&world, "0385", "Cluster topology is updated.", Duration::ZERO);
    let report = watch(&world, "cluster", &moved).await;
    assert_eq!((report.state(), report.is_disputed), (State::Waiting, true));
    assert_eq!(report.elapsed.as_secs(), 180);
}

#[tokio::test(start_paused = true)]
async fn an_old_event_starts_no_watch() {
    let world = World::default();
    world.resolve("db.example", &["10.0.0.1"]);
    world.group("db", &["10.0.0.1:5432 healthy"]);
    let old = event(&world, "0071", "Completed failover to DB instance: orders-b", Duration::from_secs(601));
    let report = watch(&world, "cluster", &old).await;
    assert_eq!((report.observations, world.count("topology")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn two_witnesses_are_believed_while_dns_is_gone() {
    let world = failed_over();
    world.state().names.remove("db.example");
    let completed = event(&world, "0071", "Completed failover to DB instance: orders-b", Duration::from_secs(5));
    let report = watch(&world, "cluster", &completed).await;
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 draining", "10.0.0.2:5432 initial"]);
    assert!(report.dns_failures > 0);
}

#[tokio::test(start_paused = true)]
async fn in_a_watch_an_error_is_not_the_end() {
    let world = failed_over();
    for call in ["describe", "register", "deregister", "topology"] {
        world.fail(call, 1);
        world.fail(call, 0);
    }
    let completed = event(&world, "0071", "Completed failover to DB instance: orders-b", Duration::from_secs(5));
    let report = watch(&world, "cluster", &completed).await;
    assert_eq!(report.state(), State::Updated, "{report:?}");
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 draining", "10.0.0.2:5432 initial"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_in_which_dns_never_answers_fails() {
    let world = failed_over();
    world.state().names.clear();
    let report = watch(&world, "instance", &event(&world, "0049", "", Duration::ZERO)).await;
    assert_eq!(error_of(&report).0, "EndpointNotResolved");
    assert_eq!(report.elapsed.as_secs(), 180);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_after_a_good_one_is_no_failure() {
    let world = failed_over();
    world.fail("lookup db", 1);
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state(), report.dns_failures), (State::Updated, 1), "{:?}", report.error);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_left_is_taken_back_at_once_when_a_newer_event_names_it() {
    let world = failed_over();
    let synchronizer = world.synchronizer(&[("db", "cluster")]);
    synchronizer.run(&Trigger::default(), Instant::now() + LONG).await.unwrap();
    sleep(Duration::from_secs(20)).await;
    world.group("db", &["10.0.0.1:5432 draining", "10.0.0.2:5432 healthy"]);
    world.state().writer = Some("orders-a");
    let back = event(&world, "0071", "Completed failover to DB instance: orders-a", Duration::from_secs(1));
    let trigger = Trigger { watch: Some(Duration::ZERO), ..back };
    synchronizer.run(&trigger, Instant::now() + LONG).await.unwrap();
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 initial", "10.0.0.2:5432 draining"], "DNS lags, two others agree");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_never_shows_is_an_error() {
    let world = failed_over();
    world.state().stale_describes = usize::MAX;
    let report = run_db(&world, "cluster").await;
    let (kind, message) = error_of(&report);
    assert_eq!(kind, "Unsettled");
    assert!(message.contains("register 10.0.0.2:5432, then deregister 10.0.0.1:5432"), "{message}");
    assert_eq!(world.count("deregister"), 0);
    assert!(report.elapsed <= DRIFT_LIMIT + Duration::from_secs(2), "{:?}", report.elapsed);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_another_run_changed_is_described_before_anything_is_taken_away() {
    let world = failed_over();
    world.group("db", &["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"]);
    world.state().interfering = Some(("topology", "10.0.0.2:5432"));
    run_db(&world, "cluster").await;
    let writes = world.writes();
    let removed = writes.iter().position(|call| call.starts_with("deregister")).unwrap();
    assert!(writes[..removed].contains(&"register db 10.0.0.2:5432".to_owned()), "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn an_ill_member_makes_a_scheduled_run_ask_topology() {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    world.state().writer = Some("orders-a");
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state(), world.count("topology"), report.observations), (State::InSync, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn readers_that_dns_gives_one_at_a_time_are_all_registered_and_stay() {
    let world = failed_over();
    world.state().writer = None;
    world.group("db", &[]);
    for round in 0..6 {
        world.resolve("db.example", if round % 2 == 0 { &["10.0.0.1"] } else { &["10.0.0.2"] });
        run_db(&world, "readers").await;
    }
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 initial", "10.0.0.2:5432 initial"]);
    assert_eq!(world.writes().len(), 2);
}
