//! The kinds of worlds: what the function has to keep in them.

use std::fmt;

use clap::ValueEnum;
use fastrand::Rng;
use reconcile::binding::{self, Family};

use crate::dice::{Moment, SECOND, chance};

/// A kind of world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// The writer of an Aurora cluster or a Multi-AZ instance, as the rivals know it too.
    Writer,
    /// The writer of a Multi-AZ DB cluster, with its two readable standbys.
    MultiAzCluster,
    /// As `writer`, in a target group of IPv6 addresses.
    WriterIpv6,
    /// The writer of a cluster or an instance, with blue/green switchovers besides failovers.
    BlueGreen,
    /// The readers of an Aurora cluster that grows and shrinks, or of a Multi-AZ DB cluster.
    Readers,
    /// As `readers`, in a target group of IPv6 addresses.
    ReadersIpv6,
    /// A proxy, whose answers each name a part of its addresses.
    Proxy,
    /// A name of one's own with one or several addresses.
    Hostname,
    /// Writer, readers, proxy and a name of one's own in one function; one is slow, one broken.
    Several,
    /// The writer of an Aurora cluster whose name leads to an old writer for good after some move,
    /// while the RDS API follows: a resolver of one's own, a forgotten hosts zone, a private zone.
    ///
    /// Nine changes in ten converge: with a move's events lost, DNS and the RDS API disagree, and
    /// no rule can tell which is right. Then the function has to say that it waits. So it does
    /// where the name leads to an address of no member, as its host was replaced: an event and the
    /// RDS API are one witness there, who names a member by its name.
    StuckDns,
    /// A custom endpoint, each answer of which names a part of the members. A missing one may be
    /// well.
    Custom,
    /// As `writer`, and around most changes DNS answers nothing, and does not refuse either.
    HangingDns,
    /// As `writer`, with two name servers: the first fails or hangs at times, the second is minutes
    /// old or knows no names.
    TwoDnsServers,
    /// As `writer`, and each description of the target group takes about six seconds.
    SlowDescriptions,
    /// The writer of a cluster in which a member's name, even the writer's, leads nowhere.
    UnresolvedMember,
    /// The writer of an Aurora cluster with two flagged by the RDS API around a failover, or none.
    UnclearWriter,
    /// The readers of such a cluster, or of one without a writer: a global database's secondary.
    UnclearReaders,
    /// As `blue-green`, in a cluster; then blue may go on saying that it takes writes, and green
    /// may let nobody in, for a while or for good.
    ///
    /// With the role probe not all converge: nothing leads away from a registered database that
    /// says that it takes writes. A process that long heard DNS and the RDS API name another has to
    /// say that it waits.
    BlueTakesWrites,
    /// As `writer`, behind a load balancer that follows late, zone by zone, and is asked where it
    /// leads; a cluster has one to fifteen members, and its writer restarts or is full at times.
    Path,
}

/// What a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A writer, and readers that come and go.
    Aurora,
    /// A writer and two readable standbys.
    MultiAzCluster,
    /// An instance and a standby that nobody sees.
    Instance,
}

impl Engine {
    /// Whether the RDS API names its members.
    pub fn is_cluster(self) -> bool {
        self != Engine::Instance
    }
}

impl Kind {
    /// Every kind that only our strategy lives in.
    pub const OURS: [Kind; 9] = [
        Kind::MultiAzCluster,
        Kind::WriterIpv6,
        Kind::BlueGreen,
        Kind::Readers,
        Kind::ReadersIpv6,
        Kind::Proxy,
        Kind::Hostname,
        Kind::Several,
        Kind::StuckDns,
    ];

    /// The kinds that came later, mostly with a source that is wrong for longer than an outage. The
    /// draws for the others stay what they were.
    pub const LATER: [Kind; 9] = [
        Kind::Custom,
        Kind::HangingDns,
        Kind::TwoDnsServers,
        Kind::SlowDescriptions,
        Kind::UnresolvedMember,
        Kind::UnclearWriter,
        Kind::UnclearReaders,
        Kind::BlueTakesWrites,
        Kind::Path,
    ];

    /// The kinds of its bindings; that of a writer depends on the engine.
    pub fn bindings(self, engine: Engine) -> Vec<binding::Kind> {
        let writer =
            if engine.is_cluster() { binding::Kind::Cluster } else { binding::Kind::Instance };
        match self {
            Kind::Readers | Kind::ReadersIpv6 | Kind::UnclearReaders => {
                vec![binding::Kind::Readers]
            }
            Kind::Proxy => vec![binding::Kind::Proxy],
            Kind::Custom => vec![binding::Kind::Custom],
            Kind::Hostname => vec![binding::Kind::Hostname],
            Kind::Several => {
                vec![writer, binding::Kind::Readers, binding::Kind::Proxy, binding::Kind::Hostname]
            }
            _ => vec![writer],
        }
    }

    /// The family of its target groups.
    pub fn family(self) -> Family {
        match self {
            Kind::WriterIpv6 | Kind::ReadersIpv6 => Family::Ipv6,
            _ => Family::Ipv4,
        }
    }

    /// Whether any of its bindings has databases that can be asked whether they take writes.
    pub fn can_probe_role(self) -> bool {
        self.bindings(Engine::Aurora).into_iter().any(binding::Kind::can_probe_role)
    }

    /// Whether its readers come and go.
    pub fn has_readers(self) -> bool {
        matches!(self, Kind::Readers | Kind::ReadersIpv6 | Kind::Several | Kind::UnclearReaders)
    }

    /// Whether its database is switched over to green ones.
    pub fn has_deployments(self) -> bool {
        matches!(self, Kind::BlueGreen | Kind::BlueTakesWrites)
    }

    /// Whether the function asks where its load balancer leads, for which it needs a login.
    pub fn has_path(self) -> bool {
        self == Kind::Path
    }

    /// Whether every change has to converge.
    pub fn has_to_converge(self) -> bool {
        !matches!(self, Kind::StuckDns | Kind::BlueTakesWrites)
    }

    /// A change that is not right within this time has not converged. Where an answer of DNS names
    /// a part of the addresses and nothing else knows the rest, a run a minute sees one part each.
    pub fn convergence_limit(self) -> Moment {
        match self {
            Kind::Readers | Kind::ReadersIpv6 | Kind::UnclearReaders => 3_600 * SECOND,
            Kind::Proxy | Kind::Custom | Kind::Several => 3_600 * SECOND,
            _ => 900 * SECOND,
        }
    }

    pub(crate) fn engine(self, rng: &mut Rng) -> Engine {
        match self {
            Kind::MultiAzCluster => Engine::MultiAzCluster,
            Kind::Several
            | Kind::StuckDns
            | Kind::UnclearWriter
            | Kind::UnclearReaders
            | Kind::BlueTakesWrites => Engine::Aurora,
            Kind::UnresolvedMember if chance(rng, 0.25) => Engine::MultiAzCluster,
            Kind::UnresolvedMember => Engine::Aurora,
            Kind::Readers | Kind::ReadersIpv6 if chance(rng, 0.25) => Engine::MultiAzCluster,
            Kind::Readers | Kind::ReadersIpv6 => Engine::Aurora,
            _ if chance(rng, 0.7) => Engine::Aurora,
            _ => Engine::Instance,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
