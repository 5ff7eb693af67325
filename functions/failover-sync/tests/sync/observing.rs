//! A function that observes: it does all that an acting one does, and writes nothing.

use reconcile::claim::Role;
use reconcile::plan::Mode;
use serde_json::json;

use super::hanging::report_of;
use super::role_probe::{FakeDatabases, probing, run_once};
use super::watches::{event, later, watch};
use super::*;

fn observing(world: World) -> World {
    world.state().mode = Mode::Observe;
    world
}

/// A script: its title, the kind of the binding, the world, and what happens in it later.
type Script = (&'static str, &'static str, fn() -> World, fn(&World));

/// A failover that the group does not follow, as each script tells of it.
const SCRIPTS: [Script; 6] = [
    ("all agree at once", "cluster", failed_over, |_| {}),
    ("an empty group", "cluster", empty, |_| {}),
    ("an instance, which only DNS knows", "instance", failed_over, |_| {}),
    ("a host name", "hostname", failed_over, |_| {}),
    ("DNS comes last", "cluster", before, |world| {
        later(world, 7, |world| world.state().writer = Some("orders-b"));
        later(world, 33, |world| world.resolve("db.example", &["10.0.0.2"]));
    }),
    ("the RDS API comes last", "cluster", before, |world| {
        later(world, 11, |world| world.resolve("db.example", &["10.0.0.2"]));
        later(world, 47, |world| world.state().writer = Some("orders-b"));
    }),
];

fn before() -> World {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    world.state().writer = Some("orders-a");
    world
}

fn empty() -> World {
    let world = failed_over();
    world.group("db", &[]);
    world
}

fn completed(world: &World) -> Trigger {
    event(world, "0013", "Failover started", Duration::from_secs(2))
}

#[tokio::test(start_paused = true)]
async fn it_would_switch_in_the_same_second_as_an_acting_function_switches() {
    for (title, kind, world, script) in SCRIPTS {
        let (acting, observed) = (world(), observing(world()));
        script(&acting);
        script(&observed);
        let (to_act, to_observe) = (completed(&acting), completed(&observed));
        let (acted, said) =
            tokio::join!(watch(&acting, kind, &to_act), watch(&observed, kind, &to_observe));
        let first = acting.state().first_write;
        let (first, would) = (first.expect(title), said.would_switch_at.expect(title));
        assert!((would - first).abs().num_milliseconds() <= 1_000, "{title}: {first} {would}");
        assert_eq!((acted.state, said.state), (State::Updated, State::WouldUpdate), "{title}");
        assert_eq!(acted.reason.map(|it| it.rule()), said.reason.map(|it| it.rule()), "{title}");
        assert_eq!(acted.registered, said.registered, "{title}");
        assert_eq!(strings(&acted.deregistered), strings(&said.deregistered), "{title}");
        assert!(observed.writes().is_empty(), "{title}: {:?}", observed.writes());
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_in_a_payload_makes_it_act() {
    for payload in [
        json!({}),
        json!({"mode": "act"}),
        json!({"MODE": "act", "dryRun": false, "watchSeconds": 60}),
        json!({"binding": "db", "dryRun": false}),
    ] {
        let world = observing(failed_over());
        let trigger = Trigger::parse(&payload).unwrap();
        let report = report_of(run(&world, &[("db", "cluster")], &trigger).await);
        assert_eq!((report.state, report.mode), (State::WouldUpdate, Mode::Observe), "{payload}");
        assert!(world.writes().is_empty(), "{payload}: {:?}", world.writes());
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_another_writer_puts_right_is_in_sync_and_the_switch_is_told() {
    let world = observing(failed_over());
    later(&world, 20, |world| world.group("db", &["10.0.0.2:5432 healthy"]));
    let report = watch(&world, "cluster", &completed(&world)).await;
    assert_eq!(report.state, State::InSync);
    assert!(report.would_switch_at.is_some() && report.registered.is_empty(), "{report:?}");
    let metrics = report.metrics("link", 0).unwrap();
    let values = ["Observing", "WouldSwitch", "Differs", "Switches"].map(|name| &metrics[name]);
    assert_eq!(values, [1, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_stays_wrong_differs_to_the_end_of_the_watch_and_is_no_error() {
    let world = observing(failed_over());
    let report = watch(&world, "cluster", &completed(&world)).await;
    assert_eq!((report.state, report.error.clone()), (State::WouldUpdate, None));
    assert_eq!(report.elapsed.as_secs(), 180);
    assert!(world.count("describe") <= 15, "{} describes", world.count("describe"));
    assert!(world.count("topology") <= 100, "{} topologies", world.count("topology"));
    let metrics = report.metrics("link", 0).unwrap();
    let values = ["Observing", "WouldSwitch", "Differs", "InSync"].map(|name| &metrics[name]);
    assert_eq!(values, [1, 1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn without_an_event_a_group_that_differs_is_looked_at_once_a_run() {
    let world = observing(failed_over());
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state, report.elapsed.as_secs()), (State::WouldUpdate, 0));
    assert_eq!((world.count("describe"), world.count("topology")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_within_a_watch_cuts_it_short_and_is_no_error() {
    let world = observing(failed_over());
    let deadline = Instant::now() + Duration::from_secs(20);
    let synchronizer = world.synchronizer(&[("db", "cluster")]);
    let report = report_of(synchronizer.run(&completed(&world), deadline).await);
    assert_eq!((report.state, report.cut_short), (State::WouldUpdate, true), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_switch_by_role_that_is_only_observed_is_looked_at_in_the_watchs_own_pace() {
    let world = observing(failed_over());
    let databases = FakeDatabases::default();
    databases.set_role("10.0.0.1", Ok(Role::Reader));
    databases.set_role("10.0.0.2", Ok(Role::Writer));
    let synchronizer = probing(&world, "cluster", &databases);
    let report = run_once(&synchronizer, &completed(&world)).await;
    assert_eq!(report.state, State::WouldUpdate, "{report:?}");
    let looks = report.observations;
    assert!((60..=400).contains(&looks), "{looks} looks in {:?}", report.elapsed);
    assert!(world.count("lookup db.example") <= 400, "{}", world.count("lookup db.example"));
}
