//! The ports through which a process sees a world.

use std::fmt::{Debug, Display};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::database::ClusterMember;
use chrono::{DateTime, Utc};
use failover_sync::dns::{ServerOrder, share_of};
use failover_sync::error::{AwsError, DnsError, DnsFailure};
use failover_sync::ports::{Clock, Clusters, Dns, TargetGroups};
use reconcile::binding::{Family, TargetGroupArn};
use reconcile::evidence::DnsAnswer;
use reconcile::target::{Addresses, DescribedTarget, Target};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::check::{Audit, Write};
use crate::data_plane;
use crate::database::{Host, beside};
use crate::dice::{Moment, Topic, chance};
use crate::distributions as d;
use crate::distributions::{faults as df, kinds as dk};
use crate::faults::Served;
use crate::payload::time_of_day;
use crate::resolvers::CachedAnswer;
use crate::scenario::{Name, Scenario, Service, Trouble};
use crate::subject::list;
use crate::world::World;

/// The ports of one process. A clone is the same process.
#[derive(Clone)]
pub struct Ports(Arc<ProcessPorts>);

struct ProcessPorts {
    world: Arc<World>,
    number: usize,
    resolver: usize,
    killed: Notify,
    name_servers: ServerOrder,
    now_serving: Mutex<Audit>,
}

/// What becomes of a call.
enum Fate {
    Succeeds,
    Refused,
    NotFound,
    AnswerLost,
}

impl Ports {
    /// The ports of a new process.
    pub fn new(world: Arc<World>, number: usize) -> Ports {
        let resolver = number % world.scenario.resolvers();
        let now_serving = Mutex::new(Audit::new(world.scenario.subjects.len()));
        Ports(Arc::new(ProcessPorts {
            world,
            number,
            resolver,
            killed: Notify::new(),
            name_servers: ServerOrder::default(),
            now_serving,
        }))
    }

    /// The resolver that the process asks.
    pub fn resolver(&self) -> usize {
        self.0.resolver
    }

    /// The world.
    pub fn world(&self) -> &Arc<World> {
        &self.0.world
    }

    /// The scenario of the world.
    pub fn scenario(&self) -> &Scenario {
        &self.0.world.scenario
    }

    /// The number of the process.
    pub fn number(&self) -> usize {
        self.0.number
    }

    /// What the process does in its current invocation.
    pub fn audit(&self) -> MutexGuard<'_, Audit> {
        self.0.now_serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an invocation: from now on its calls are audited.
    pub fn begin(&self, invocation: u64, names: Option<(Host, Moment)>) {
        let rng = &mut self.scenario().dice().of(Topic::Death, [invocation, 0, 0]);
        let dies = chance(rng, d::KILLED) && self.world().now() < self.scenario().settled;
        let dies_at = dies.then(|| rng.u32(1..=d::KILLED_WITHIN_CALLS));
        if let Some((host, _)) = names {
            self.record_event(self.scenario().database.hosts[host].0);
        }
        let mut audit = self.audit();
        *audit = Audit { names, ..std::mem::take(&mut *audit).next(invocation, dies_at) };
    }

    /// Resolves when the process was killed.
    pub async fn killed(&self) {
        self.0.killed.notified().await;
    }

    /// Kills the process: none of its calls ever returns again.
    pub fn kill(&self) {
        self.audit().is_dead = true;
        self.0.killed.notify_one();
    }

    fn note(&self, line: impl Display) {
        let state = &mut *self.world().state();
        if let Some(trace) = &mut state.trace {
            let invocation = self.audit().invocation;
            trace.push((
                self.world().now(),
                format!("p{:<3} i{invocation:<4} {line}", self.number()),
            ));
        }
    }

    /// The same answer as before is not worth a line.
    pub(crate) fn note_answer(
        &self,
        service: impl Debug,
        name: &dyn Display,
        answer: impl FnOnce() -> String,
    ) {
        if self.world().state().trace.is_some() {
            let (asked, answer) = (format!("{service:?} {name}"), answer());
            let is_new = self.audit().last_answers.insert(asked.clone(), answer.clone());
            if is_new.as_ref() != Some(&answer) {
                self.note(format_args!("{asked}: {answer}"));
            }
        }
    }

    /// Counts a call. A dead process makes none, and a process may die at any.
    pub(crate) async fn step(&self) {
        let is_dead = {
            let mut audit = self.audit();
            audit.calls += 1;
            audit.is_dead || audit.dies_at == Some(audit.calls)
        };
        if is_dead {
            self.die().await;
        }
    }

    async fn die(&self) {
        if !self.audit().is_dead {
            self.note("process killed");
            self.kill();
        }
        std::future::pending::<()>().await;
    }

    /// The dice of the call that was counted last.
    pub(crate) fn dice_of_call(&self, topic: Topic) -> fastrand::Rng {
        let audit = self.audit();
        self.scenario().dice().of(topic, [audit.invocation, u64::from(audit.calls), 0])
    }

    /// Waits until the call reaches the service, a read until it is back; says how it ends.
    async fn call(&self, service: Service, trouble: Option<Trouble>) -> (Fate, fastrand::Rng) {
        self.step().await;
        let mut rng = self.dice_of_call(Topic::Call);
        self.suffer(trouble, dk::slow_call).await;
        if service == Service::Describe && self.scenario().faults.is_group_slow {
            let wait = df::description(&mut self.dice_of_call(Topic::Fault));
            sleep(Duration::from_millis(wait)).await;
        }
        let is_write = service == Service::Write;
        sleep(Duration::from_millis(d::latency(&mut rng, is_write))).await;
        let now = self.world().now();
        let fate = if trouble == Some(Trouble::NoSuchGroup) {
            Fate::NotFound
        } else if self.scenario().refuses(service, now) {
            Fate::Refused
        } else if now < self.scenario().settled && is_write && chance(&mut rng, d::ANSWER_LOST) {
            Fate::AnswerLost
        } else {
            Fate::Succeeds
        };
        (fate, rng)
    }

    /// Waits as long as the calls of a slow binding do.
    pub(crate) async fn suffer(
        &self,
        trouble: Option<Trouble>,
        slowly: impl Fn(&mut fastrand::Rng) -> Moment,
    ) {
        match trouble {
            Some(Trouble::Slow) => {
                let wait = slowly(&mut self.dice_of_call(Topic::Trouble));
                sleep(Duration::from_millis(wait)).await;
            }
            Some(Trouble::Hangs) => std::future::pending().await,
            _ => {}
        }
    }

    /// Gives the answer back, unless the process dies with the answer unread.
    pub(crate) async fn answer<T>(&self, answer: T) -> T {
        self.step().await;
        answer
    }

    /// The binding that keeps the group, and what is wrong with it.
    pub(crate) fn keeper_of(&self, group: &TargetGroupArn) -> (usize, Option<Trouble>) {
        let mut bindings = self.scenario().config.bindings.iter();
        let binding = bindings
            .position(|binding| binding.target_group == *group)
            .expect("a group of this world");
        (binding, self.scenario().troubles[binding])
    }

    async fn write(
        &self,
        group: &TargetGroupArn,
        write: Write,
        targets: &[Target],
    ) -> Result<(), AwsError> {
        let (binding, trouble) = self.keeper_of(group);
        let (mut fate, mut rng) = self.call(Service::Write, trouble).await;
        let action = match write {
            Write::Register => "elasticloadbalancing:RegisterTargets",
            Write::Deregister => "elasticloadbalancing:DeregisterTargets",
        };
        let family = self.scenario().config.bindings[binding].family;
        if !targets.iter().all(|target| family.has(&target.address)) {
            // A target group takes the addresses of its own family only.
            fate = Fate::Refused;
        }
        self.audit().bindings[binding].group_failed = !matches!(fate, Fate::Succeeds);
        let names: Vec<String> = targets.iter().map(Target::to_string).collect();
        if let Some(error) = refusal(&fate, action, names.join(", ")) {
            self.note(format_args!("{action} {}: refused", names.join(", ")));
            return self.answer(Err(error)).await;
        }
        let now = self.world().now();
        let shown_from = now + d::shown_after(&mut rng);
        let before: Vec<Target> = {
            let kept = &mut self.world().state().kept[binding];
            let before = kept.group.members().collect();
            kept.writes += 1;
            match write {
                Write::Register => kept.group.register(now, shown_from, targets),
                Write::Deregister => kept.group.deregister(now, shown_from, targets),
            }
            before
        };
        self.examine(binding, write, targets, &before);
        sleep(Duration::from_millis(d::latency(&mut rng, false))).await;
        if matches!(fate, Fate::AnswerLost) {
            self.note(format_args!("{action} {}: done, but the answer is lost", names.join(", ")));
            return self
                .answer(Err(AwsError::incomplete(
                    action,
                    names.join(", "),
                    "the connection was reset",
                )))
                .await;
        }
        self.note(format_args!("{action} {}: done", names.join(", ")));
        if write == Write::Register {
            self.audit().path.record_registration(self.world().now(), targets);
        }
        self.answer(Ok(())).await
    }

    /// How a question to DNS ends: the name servers are asked in the function's order.
    async fn serve(&self, name: Name) -> Served {
        let scenario = self.scenario();
        let faults = &scenario.faults;
        if scenario.refuses(Service::Dns, self.world().now()) {
            return Served::Fails;
        }
        let nowhere = match name {
            Name::Member(member) => faults.nowhere(member),
            Name::Endpoint(_) => None,
        };
        let rng = &mut self.dice_of_call(Topic::Fault);
        let mut served = Served::Silent;
        for server in self.0.name_servers.of(faults.servers()) {
            served = nowhere
                .unwrap_or_else(|| faults.serve(scenario.dice(), server, self.world().now()));
            match served {
                Served::Silent => sleep(share_of(faults.servers())).await,
                _ if faults.servers() > 1 => {
                    sleep(Duration::from_millis(df::server_latency(rng, server == 0))).await
                }
                _ => {}
            }
            if served.is_answer() {
                self.0.name_servers.note(server, matches!(served, Served::AsOf(_)));
                break;
            }
        }
        served
    }

    /// Whether the first answer, of all asked at once, is that there is no such name.
    pub fn hears_no_first(&self) -> bool {
        let (faults, rng) = (&self.scenario().faults, &mut self.dice_of_call(Topic::Fault));
        let served = (0..faults.servers()).map(|server| {
            let latency = df::server_latency(rng, server == 0);
            (latency, faults.serve(self.scenario().dice(), server, self.world().now()))
        });
        let first =
            served.filter(|(_, served)| served.is_answer()).min_by_key(|(latency, _)| *latency);
        first.is_some_and(|(_, served)| served == Served::NoSuchName)
    }

    /// A resolver's answer in a family. A database with IPv6 addresses has IPv4 ones too.
    fn look_up(&self, name: Name, family: Family, now: Moment) -> Option<CachedAnswer> {
        let told = self.scenario().answer(name, self.0.resolver, now);
        if told.addresses.iter().all(|address| family.has(&address)) {
            return Some(told);
        }
        let in_family =
            |address: IpAddr| if family == Family::Ipv4 { beside(address) } else { address };
        let addresses = told.addresses.iter().map(in_family).filter(|address| family.has(address));
        Some(CachedAnswer { addresses: Addresses::new(addresses)?, ..told })
    }
}

/// The error of a call that was not carried out.
fn refusal(fate: &Fate, action: &'static str, resource: String) -> Option<AwsError> {
    match fate {
        Fate::Succeeds | Fate::AnswerLost => None,
        Fate::Refused => Some(AwsError::incomplete(action, resource, "Rate exceeded")),
        Fate::NotFound => {
            let mut error =
                AwsError::incomplete(action, resource, "One or more target groups not found");
            error.code = Some("TargetGroupNotFound".to_owned());
            Some(error)
        }
    }
}

impl Dns for Ports {
    async fn lookup(&self, name: &str, family: Family) -> Result<DnsAnswer, DnsError> {
        self.ask_dns(name, family).await
    }
}

impl Ports {
    async fn ask_dns(&self, name: &str, family: Family) -> Result<DnsAnswer, DnsError> {
        self.step().await;
        if self.scenario().data_plane.is_some() && name == data_plane::NAME {
            return self.look_up_load_balancer(family);
        }
        let (scenario, asked) = (self.scenario(), name);
        let name = scenario.name(asked).expect("a name of this world");
        let trouble = match name {
            Name::Endpoint(binding) => {
                scenario.troubles[binding].filter(|trouble| *trouble != Trouble::Hangs)
            }
            Name::Member(_) => None,
        };
        self.suffer(trouble, dk::slow_lookup).await;
        if let Name::Endpoint(binding) = name {
            self.audit().bindings[binding].dns_asked = true;
        }
        let answered = match self.serve(name).await {
            _ if trouble == Some(Trouble::NoSuchName) => Err(DnsFailure::NoSuchName),
            Served::Silent => Err(DnsFailure::Timeout),
            Served::Fails => Err(DnsFailure::Code("SERVFAIL".to_owned())),
            Served::NoSuchName => Err(DnsFailure::NoSuchName),
            Served::AsOf(moment) => self.look_up(name, family, moment).ok_or(DnsFailure::NoAddress),
        };
        match answered {
            Ok(CachedAnswer { addresses, expires_in }) => {
                self.note_answer(Service::Dns, &asked, || {
                    list(&addresses.iter().collect::<Vec<_>>())
                });
                self.record_dns(name, &addresses);
                Ok(DnsAnswer { addresses, ttl: Duration::from_secs(expires_in.div_ceil(1_000)) })
            }
            Err(answer) => {
                self.note_answer(Service::Dns, &asked, || answer.to_string());
                self.record_no_answer(name);
                Err(DnsError {
                    name: asked.to_owned(),
                    family,
                    servers: "10.0.0.2:53".to_owned(),
                    answer,
                })
            }
        }
    }
}

impl TargetGroups for Ports {
    async fn describe(&self, group: &TargetGroupArn) -> Result<Vec<DescribedTarget>, AwsError> {
        let (binding, trouble) = self.keeper_of(group);
        let (fate, _) = self.call(Service::Describe, trouble).await;
        self.audit().bindings[binding].group_failed = !matches!(fate, Fate::Succeeds);
        let action = "elasticloadbalancing:DescribeTargetHealth";
        if let Some(error) = refusal(&fate, action, group.as_str().to_owned()) {
            self.note("DescribeTargetHealth: refused");
            return self.answer(Err(error)).await;
        }
        let now = self.world().now();
        let subject = &self.scenario().subjects[binding];
        let is_down = |address| subject.is_down(address, now);
        let shown = self.world().state().kept[binding].group.describe(now, is_down);
        let states = || {
            shown
                .iter()
                .map(|target| format!("{target} {:?}", target.state))
                .collect::<Vec<_>>()
                .join(", ")
        };
        self.note_answer(Service::Describe, &self.scenario().config.bindings[binding].name, states);
        self.audit().bindings[binding].shown = Some(shown.clone());
        self.answer(Ok(shown)).await
    }

    async fn register(&self, group: &TargetGroupArn, targets: &[Target]) -> Result<(), AwsError> {
        self.write(group, Write::Register, targets).await
    }

    async fn deregister(
        &self,
        group: &TargetGroupArn,
        targets: &[DescribedTarget],
    ) -> Result<(), AwsError> {
        let (binding, _) = self.keeper_of(group);
        self.examine_request(binding, targets);
        let targets: Vec<Target> = targets.iter().filter_map(DescribedTarget::target).collect();
        self.write(group, Write::Deregister, &targets).await
    }
}

impl Clusters for Ports {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        self.call(Service::Rds, None).await;
        let now = self.world().now();
        let database = &self.scenario().database;
        if self.scenario().refuses(Service::Rds, now) || database.is_being_renamed(now) {
            self.note_answer(Service::Rds, &cluster, || "refused".to_owned());
            self.record_no_topology();
            let error = AwsError::incomplete("rds:DescribeDBClusters", cluster, "Rate exceeded");
            return self.answer(Err(error)).await;
        }
        let mut members = database.described(now);
        self.scenario().faults.flag(&mut members, database, now);
        let described = |member: &ClusterMember| match member.is_writer {
            true => format!("{} is flagged as the writer", member.id),
            false => format!("{} is {}", member.id, member.status),
        };
        let told = || members.iter().map(described).collect::<Vec<_>>().join(", ");
        self.note_answer(Service::Rds, &cluster, told);
        self.record_topology(&members);
        self.answer(Ok(members)).await
    }
}

impl Clock for Ports {
    fn now(&self) -> DateTime<Utc> {
        time_of_day(self.world().now())
    }
}
