//! A world while a strategy lives in it, and the ports through which a process sees it.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use failover_sync::error::{AwsError, DnsAnswer, DnsError};
use failover_sync::ports::{Clock, Dns, TargetGroups, Topology};
use reconcile::binding::{Family, TargetGroupArn};
use reconcile::evidence::{Answer, ClusterMember};
use reconcile::target::{Addresses, DescribedTarget, Target};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::check::{Audit, Invariant, Violation, Write};
use crate::dice::{Moment, Topic, chance};
use crate::distributions as d;
use crate::group::Group;
use crate::payload::time_of_day;
use crate::scenario::{Host, PORT, Scenario, Service};

/// A world with a strategy in it.
pub struct World {
    /// What happens in it.
    pub scenario: Arc<Scenario>,
    start: Instant,
    state: Mutex<State>,
}

/// What the strategy did so far.
pub struct State {
    /// The target group.
    pub group: Group,
    /// Write calls that reached ELBv2.
    pub writes: u32,
    /// The switches to an address that was not the writer.
    pub wrong_ways: Vec<WrongWay>,
    /// Each switch: when, to which address, and by a process at which resolver.
    pub switches: Vec<Switch>,
    /// What was found wrong.
    pub violations: Vec<Violation>,
    /// Every address that a witness named so far.
    named: Vec<IpAddr>,
    trace: Option<Vec<(Moment, String)>>,
}

/// A switch to an address that was not the writer, and how many witnesses that could be read said what.
#[derive(Clone, Debug)]
pub struct WrongWay {
    /// When.
    pub at: Moment,
    /// So many named the writer.
    pub honest: usize,
    /// So many named something else.
    pub misleading: usize,
}

impl WrongWay {
    /// Whether at least as many witnesses were honest as misleading. No rule that lets two witnesses act against a third
    /// can be right when the two are the ones that mislead.
    pub fn is_despite_witnesses(&self) -> bool {
        self.honest > 0 && self.honest >= self.misleading
    }
}

impl fmt::Display for WrongWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} readable witnesses were honest and {} were not", self.honest, self.misleading)
    }
}

/// A registration that made an address a member, or a deregistration that left it alone.
#[derive(Clone, Debug)]
pub struct Switch {
    /// When.
    pub at: Moment,
    /// The resolver of the process that did it.
    pub resolver: usize,
}

impl World {
    /// A world that begins now, with this deregistration delay.
    pub fn new(scenario: Arc<Scenario>, delay: Moment, is_traced: bool) -> Arc<World> {
        let writer = Target { address: scenario.writer_address(0), port: PORT };
        let leftover = scenario.leftover_port.map(|port| Target { port, ..writer });
        let members: Vec<Target> = [writer].into_iter().chain(leftover).collect();
        let state = State {
            group: Group::new(&members, delay),
            writes: 0,
            wrong_ways: Vec::new(),
            switches: Vec::new(),
            violations: Vec::new(),
            named: Vec::new(),
            trace: is_traced.then(|| scenario.story()),
        };
        Arc::new(World { scenario, start: Instant::now(), state: Mutex::new(state) })
    }

    /// Milliseconds since the world began.
    pub fn now(&self) -> Moment {
        self.start.elapsed().as_millis() as Moment
    }

    /// The instant of a moment.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.start + Duration::from_millis(moment)
    }

    /// What the strategy did so far.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line to the trace, if there is one.
    pub fn note(&self, line: impl Display) {
        let now = self.now();
        if let Some(trace) = &mut self.state().trace {
            trace.push((now, line.to_string()));
        }
    }

    /// Notes that an invariant does not hold.
    pub fn violate(&self, invariant: Invariant, text: impl Display) {
        self.note(format_args!("VIOLATION {invariant}: {text}"));
        let violation = Violation { seed: self.scenario.seed, at: self.now(), invariant, text: text.to_string() };
        self.state().violations.push(violation);
    }

    /// The trace in order.
    pub fn trace(&self) -> Vec<(Moment, String)> {
        let mut trace = self.state().trace.clone().unwrap_or_default();
        trace.sort_by_key(|(at, _)| *at);
        trace
    }
}

impl State {
    /// A witness named the address.
    fn name(&mut self, address: IpAddr) {
        if !self.is_named(address) {
            self.named.push(address);
        }
    }

    /// Whether any witness named the address so far.
    pub fn is_named(&self, address: IpAddr) -> bool {
        self.named.contains(&address)
    }
}

/// The ports of one process. A clone is the same process.
#[derive(Clone)]
pub struct Ports(Arc<ProcessPorts>);

struct ProcessPorts {
    world: Arc<World>,
    number: usize,
    resolver: usize,
    killed: Notify,
    now_serving: Mutex<Audit>,
}

/// What becomes of a call.
enum Fate {
    Succeeds,
    Refused,
    AnswerLost,
}

impl Ports {
    /// The ports of a new process.
    pub fn new(world: Arc<World>, number: usize) -> Ports {
        let resolver = number % world.scenario.resolvers();
        let now_serving = Mutex::new(Audit::default());
        Ports(Arc::new(ProcessPorts { world, number, resolver, killed: Notify::new(), now_serving }))
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

    /// Whether the RDS API or the invocation's event calls this member the writer.
    fn is_told(&self, member: usize) -> bool {
        let audit = self.audit();
        let by_event = audit.names.map(|(host, _)| self.scenario().hosts[host].1);
        audit.writer_told.is_some_and(|(told, _)| told == member) || by_event == Some(member)
    }

    /// Begins an invocation: from now on its calls are audited.
    pub fn begin(&self, invocation: u64, names: Option<(Host, Moment)>) {
        let rng = &mut self.scenario().dice().of(Topic::Death, [invocation, 0, 0]);
        let dies = chance(rng, d::KILLED) && self.world().now() < self.scenario().settled;
        let dies_at = dies.then(|| rng.u32(1..=d::KILLED_WITHIN_CALLS));
        if let Some((host, _)) = names {
            self.world().state().name(self.scenario().hosts[host].0);
        }
        *self.audit() = Audit { invocation, dies_at, names, ..Audit::default() };
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
            trace.push((self.world().now(), format!("p{:<3} i{invocation:<4} {line}", self.number())));
        }
    }

    /// The same answer as before is not worth a line.
    fn note_answer(&self, service: Service, name: &str, answer: &dyn Display) {
        if self.world().state().trace.is_some() {
            let answer = answer.to_string();
            let is_new = self.audit().last_answers.insert((service as u8, name.to_owned()), answer.clone());
            if is_new.as_ref() != Some(&answer) {
                self.note(format_args!("{service:?} {name}: {answer}"));
            }
        }
    }

    /// Counts a call. A dead process makes none, and a process may die at any.
    async fn step(&self) {
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

    /// Waits until the call reaches the service, for a read until its answer is back, and says what becomes of it.
    async fn call(&self, service: Service) -> (Fate, fastrand::Rng) {
        self.step().await;
        let (invocation, call) = {
            let audit = self.audit();
            (audit.invocation, audit.calls)
        };
        let mut rng = self.scenario().dice().of(Topic::Call, [invocation, u64::from(call), 0]);
        let is_write = service == Service::Write;
        sleep(Duration::from_millis(d::latency(&mut rng, is_write))).await;
        let now = self.world().now();
        let fate = if self.scenario().refuses(service, now) {
            Fate::Refused
        } else if now < self.scenario().settled && is_write && chance(&mut rng, d::ANSWER_LOST) {
            Fate::AnswerLost
        } else {
            Fate::Succeeds
        };
        (fate, rng)
    }

    /// Gives the answer back, unless the process dies with the answer unread.
    async fn answer<T>(&self, answer: T) -> T {
        self.step().await;
        answer
    }

    async fn write(&self, write: Write, targets: &[Target]) -> Result<(), AwsError> {
        let (fate, mut rng) = self.call(Service::Write).await;
        let action = match write {
            Write::Register => "elasticloadbalancing:RegisterTargets",
            Write::Deregister => "elasticloadbalancing:DeregisterTargets",
        };
        self.audit().group_failed = !matches!(fate, Fate::Succeeds);
        let names: Vec<String> = targets.iter().map(Target::to_string).collect();
        let error = |what: &str| AwsError::incomplete(action, names.join(", "), what);
        if matches!(fate, Fate::Refused) {
            self.note(format_args!("{action} {}: refused", names.join(", ")));
            return self.answer(Err(error("Rate exceeded"))).await;
        }
        let now = self.world().now();
        let shown_from = now + d::shown_after(&mut rng);
        let before: Vec<Target> = {
            let state = &mut *self.world().state();
            let before = state.group.members().collect();
            state.writes += 1;
            match write {
                Write::Register => state.group.register(now, shown_from, targets),
                Write::Deregister => state.group.deregister(now, shown_from, targets),
            }
            before
        };
        self.examine(write, targets, &before);
        sleep(Duration::from_millis(d::latency(&mut rng, false))).await;
        if matches!(fate, Fate::AnswerLost) {
            self.note(format_args!("{action} {}: done, but the answer is lost", names.join(", ")));
            return self.answer(Err(error("the connection was reset"))).await;
        }
        self.note(format_args!("{action} {}: done", names.join(", ")));
        self.answer(Ok(())).await
    }
}

impl Dns for Ports {
    async fn lookup(&self, name: &str, family: Family) -> Result<Answer, DnsError> {
        self.step().await;
        let (now, resolver) = (self.world().now(), self.0.resolver);
        let scenario = self.scenario();
        let is_endpoint = name == scenario.endpoint;
        if is_endpoint {
            self.audit().dns_asked = true;
        }
        if scenario.refuses(Service::Dns, now) {
            self.note_answer(Service::Dns, name, &"SERVFAIL");
            let answer = DnsAnswer::Code("SERVFAIL".to_owned());
            return Err(DnsError { name: name.to_owned(), family, servers: "10.0.0.2:53".to_owned(), answer });
        }
        let (host, ttl) = if is_endpoint {
            scenario.writer_by_dns(resolver, now)
        } else {
            let member = scenario.member_endpoints.iter().position(|endpoint| endpoint == name);
            scenario.member_by_dns(member.expect("a name of this world"), resolver, now)
        };
        let address = scenario.hosts[host].0;
        self.note_answer(Service::Dns, name, &address);
        if is_endpoint {
            let mut audit = self.audit();
            audit.dns_answered = true;
            audit.dns_told = Some((host, now));
        }
        if is_endpoint || self.is_told(scenario.hosts[host].1) {
            self.world().state().name(address);
        }
        Ok(Answer { addresses: Addresses::from(address), ttl: Duration::from_secs(ttl.div_ceil(1_000)) })
    }
}

impl TargetGroups for Ports {
    async fn describe(&self, group: &TargetGroupArn) -> Result<Vec<DescribedTarget>, AwsError> {
        let (fate, _) = self.call(Service::Describe).await;
        self.audit().group_failed = !matches!(fate, Fate::Succeeds);
        if !matches!(fate, Fate::Succeeds) {
            self.note("DescribeTargetHealth: refused");
            let action = "elasticloadbalancing:DescribeTargetHealth";
            return self.answer(Err(AwsError::incomplete(action, group.as_str(), "Rate exceeded"))).await;
        }
        let now = self.world().now();
        let shown = self.world().state().group.describe(now, |address| self.scenario().is_down(address, now));
        let states =
            || shown.iter().map(|target| format!("{target} {:?}", target.state)).collect::<Vec<_>>().join(", ");
        if self.world().state().trace.is_some() {
            self.note_answer(Service::Describe, "group", &states());
        }
        self.audit().shown = Some(shown.clone());
        self.answer(Ok(shown)).await
    }

    async fn register(&self, _group: &TargetGroupArn, targets: &[Target]) -> Result<(), AwsError> {
        self.write(Write::Register, targets).await
    }

    async fn deregister(&self, _group: &TargetGroupArn, targets: &[DescribedTarget]) -> Result<(), AwsError> {
        self.examine_request(targets);
        let targets: Vec<Target> = targets.iter().filter_map(DescribedTarget::target).collect();
        self.write(Write::Deregister, &targets).await
    }
}

impl Topology for Ports {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        self.call(Service::Rds).await;
        let now = self.world().now();
        let scenario = self.scenario();
        if scenario.refuses(Service::Rds, now) {
            self.note_answer(Service::Rds, cluster, &"refused");
            let error = AwsError::incomplete("rds:DescribeDBClusters", cluster, "Rate exceeded");
            return self.answer(Err(error)).await;
        }
        let writer = scenario.writer_by_topology(now);
        self.audit().writer_told = Some((writer, now));
        self.note_answer(Service::Rds, cluster, &format_args!("the writer is {}", scenario.members[writer]));
        let member = |(number, id): (usize, &String)| ClusterMember {
            id: id.clone(),
            is_writer: number == writer,
            endpoint: Some(scenario.member_endpoints[number].clone()),
            status: scenario.status(number, now).to_owned(),
        };
        let members = scenario.members.iter().enumerate().map(member).collect();
        self.answer(Ok(members)).await
    }
}

impl Clock for Ports {
    fn now(&self) -> DateTime<Utc> {
        time_of_day(self.world().now())
    }
}
