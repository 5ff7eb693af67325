//! When a run asks through the load balancer, and what it says of it: what consumers see.

use std::collections::BTreeSet;
use std::net::IpAddr;

use base::database::HostPort;
use reconcile::binding::Engine;
use reconcile::claim::Role;
use reconcile::path::Obstacle;
use reconcile::plan::Mode;
use serde_json::{Value, json};

use super::role_probe::{FakeDatabases, LISTENER, probing_as, run_once};
use super::watches::{event, later};
use super::*;

const NLB: &str = "nlb.example";
const ZONES: [&str; 2] = ["10.1.0.1", "10.1.1.1"];

type Loop = Arc<Synchronizer<(World, World, World, World)>>;

/// `orders-a`, 10.0.0.1, is the writer and registered, and the load balancer leads to it.
fn in_sync() -> (World, FakeDatabases) {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    world.resolve(NLB, &ZONES);
    world.state().writer = Some("orders-a");
    world.group("db", &["10.0.0.1:5432 healthy"]);
    let databases = FakeDatabases::default();
    databases.set_role("10.0.0.1", Ok(Role::Writer));
    databases.set_role("10.0.0.2", Ok(Role::Reader));
    lead(&databases, &ZONES, "10.0.0.1");
    (world, databases)
}

/// `orders-b`, 10.0.0.2, was promoted; the load balancer follows the group after so many seconds.
fn promoted(follows_after: u64) -> (World, FakeDatabases) {
    let (world, databases) = in_sync();
    promote(&world, &databases);
    let late = databases.clone();
    later(&world, follows_after, move |_| lead(&late, &ZONES, "10.0.0.2"));
    (world, databases)
}

fn promote(world: &World, databases: &FakeDatabases) {
    world.resolve("db.example", &["10.0.0.2"]);
    world.state().writer = Some("orders-b");
    databases.set_role("10.0.0.1", Ok(Role::Reader));
    databases.set_role("10.0.0.2", Ok(Role::Writer));
}

fn lead(databases: &FakeDatabases, zones: &[&str], database: &'static str) {
    for zone in zones {
        databases.state().zones.insert(zone.parse().unwrap(), Ok(database));
    }
}

fn keep_out(databases: &FakeDatabases, zone: &str, obstacle: Obstacle) {
    databases.state().zones.insert(zone.parse().unwrap(), Err(obstacle));
}

fn asking(world: &World, databases: &FakeDatabases) -> Loop {
    asking_as(world, databases, Engine::Postgres)
}

fn asking_as(world: &World, databases: &FakeDatabases, engine: Engine) -> Loop {
    probing_as(world, "cluster", databases, |config| {
        config.path = Some(HostPort { host: NLB.to_owned(), port: LISTENER });
        config.bindings[0].engine = Some(engine);
    })
}

fn completed(world: &World) -> Trigger {
    event(world, "0013", "Failover started", Duration::from_secs(2))
}

/// What a run says of the path: its states, its note, `PathUp` and `PathLatency`.
struct Said {
    path: Value,
    note: String,
    up: Value,
    latency: Value,
}

async fn run_and_say(synchronizer: &Loop, trigger: &Trigger) -> (BindingReport, Said) {
    let report = run_once(synchronizer, trigger).await;
    let result = serde_json::to_value(&report).unwrap();
    let metrics = report.metrics("function", 0).unwrap();
    let said = Said {
        path: result["path"].clone(),
        note: result["pathNote"].as_str().unwrap_or_default().to_owned(),
        up: metrics["PathUp"].clone(),
        latency: metrics["PathLatency"].clone(),
    };
    assert_eq!(said.latency, result["registerToPathMs"], "one figure");
    (report, said)
}

fn states(states: [&str; 2]) -> Value {
    json!({ZONES[0]: states[0], ZONES[1]: states[1]})
}

fn asked_through(databases: &FakeDatabases) -> Vec<(IpAddr, Instant)> {
    let state = databases.state();
    let through = state.asked_anew.iter().filter(|(server, ..)| server.port() == LISTENER);
    through.map(|(server, _, at)| (server.ip(), *at)).collect()
}

#[tokio::test(start_paused = true)]
async fn in_sync_each_address_is_asked_once_with_the_check_and_else_nobody() {
    let (world, databases) = in_sync();
    let synchronizer = asking(&world, &databases);
    for (minute, rounds) in [(0, 1), (1, 1), (2, 1), (3, 2)] {
        let (report, said) = run_and_say(&synchronizer, &Trigger::default()).await;
        assert_eq!((report.state, report.elapsed), (State::InSync, Duration::ZERO));
        assert_eq!(asked_through(&databases).len(), 2 * rounds, "minute {minute}");
        let is_check = minute % 3 == 0;
        assert_eq!(said.up, if is_check { json!(1) } else { Value::Null }, "minute {minute}");
        assert_eq!(said.path == states(["writer", "writer"]), is_check, "minute {minute}");
        assert_eq!((said.note.as_str(), &said.latency), ("", &Value::Null));
        sleep(Duration::from_secs(60)).await;
    }
    let names: BTreeSet<_> = databases
        .state()
        .asked_anew
        .iter()
        .map(|(server, name, _)| (*server, name.clone()))
        .collect();
    let expected = [
        ("10.0.0.1:5432", "orders-a.example"),
        ("10.1.0.1:6432", "db.example"),
        ("10.1.1.1:6432", "db.example"),
    ];
    let expected = expected.map(|(server, name)| (server.parse().unwrap(), name.to_owned()));
    assert_eq!(names, BTreeSet::from(expected), "a database by its own name, else the endpoint's");
}

#[tokio::test(start_paused = true)]
async fn after_a_switch_the_run_asks_every_two_seconds_until_three_rounds_were_good() {
    let (world, databases) = promoted(75);
    let (report, said) = run_and_say(&asking(&world, &databases), &completed(&world)).await;
    assert_eq!(report.state, State::Updated);
    assert_eq!((said.path, said.up), (states(["writer", "writer"]), json!(1)));
    let register_to_path = report.register_to_path.unwrap().as_secs_f64();
    assert!((75.0..=77.0).contains(&register_to_path), "{register_to_path}");
    let event_to_path = report.event_to_path.unwrap().as_secs_f64();
    assert!((77.0..=79.1).contains(&event_to_path), "{event_to_path}, an event of 2 s ago");
    assert!(report.elapsed.as_secs() <= 83, "{:?}: it ends when the path is good", report.elapsed);
    let asked: Vec<_> = asked_through(&databases).into_iter().map(|(_, at)| at).collect();
    let rounds: Vec<_> = asked.chunks(2).map(|round| round[0]).collect();
    assert!(rounds.is_sorted_by(|a, b| *b - *a >= Duration::from_secs(2)), "{rounds:?}");
    assert!(rounds.len() >= 30, "{} rounds", rounds.len());
    let directly = databases.state().asked_anew.len() - asked.len();
    assert_eq!(directly, 2 * rounds.len() - 3, "before each round, and after each bad one");
}

#[tokio::test(start_paused = true)]
async fn a_path_that_is_good_at_once_prolongs_no_watch() {
    let (world, databases) = promoted(0);
    let (with, without) = {
        let bare = promoted(0).0;
        let silent = FakeDatabases::default();
        silent.set_role("10.0.0.1", Ok(Role::Reader));
        silent.set_role("10.0.0.2", Ok(Role::Writer));
        let bare_loop = probing_as(&bare, "cluster", &silent, |_| {});
        (
            run_once(&asking(&world, &databases), &completed(&world)).await,
            run_once(&bare_loop, &completed(&bare)).await,
        )
    };
    assert_eq!((with.state, with.elapsed), (without.state, without.elapsed));
    assert_eq!(with.observations, without.observations, "no answer of it hurries a look");
    assert!(with.register_to_path.is_some_and(|took| took <= Duration::from_secs(2)), "{with:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_first_says_so_and_scheduled_runs_go_on() {
    let (world, databases) = promoted(400);
    let synchronizer = asking(&world, &databases);
    let (report, said) = run_and_say(&synchronizer, &completed(&world)).await;
    assert_eq!((report.state, report.error), (State::Updated, None));
    assert_eq!((said.path, said.up), (states(["reader", "reader"]), json!(0)));
    assert!(said.note.contains("takes at least 18"), "{}", said.note);
    assert!(report.elapsed <= Duration::from_secs(183), "{:?}", report.elapsed);

    let mut followed = None;
    for _ in 0..6 {
        sleep(Duration::from_secs(60)).await;
        let before = asked_through(&databases).len();
        let (report, said) = run_and_say(&synchronizer, &Trigger::default()).await;
        let rounds = (asked_through(&databases).len() - before) / 2;
        assert_eq!(report.state, State::InSync);
        match (followed, report.register_to_path) {
            (None, None) => {
                assert_eq!((rounds, said.up), (1, json!(0)));
                assert!(said.note.contains("at least"), "{}", said.note);
            }
            (None, took @ Some(_)) => {
                assert_eq!((rounds, said.up), (3, json!(1)), "one good round is not the end");
                assert_eq!(said.note, "");
                followed = took;
            }
            (Some(_), took) => assert_eq!(took, None, "it is told once"),
        }
    }
    let took = followed.expect("it followed").as_secs();
    assert!((400..=460).contains(&took), "{took} s, as exact as the schedule");
}

#[tokio::test(start_paused = true)]
async fn a_bad_address_is_told_and_each_run_asks_until_it_is_good() {
    for (title, address, state, up, words) in [
        ("dead", Err(Obstacle::Unreachable), "unreachable", json!(0), "nobody answers there"),
        ("stuck on the old writer", Ok("10.0.0.2"), "reader", json!(0), "leads to 10.0.0.2"),
        ("blocked", Err(Obstacle::Blocked), "refused", json!(0), "every consumer there"),
        ("another protocol", Err(Obstacle::Refused), "refused", json!(0), "Refused"),
        ("a refused login", Err(Obstacle::Inconclusive), "refused", Value::Null, "Inconclusive"),
    ] {
        let (world, databases) = in_sync();
        let synchronizer = asking(&world, &databases);
        databases.state().zones.insert(ZONES[1].parse().unwrap(), address);
        for minute in 0..3 {
            let before = asked_through(&databases).len();
            let (report, said) = run_and_say(&synchronizer, &Trigger::default()).await;
            assert_eq!(report.state, State::InSync, "{title}: it says nothing of targets");
            let is_asked = minute == 0 || up == 0;
            assert_eq!(asked_through(&databases).len() - before, 2 * usize::from(is_asked));
            if is_asked {
                assert_eq!((said.path, said.up), (states(["writer", state]), up.clone()));
                assert!(said.note.contains(words), "{title}: {}", said.note);
            }
            sleep(Duration::from_secs(60)).await;
        }
        if up == 0 {
            lead(&databases, &ZONES, "10.0.0.1");
            let (_, said) = run_and_say(&synchronizer, &Trigger::default()).await;
            assert_eq!((said.up, said.note.as_str()), (json!(1), ""), "{title}");
        }
        assert_eq!(world.writes(), [""; 0], "{title}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_everywhere_names_both_of_its_causes() {
    let (world, databases) = in_sync();
    ZONES.iter().for_each(|zone| keep_out(&databases, zone, Obstacle::Unreachable));
    let (_, said) = run_and_say(&asking(&world, &databases), &Trigger::default()).await;
    assert_eq!((said.path, said.up), (states(["unreachable", "unreachable"]), json!(0)));
    assert!(said.note.contains("broken for consumers"), "{}", said.note);
    assert!(said.note.contains("only this function is kept out"), "{}", said.note);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_left_dns_is_asked_all_the_same() {
    let (world, databases) = in_sync();
    let synchronizer = asking(&world, &databases);
    run_once(&synchronizer, &Trigger::default()).await;
    keep_out(&databases, ZONES[1], Obstacle::Unreachable);
    for names in [&ZONES[..1], &[]] {
        world.resolve(NLB, names);
        sleep(Duration::from_secs(180)).await;
        let (_, said) = run_and_say(&synchronizer, &Trigger::default()).await;
        assert_eq!(
            (said.path, said.up),
            (states(["writer", "unreachable"]), json!(0)),
            "{names:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_leads_to_a_target_itself_is_no_way_through_a_load_balancer() {
    let (world, databases) = in_sync();
    world.resolve(NLB, &["10.0.0.1"]);
    let (_, said) = run_and_say(&asking(&world, &databases), &Trigger::default()).await;
    assert_eq!((said.path, said.up), (json!({"10.0.0.1": "unknown"}), Value::Null));
    assert_eq!(asked_through(&databases), []);
    assert!(said.note.contains("it is the target itself"), "{}", said.note);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_may_not_be_registered_is_sent_no_login() {
    let (world, databases) = in_sync();
    world.group("db", &["8.8.8.8:5432 healthy"]);
    databases.set_role("8.8.8.8", Ok(Role::Writer));
    let trigger = Trigger { dry_run: true, ..Trigger::default() };
    let synchronizer = asking(&world, &databases);
    let (_, said) = run_and_say(&synchronizer, &trigger).await;
    assert_eq!((said.up, databases.state().asked_anew.len()), (Value::Null, 0), "{}", said.note);

    world.group("db", &["8.8.8.8:5432 healthy", "10.0.0.1:5432 healthy"]);
    sleep(Duration::from_secs(180)).await;
    let (_, said) = run_and_say(&synchronizer, &trigger).await;
    assert_eq!((said.path, said.up), (states(["writer", "writer"]), Value::Null), "{}", said.note);
}

#[tokio::test(start_paused = true)]
async fn without_an_address_nothing_is_said_but_why() {
    let (world, databases) = in_sync();
    world.resolve(NLB, &[]);
    let (report, said) = run_and_say(&asking(&world, &databases), &Trigger::default()).await;
    assert_eq!((report.state, said.path, said.up), (State::InSync, json!({}), Value::Null));
    assert!(said.note.contains(NLB), "{}", said.note);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_through_while_the_writer_itself_gives_no_answer() {
    for (title, said_directly, words) in [
        ("it is down", Err("ConnectionFailed"), "10.0.0.1, asked directly"),
        ("it was demoted", Ok(Role::Reader), "has the role reader"),
        ("its sessions are read only by default", Ok(Role::Unknown), "has the role unknown"),
    ] {
        let (world, databases) = in_sync();
        let synchronizer = asking(&world, &databases);
        run_once(&synchronizer, &Trigger::default()).await;
        databases.set_role("10.0.0.1", said_directly);
        let before = asked_through(&databases).len();
        sleep(Duration::from_secs(180)).await;
        let (_, said) = run_and_say(&synchronizer, &Trigger::default()).await;
        assert_eq!(asked_through(&databases).len(), before, "{title}");
        assert_eq!((said.path, said.up), (states(["unknown", "unknown"]), Value::Null), "{title}");
        assert!(said.note.contains("not judged") && said.note.contains(words), "{}", said.note);
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_goes_down_meanwhile_is_no_broken_path() {
    let (world, databases) = in_sync();
    ZONES.iter().for_each(|zone| keep_out(&databases, zone, Obstacle::Unreachable));
    let goes_down = databases.clone();
    later(&world, 3, move |_| goes_down.set_role("10.0.0.1", Err("ConnectionFailed")));
    let (_, said) = run_and_say(&asking(&world, &databases), &Trigger::default()).await;
    assert_eq!((said.path, said.up), (states(["unreachable", "unreachable"]), Value::Null));
}

#[tokio::test(start_paused = true)]
async fn two_registered_targets_are_told_apart_by_who_takes_writes() {
    let (world, databases) = in_sync();
    world.resolve("db.example", &["10.0.0.1", "10.0.0.2"]);
    world.group("db", &["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"]);
    let trigger = Trigger { dry_run: true, ..Trigger::default() };
    let synchronizer = asking(&world, &databases);
    let (_, said) = run_and_say(&synchronizer, &trigger).await;
    assert_eq!((said.path, said.up), (states(["writer", "writer"]), Value::Null));
    assert!(said.note.contains("the next session may lead to another"), "{}", said.note);

    databases.set_role("10.0.0.2", Ok(Role::Writer));
    sleep(Duration::from_secs(180)).await;
    let (_, said) = run_and_say(&synchronizer, &trigger).await;
    assert_eq!((said.path, said.up), (states(["unknown", "unknown"]), Value::Null));
    assert!(said.note.contains("several registered targets take writes"), "{}", said.note);
}

#[tokio::test(start_paused = true)]
async fn an_old_writer_that_is_not_demoted_yet_is_no_proof_of_a_switch() {
    // Registered still: the path leads to it, it says so directly too, and nothing was switched.
    let (world, databases) = in_sync();
    databases.set_role("10.0.0.2", Ok(Role::Writer));
    let (report, said) = run_and_say(&asking(&world, &databases), &completed(&world)).await;
    assert_eq!(report.registered, []);
    assert_eq!((said.path, said.up), (states(["writer", "writer"]), json!(1)));
    assert_eq!(said.latency, Value::Null);

    // Left already: it takes writes as the new one does, and is another server.
    let (world, databases) = promoted(400);
    world.group("db", &["10.0.0.2:5432 healthy"]);
    databases.set_role("10.0.0.1", Ok(Role::Writer));
    let (_, said) = run_and_say(&asking(&world, &databases), &Trigger::default()).await;
    assert_eq!((said.path, said.up), (states(["other", "other"]), json!(0)));
    assert!(said.note.contains("10.0.0.1, which takes writes too"), "{}", said.note);
}

#[tokio::test(start_paused = true)]
async fn mysql_is_not_asked_again_where_its_certificate_was_refused() {
    for (engine, rounds) in [(Engine::MySql, 1), (Engine::Postgres, 2)] {
        let (world, databases) = in_sync();
        ZONES.iter().for_each(|zone| keep_out(&databases, zone, Obstacle::Tls));
        let synchronizer = asking_as(&world, &databases, engine);
        for words in ["Tls", if engine == Engine::MySql { "not asked" } else { "Tls" }] {
            let (_, said) = run_and_say(&synchronizer, &Trigger::default()).await;
            assert_eq!(said.up, Value::Null, "{engine:?}");
            assert!(said.note.contains(words), "{engine:?}: {}", said.note);
            sleep(Duration::from_secs(180)).await;
        }
        assert_eq!(asked_through(&databases).len(), 2 * rounds, "{engine:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_observing_function_asks_with_its_check_and_claims_no_switch() {
    let (world, databases) = promoted(30);
    world.state().mode = Mode::Observe;
    let (report, said) = run_and_say(&asking(&world, &databases), &completed(&world)).await;
    assert_eq!(report.state, State::WouldUpdate);
    // The registered one is the old writer, which takes no writes: nothing to compare with.
    assert_eq!((said.up, said.latency), (Value::Null, Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_up_while_the_path_is_asked_is_no_failure() {
    let (world, databases) = in_sync();
    // Five seconds for the zone, and five for the writer, which is asked once more.
    keep_out(&databases, ZONES[0], Obstacle::Unreachable);
    let goes_down = databases.clone();
    later(&world, 3, move |_| goes_down.set_role("10.0.0.1", Err("ConnectionFailed")));
    let synchronizer = asking(&world, &databases);
    let deadline = Instant::now() + Duration::from_secs(8);
    let report = synchronizer.run(&Trigger::default(), deadline).await.unwrap().bindings.remove(0);
    assert_eq!((report.state, report.cut_short), (State::InSync, true));
}

#[tokio::test(start_paused = true)]
async fn asking_through_the_load_balancer_delays_no_switch() {
    let (world, databases) = promoted(300);
    ZONES.iter().for_each(|zone| keep_out(&databases, zone, Obstacle::Unreachable));
    let synchronizer = asking(&world, &databases);
    let back = databases.clone();
    later(&world, 20, move |world| {
        world.resolve("db.example", &["10.0.0.1"]);
        world.state().writer = Some("orders-a");
        back.set_role("10.0.0.1", Ok(Role::Writer));
        back.set_role("10.0.0.2", Ok(Role::Reader));
    });
    let start = Instant::now();
    let report = run_once(&synchronizer, &completed(&world)).await;
    assert_eq!(report.state, State::Updated, "{report:?}");
    assert_eq!(
        world.writes(),
        [
            "register db 10.0.0.2:5432",
            "deregister db 10.0.0.1:5432",
            "register db 10.0.0.1:5432",
            "deregister db 10.0.0.2:5432"
        ]
    );
    assert!(start.elapsed() <= Duration::from_secs(186), "{:?}", start.elapsed());
    // Each second, and a few times each half second: an answer after five seconds hurries no look.
    let (looks, seconds) = (u64::from(report.observations), report.elapsed.as_secs());
    assert!(looks <= seconds + 5, "{looks} looks in {seconds} s");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_unhealthy_keeps_nobody_from_asking() {
    let (world, databases) = in_sync();
    let synchronizer = asking(&world, &databases);
    run_once(&synchronizer, &Trigger::default()).await;
    // In these runs the RDS API is asked each time, for the sake of the target.
    world.group("db", &["10.0.0.1:5432 unhealthy"]);
    ZONES.iter().for_each(|zone| keep_out(&databases, zone, Obstacle::Unreachable));
    let mut seen = Vec::new();
    for _ in 0..5 {
        sleep(Duration::from_secs(60)).await;
        seen.push(run_and_say(&synchronizer, &Trigger::default()).await.1.up);
    }
    assert_eq!(seen, [Value::Null, Value::Null, json!(0), json!(0), json!(0)]);
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_while_the_path_is_followed_changes_no_result() {
    let (world, databases) = promoted(50);
    later(&world, 20, |world| world.state().refusing.push(("describe", "InternalFailure")));
    later(&world, 40, |world| world.state().refusing.clear());
    // Without an event an error is the end of a run, which here was over but for the path.
    let report = run_once(&asking(&world, &databases), &Trigger::default()).await;
    assert_eq!((report.state, report.error.clone()), (State::Updated, None), "{report:?}");
    assert!(report.register_to_path.is_some_and(|took| took.as_secs() / 2 == 25), "{report:?}");
}
