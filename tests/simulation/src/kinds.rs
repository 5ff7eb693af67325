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
    /// The writer of a cluster or an instance that blue/green deployments switch over, besides
    /// failovers.
    BlueGreen,
    /// The readers of an Aurora cluster that grows and shrinks, or of a Multi-AZ DB cluster.
    Readers,
    /// As `readers`, in a target group of IPv6 addresses.
    ReadersIpv6,
    /// A proxy, whose answers each name a part of its addresses.
    Proxy,
    /// A name of one's own with one or several addresses.
    Hostname,
    /// Writer, readers, proxy and a name of one's own in one function; one binding is slow and
    /// another one broken.
    Several,
    /// The writer of an Aurora cluster whose name leads to an old writer from some move on, for
    /// good, while the RDS API follows as ever: a resolver of one's own, a forgotten hosts zone, a
    /// zone of the name that is associated with the function's VPC.
    ///
    /// Nine changes in ten converge here, not all: once the events of a move are lost, nothing
    /// remains but DNS and the RDS API, two that disagree, and no rule can tell which of them is
    /// right. Then the function has to say that it waits. It also waits where the name leads to an
    /// address that is no member's any more, because its host was replaced: there an event and the
    /// RDS API are one witness, who names a member by its name.
    StuckDns,
    /// A custom endpoint of a cluster, whose answers each name a part of its members. One that it
    /// names no more may be well.
    Custom,
    /// As `writer`, and around most changes DNS answers nothing, and does not refuse either.
    HangingDns,
    /// As `writer`, with two name servers: the first fails or hangs now and then; the second does
    /// not know the names, or its answers are minutes old.
    TwoDnsServers,
    /// As `writer`, and each description of the target group takes about six seconds.
    SlowDescriptions,
    /// The writer of a cluster with a member whose name leads nowhere, be it the writer's or
    /// another one's.
    UnresolvedMember,
    /// The writer of an Aurora cluster of which the RDS API flags two members around a failover, or
    /// none.
    UnclearWriter,
    /// The readers of an Aurora cluster of which the RDS API flags two members around a failover,
    /// or none; or of one that has no writer, because it is the secondary of a global database.
    UnclearReaders,
    /// As `blue-green`, in a cluster; after a switchover blue may go on saying that it takes
    /// writes, and green may let nobody in, each for a while or for good.
    ///
    /// With the role probe not all changes converge here: nothing leads away from a registered
    /// database that says that it takes writes. A process that has heard DNS and the RDS API name
    /// another one for long has to say that it waits.
    BlueTakesWrites,
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

    /// The kinds that came later: in nearly all of them a source is wrong for longer than an outage
    /// lasts. What is drawn for the others, and how much of each, stays what it was.
    pub const LATER: [Kind; 8] = [
        Kind::Custom,
        Kind::HangingDns,
        Kind::TwoDnsServers,
        Kind::SlowDescriptions,
        Kind::UnresolvedMember,
        Kind::UnclearWriter,
        Kind::UnclearReaders,
        Kind::BlueTakesWrites,
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

    /// Whether every change has to converge.
    pub fn has_to_converge(self) -> bool {
        !matches!(self, Kind::StuckDns | Kind::BlueTakesWrites)
    }

    /// A change after which the group is not right within this time has not converged. Where one
    /// answer of DNS names a part of the addresses and nothing else knows the rest, a scheduled run
    /// a minute sees one part each.
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
