use chrono::TimeDelta;

use super::*;

fn server(role: Role, identity: &str) -> Server {
    Server { role, identity: identity.to_owned() }
}

fn new_writer() -> Server {
    server(Role::Writer, "new")
}

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
        writer: Ok(new_writer()),
        through: through
            .map(|(zone, session)| (IpAddr::from([10, 0, 0, zone as u8 + 1]), Some(session)))
            .collect(),
        is_confirmed: true,
        unresolved: None,
    }
}

fn registration(at_second: i64) -> Registration {
    let targets = vec![Target { address: IpAddr::from([10, 0, 9, 9]), port: 5432 }];
    Registration { targets, at: at(at_second), event_at: Some(at(at_second - 10)) }
}

#[test]
fn each_end_of_a_session_has_a_state_and_its_weight() {
    use Obstacle::{Blocked, Login, Refused, Tls, Unreachable};
    for (session, state, is_up) in [
        (Ok(new_writer()), PathState::Writer, Some(true)),
        // The old writer that is not demoted yet takes writes too.
        (Ok(server(Role::Writer, "old")), PathState::Other, Some(false)),
        (Ok(server(Role::Reader, "old")), PathState::Reader, Some(false)),
        (Ok(server(Role::Reader, "new")), PathState::Reader, Some(false)),
        (Ok(server(Role::Unknown, "old")), PathState::Other, Some(false)),
        (Ok(server(Role::Unknown, "new")), PathState::Unknown, None),
        (kept_out(Unreachable), PathState::Unreachable, Some(false)),
        (kept_out(Blocked), PathState::Refused, Some(false)),
        (kept_out(Refused), PathState::Refused, Some(false)),
        (kept_out(Login), PathState::Refused, None),
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
    let unresolved = Round { unresolved: Some("no such name".to_owned()), ..round(0, []) };
    assert_eq!((unresolved.is_up(), unresolved.note()), (None, Some("no such name".to_owned())));
}

#[test]
fn a_note_says_what_is_wrong_and_what_to_do() {
    let silent = || kept_out(Obstacle::Unreachable);
    for (sessions, expected) in [
        (vec![Ok(new_writer()), Ok(new_writer())], None),
        (vec![silent(), silent()], Some(&["is broken for consumers", "must admit"][..])),
        (vec![Ok(new_writer()), silent()], Some(&["10.0.0.2: Unreachable"])),
        (vec![kept_out(Obstacle::Blocked)], Some(&["error 1129", "every consumer"])),
        (vec![Ok(server(Role::Reader, "old"))], Some(&["10.0.0.1: leads to old, a reader"])),
    ] {
        let note = round(0, sessions).note();
        assert_eq!(note.is_some(), expected.is_some(), "{note:?}");
        for words in expected.into_iter().flatten() {
            assert!(note.as_ref().is_some_and(|note| note.contains(words)), "{words}: {note:?}");
        }
    }
}

#[test]
fn the_time_counts_to_the_first_of_three_good_rounds_in_a_row() {
    let mut policy = PathPolicy::new(PathHistory::default(), false);
    policy.record_registration(registration(100));
    let bad = || [kept_out(Obstacle::Unreachable)];
    let good = || [Ok(new_writer())];
    let unclear = || [kept_out(Obstacle::Login)];
    // A round that began before the registration says nothing about it.
    for round in [
        round(99, good()),
        round(102, bad()),
        round(104, good()),
        round(106, good()),
        round(108, bad()),
        round(110, good()),
        round(112, unclear()),
        round(114, good()),
    ] {
        assert_eq!(policy.record(&round), None, "{round:?}");
        assert!(policy.is_awaited());
    }
    let followed = policy.record(&round(116, good()));
    let seconds = Duration::from_secs;
    assert_eq!(followed, Some(Followed { registration: seconds(10), event: Some(seconds(20)) }));
    assert!(!policy.is_awaited() && policy.history.registration.is_none());
    assert_eq!(policy.record(&round(118, good())), None, "it is told once");
}

#[test]
fn a_target_that_is_registered_once_more_was_registered_before() {
    let mut policy = PathPolicy::new(PathHistory::default(), false);
    policy.record_registration(registration(100));
    policy.record_registration(registration(103));
    assert_eq!(policy.history.registration, Some(registration(100)));
    let other = Registration { targets: Vec::new(), ..registration(105) };
    policy.record_registration(other.clone());
    assert_eq!(policy.history.registration, Some(other));
}

#[test]
fn the_run_that_registered_asks_every_two_seconds_and_others_at_their_end() {
    let pending = PathHistory { registration: Some(registration(0)), ..PathHistory::default() };
    let down = PathHistory { is_down: true, ..PathHistory::default() };
    let fine = PathHistory::default();
    for (title, history, is_check, expected) in [
        ("in sync between checks", &fine, false, None),
        ("a check", &fine, true, Some(Duration::ZERO)),
        ("after a bad round", &down, false, Some(Duration::ZERO)),
        ("after a switch that was not seen to be followed", &pending, false, Some(Duration::ZERO)),
    ] {
        let policy = PathPolicy::new(history.clone(), is_check);
        assert!(!policy.should_ask(at(0)), "{title}: only who registered asks beside the rest");
        assert_eq!(policy.next_at_end(at(0)), expected, "{title}");
    }

    let mut own = PathPolicy::new(fine, false);
    own.record_registration(registration(10));
    assert!(own.should_ask(at(10)));
    own.begin_round(at(10));
    assert!(!own.should_ask(at(11)) && own.should_ask(at(12)));
}

#[test]
fn at_its_end_a_run_goes_on_only_while_a_registration_is_being_confirmed() {
    let pending = PathHistory { registration: Some(registration(0)), ..PathHistory::default() };
    let (good, bad) = (|| [Ok(new_writer())], || [kept_out(Obstacle::Unreachable)]);
    for (title, history, sessions, rounds) in [
        ("good, and confirmed by two more", pending.clone(), good(), 3),
        ("bad, and left to the next run", pending, bad(), 1),
        ("a check", PathHistory::default(), good(), 1),
        ("a check that is bad", PathHistory::default(), bad(), 1),
    ] {
        let mut policy = PathPolicy::new(history, true);
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
fn a_run_that_did_not_see_the_path_says_at_least_how_long_it_takes() {
    let mut policy = PathPolicy::new(PathHistory::default(), false);
    assert_eq!(policy.note(at(0)), None);
    policy.record_registration(registration(100));
    assert!(policy.note(at(250)).expect("a note").contains("at least 150 s"));
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
