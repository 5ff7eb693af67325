use std::net::Ipv4Addr;
use std::time::Duration;

use chrono::TimeDelta;

use super::*;
use crate::binding::Engine;
use crate::target::Target;

fn server(role: Role, identity: &str) -> Server {
    Server { role, identity: identity.to_owned() }
}

fn new_writer() -> Server {
    server(Role::Writer, "new")
}

const WRITER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 9, 9));

fn kept_out(obstacle: Obstacle) -> Session {
    let message = format!("{obstacle:?}");
    Err((obstacle, Failure { kind: "ServerRefused", message }))
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

/// A round that began at this second, through 10.0.0.1 and the next ones.
fn round(began: i64, through: impl IntoIterator<Item = Session>) -> Round {
    let through = through.into_iter().enumerate();
    Round {
        began: at(began),
        answered: at(began),
        registered: 1,
        writer: Ok((WRITER, new_writer())),
        through: through
            .map(|(zone, session)| (IpAddr::from([10, 0, 0, zone as u8 + 1]), Some(session)))
            .collect(),
        is_confirmed: true,
        unresolved: None,
    }
}

fn registration(at_second: i64) -> Registration {
    let targets = vec![Target { address: WRITER, port: 5432 }];
    Registration { targets, at: at(at_second), event_at: Some(at(at_second - 10)) }
}

#[test]
fn each_end_of_a_session_has_a_state_and_its_weight() {
    use Obstacle::{Blocked, Inconclusive, Refused, Tls, Unreachable};
    for (session, state, is_up) in [
        (Ok(new_writer()), PathState::Writer, Some(true)),
        // The old writer that is not demoted yet takes writes too.
        (Ok(server(Role::Writer, "old")), PathState::Other, Some(false)),
        (Ok(server(Role::Reader, "old")), PathState::Reader, Some(false)),
        (Ok(server(Role::Reader, "new")), PathState::Reader, Some(false)),
        (Ok(server(Role::Unknown, "old")), PathState::Unknown, None),
        (Ok(server(Role::Unknown, "new")), PathState::Unknown, None),
        (kept_out(Unreachable), PathState::Unreachable, Some(false)),
        (kept_out(Blocked), PathState::Refused, Some(false)),
        (kept_out(Refused), PathState::Refused, Some(false)),
        (kept_out(Inconclusive), PathState::Refused, None),
        (kept_out(Tls), PathState::Refused, None),
    ] {
        for round in [round(0, [session.clone()]), round(0, [Ok(new_writer()), session.clone()])] {
            assert_eq!(round.states().into_values().last(), Some(state), "{session:?}");
            assert_eq!(round.is_up(), is_up, "{session:?}");
        }
        let mixed = round(0, [session.clone(), kept_out(Unreachable)]);
        assert_eq!(mixed.is_up(), Some(false), "the worst address counts beside {session:?}");
    }
}

#[test]
fn nothing_is_judged_where_the_writer_itself_gave_no_answer() {
    let bad = || [kept_out(Obstacle::Unreachable)];
    let unconfirmed = Round { is_confirmed: false, ..round(0, bad()) };
    assert_eq!(unconfirmed.is_up(), None, "it may be the database that is down");
    let good = Round { is_confirmed: false, ..round(0, [Ok(new_writer())]) };
    assert_eq!(good.is_up(), Some(true), "what was reached was there");
    let unasked = Round { writer: Err("it is down".to_owned()), ..round(0, bad()) };
    assert_eq!(unasked.is_up(), None);
    assert_eq!(unasked.states().into_values().collect::<Vec<_>>(), [PathState::Unknown]);
    assert_eq!(unasked.note().as_deref(), Some("not judged: it is down"));
    let two = Round { registered: 2, ..round(0, [Ok(new_writer())]) };
    assert_eq!(two.is_up(), None, "the next session may lead to the other target");
    let unresolved = Round { unresolved: Some("no such name".to_owned()), ..round(0, []) };
    assert_eq!((unresolved.is_up(), unresolved.note()), (None, Some("no such name".to_owned())));
}

#[test]
fn a_note_says_what_is_wrong_and_what_to_do() {
    let silent = || kept_out(Obstacle::Unreachable);
    for (sessions, expected) in [
        (vec![Ok(new_writer()), Ok(new_writer())], None),
        (vec![silent(), silent()], Some(&["is broken for consumers", "must admit"][..])),
        (vec![Ok(new_writer()), silent()], Some(&["10.0.0.2: nobody answers there"])),
        (vec![kept_out(Obstacle::Blocked)], Some(&["error 1129", "every consumer"])),
        (vec![Ok(server(Role::Reader, "old"))], Some(&["10.0.0.1: leads to old, role reader"])),
    ] {
        let note = round(0, sessions).note();
        assert_eq!(note.is_some(), expected.is_some(), "{note:?}");
        for words in expected.into_iter().flatten() {
            assert!(note.as_ref().is_some_and(|note| note.contains(words)), "{words}: {note:?}");
        }
    }
}

fn unclear() -> [Session; 1] {
    [kept_out(Obstacle::Inconclusive)]
}

fn bad() -> [Session; 1] {
    [kept_out(Obstacle::Unreachable)]
}

fn good() -> [Session; 1] {
    [Ok(new_writer())]
}

fn policy(history: PathHistory) -> PathPolicy {
    PathPolicy::new(history, Some(Engine::Postgres))
}

fn pending() -> PathHistory {
    PathHistory { registration: Some(registration(100)), ..PathHistory::default() }
}

const NOTHING: PathVerdict = PathVerdict { is_up: None, followed: None };
const UP: PathVerdict = PathVerdict { is_up: Some(true), followed: None };
const DOWN: PathVerdict = PathVerdict { is_up: Some(false), followed: None };

#[test]
fn the_time_counts_to_the_first_of_three_good_rounds_in_a_row() {
    let mut policy = policy(PathHistory::default());
    policy.record_registration(registration(100));
    for (began, sessions, said) in [
        (102, bad(), DOWN),
        (104, good(), NOTHING),
        (106, good(), NOTHING),
        (108, bad(), DOWN),
        (110, good(), NOTHING),
        (112, unclear(), NOTHING),
        (114, good(), NOTHING),
    ] {
        assert_eq!(policy.record(&round(began, sessions)), said, "{began}");
    }
    let seconds = Duration::from_secs;
    let followed = Followed { registration: seconds(10), event: Some(seconds(20)) };
    assert_eq!(
        policy.record(&round(116, good())),
        PathVerdict { is_up: Some(true), followed: Some(followed) }
    );
    assert_eq!(policy.record(&round(118, good())), UP, "it is told once");
}

#[test]
fn a_round_that_began_before_the_registration_says_nothing_about_it() {
    let mut policy = policy(pending());
    for began in [98, 99, 101, 103] {
        assert_eq!(policy.record(&round(began, good())), NOTHING, "{began}");
    }
    assert_eq!(policy.record(&round(105, good())).is_up, Some(true));
}

#[test]
fn a_time_is_told_only_if_the_path_was_looked_at_before_it_became_good() {
    for (title, rounds, expected) in [
        ("at once", vec![(100, good()); 3], Some(0)),
        (
            "by a schedule",
            vec![(200, bad()), (260, good()), (262, good()), (264, good())],
            Some(160),
        ),
        ("after an hour without a look", vec![(3_700, good()); 3], None),
        (
            "after an hour without a verdict",
            vec![
                (101, bad()),
                (3_600, unclear()),
                (3_700, good()),
                (3_700, good()),
                (3_700, good()),
            ],
            None,
        ),
    ] {
        let mut policy = policy(pending());
        let mut said = NOTHING;
        for (began, sessions) in rounds {
            said = policy.record(&round(began, sessions));
        }
        let took = said.followed.map(|followed| followed.registration.as_secs());
        assert_eq!((said.is_up, took), (Some(true), expected), "{title}");
        assert_eq!(policy.history.registration, None, "{title}");
    }
}

#[test]
fn a_registration_after_which_somebody_else_registered_another_writer_is_over() {
    let mut policy = policy(pending());
    let elsewhere = IpAddr::from([10, 0, 9, 8]);
    let other = Round { writer: Ok((elsewhere, new_writer())), ..round(160, good()) };
    assert_eq!((policy.record(&other), policy.history.registration), (UP, None));
}

#[test]
fn a_target_that_a_run_registers_once_more_was_registered_before() {
    let mut own = policy(PathHistory::default());
    own.record_registration(registration(100));
    own.record_registration(registration(103));
    assert_eq!(own.history.registration, Some(registration(100)));
    let other = Registration { targets: Vec::new(), ..registration(105) };
    own.record_registration(other.clone());
    assert_eq!(own.history.registration, Some(other));

    own.record_registration(Registration { targets: Vec::new(), ..registration(121) });
    let at_last = own.history.registration.as_ref().map(|last| last.at);
    assert_eq!(at_last, Some(at(121)), "it had left in between");

    let mut later = policy(pending());
    later.record_registration(registration(900));
    assert_eq!(later.history.registration, Some(registration(900)), "it had left in between");
}

#[test]
fn the_run_that_registered_asks_every_two_seconds_and_others_at_their_end() {
    let asked = |history: PathHistory, at_second| {
        let mut policy = policy(history);
        policy.begin_round(at(at_second));
        policy.history
    };
    let fine = asked(PathHistory::default(), 0);
    let down = PathHistory { is_down: true, ..fine.clone() };
    for (title, history, now, is_asked) in [
        ("a new process", PathHistory::default(), 0, true),
        ("good a minute ago", fine.clone(), 60, false),
        ("good three minutes ago", fine.clone(), 180, true),
        ("bad a minute ago", down, 60, true),
        ("not yet seen to follow", asked(pending(), 100), 160, true),
    ] {
        let policy = policy(history);
        assert!(!policy.should_ask(at(now)), "{title}: only who registered asks beside the rest");
        assert_eq!(policy.next_at_end(at(now)), is_asked.then_some(Duration::ZERO), "{title}");
    }

    let mut own = policy(fine);
    own.record_registration(registration(10));
    assert!(own.should_ask(at(10)));
    own.begin_round(at(10));
    assert!(!own.should_ask(at(11)) && own.should_ask(at(12)));
}

#[test]
fn at_its_end_a_run_goes_on_only_while_a_registration_is_being_followed() {
    for (title, has_registered, sessions, rounds) in [
        ("good, and confirmed by two more", false, good(), 3),
        ("bad, and left to the next run", false, bad(), 1),
        ("its own, when the time is up", true, bad(), 1),
        ("its own, good", true, good(), 3),
    ] {
        let mut policy = policy(if has_registered { PathHistory::default() } else { pending() });
        if has_registered {
            policy.record_registration(registration(100));
        }
        let mut now = 100;
        let mut asked = 0;
        while let Some(pause) = policy.next_at_end(at(now)) {
            now += pause.as_secs() as i64;
            policy.begin_round(at(now));
            policy.record(&round(now, sessions.clone()));
            asked += 1;
        }
        assert_eq!((asked, now), (rounds, 100 + 2 * (rounds - 1)), "{title}");
    }
}

#[test]
fn where_broken_handshakes_count_nobody_is_asked_for_an_hour_after_a_refused_certificate() {
    for (engine, is_paused) in [(Engine::MySql, true), (Engine::Postgres, false)] {
        let mut policy = PathPolicy::new(pending(), Some(engine));
        policy.begin_round(at(110));
        policy.record(&round(110, [kept_out(Obstacle::Tls)]));
        let mut later = PathPolicy::new(policy.history, Some(engine));
        assert_eq!(later.next_at_end(at(3_000)).is_none(), is_paused, "{engine:?}");
        let note = later.note(at(3_000));
        assert_eq!(note.is_some_and(|note| note.contains("CA_BUNDLE")), is_paused, "{engine:?}");
        later.record_registration(registration(3_000));
        assert_eq!(later.should_ask(at(3_001)), !is_paused, "{engine:?}");
        assert!(later.should_ask(at(3_710)), "{engine:?}: then once more");
    }
}

#[test]
fn a_run_that_did_not_see_the_path_says_at_least_how_long_it_takes() {
    let mut policy = policy(PathHistory::default());
    assert_eq!(policy.note(at(0)), None);
    policy.record_registration(registration(100));
    policy.record(&round(102, unclear()));
    assert_eq!(policy.note(at(250)), None, "nobody knows");
    policy.record(&round(104, bad()));
    assert!(policy.note(at(109)).expect("a note").contains("at least 4 s"), "when it looked");
}

#[test]
fn addresses_that_left_dns_are_remembered_up_to_eight() {
    let mut history = PathHistory::default();
    let address = |zone: u8| IpAddr::from([10, 0, 0, zone]);
    history.record_addresses([1, 2, 3].map(address).into_iter());
    history.record_addresses([1, 2].map(address).into_iter());
    assert_eq!(history.addresses, [3, 1, 2].map(address));
    history.record_addresses((4..12).map(address));
    assert_eq!(history.addresses, (4..12).map(address).collect::<Vec<_>>());
}
