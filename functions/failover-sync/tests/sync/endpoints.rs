//! Endpoints and clusters that are not as usual: nobody flagged, an empty group, one public
//! address, a custom endpoint.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_cluster_that_flags_no_writer_is_followed_by_dns_and_the_reason_says_why() {
    let world = failed_over();
    world.state().writer = Some("nobody");
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state, report.is_topology_silent), (State::Updated, Some(false)));
    assert_eq!(report.elapsed.as_secs(), 10);
    let why = report.reason.unwrap().to_string();
    assert!(why.contains("DNS alone names 10.0.0.2 for 10 of 10 s"), "{why}");
    assert_eq!(report.note, Some("the RDS API flags no member as the writer"));
}

#[tokio::test(start_paused = true)]
async fn an_empty_group_is_not_filled_with_a_reader() {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    world.group("db", &[]);
    let began = Instant::now();
    let report = run_db(&world, "cluster").await;
    assert_eq!(
        world.writes(),
        ["register db 10.0.0.2:5432"],
        "the writer that the RDS API names, not the reader of DNS"
    );
    assert_eq!(report.state, State::Waiting, "DNS goes on naming the reader");
    assert!(began.elapsed() > Duration::from_secs(30), "{:?}", began.elapsed());

    let world = failed_over();
    world.group("db", &[]);
    let report = run_db(&world, "cluster").await;
    assert_eq!((report.state, report.elapsed), (State::Updated, Duration::ZERO), "both agree");

    let world = failed_over();
    (world.state().writer, world.state().groups) = (None, Default::default());
    world.group("db", &[]);
    let report = run_db(&world, "cluster").await;
    assert_eq!(
        (report.state, report.elapsed.as_secs()),
        (State::Updated, 30),
        "the RDS API is silent"
    );
    let why = report.reason.unwrap().to_string();
    assert!(why.contains("the group has been empty for 30 s"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn one_public_address_keeps_no_other_out_and_fails_the_run_by_its_name() {
    for kind in ["proxy", "custom", "readers"] {
        let world = failed_over();
        world.state().writer = None;
        world.resolve("db.example", &["10.0.0.2", "52.1.2.3"]);
        world.group("db", &["10.0.0.9:5432 unhealthy"]);
        let report = run_db(&world, kind).await;
        assert_eq!(
            world.writes(),
            ["register db 10.0.0.2:5432"],
            "{kind}: nobody leaves in that run"
        );
        let (error, message) = error_of(&report);
        assert!(error == "AddressRefused" && message.contains("52.1.2.3"), "{kind}: {message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_of_a_custom_endpoint_stays_for_twenty_answers_without_it() {
    let world = failed_over();
    world.group("db", &["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"]);
    let synchronizer = world.synchronizer(&[("db", "custom")]);
    for run in 1..=20 {
        let report = synchronizer
            .run(&Trigger::default(), Instant::now() + LONG)
            .await
            .unwrap()
            .bindings
            .remove(0);
        let left: &[&str] = if run < 20 { &[] } else { &["10.0.0.1:5432"] };
        assert_eq!(strings(&report.deregistered), left, "run {run}");
        sleep(Duration::from_secs(60)).await;
    }
    let topologies = world.count("topology");
    assert_eq!(topologies, 0, "the RDS API knows nothing of its members");
}
