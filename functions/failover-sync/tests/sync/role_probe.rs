//! When the databases are asked, and what their silence costs: nothing.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard};

use base::report::Failure;
use failover_sync::ports::{BoxFuture, ProbeSessions, RoleProbe};
use reconcile::binding::{Binding, Engine};
use reconcile::claim::Role;
use reconcile::config::Config;
use reconcile::path::{Obstacle, Server, Session};

use super::*;

/// Databases that say what they are told to; an address without an answer never answers.
#[derive(Clone)]
pub(crate) struct FakeDatabases(Arc<Mutex<FakeState>>);

/// The load balancer's listener.
pub(crate) const LISTENER: u16 = 6432;

impl Default for FakeDatabases {
    fn default() -> FakeDatabases {
        FakeDatabases(Arc::new(Mutex::new(FakeState {
            login: Some(Ok(())),
            ..FakeState::default()
        })))
    }
}

#[derive(Default)]
pub(crate) struct FakeState {
    roles: HashMap<IpAddr, Result<Role, &'static str>>,
    /// To which database a zone of the load balancer leads, or what keeps sessions out there.
    pub(crate) zones: HashMap<IpAddr, Result<&'static str, Obstacle>>,
    /// Who was asked in a session of its own, and when.
    pub(crate) asked_anew: Vec<(SocketAddr, String, Instant)>,
    probed: Vec<(IpAddr, String)>,
    open: i32,
    /// How often what to log in with was fetched, and what came of it; nothing ever does of `None`.
    fetched: usize,
    login: Option<Result<(), &'static str>>,
}

impl FakeDatabases {
    pub(crate) fn state(&self) -> MutexGuard<'_, FakeState> {
        self.0.lock().unwrap()
    }

    pub(crate) fn set_role(&self, address: &str, said: Result<Role, &'static str>) {
        self.state().roles.insert(address.parse().unwrap(), said);
    }

    pub(crate) fn probed(&self, address: &str) -> usize {
        self.state().probed.iter().filter(|(asked, _)| asked.to_string() == address).count()
    }
}

impl RoleProbe for FakeDatabases {
    fn sessions<'a>(&'a self, _: &'a Binding) -> Box<dyn ProbeSessions + 'a> {
        self.state().open += 1;
        Box::new(self.clone())
    }
}

impl ProbeSessions for FakeDatabases {
    fn prepare(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async {
            let login = {
                let mut state = self.state();
                state.fetched += 1;
                state.login
            };
            match login {
                Some(login) => {
                    login.map_err(|kind| Failure { kind, message: "no secret".to_owned() })
                }
                None => std::future::pending().await,
            }
        })
    }

    fn probe<'a>(&'a self, address: IpAddr, name: &'a str) -> BoxFuture<'a, Result<Role, Failure>> {
        Box::pin(async move {
            let said = {
                let mut state = self.state();
                state.probed.push((address, name.to_owned()));
                state.roles.get(&address).cloned()
            };
            match said {
                Some(said) => said.map_err(|kind| Failure { kind, message: "no".to_owned() }),
                None => std::future::pending().await,
            }
        })
    }

    fn ask_anew<'a>(&'a self, server: SocketAddr, name: &'a str) -> BoxFuture<'a, Session> {
        Box::pin(async move {
            let reached = {
                let mut state = self.state();
                state.asked_anew.push((server, name.to_owned(), Instant::now()));
                match state.zones.get(&server.ip()) {
                    Some(zone) if server.port() == LISTENER => {
                        zone.map(|database| database.parse::<IpAddr>().unwrap())
                    }
                    _ if server.port() == LISTENER => Err(Obstacle::Unreachable),
                    _ => Ok(server.ip()),
                }
            };
            let answer = reached.and_then(|database| {
                let role = self.state().roles.get(&database).cloned();
                let role = role.unwrap_or(Err("Timeout")).map_err(|_| Obstacle::Unreachable)?;
                Ok(Server { role, identity: database.to_string() })
            });
            if answer == Err(Obstacle::Unreachable) {
                sleep(Duration::from_millis(5_300)).await;
            }
            answer.map_err(|obstacle| {
                (obstacle, Failure { kind: "Timeout", message: format!("{obstacle:?}") })
            })
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.state().open -= 1 })
    }
}

/// The loop over this world for one binding of this kind, which asks the databases.
pub(crate) fn probing(
    world: &World,
    kind: &str,
    databases: &FakeDatabases,
) -> Arc<Synchronizer<(World, World, World, World)>> {
    probing_as(world, kind, databases, |_| {})
}

/// The same, with a configuration that is changed so.
pub(crate) fn probing_as(
    world: &World,
    kind: &str,
    databases: &FakeDatabases,
    change: impl FnOnce(&mut Config),
) -> Arc<Synchronizer<(World, World, World, World)>> {
    let mut config = world.config(&[("db", kind)]);
    config.bindings[0].engine = Some(Engine::Postgres);
    change(&mut config);
    let [dns, groups, topology, clock] = [(); 4].map(|()| world.clone());
    let synchronizer = Synchronizer::new(config, dns, groups, topology, clock);
    Arc::new(synchronizer.with_role_probe(Arc::new(databases.clone())))
}

pub(crate) async fn run_once(
    synchronizer: &Arc<Synchronizer<(World, World, World, World)>>,
    trigger: &Trigger,
) -> BindingReport {
    match synchronizer.run(trigger, Instant::now() + LONG).await {
        Ok(report) | Err(RunError::Bindings(report)) => report.bindings.into_iter().next().unwrap(),
        Err(other) => panic!("{other}"),
    }
}

/// DNS and the RDS API go on naming `orders-a`, 10.0.0.1. The database at 10.0.0.2 was promoted.
fn promoted_unnoticed() -> (World, FakeDatabases) {
    let world = failed_over();
    world.resolve("db.example", &["10.0.0.1"]);
    world.state().writer = Some("orders-a");
    let databases = FakeDatabases::default();
    databases.set_role("10.0.0.2", Ok(Role::Writer));
    databases.set_role("10.0.0.1", Ok(Role::Reader));
    (world, databases)
}

#[tokio::test(start_paused = true)]
async fn the_group_follows_the_database_while_dns_and_the_rds_api_name_the_old_writer() {
    let (world, databases) = promoted_unnoticed();
    let report = run_once(&probing(&world, "cluster", &databases), &Trigger::default()).await;
    assert_eq!((report.state, report.elapsed), (State::Updated, Duration::ZERO), "{report:?}");
    let reason = report.reason.clone().unwrap().to_string();
    assert_eq!(reason, "role: the database at 10.0.0.2 takes writes, and no other does");
    assert_eq!(world.targets("db"), ["10.0.0.1:5432 draining", "10.0.0.2:5432 initial"]);
    let result = serde_json::to_value(&report).unwrap();
    let said = serde_json::json!({"10.0.0.1": "reader", "10.0.0.2": "writer"});
    assert_eq!(result["witnesses"]["topology"], serde_json::json!(["10.0.0.1"]));
    assert_eq!(result["databases"], said);
}

#[tokio::test(start_paused = true)]
async fn each_is_asked_by_its_members_name_and_the_sessions_end_with_the_run() {
    let (world, databases) = promoted_unnoticed();
    let synchronizer = probing(&world, "cluster", &databases);
    run_once(&synchronizer, &Trigger::default()).await;
    assert_eq!(databases.state().open, 0);
    for (address, name) in [("10.0.0.1", "orders-a.example"), ("10.0.0.2", "orders-b.example")] {
        let asked = (address.parse().unwrap(), name.to_owned());
        assert!(databases.state().probed.contains(&asked), "{asked:?}");
    }
    world.state().hanging.push("describe".to_owned());
    synchronizer.run(&Trigger::default(), Instant::now() + LONG).await.unwrap_err();
    assert_eq!(databases.state().open, 0, "also when the time is up");
}

#[tokio::test(start_paused = true)]
async fn in_sync_only_the_registered_database_is_asked_and_only_every_three_minutes() {
    for kind in ["cluster", "instance"] {
        let (world, databases) = promoted_unnoticed();
        world.group("db", &["10.0.0.1:5432 healthy"]);
        databases.set_role("10.0.0.1", Ok(Role::Writer));
        let synchronizer = probing(&world, kind, &databases);
        for (minute, asked) in [(0, 1), (1, 1), (2, 1), (3, 2)] {
            let report = run_once(&synchronizer, &Trigger::default()).await;
            assert_eq!(report.state, State::InSync, "{kind}, minute {minute}");
            assert_eq!(
                (databases.probed("10.0.0.1"), databases.probed("10.0.0.2")),
                (asked, 0),
                "{kind}, minute {minute}"
            );
            sleep(Duration::from_secs(60)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_dns_leads_nobody_back_to_a_database_that_is_read_only() {
    let (world, databases) = promoted_unnoticed();
    world.state().writer = None;
    world.group("db", &["10.0.0.2:5432 healthy", "10.0.0.1:5432 draining"]);
    let report = run_once(&probing(&world, "instance", &databases), &Trigger::default()).await;
    assert_eq!(world.writes(), [""; 0], "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_as_without_the_databases_and_costs_no_more_than_its_limit() {
    let limit = Duration::from_secs(1);
    for said in
        [None, Some(Err("LoginRefused")), Some(Err("TlsRefused")), Some(Err("ProtocolMismatch"))]
    {
        let databases = FakeDatabases::default();
        for (address, said) in
            ["10.0.0.1", "10.0.0.2"].into_iter().filter_map(|address| Some((address, said?)))
        {
            databases.set_role(address, said);
        }
        let (asked, unasked) = (failed_over(), failed_over());
        let report = run_once(&probing(&asked, "cluster", &databases), &Trigger::default()).await;
        let without = run_db(&unasked, "cluster").await;
        assert_eq!((report.state, asked.writes()), (without.state, unasked.writes()), "{said:?}");
        assert!(report.elapsed <= without.elapsed + 2 * limit, "{said:?}: {:?}", report.elapsed);
        assert_eq!(report.error, None);
        let metrics = report.metrics("function", 0).unwrap();
        assert_eq!(metrics["ProbeSilent"], 1, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_may_not_be_registered_is_sent_no_login() {
    let (world, databases) = promoted_unnoticed();
    world.resolve("orders-b.example", &["8.8.8.8"]);
    databases.set_role("8.8.8.8", Ok(Role::Writer));
    run_once(&probing(&world, "cluster", &databases), &Trigger::default()).await;
    assert_eq!(databases.probed("8.8.8.8"), 0);
}

#[tokio::test(start_paused = true)]
async fn behind_a_name_of_ones_own_a_database_that_takes_writes_needs_no_patience() {
    for (said, registered) in [(Role::Writer, vec!["10.0.0.2:5432"]), (Role::Reader, vec![])] {
        let world = failed_over();
        let databases = FakeDatabases::default();
        databases.set_role("10.0.0.2", Ok(said));
        let report = run_once(&probing(&world, "hostname", &databases), &Trigger::default()).await;
        assert_eq!(strings(&report.registered), registered, "{said:?}");
        assert!(
            said == Role::Reader || report.elapsed < Duration::from_secs(3),
            "{:?}",
            report.elapsed
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_fetched_costs_nobody_else_time_and_is_no_silence_of_the_network() {
    for login in [None, Some(Err("AccessDenied"))] {
        let (world, databases) = promoted_unnoticed();
        databases.state().login = login;
        let trigger = Trigger { watch: Some(Duration::from_secs(30)), ..Trigger::default() };
        let report = run_once(&probing(&world, "cluster", &databases), &trigger).await;
        assert_eq!(
            (databases.probed("10.0.0.1"), databases.probed("10.0.0.2")),
            (0, 0),
            "{login:?}"
        );
        assert!(
            (2..=4).contains(&databases.state().fetched),
            "{login:?}: {} times",
            databases.state().fetched
        );
        assert!(report.observations >= 15, "{login:?}: {} looks", report.observations);
        assert_eq!(report.metrics("function", 0).unwrap()["ProbeSilent"], 1, "{login:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_comes_late_is_of_use_from_then_on() {
    let (world, databases) = promoted_unnoticed();
    databases.state().login = None;
    let late = databases.clone();
    super::watches::later(&world, 8, move |_| late.state().login = Some(Ok(())));
    let trigger = Trigger { watch: Some(Duration::from_secs(30)), ..Trigger::default() };
    let report = run_once(&probing(&world, "cluster", &databases), &trigger).await;
    assert_eq!(report.state, State::Updated, "{report:?}");
    assert_eq!(databases.state().fetched, 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_database_is_asked_every_second_at_first_and_later_rarely_unless_registered() {
    let (world, databases) = promoted_unnoticed();
    world.state().writer = Some("orders-b");
    databases.set_role("10.0.0.1", Err("ConnectionFailed"));
    databases.set_role("10.0.0.2", Err("ConnectionFailed"));
    let asked = |address: &str| databases.probed(address);
    let trigger = Trigger { watch: Some(Duration::from_secs(180)), ..Trigger::default() };
    let synchronizer = probing(&world, "cluster", &databases);
    let run = {
        let trigger = trigger.clone();
        tokio::spawn(async move { drop(synchronizer.run(&trigger, Instant::now() + LONG).await) })
    };
    sleep(Duration::from_secs(60)).await;
    let first = (asked("10.0.0.1"), asked("10.0.0.2"));
    assert!(
        (50..=64).contains(&first.0) && (50..=64).contains(&first.1),
        "{first:?} in the first minute"
    );
    sleep(Duration::from_secs(120)).await;
    run.abort();
    let later = (asked("10.0.0.1") - first.0, asked("10.0.0.2") - first.1);
    assert!(later.0 >= 90 && (7..=10).contains(&later.1), "{later:?} in the two minutes after it");
}
