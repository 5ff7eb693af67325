//! One witness that does not answer takes no other with it: each has a limit of its own, and what
//! is heard counts.

use reconcile::claim::Role;

use super::role_probe::{FakeDatabases, probing};
use super::watches::{event, later, watch};
use super::*;

/// Calls that begin so are not answered from now on.
fn silence(world: &World, calls: &[&str]) {
    world.state().hanging.extend(calls.iter().map(ToString::to_string));
}

/// The group is right, DNS and the RDS API name `orders-a`, and a process that has seen it.
async fn before_a_failover() -> (World, Arc<Synchronizer<(World, World, World, World)>>) {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    world.state().writer = Some("orders-a");
    world.group("db", &["10.0.0.1:5432 healthy"]);
    let synchronizer = world.synchronizer(&[("db", "cluster")]);
    synchronizer.run(&Trigger::default(), Instant::now() + LONG).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    (world, synchronizer)
}

async fn fail_over_to_b(
    world: &World,
    synchronizer: &Arc<Synchronizer<(World, World, World, World)>>,
) -> (Vec<String>, Duration) {
    world.state().writer = Some("orders-b");
    let began = Instant::now();
    let completed =
        event(world, "0071", "Completed failover to DB instance: orders-b", Duration::from_secs(1));
    let run = {
        let synchronizer = Arc::clone(synchronizer);
        tokio::spawn(async move { drop(synchronizer.run(&completed, Instant::now() + LONG).await) })
    };
    while world.writes().len() < 2 && !run.is_finished() {
        sleep(Duration::from_millis(50)).await;
    }
    let took = began.elapsed();
    run.abort();
    (world.writes(), took)
}

pub(crate) fn report_of(outcome: Result<Report, RunError>) -> BindingReport {
    match outcome {
        Ok(report) | Err(RunError::Bindings(report)) => report.bindings.into_iter().next().unwrap(),
        Err(other) => panic!("{other}"),
    }
}

const SWITCHED: [&str; 2] = ["register db 10.0.0.2:5432", "deregister db 10.0.0.1:5432"];

#[tokio::test(start_paused = true)]
async fn an_event_and_the_rds_api_switch_to_an_address_of_a_minute_ago_while_dns_is_dead() {
    let (world, synchronizer) = before_a_failover().await;
    silence(&world, &["lookup"]);
    let (writes, took) = fail_over_to_b(&world, &synchronizer).await;
    assert_eq!(writes, SWITCHED);
    assert!(took < Duration::from_secs(4), "{took:?}: {:?}", world.state().calls);
}

#[tokio::test(start_paused = true)]
async fn what_was_found_is_not_believed_when_it_is_old_is_denied_or_may_have_moved() {
    type Change = fn(&World);
    let nothing: Change = |_| {};
    for (title, minutes, change, is_believed) in [
        ("found a minute ago", 0, nothing, true),
        ("found four minutes ago", 3, nothing, true),
        ("found six minutes ago", 5, nothing, false),
        (
            "found six minutes ago, and draining",
            5,
            |world| {
                world.group("db", &["10.0.0.1:5432 healthy", "10.0.0.2:5432 draining"]);
            },
            true,
        ),
        (
            "found six minutes ago, and registered",
            5,
            |world| {
                world.group("db", &["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"]);
            },
            true,
        ),
        (
            "the name is gone",
            0,
            |world| {
                world.state().hanging.retain(|call| call != "lookup orders");
                world.state().names.remove("orders-b.example");
            },
            false,
        ),
        (
            "it was restarted since",
            0,
            |world| {
                world.state().statuses.insert("orders-b", "rebooting");
            },
            false,
        ),
    ] as [(&str, u64, Change, bool); 7]
    {
        let (world, synchronizer) = before_a_failover().await;
        sleep(Duration::from_secs(60 * minutes)).await;
        silence(&world, &["lookup orders"]);
        change(&world);
        world.state().writer = Some("orders-b");
        let completed = event(
            &world,
            "0071",
            "Completed failover to DB instance: orders-b",
            Duration::from_secs(1),
        );
        let report = report_of(synchronizer.run(&completed, Instant::now() + LONG).await);
        assert_eq!(report.is_topology_silent, Some(!is_believed), "{title}: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_members_name_that_does_not_resolve_hides_no_other() {
    let (world, synchronizer) = before_a_failover().await;
    silence(&world, &["lookup db", "lookup orders-a"]);
    sleep(Duration::from_secs(600)).await;
    let (writes, took) = fail_over_to_b(&world, &synchronizer).await;
    assert_eq!(writes, SWITCHED);
    assert!(took < Duration::from_secs(5), "{took:?}: {:?}", world.state().calls);
}

#[tokio::test(start_paused = true)]
async fn the_promoted_database_is_followed_whoever_else_hangs() {
    for hanging in
        [&["lookup"][..], &["topology"], &["lookup", "topology"], &["lookup orders"], &[]]
    {
        for kind in ["cluster", "instance"] {
            let world = failed_over();
            world.resolve("db.example", &["10.0.0.1"]);
            world.state().writer = Some("orders-a");
            world.group("db", &["10.0.0.1:5432 healthy", "10.0.0.2:5432 draining"]);
            silence(&world, hanging);
            let databases = FakeDatabases::default();
            databases.set_role("10.0.0.1", Ok(Role::Writer));
            let promoted = databases.clone();
            later(&world, 30, move |_| {
                promoted.set_role("10.0.0.1", Ok(Role::Reader));
                promoted.set_role("10.0.0.2", Ok(Role::Writer));
            });
            let synchronizer = probing(&world, kind, &databases);
            let moved = event(&world, "0385", "", Duration::ZERO);
            let began = Instant::now();
            let run =
                tokio::spawn(async move { drop(synchronizer.run(&moved, began + LONG).await) });
            while world.count("deregister") == 0 && !run.is_finished() {
                sleep(Duration::from_millis(50)).await;
            }
            run.abort();
            assert_eq!(world.writes(), SWITCHED, "{kind}, {hanging:?}");
            assert!(
                began.elapsed() <= Duration::from_secs(32),
                "{kind}, {hanging:?}: {:?}",
                began.elapsed()
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_description_that_takes_six_seconds_each_time_delays_a_switch_and_does_not_prevent_it() {
    for kind in ["cluster", "instance"] {
        for calls in ["describe", "describe db"] {
            let world = failed_over();
            world.state().slow_calls = Some((calls, Duration::from_secs(6)));
            let report = run_db(&world, kind).await;
            assert_eq!(report.state, State::Updated, "{kind}: {report:?}");
            assert_eq!(world.writes(), SWITCHED, "{kind}");
            assert!(report.elapsed <= Duration::from_secs(60), "{kind}: {:?}", report.elapsed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_old_is_told_as_such_and_whose_it_is() {
    let (world, synchronizer) = before_a_failover().await;
    world.state().writer = None;
    later(&world, 10, |world| silence(world, &["lookup"]));
    let moved = event(&world, "0049", "", Duration::ZERO);
    let report = report_of(synchronizer.run(&moved, Instant::now() + LONG).await);
    let reason = report.reason.unwrap().to_string();
    assert!(reason.starts_with("stale: the last answer of DNS came 1"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_switch_that_the_deadline_cut_off_is_no_group_in_sync() {
    let (world, synchronizer) = before_a_failover().await;
    later(&world, 10, |world| {
        world.resolve("db.example", &["10.0.0.2"]);
        world.state().writer = Some("orders-b");
        silence(world, &["describe"]);
    });
    let completed = event(
        &world,
        "0071",
        "Completed failover to DB instance: orders-b",
        Duration::from_secs(1),
    );
    let outcome = synchronizer.run(&completed, Instant::now() + Duration::from_secs(13)).await;
    let Err(RunError::Bindings(report)) = outcome else { panic!("it did not fail: {outcome:?}") };
    assert_eq!(error_of(&report.bindings[0]).0, "DeadlineNear");
    assert_eq!((report.bindings[0].state, report.bindings[0].cut_short), (State::Failed, false));
}

#[tokio::test(start_paused = true)]
async fn a_function_without_a_way_to_the_rds_api_waits_for_it_a_second_now_and_then() {
    let world = failed_over();
    world.group("db", &["10.0.0.2:5432 healthy"]);
    silence(&world, &["topology"]);
    let synchronizer = world.synchronizer(&[("db", "cluster")]);
    let mut waited = Vec::new();
    for _ in 0..9 {
        let report = synchronizer.run(&Trigger::default(), Instant::now() + LONG).await.unwrap();
        assert_eq!(report.bindings[0].state, State::InSync);
        waited.push(report.bindings[0].elapsed.as_secs());
        sleep(Duration::from_secs(60) - report.bindings[0].elapsed).await;
    }
    assert_eq!(waited, [3, 1, 1, 0, 1, 0, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_hears_everybody_before_it_says_what_it_would_do() {
    let world = failed_over();
    world.state().lookup_time = Duration::from_millis(2_500);
    let trigger =
        Trigger { dry_run: true, watch: Some(Duration::from_secs(60)), ..Trigger::default() };
    let report = watch(&world, "instance", &trigger).await;
    assert_eq!(report.resolved.len(), 1, "{report:?}");
}
