//! What a run asks of AWS while something is wrong for long: no more than may help.

use super::hanging::report_of;
use super::watches::{event, later};
use super::*;

async fn watch_refused(call: &'static str, code: &'static str) -> (World, BindingReport) {
    let world = failed_over();
    world.state().refusing.push((call, code));
    let completed = event(
        &world,
        "0071",
        "Completed failover to DB instance: orders-b",
        Duration::from_secs(5),
    );
    let report = report_of(run(&world, &[("db", "cluster")], &completed).await);
    (world, report)
}

#[tokio::test(start_paused = true)]
async fn what_no_look_can_mend_ends_a_watch_after_three_looks() {
    for (call, code, kind) in [
        ("describe", "AccessDenied", "AccessDenied"),
        ("describe", "TargetGroupNotFound", "TargetGroupNotFound"),
    ] {
        let (world, report) = watch_refused(call, code).await;
        assert_eq!(error_of(&report).0, kind, "{call}");
        assert_eq!(world.count(call), 3, "{call}: {:?}", world.state().calls);
        assert!(report.elapsed < Duration::from_secs(10), "{call}: {:?}", report.elapsed);
    }
}

/// A role that was given the right to write a moment ago may not have it everywhere yet.
#[tokio::test(start_paused = true)]
async fn a_write_that_is_denied_is_tried_again_for_a_minute_like_one_that_is_throttled() {
    for call in ["register", "deregister"] {
        let (world, report) = watch_refused(call, "AccessDenied").await;
        assert_eq!(error_of(&report).0, "AccessDenied", "{call}");
        assert!((4..=12).contains(&world.count(call)), "{call}: {:?}", world.state().calls);
        assert!((60..80).contains(&report.elapsed.as_secs()), "{call}: {:?}", report.elapsed);

        let world = failed_over();
        world.state().refusing.push((call, "AccessDenied"));
        later(&world, 20, |world| world.state().refusing.clear());
        let completed = event(&world, "0071", "Completed failover", Duration::from_secs(5));
        let report = report_of(run(&world, &[("db", "cluster")], &completed).await);
        assert_eq!(report.state, State::Updated, "{call}: {report:?}");

        let world = failed_over();
        world.state().refusing.push((call, "AccessDenied"));
        later(&world, 20, |world| world.state().refusing.clear());
        let report = run_db(&world, "cluster").await;
        assert_eq!(report.state, State::Updated, "{call}, without an event: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_rds_api_refuses_is_never_the_end() {
    let (world, report) = watch_refused("topology", "AccessDenied").await;
    assert_eq!(report.state, State::Updated, "{report:?}");
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 draining", "10.0.0.2:5432 initial"]);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_account_is_asked_ever_more_rarely_for_the_whole_watch() {
    let (world, report) = watch_refused("describe", "Throttling").await;
    assert_eq!(
        (error_of(&report).0, report.elapsed >= Duration::from_secs(160)),
        ("Throttled", true),
        "{report:?}"
    );
    assert!((10..=25).contains(&world.count("describe")), "{}", world.count("describe"));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_stays_refused_ends_a_watch_after_half_a_minute() {
    let world = failed_over();
    for name in ["db.example", "orders-b.example"] {
        world.resolve(name, &["52.1.2.3"]);
    }
    let completed = event(
        &world,
        "0071",
        "Completed failover to DB instance: orders-b",
        Duration::from_secs(5),
    );
    let report = report_of(run(&world, &[("db", "cluster")], &completed).await);
    assert_eq!((error_of(&report).0, report.elapsed.as_secs()), ("AddressRefused", 30));
}

#[tokio::test(start_paused = true)]
async fn bindings_of_one_cluster_share_what_the_rds_api_says() {
    let world = failed_over();
    world.resolve("cname.example", &["10.0.0.2"]);
    world.group("db", &["10.0.0.2:5432 healthy"]);
    world.group("cname", &["10.0.0.2:5432 healthy"]);
    world.state().round_trip = Duration::from_millis(10);
    let completed = event(
        &world,
        "0071",
        "Completed failover to DB instance: orders-b",
        Duration::from_secs(5),
    );
    run(&world, &[("db", "cluster"), ("cname", "cluster")], &completed).await.unwrap();
    assert!(
        (25..=32).contains(&world.count("topology")),
        "{} in a minute",
        world.count("topology")
    );
}

#[tokio::test(start_paused = true)]
async fn a_disagreement_that_stands_is_asked_about_ever_more_rarely() {
    let world = failed_over();
    world.state().writer = Some("orders-a");
    let synchronizer = world.synchronizer(&[("db", "cluster")]);
    let mut asked = Vec::new();
    for _ in 0..6 {
        let before = world.count("topology");
        let report = report_of(synchronizer.run(&Trigger::default(), Instant::now() + LONG).await);
        assert_eq!(report.state, State::Waiting, "{report:?}");
        asked.push(world.count("topology") - before);
    }
    assert!(
        asked[0] <= 45 && asked.is_sorted_by(|one, next| one >= next),
        "{asked:?} in each hundred seconds"
    );
    assert!(asked[5] <= 8, "{asked:?} in each hundred seconds");
    world.state().writer = Some("orders-b");
    let report = report_of(synchronizer.run(&Trigger::default(), Instant::now() + LONG).await);
    assert_eq!(report.state, State::Updated, "{report:?}");
    assert!(report.elapsed <= Duration::from_secs(17), "{:?}", report.elapsed);
}
