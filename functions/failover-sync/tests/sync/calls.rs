//! How many calls a run makes, how many at a time, and which before the first event.

use super::*;

/// How many calls of AWS, one after the other, a run takes: nothing else takes time here.
async fn round_trips(
    world: &World,
    synchronizer: &Arc<Synchronizer<(World, World, World, World)>>,
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
        (
            "a switch of a watch: describe, register, describe, deregister, verify",
            &["10.0.0.1:5432"],
            &watching,
            5,
        ),
        (
            "a switch of a new process, which asks topology beside DNS",
            &["10.0.0.1:5432"],
            &schedule,
            5,
        ),
    ] {
        let world = failed_over();
        world.group("db", targets);
        assert_eq!(
            round_trips(&world, &world.synchronizer(&[("db", "cluster")]), trigger).await,
            expected,
            "{title}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_saw_the_group_in_sync_asks_topology_as_soon_as_the_name_moves() {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    world.state().writer = Some("orders-a");
    world.group("db", &["10.0.0.1:5432"]);
    let synchronizer = world.synchronizer(&[("db", "cluster")]);
    for _ in 0..2 {
        assert_eq!(round_trips(&world, &synchronizer, &Trigger::default()).await, 1);
    }
    assert_eq!(world.count("topology"), 1, "once for the new process: nothing moved");
    sleep(Duration::from_secs(60)).await;
    world.resolve("db.example", &["10.0.0.2"]);
    world.state().writer = Some("orders-b");
    assert_eq!(round_trips(&world, &synchronizer, &Trigger::default()).await, 5);
    assert_eq!(world.count("topology"), 2, "once for the switch");
}

#[tokio::test(start_paused = true)]
async fn many_bindings_share_a_few_calls_at_a_time() {
    let names: Vec<String> = (0..30).map(|number| format!("db-{number}")).collect();
    let bindings: Vec<_> = names.iter().map(|name| (name.as_str(), "address")).collect();
    let groups =
        |world: &World| names.iter().for_each(|name| world.group(name, &["10.0.0.7:5432"]));

    let world = World::default();
    groups(&world);
    world.state().round_trip = Duration::from_millis(10);
    let began = Instant::now();
    run(&world, &bindings, &Trigger::default()).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(40), "thirty calls, eight at a time");

    // A call that the SDK tries again keeps its place, so that one that is throttled slows the
    // others down.
    let world = World::default();
    groups(&world);
    world.state().hanging.push("describe".into());
    let outcome =
        timeout(Duration::from_secs(9), run(&world, &bindings, &Trigger::default())).await;
    assert!(outcome.is_err(), "they hang");
    assert_eq!(world.count("describe"), 8);
}

#[tokio::test(start_paused = true)]
async fn the_warm_up_makes_the_first_calls_of_a_run_and_no_others() {
    let world = failed_over();
    world.synchronizer(&[("db", "cluster")]).warm_up().await;
    let warm_up = std::mem::take(&mut world.state().calls);
    assert_eq!(warm_up.len(), 5, "{warm_up:?}");
    let _ = run(&world, &[("db", "cluster")], &Trigger::default()).await;
    assert_eq!(warm_up, world.state().calls[..5]);
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_that_fails_or_hangs_is_over_soon_and_leaves_nothing_behind() {
    for call in ["lookup", "describe"] {
        let world = failed_over();
        world.fail(call, 0);
        let synchronizer = world.synchronizer(&[("db", "cluster")]);
        Arc::clone(&synchronizer).warm_up().await;
        let report = synchronizer.run(&Trigger::default(), Instant::now() + LONG).await.unwrap();
        assert_eq!(report.bindings[0].state, State::Updated, "{call} failed");

        let world = failed_over();
        world.state().hanging.push(call.into());
        let synchronizer = world.synchronizer(&[("db", "cluster")]);
        let began = Instant::now();
        Arc::clone(&synchronizer).warm_up().await;
        assert_eq!(began.elapsed(), Duration::from_millis(500), "{call} hung");
        world.state().hanging.clear();
        let report = synchronizer.run(&Trigger::default(), Instant::now() + LONG).await.unwrap();
        assert_eq!(report.bindings[0].state, State::Updated, "{call} hung");
    }
}
