//! How long a run looks, and what an event changes.

use reconcile::reason::Reason;

use super::*;

/// An RDS event about the cluster, as old as given.
pub(crate) fn event(world: &World, number: &str, message: &str, age: Duration) -> Trigger {
    let time = world.now() - age;
    let event = RdsEvent {
        is_failover: false,
        id: Some(format!("RDS-EVENT-{number}")),
        time: Some(time),
        source_arn: None,
        source_id: Some("orders".to_owned()),
        message: message.to_owned(),
    };
    Trigger { cause: Cause::Failover, events: vec![event], ..Trigger::default() }
}

pub(crate) async fn watch(world: &World, kind: &str, trigger: &Trigger) -> BindingReport {
    let report = match run(world, &[("db", kind)], trigger).await {
        Ok(report) | Err(RunError::Bindings(report)) => report,
        Err(other) => panic!("{other}"),
    };
    report.bindings.into_iter().next().unwrap()
}

/// Changes the world when so much time has passed.
pub(crate) fn later(world: &World, after: u64, change: impl FnOnce(&World) + Send + 'static) {
    let world = world.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(after)).await;
        change(&world);
    });
}

#[tokio::test(start_paused = true)]
async fn an_event_is_watched_until_all_have_agreed_for_a_while() {
    let world = failed_over();
    let completed = event(
        &world,
        "0071",
        "Completed failover to DB instance: orders-b",
        Duration::from_secs(5),
    );
    let report = watch(&world, "cluster", &completed).await;
    assert_eq!(report.state, State::Updated);
    assert_eq!(report.witnesses.event, Some(vec!["10.0.0.2".parse().unwrap()]));
    assert_eq!(report.elapsed.as_secs(), 55, "sixty seconds after the event");
    assert_eq!(world.writes().len(), 2);
    assert!(world.count("describe") <= 8, "{} describes", world.count("describe"));
    assert!((25..=30).contains(&world.count("topology")), "{} topologies", world.count("topology"));
}

/// The rule lets the restart of every instance of the account through.
#[tokio::test(start_paused = true)]
async fn the_restart_of_an_instance_is_watched_if_it_is_or_may_be_a_member() {
    for (instance, is_topology_silent, is_watched) in
        [("orders-b", false, true), ("ledger", false, false), ("ledger", true, true)]
    {
        let world = failed_over();
        if is_topology_silent {
            (0..100).for_each(|call| world.fail("topology", call));
        }
        let mut restarted = event(&world, "0006", "DB instance restarted", Duration::from_secs(1));
        restarted.events[0].source_id = Some(instance.to_owned());
        let report = watch(&world, "cluster", &restarted).await;
        assert_eq!(report.state, State::Updated, "{instance}");
        assert_eq!(report.elapsed.as_secs() >= 30, is_watched, "{instance}: {:?}", report.elapsed);
    }
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
    assert_eq!(report.state, State::Updated);
    assert!((70..75).contains(&report.elapsed.as_secs()), "{:?}", report.elapsed);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_after_three_minutes_whatever_it_saw() {
    let world = failed_over();
    world.state().writer = Some("orders-a");
    let moved = event(&world, "0385", "Cluster topology is updated.", Duration::ZERO);
    let report = watch(&world, "cluster", &moved).await;
    assert_eq!(report.state, State::Waiting);
    assert!(matches!(report.reason, Some(Reason::Contradiction { .. })), "{:?}", report.reason);
    assert_eq!(report.elapsed.as_secs(), 180);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_of_an_event_that_fails_is_over_at_once() {
    let world = failed_over();
    world.state().refusing.push(("describe", "InternalFailure"));
    let completed = event(
        &world,
        "0071",
        "Completed failover to DB instance: orders-b",
        Duration::from_secs(5),
    );
    let report = watch(&world, "cluster", &Trigger { dry_run: true, ..completed }).await;
    assert_eq!(
        (report.state, world.count("describe")),
        (State::Failed, 1),
        "it watches nothing: {report:?}"
    );
}

/// The group was seen right six seconds after the event; what comes after that takes nothing from
/// it.
#[tokio::test(start_paused = true)]
async fn a_switch_is_timed_whatever_becomes_of_the_run_after_it() {
    type Change = fn(&World);
    let changes: [(State, Change); 2] = [
        (State::Waiting, |world| world.state().writer = Some("orders-a")),
        (State::Failed, |world| world.state().refusing.push(("describe", "AccessDenied"))),
    ];
    for (state, change) in changes {
        let world = failed_over();
        world.state().round_trip = Duration::from_millis(100);
        later(&world, 20, change);
        let completed = event(
            &world,
            "0071",
            "Completed failover to DB instance: orders-b",
            Duration::from_secs(5),
        );
        let report = watch(&world, "cluster", &completed).await;
        let metrics = report.metrics("function", 0).unwrap();
        assert_eq!((report.state, &metrics["Switches"]), (state, &1.into()), "{metrics}");
        let latency = report.switch_latency.unwrap_or_default();
        assert!((5_000..7_000).contains(&latency.as_millis()), "{state:?}: {latency:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_event_starts_no_watch() {
    let world = World::default();
    world.resolve("db.example", &["10.0.0.1"]);
    world.group("db", &["10.0.0.1:5432 healthy"]);
    let old = event(
        &world,
        "0071",
        "Completed failover to DB instance: orders-b",
        Duration::from_secs(601),
    );
    let report = watch(&world, "cluster", &old).await;
    assert_eq!((report.observations, world.count("topology")), (1, 1), "the look of a new process");
}

#[tokio::test(start_paused = true)]
async fn two_witnesses_are_believed_while_dns_is_gone() {
    let world = failed_over();
    world.state().names.remove("db.example");
    let completed = event(
        &world,
        "0071",
        "Completed failover to DB instance: orders-b",
        Duration::from_secs(5),
    );
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
    let completed = event(
        &world,
        "0071",
        "Completed failover to DB instance: orders-b",
        Duration::from_secs(5),
    );
    let report = watch(&world, "cluster", &completed).await;
    assert_eq!(report.state, State::Updated, "{report:?}");
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
    assert_eq!((report.state, report.dns_failures), (State::Updated, 1), "{:?}", report.error);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_left_is_taken_back_at_once_when_a_newer_event_names_it() {
    let world = failed_over();
    let synchronizer = world.synchronizer(&[("db", "cluster")]);
    synchronizer.run(&Trigger::default(), Instant::now() + LONG).await.unwrap();
    sleep(Duration::from_secs(20)).await;
    world.group("db", &["10.0.0.1:5432 draining", "10.0.0.2:5432 healthy"]);
    world.state().writer = Some("orders-a");
    let back = event(
        &world,
        "0071",
        "Completed failover to DB instance: orders-a",
        Duration::from_secs(1),
    );
    let trigger = Trigger { watch: Some(Duration::ZERO), ..back };
    synchronizer.run(&trigger, Instant::now() + LONG).await.unwrap();
    assert_eq!(
        world.targets("db"),
        ["10.0.0.1:5432 initial", "10.0.0.2:5432 draining"],
        "DNS lags, two others agree"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_that_never_shows_is_an_error() {
    let world = failed_over();
    world.state().stale_describes = usize::MAX;
    let report = run_db(&world, "cluster").await;
    let (kind, message) = error_of(&report);
    assert_eq!(kind, "Unconfirmed");
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
    assert_eq!((report.state, world.count("topology"), report.observations), (State::InSync, 1, 1));
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

#[tokio::test(start_paused = true)]
async fn a_watch_that_cut_short_while_all_is_right_is_no_failure() {
    for (drift, state) in
        [(&["10.0.0.2:5432 healthy"], State::InSync), (&["10.0.0.1:5432 healthy"], State::Updated)]
    {
        let world = failed_over();
        world.group("db", drift);
        let completed = event(
            &world,
            "0071",
            "Completed failover to DB instance: orders-b",
            Duration::from_secs(5),
        );
        let synchronizer = world.synchronizer(&[("db", "cluster")]);
        let report =
            synchronizer.run(&completed, Instant::now() + Duration::from_secs(20)).await.unwrap();
        let report = &report.bindings[0];
        assert_eq!((report.state, report.cut_short, report.targets_wrong), (state, true, Some(0)));
        assert_eq!(report.elapsed.as_secs(), 20);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_cut_short_in_a_drift_or_blind_is_a_failure() {
    type Change = fn(&World);
    let changes: [(&str, Change); 3] = [
        ("the witnesses differ", |world| world.state().writer = Some("orders-a")),
        ("DNS hangs", |world| world.state().hanging.push("lookup db".into())),
        ("the group cannot be read", |world| world.state().hanging.push("describe".into())),
    ];
    for (title, change) in changes {
        let world = failed_over();
        world.group("db", &["10.0.0.2:5432 healthy"]);
        later(&world, 8, change);
        let moved = event(&world, "0385", "Cluster topology is updated.", Duration::from_secs(5));
        let synchronizer = world.synchronizer(&[("db", "cluster")]);
        let outcome = synchronizer.run(&moved, Instant::now() + Duration::from_secs(28)).await;
        let Err(RunError::Bindings(report)) = outcome else { panic!("{title}: it did not fail") };
        assert_eq!(error_of(&report.bindings[0]).0, "DeadlineNear", "{title}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_succeeded_and_does_not_show_is_repeated_after_growing_pauses() {
    let world = failed_over();
    world.state().stale_describes = usize::MAX;
    run_db(&world, "cluster").await;
    assert_eq!(
        world.writes(),
        ["register db 10.0.0.2:5432"; 4],
        "after 10, 20 and 40 s, in a hundred seconds"
    );
}
