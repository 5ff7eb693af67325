//! The data plane of an NLB, which no emulator has: a forwarder that follows the target group.
//!
//! It has an address a zone, and each of them follows a change in its own time, as on AWS. New
//! connections go to the targets in turn; health is not checked, since the emulated one is always
//! good. Connections to a deregistered target are cut after the delay. A target sees the address of
//! the zone, as it does where client IP addresses are not preserved.

mod follow;
mod forward;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aws_sdk_elasticloadbalancingv2::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use tokio::time::{Instant, sleep};

use crate::aws::members;
use crate::history::Change;
use follow::Follower;
use forward::Listener;

/// The addresses of a load balancer, one a zone, on a port of all of them.
pub const ADDRESSES: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 21)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 22)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 23)),
];

/// The TTL of its name, in seconds.
pub const TTL: u32 = 60;

/// How often the target group is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

/// How late new connections follow the target group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Until the first zone sends some to a target that was registered.
    pub registration: Duration,
    /// Until the first zone sends none any more to a target that was deregistered.
    pub deregistration: Duration,
    /// By how much more each further zone is late.
    pub each_zone: Duration,
}

/// What is wrong with a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// New connections are accepted, and nothing comes of them.
    Silent,
    /// New connections go to this target, whatever the group holds.
    Stuck(SocketAddr),
}

/// A load balancer that forwards. It stops when dropped, and cuts every connection.
pub struct Nlb {
    zones: Vec<Zone>,
    trouble: Arc<Mutex<Vec<String>>>,
    tasks: JoinSet<()>,
}

type Targets = BTreeSet<SocketAddr>;

/// One address.
struct Zone {
    addr: SocketAddr,
    /// Where its new connections go, and since when.
    targets: watch::Receiver<Targets>,
    changes: Arc<Mutex<Vec<Change>>>,
    fault: watch::Sender<Option<Fault>>,
}

impl Lag {
    /// Every zone follows at once.
    pub const NONE: Self = Self {
        registration: Duration::ZERO,
        deregistration: Duration::ZERO,
        each_zone: Duration::ZERO,
    };

    /// Seconds, for what takes AWS one to five minutes.
    pub const SHORTENED: Self = Self {
        registration: Duration::from_secs(8),
        deregistration: Duration::from_secs(6),
        each_zone: Duration::from_millis(700),
    };

    /// Until the last of `zones` has followed whatever changed.
    pub fn longest(self, zones: usize) -> Duration {
        let last = self.of_zone(zones.saturating_sub(1));
        last.registration.max(last.deregistration)
    }

    fn of_zone(self, number: usize) -> Self {
        let more = self.each_zone * u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            registration: self.registration + more,
            deregistration: self.deregistration + more,
            ..self
        }
    }
}

impl Nlb {
    /// Starts forwarding from a free port of 127.0.0.1 to the targets of a group, which it follows
    /// at once, and whose connections survive their deregistration for `deregistration_delay`.
    pub async fn start(
        client: Client,
        target_group: &str,
        deregistration_delay: Duration,
    ) -> Result<Self> {
        let at = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        Self::follow(client, target_group, deregistration_delay, &at, Lag::NONE).await
    }

    /// The same from this port of all [`ADDRESSES`], which follow the group late.
    pub async fn in_zones(
        client: Client,
        target_group: &str,
        deregistration_delay: Duration,
        port: u16,
        lag: Lag,
    ) -> Result<Self> {
        let at = ADDRESSES.map(|address| SocketAddr::new(address, port));
        Self::follow(client, target_group, deregistration_delay, &at, lag).await
    }

    /// Starts forwarding from a free port of 127.0.0.1 to one fixed target, always from `source`:
    /// as a target sees PrivateLink, or a group without client IP preservation.
    pub async fn fixed(target: SocketAddr, source: IpAddr) -> Result<Self> {
        let mut nlb = Self::empty();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        nlb.open_fixed(addr, target, Some(source)).await?;
        Ok(nlb)
    }

    /// Starts forwarding from this port of all [`ADDRESSES`] to one fixed target.
    pub async fn fixed_in_zones(target: SocketAddr, port: u16) -> Result<Self> {
        let mut nlb = Self::empty();
        for address in ADDRESSES {
            nlb.open_fixed(SocketAddr::new(address, port), target, None).await?;
        }
        Ok(nlb)
    }

    /// Where clients connect: the address of the first zone.
    pub fn addr(&self) -> SocketAddr {
        self.zones[0].addr
    }

    /// Where clients connect in each zone.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.zones.iter().map(|zone| zone.addr).collect()
    }

    /// Breaks a zone, or mends it, for the connections from now on.
    pub fn set_fault(&self, zone: usize, fault: Option<Fault>) {
        self.zones[zone].fault.send_replace(fault);
    }

    /// Where the new connections of each zone went, from when on.
    pub fn changes(&self) -> Vec<Vec<Change>> {
        let changes = |zone: &Zone| lock(&zone.changes).clone();
        self.zones.iter().map(changes).collect()
    }

    /// Waits until new connections go to these targets and no others, in every zone.
    pub async fn wait_for_targets(&self, wanted: &Targets, deadline: Duration) -> Result<()> {
        let end = Instant::now() + deadline;
        for zone in &self.zones {
            let mut targets = zone.targets.clone();
            let followed = timeout_at(end, targets.wait_for(|targets| targets == wanted)).await;
            let (held, trouble) = (zone.targets.borrow().clone(), self.trouble());
            let late = || {
                anyhow!(
                    "{} of the load balancer did not follow to {wanted:?} within {deadline:?}; it \
                     forwards to {held:?} {trouble:?}",
                    zone.addr
                )
            };
            followed.map_err(|_| late())?.map(drop).context("the load balancer has stopped")?;
        }
        Ok(())
    }

    /// What kept it from following the group, each problem once. It keeps the targets it saw last.
    pub fn trouble(&self) -> Vec<String> {
        lock(&self.trouble).clone()
    }

    fn empty() -> Self {
        Self { zones: Vec::new(), trouble: Arc::default(), tasks: JoinSet::new() }
    }

    async fn follow(
        client: Client,
        target_group: &str,
        deregistration_delay: Duration,
        at: &[SocketAddr],
        lag: Lag,
    ) -> Result<Self> {
        let mut nlb = Self::empty();
        let mut followers = Vec::new();
        for (number, addr) in at.iter().enumerate() {
            let (publish, targets) = watch::channel(Targets::new());
            let zone = nlb.open(*addr, None, targets, deregistration_delay).await?;
            followers.push(Follower::new(lag.of_zone(number), publish, zone));
        }
        nlb.tasks.spawn(follow(
            client,
            target_group.to_owned(),
            followers,
            Arc::clone(&nlb.trouble),
        ));
        Ok(nlb)
    }

    async fn open_fixed(
        &mut self,
        addr: SocketAddr,
        target: SocketAddr,
        source: Option<IpAddr>,
    ) -> Result<()> {
        let (publish, targets) = watch::channel(Targets::from([target]));
        self.open(addr, source, targets, Duration::ZERO).await?;
        // A closed channel would mean that the target group cannot be followed any more.
        self.tasks.spawn(async move { publish.closed().await });
        Ok(())
    }

    /// Opens a zone, and returns where its changes are recorded.
    async fn open(
        &mut self,
        addr: SocketAddr,
        source: Option<IpAddr>,
        targets: watch::Receiver<Targets>,
        deregistration_delay: Duration,
    ) -> Result<Arc<Mutex<Vec<Change>>>> {
        let socket = TcpListener::bind(addr)
            .await
            .with_context(|| format!("bind {addr} for the load balancer"))?;
        let addr = socket.local_addr().context("the load balancer's own address")?;
        let (fault, faults) = watch::channel(None);
        let listener = Listener {
            socket,
            targets: targets.clone(),
            faults,
            deregistration_delay,
            source: source.unwrap_or(addr.ip()),
        };
        self.tasks.spawn(listener.accept());
        let changes = Arc::<Mutex<Vec<Change>>>::default();
        self.zones.push(Zone { addr, targets, changes: Arc::clone(&changes), fault });
        Ok(changes)
    }
}

async fn follow(
    client: Client,
    target_group: String,
    mut followers: Vec<Follower>,
    trouble: Arc<Mutex<Vec<String>>>,
) {
    let mut group = Targets::new();
    loop {
        match members(&client, &target_group).await {
            Ok(members) => group = members,
            Err(error) => {
                let mut trouble = lock(&trouble);
                let problem = format!("{error:#}");
                if !trouble.contains(&problem) {
                    trouble.push(problem);
                }
            }
        }
        for follower in &mut followers {
            follower.look(&group, Instant::now());
        }
        sleep(FOLLOW_INTERVAL).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
