//! When the databases are asked, and what their silence costs: nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};

use failover_sync::ports::{BoxFuture, Databases, Sessions};
use reconcile::binding::{Binding, Engine};
use reconcile::claim::Voice;
use reconcile::report::Failure;

use super::*;

/// Databases that say what they are told to; an address without an answer never answers.
#[derive(Clone)]
pub(crate) struct Spoken(Arc<Mutex<Heard>>);

impl Default for Spoken {
    fn default() -> Spoken {
        Spoken(Arc::new(Mutex::new(Heard { login: Some(Ok(())), ..Heard::default() })))
    }
}

#[derive(Default)]
struct Heard {
    says: HashMap<IpAddr, Result<Voice, &'static str>>,
    asked: Vec<(IpAddr, String)>,
    open: i32,
    /// How often what to log in with was fetched, and what came of it; nothing ever does of `None`.
    fetched: usize,
    login: Option<Result<(), &'static str>>,
}

impl Spoken {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap()
    }

    pub(crate) fn say(&self, address: &str, said: Result<Voice, &'static str>) {
        self.heard().says.insert(address.parse().unwrap(), said);
    }

    pub(crate) fn asked(&self, address: &str) -> usize {
        self.heard().asked.iter().filter(|(asked, _)| asked.to_string() == address).count()
    }
}

impl Databases for Spoken {
    fn sessions<'a>(&'a self, _: &'a Binding) -> Box<dyn Sessions + 'a> {
        self.heard().open += 1;
        Box::new(self.clone())
    }
}

impl Sessions for Spoken {
    fn prepare(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async {
            let login = {
                let mut heard = self.heard();
                heard.fetched += 1;
                heard.login
            };
            match login {
                Some(login) => login.map_err(|kind| Failure { kind, message: "no secret".to_owned() }),
                None => std::future::pending().await,
            }
        })
    }

    fn ask<'a>(&'a self, address: IpAddr, name: &'a str) -> BoxFuture<'a, Result<Voice, Failure>> {
        Box::pin(async move {
            let said = {
                let mut heard = self.heard();
                heard.asked.push((address, name.to_owned()));
                heard.says.get(&address).cloned()
            };
            match said {
                Some(said) => said.map_err(|kind| Failure { kind, message: "no".to_owned() }),
                None => std::future::pending().await,
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.heard().open -= 1 })
    }
}

/// The loop over this world for one binding of this kind, which asks the databases.
pub(crate) fn asking(world: &World, kind: &str, spoken: &Spoken) -> Arc<Synchronizer<World, World, World, World>> {
    let mut config = world.config(&[("db", kind)]);
    config.bindings[0].engine = Some(Engine::Postgres);
    let [dns, groups, topology, clock] = [(); 4].map(|()| world.clone());
    let synchronizer = Synchronizer::new(config, dns, groups, topology, clock);
    Arc::new(synchronizer.asking(Arc::new(spoken.clone())))
}

async fn run_once(synchronizer: &Arc<Synchronizer<World, World, World, World>>, trigger: &Trigger) -> BindingReport {
    match synchronizer.run(trigger, Instant::now() + LONG).await {
        Ok(report) | Err(RunError::Bindings(report)) => report.bindings.into_iter().next().unwrap(),
        Err(other) => panic!("{other}"),
    }
}

/// DNS and the RDS API go on naming `orders-a`, 10.0.0.1. The database at 10.0.0.2 was promoted.
fn unheard_of() -> (World, Spoken) {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    world.state().writer = Some("orders-a");
    let spoken = Spoken::default();
    spoken.say("10.0.0.2", Ok(Voice::TakesWrites));
    spoken.say("10.0.0.1", Ok(Voice::ReadOnly));
    (world, spoken)
}

#[tokio::test(start_paused = true)]
async fn the_group_follows_the_database_while_dns_and_the_rds_api_name_the_old_writer() {
    let (world, spoken) = unheard_of();
    let report = run_once(&asking(&world, "cluster", &spoken), &Trigger::default()).await;
    assert_eq!((report.state(), report.elapsed), (State::Updated, Duration::ZERO), "{report:?}");
    let because = report.because.clone().unwrap().to_string();
    assert_eq!(because, "word: the database at 10.0.0.2 takes writes, and no other does");
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 draining", "10.0.0.2:5432 initial"]);
    let result = serde_json::to_value(&report).unwrap();
    let said = serde_json::json!({"10.0.0.1": "read only", "10.0.0.2": "takes writes"});
    assert_eq!(result["witnesses"]["topology"], serde_json::json!(["10.0.0.1"]));
    assert_eq!(result["databases"], said);
}

#[tokio::test(start_paused = true)]
async fn each_is_asked_by_its_members_name_and_the_sessions_end_with_the_run() {
    let (world, spoken) = unheard_of();
    let synchronizer = asking(&world, "cluster", &spoken);
    run_once(&synchronizer, &Trigger::default()).await;
    assert_eq!(spoken.heard().open, 0);
    for (address, name) in [("10.0.0.1", "orders-a.example"), ("10.0.0.2", "orders-b.example")] {
        let asked = (address.parse().unwrap(), name.to_owned());
        assert!(spoken.heard().asked.contains(&asked), "{asked:?}");
    }
    world.state().hanging.push("describe".to_owned());
    synchronizer.run(&Trigger::default(), Instant::now() + LONG).await.unwrap_err();
    assert_eq!(spoken.heard().open, 0, "also when the time is up");
}

#[tokio::test(start_paused = true)]
async fn in_sync_only_the_registered_database_is_asked_and_only_every_three_minutes() {
    for kind in ["cluster", "instance"] {
        let (world, spoken) = unheard_of();
        world.group("db", &["10.0.0.1:5432 healthy"]);
        spoken.say("10.0.0.1", Ok(Voice::TakesWrites));
        let synchronizer = asking(&world, kind, &spoken);
        for (minute, asked) in [(0, 1), (1, 1), (2, 1), (3, 2)] {
            let report = run_once(&synchronizer, &Trigger::default()).await;
            assert_eq!(report.state(), State::InSync, "{kind}, minute {minute}");
            assert_eq!((spoken.asked("10.0.0.1"), spoken.asked("10.0.0.2")), (asked, 0), "{kind}, minute {minute}");
            sleep(Duration::from_secs(60)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_dns_leads_nobody_back_to_a_database_that_is_read_only() {
    let (world, spoken) = unheard_of();
    world.state().writer = None;
    world.group("db", &["10.0.0.2:5432 healthy", "10.0.0.1:5432 draining"]);
    let report = run_once(&asking(&world, "instance", &spoken), &Trigger::default()).await;
    assert_eq!(world.writes(), [""; 0], "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_as_without_the_databases_and_costs_no_more_than_its_limit() {
    let limit = Duration::from_secs(1);
    for said in [None, Some(Err("LoginRefused")), Some(Err("TlsRefused")), Some(Err("ProtocolMismatch"))] {
        let spoken = Spoken::default();
        for (address, said) in ["10.0.0.1", "10.0.0.2"].into_iter().filter_map(|address| Some((address, said?))) {
            spoken.say(address, said);
        }
        let (asked, unasked) = (failed_over(), failed_over());
        let report = run_once(&asking(&asked, "cluster", &spoken), &Trigger::default()).await;
        let without = run_db(&unasked, "cluster").await;
        assert_eq!((report.state(), asked.writes()), (without.state(), unasked.writes()), "{said:?}");
        assert!(report.elapsed <= without.elapsed + 2 * limit, "{said:?}: {:?}", report.elapsed);
        assert_eq!(report.error, None);
        let metrics = report.metrics("function", 0).unwrap();
        assert_eq!(metrics["DatabaseSilent"], 1, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_may_not_be_registered_is_sent_no_login() {
    let (world, spoken) = unheard_of();
    world.resolve("orders-b.example", &["8.8.8.8"]);
    spoken.say("8.8.8.8", Ok(Voice::TakesWrites));
    run_once(&asking(&world, "cluster", &spoken), &Trigger::default()).await;
    assert_eq!(spoken.asked("8.8.8.8"), 0);
}

#[tokio::test(start_paused = true)]
async fn behind_a_name_of_ones_own_a_database_that_takes_writes_needs_no_patience() {
    for (said, registered) in [(Voice::TakesWrites, vec!["10.0.0.2:5432"]), (Voice::ReadOnly, vec![])] {
        let world = failed_over();
        let spoken = Spoken::default();
        spoken.say("10.0.0.2", Ok(said));
        let report = run_once(&asking(&world, "hostname", &spoken), &Trigger::default()).await;
        assert_eq!(report.registered, registered, "{said:?}");
        assert!(said == Voice::ReadOnly || report.elapsed < Duration::from_secs(3), "{:?}", report.elapsed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_fetched_costs_nobody_else_time_and_is_no_silence_of_the_network() {
    for login in [None, Some(Err("AccessDenied"))] {
        let (world, spoken) = unheard_of();
        spoken.heard().login = login;
        let trigger = Trigger { watch: Some(Duration::from_secs(30)), ..Trigger::default() };
        let report = run_once(&asking(&world, "cluster", &spoken), &trigger).await;
        assert_eq!((spoken.asked("10.0.0.1"), spoken.asked("10.0.0.2")), (0, 0), "{login:?}");
        assert!((2..=4).contains(&spoken.heard().fetched), "{login:?}: {} times", spoken.heard().fetched);
        assert!(report.observations >= 15, "{login:?}: {} looks", report.observations);
        assert_eq!(report.metrics("function", 0).unwrap()["DatabaseSilent"], 1, "{login:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_comes_late_is_of_use_from_then_on() {
    let (world, spoken) = unheard_of();
    spoken.heard().login = None;
    let late = spoken.clone();
    super::watches::later(&world, 8, move |_| late.heard().login = Some(Ok(())));
    let trigger = Trigger { watch: Some(Duration::from_secs(30)), ..Trigger::default() };
    let report = run_once(&asking(&world, "cluster", &spoken), &trigger).await;
    assert_eq!(report.state(), State::Updated, "{report:?}");
    assert_eq!(spoken.heard().fetched, 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_database_is_asked_every_second_at_first_and_later_only_now_and_then_unless_it_is_registered() {
    let (world, spoken) = unheard_of();
    world.state().writer = Some("orders-b");
    spoken.say("10.0.0.1", Err("ConnectionFailed"));
    spoken.say("10.0.0.2", Err("ConnectionFailed"));
    let asked = |address: &str| spoken.asked(address);
    let trigger = Trigger { watch: Some(Duration::from_secs(180)), ..Trigger::default() };
    let synchronizer = asking(&world, "cluster", &spoken);
    let run = {
        let trigger = trigger.clone();
        tokio::spawn(async move { drop(synchronizer.run(&trigger, Instant::now() + LONG).await) })
    };
    sleep(Duration::from_secs(60)).await;
    let first = (asked("10.0.0.1"), asked("10.0.0.2"));
    assert!((50..=64).contains(&first.0) && (50..=64).contains(&first.1), "{first:?} in the first minute");
    sleep(Duration::from_secs(120)).await;
    run.abort();
    let later = (asked("10.0.0.1") - first.0, asked("10.0.0.2") - first.1);
    assert!(later.0 >= 90 && (7..=10).contains(&later.1), "{later:?} in the two minutes after it");
}
