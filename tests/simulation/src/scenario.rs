//! What happens in a world whatever the function does: databases, their names, and failures.
//!
//! All is a function of seed and moment: every strategy meets the same world.

use std::net::IpAddr;
use std::sync::Arc;

use base::database::HostPort;
use fastrand::Rng;
use reconcile::binding::{self, Family};
use reconcile::config::Config;
use serde_json::json;

use crate::data_plane::{self, DataPlane};
use crate::database::{Database, Host, ID, What};
use crate::deliveries::{Delivery, deliver};
use crate::dice::{Dice, Moment, SECOND, Topic, between, chance};
use crate::distributions as d;
use crate::distributions::{faults as df, kinds as dk};
use crate::faults::Faults;
use crate::kinds::Kind;
use crate::making::Maker;
use crate::pool::Pool;
use crate::resolvers::{CachedAnswer, Resolvers};
use crate::subject::{Readers, Subject, Writer};

/// How often something changes in a world, for the database and for each other name.
pub const CHANGES: usize = 5;

/// The port of the database.
pub const PORT: u16 = 5432;

/// What a world follows, and everything that will happen in it.
pub struct Scenario {
    /// The kind of the world.
    pub kind: Kind,
    /// The seed it was made from.
    pub seed: u64,
    /// The database. Its events reach the function whatever the bindings follow.
    pub database: Arc<Database>,
    /// What each binding of the configuration follows, in order.
    pub subjects: Vec<Box<dyn Subject>>,
    /// What is wrong with each binding for the whole time.
    pub troubles: Vec<Option<Trouble>>,
    /// Every message that reaches the function, in order.
    pub deliveries: Vec<Delivery>,
    /// When the first scheduled run is.
    pub first_tick: Moment,
    /// From here on the sources agree, unless DNS is stuck, nothing fails and no message comes.
    pub settled: Moment,
    /// The function's configuration.
    pub config: Config,
    /// The port of a leftover registration, in worlds that begin with a mistake.
    pub leftover_port: Option<u16>,
    /// What is wrong with the sources for longer than an outage.
    pub(crate) faults: Faults,
    /// The load balancer, where the function asks it.
    pub data_plane: Option<DataPlane>,
    topology_is_readable: bool,
    outages: Vec<Outage>,
    resolvers: Arc<Resolvers>,
    dice: Dice,
}

/// A service that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The resolvers.
    Dns,
    /// The RDS API.
    Rds,
    /// DescribeTargetHealth.
    Describe,
    /// RegisterTargets and DeregisterTargets, which share a token bucket.
    Write,
}

/// A time in which a service refuses everything.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    pub(crate) service: Service,
    pub(crate) from: Moment,
    pub(crate) until: Moment,
}

/// What may be wrong with one binding for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Its calls take long.
    Slow,
    /// Its calls never end.
    Hangs,
    /// Its name does not exist.
    NoSuchName,
    /// Its target group was deleted.
    NoSuchGroup,
}

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// What the binding of this number follows.
    Endpoint(usize),
    /// The name of this member of the database.
    Member(usize),
}

impl Scenario {
    /// The world of this kind and seed.
    pub fn new(kind: Kind, seed: u64) -> Arc<Scenario> {
        let dice = Dice::new(kind, seed);
        let rng = &mut dice.of(Topic::Making, [0; 3]);
        let engine = kind.engine(rng);
        let maker = Maker::new(kind, engine, rng);
        let first_tick = between(rng, 0.0, 60.0);
        let leftover_port = chance(rng, 0.1).then_some(PORT + 1);
        let is_always_readable = kind == Kind::StuckDns;
        let topology_is_readable =
            engine.is_cluster() && (is_always_readable || !chance(rng, d::TOPOLOGY_UNREADABLE));
        let resolvers = Arc::new(Resolvers::new(dice, rng));
        let (mut database, outages) = maker.live(Arc::clone(&resolvers), rng);
        database.is_secondary = kind == Kind::UnclearReaders
            && chance(&mut dice.of(Topic::Fault, [2, 0, 0]), df::SECONDARY);
        let (faults, database) = (Faults::new(kind, &database, dice), Arc::new(database));
        let data_plane = kind.has_path().then(|| DataPlane::new(&database, dice));
        let bindings = kind.bindings(engine);
        let subject = |kind: &binding::Kind| -> Box<dyn Subject> {
            let rng = &mut dice.of(Topic::Pool, [stream(*kind), 0, 0]);
            match kind {
                binding::Kind::Readers => Box::new(Readers {
                    database: Arc::clone(&database),
                    size: dk::reader_answer(rng),
                    ttl: dk::reader_ttl(rng),
                    has_topology: topology_is_readable,
                }),
                binding::Kind::Proxy => Box::new(Pool::proxy(Arc::clone(&resolvers), rng)),
                binding::Kind::Custom => Box::new(Pool::custom(Arc::clone(&resolvers), rng)),
                binding::Kind::Hostname => Box::new(Pool::hostname(Arc::clone(&resolvers), rng)),
                _ => Box::new(Writer(Arc::clone(&database))),
            }
        };
        let subjects: Vec<Box<dyn Subject>> = bindings.iter().map(subject).collect();
        let mut scenario = Scenario {
            kind,
            seed,
            config: configure(&bindings, &subjects, kind),
            troubles: troubles(kind, bindings.len(), &mut dice.of(Topic::Trouble, [0; 3])),
            database,
            subjects,
            deliveries: Vec::new(),
            first_tick,
            settled: 0,
            leftover_port,
            faults,
            data_plane,
            topology_is_readable,
            outages,
            resolvers,
            dice,
        };
        scenario.deliveries = deliver(&scenario, rng);
        let heard = scenario.deliveries.iter().map(|delivery| delivery.at);
        let agreed = scenario.subjects.iter().map(|subject| subject.agreed());
        let over = scenario.outages.iter().map(|outage| outage.until);
        let over = over.chain(scenario.data_plane.as_ref().map(DataPlane::over));
        scenario.settled =
            heard.chain(agreed).chain(over).chain([scenario.faults.over()]).max().unwrap_or(0);
        Arc::new(scenario)
    }

    /// What a name is, if there is one.
    pub fn name(&self, name: &str) -> Option<Name> {
        let endpoint = self.subjects.iter().position(|subject| subject.endpoint() == name);
        let member = || self.database.members.iter().position(|member| member.endpoint == name);
        endpoint.map(Name::Endpoint).or_else(|| member().map(Name::Member))
    }

    /// What a resolver answers for a name.
    pub fn answer(&self, name: Name, resolver: usize, at: Moment) -> CachedAnswer {
        match name {
            Name::Endpoint(binding) => self.subjects[binding].answer(resolver, at),
            Name::Member(member) => {
                let (host, expires_in) = self.database.member_by_dns(member, resolver, at);
                CachedAnswer { addresses: self.database.hosts[host].0.into(), expires_in }
            }
        }
    }

    /// What a resolver answers for the load balancer's name.
    pub(crate) fn answer_for_load_balancer(
        &self,
        resolver: usize,
        at: Moment,
    ) -> Option<CachedAnswer> {
        Some(self.data_plane.as_ref()?.answer(&self.resolvers, resolver, at))
    }

    /// The host with this address.
    pub fn host(&self, address: IpAddr) -> Option<Host> {
        self.database.hosts.iter().position(|(other, _)| *other == address)
    }

    /// When the last real change is, and how long a group may take to follow it.
    pub fn end(&self) -> Moment {
        let last =
            self.subjects.iter().filter_map(|subject| subject.changes().last().copied()).max();
        self.settled.max(last.unwrap_or(0) + self.kind.convergence_limit())
    }

    /// The bindings that nothing is wrong with.
    pub fn sound(&self) -> impl Iterator<Item = usize> {
        (0..self.troubles.len()).filter(|binding| self.troubles[*binding].is_none())
    }

    /// Whether the sources disagree for good: then the group may be wrong in the end.
    pub fn is_disputed(&self) -> bool {
        self.database.is_stuck() || self.faults.is_disputed()
    }

    /// Whether anything is wrong with any binding.
    pub fn is_troubled(&self) -> bool {
        self.troubles.iter().any(Option::is_some)
    }

    /// How many resolvers there are.
    pub fn resolvers(&self) -> usize {
        self.resolvers.count()
    }

    /// Whether the service refuses everything now.
    pub fn refuses(&self, service: Service, at: Moment) -> bool {
        if service == Service::Rds && !self.topology_is_readable {
            return true;
        }
        if at >= self.settled {
            return false;
        }
        let is_out = |outage: &Outage| {
            outage.service == service && (outage.from..outage.until).contains(&at)
        };
        let keys = [service as u64, at / SECOND, 0];
        self.outages.iter().any(is_out)
            || chance(&mut self.dice.of(Topic::Refusal, keys), d::REFUSED_SECOND)
    }

    /// The dice of this world.
    pub fn dice(&self) -> Dice {
        self.dice
    }

    /// The timeline in words, for a trace.
    pub fn story(&self) -> Vec<(Moment, String)> {
        let mut story: Vec<_> = self.subjects.iter().flat_map(|subject| subject.story()).collect();
        for change in &self.database.changes {
            let (from, to) = (self.database.hosts[change.from].0, self.database.hosts[change.to].0);
            let what = match change.what {
                What::Failover => "failover",
                What::Replacement => "host replacement",
                What::Switchover { .. } => "blue/green switchover",
                What::Joins { .. } => "birth of a reader",
                What::Leaves { .. } => "death of a reader",
                What::Reboot => "reboot of a reader",
            };
            if !change.moves_the_writer() {
                let host = self.database.hosts[change.host()].0;
                story.push((change.started, format!("world     {what} at {host} begins")));
                story.push((change.moved, format!("world     it is real from now on at {host}")));
                story.push((
                    change.dns.steady,
                    format!("world     DNS knows of the {what}, but for caches"),
                ));
                continue;
            }
            story.push((change.started, format!("world     {what} from {from} to {to} begins")));
            story.push((change.moved, format!("world     THE WRITER IS {to} from now on")));
            if !self.database.is_followed(change) {
                story.push((
                    change.moved,
                    "world     DNS is stuck and will not tell of it".to_owned(),
                ));
            } else {
                if change.dns.first < change.dns.steady {
                    story.push((
                        change.dns.first,
                        format!("world     DNS begins to flap between {from} and {to}"),
                    ));
                }
                story.push((change.dns.steady, format!("world     DNS says {to}, but for caches")));
            }
            if self.topology_is_readable && change.what == What::Failover {
                story.push((change.topology, format!("world     the RDS API says {to}")));
            }
        }
        story.extend(self.faults.story(&self.database));
        story.extend(self.data_plane.iter().flat_map(DataPlane::story));
        for Outage { service, from, until } in &self.outages {
            story.push((*from, format!("world     {service:?} is out")));
            story.push((*until, format!("world     {service:?} is back")));
        }
        for (binding, trouble) in self.config.bindings.iter().zip(&self.troubles) {
            story.extend(trouble.map(|trouble| {
                (0, format!("world     {} is in trouble: {trouble:?}", binding.name))
            }));
        }
        let agree =
            if self.is_disputed() { "sources disagree for good" } else { "all sources agree" };
        story.push((self.settled, format!("world     {agree} and nothing fails from now on")));
        story
    }
}

/// Fixed whatever kinds come: another number makes other worlds.
fn stream(kind: binding::Kind) -> u64 {
    match kind {
        binding::Kind::Cluster => 0,
        binding::Kind::Readers => 1,
        binding::Kind::Instance => 2,
        binding::Kind::Proxy => 3,
        binding::Kind::Hostname => 4,
        binding::Kind::Address => 5,
        binding::Kind::Custom => 6,
    }
}

fn configure(bindings: &[binding::Kind], subjects: &[Box<dyn Subject>], kind: Kind) -> Config {
    let family = kind.family();
    let binding = |kind: &binding::Kind, subject: &dyn Subject| {
        let name = if kind.is_single_writer() { "writer".to_owned() } else { kind.to_string() };
        let group = format!("targetgroup/{name}/0123456789abcdef");
        let arn = format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:{group}");
        let mut binding = json!({
            "name": name, "endpoint": subject.endpoint(), "port": PORT, "kind": kind.to_string(),
            "targetGroupArn": arn, "ipAddressType": family.to_string(),
        });
        if !matches!(kind, binding::Kind::Proxy | binding::Kind::Custom | binding::Kind::Hostname) {
            binding["id"] = ID.into();
        }
        binding
    };
    let bindings = json!(
        bindings
            .iter()
            .zip(subjects)
            .map(|(kind, subject)| binding(kind, &**subject))
            .collect::<Vec<_>>()
    )
    .to_string();
    let mut config = Config::parse(|name| match name {
        "BINDINGS" => Some(bindings.clone()),
        "ALLOWED_CIDRS" if family == Family::Ipv6 => Some("fd00::/8".to_owned()),
        _ => None,
    })
    .expect("a valid configuration");
    // Who asks has a login, which is a strategy's.
    config.path = kind
        .has_path()
        .then(|| HostPort { host: data_plane::NAME.to_owned(), port: data_plane::LISTENER_PORT });
    config
}

/// One binding among several is slow and another one broken, whichever.
fn troubles(kind: Kind, bindings: usize, rng: &mut Rng) -> Vec<Option<Trouble>> {
    let mut troubles = vec![None; bindings];
    if kind == Kind::Several {
        troubles[0] = Some(if rng.bool() { Trouble::Slow } else { Trouble::Hangs });
        troubles[1] = Some(if rng.bool() { Trouble::NoSuchName } else { Trouble::NoSuchGroup });
        rng.shuffle(&mut troubles);
    }
    troubles
}
