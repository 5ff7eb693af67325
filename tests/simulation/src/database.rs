//! A database: its writer, its other members, and what DNS and the RDS API say about it when.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use base::database::ClusterMember;
use reconcile::binding::Family;

use crate::dice::Moment;
use crate::distributions as d;
use crate::kinds::Engine;
use crate::resolvers::{Resolvers, Spread};

/// The identifier of the cluster or instance.
pub const ID: &str = "orders";

/// An address, by its number in [`Database::hosts`].
pub type Host = usize;

/// A cluster or a Multi-AZ instance, and everything that will happen to it.
pub struct Database {
    /// What it is.
    pub engine: Engine,
    /// Every address there will be, and the member that it belongs to.
    pub hosts: Vec<(IpAddr, usize)>,
    /// Every member there will be.
    pub members: Vec<Member>,
    /// The name of the writer.
    pub endpoint: String,
    /// The writer before the first change.
    pub first_writer: Host,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// From here on the writer's name never follows a move.
    pub stuck_from: Option<Moment>,
    /// Whether it has no writer: each of its members is a reader.
    pub is_secondary: bool,
    pub(crate) reader_endpoint: String,
    pub(crate) resolvers: Arc<Resolvers>,
}

/// An instance.
pub struct Member {
    /// Its identifier.
    pub id: String,
    /// Its name in DNS.
    pub endpoint: String,
    /// Its first address.
    pub host: Host,
    /// Whether it is there from the beginning.
    pub is_first: bool,
}

/// One change: of the writer, of an address, or of who is there.
#[derive(Clone, Debug)]
pub struct Change {
    /// What happens.
    pub what: What,
    /// When it begins.
    pub started: Moment,
    /// When it is real: the new writer takes writes, the reader serves or does not serve any more.
    pub moved: Moment,
    /// When RDS says that it is done.
    pub completed: Moment,
    /// Where the writer was.
    pub from: Host,
    /// Where the writer is now.
    pub to: Host,
    /// When DNS tells of it.
    pub dns: Spread,
    /// From here on the RDS API names the new writer.
    pub topology: Moment,
    /// From `started` to here the RDS API calls the instances something else than `available`.
    pub available: Moment,
    /// The hosts that serve now, the writer's among them.
    pub roster: Vec<Host>,
    /// The hosts that took the place of others behind unchanged names.
    pub replaced: Vec<Host>,
    /// The hosts whose database restarts.
    pub restarts: Vec<Host>,
    /// The hosts that never answer again.
    pub lost: Vec<Host>,
}

/// What a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Another member becomes the writer.
    Failover,
    /// A member's host is replaced: the address behind an unchanged name changes.
    Replacement,
    /// Green takes the names of blue, with other addresses. Until `renamed` there is no such
    /// cluster.
    Switchover {
        /// When the RDS API knows the names again.
        renamed: Moment,
    },
    /// A reader begins to serve, which has been `creating` since `created`.
    Joins {
        /// The member.
        member: usize,
        /// When it was listed first.
        created: Moment,
    },
    /// A reader is deleted.
    Leaves {
        /// The member.
        member: usize,
    },
    /// A reader restarts.
    Reboot,
}

impl Change {
    /// The host it is about: the new writer, or the reader that comes, goes or restarts.
    pub fn host(&self) -> Host {
        let reader = self
            .replaced
            .iter()
            .chain(&self.restarts)
            .chain(&self.lost)
            .chain(self.roster.last())
            .next();
        reader.copied().filter(|_| !self.moves_the_writer()).unwrap_or(self.to)
    }

    /// Whether the writer has another address now.
    pub fn moves_the_writer(&self) -> bool {
        self.from != self.to
    }
}

impl Database {
    /// The name of the readers.
    pub fn reader_endpoint(&self) -> &str {
        &self.reader_endpoint
    }

    /// The changes that gave the writer another address.
    pub fn moves(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.changes.iter().filter(|change| change.moves_the_writer())
    }

    /// The writer's address at a moment.
    pub fn writer(&self, at: Moment) -> Host {
        self.moves()
            .rev()
            .find(|change| change.moved <= at)
            .map_or(self.first_writer, |change| change.to)
    }

    /// The writer's address at a moment.
    pub fn writer_address(&self, at: Moment) -> IpAddr {
        self.hosts[self.writer(at)].0
    }

    /// The addresses of every member that serves at a moment, the writer's among them.
    pub fn serving(&self, at: Moment) -> Vec<IpAddr> {
        let now = self.changes.iter().rev().find(|change| change.moved <= at);
        let first = || {
            self.members.iter().filter(|member| member.is_first).map(|member| member.host).collect()
        };
        now.map_or_else(first, |change| change.roster.clone())
            .into_iter()
            .map(|host| self.hosts[host].0)
            .collect()
    }

    /// What a resolver answers for the writer's name, and for how long it will keep the answer.
    pub fn writer_by_dns(&self, resolver: usize, at: Moment) -> (Host, Moment) {
        let (refill, expires) = self.resolvers.refill(resolver, at, d::TTL);
        (self.known_writer(resolver, refill), expires - at)
    }

    /// Where a resolver locates the member that the RDS API calls the writer.
    pub fn writer_by_members(&self, resolver: usize, at: Moment) -> Host {
        self.member_by_dns(self.writer_by_topology(at), resolver, at).0
    }

    /// Whether the writer's name leads elsewhere for good, whatever the RDS API says.
    pub fn is_stuck(&self) -> bool {
        let followed = self.moves().rev().find(|change| self.is_followed(change));
        followed.map_or(self.first_writer, |change| change.to) != self.writer(Moment::MAX)
    }

    /// Whether the writer's name will ever follow the move.
    pub fn is_followed(&self, change: &Change) -> bool {
        self.stuck_from.is_none_or(|stuck_from| change.moved < stuck_from)
    }

    /// What a resolver answers for a member's name, and for how long it will keep the answer.
    pub fn member_by_dns(&self, member: usize, resolver: usize, at: Moment) -> (Host, Moment) {
        let (refill, expires) = self.resolvers.refill(resolver, at, d::TTL);
        (self.known_member(member, resolver, refill), expires - at)
    }

    /// The readers that the resolver was told by the authority; the writer if there is none.
    pub fn known_readers(&self, resolver: usize, refill: Moment) -> Vec<IpAddr> {
        let writer = self.known_writer(resolver, refill);
        let has_role = |member: usize| self.is_secondary || member != self.hosts[writer].1;
        let is_reader =
            |member: &usize| has_role(*member) && self.is_known(*member, resolver, refill);
        let readers = (0..self.members.len()).filter(is_reader);
        let mut readers: Vec<Host> =
            readers.map(|member| self.known_member(member, resolver, refill)).collect();
        if readers.is_empty() {
            readers.push(writer);
        }
        readers.into_iter().map(|host| self.hosts[host].0).collect()
    }

    fn known_writer(&self, resolver: usize, refill: Moment) -> Host {
        let mut followed = self.moves().rev().filter(|change| self.is_followed(change));
        let heard = followed.find(|change| self.resolvers.knows(change.dns, resolver, refill));
        heard.map_or(self.first_writer, |change| change.to)
    }

    fn known_member(&self, member: usize, resolver: usize, refill: Moment) -> Host {
        // A member's address changes only with its host; DNS tells of that as of any change.
        let new = |change: &Change| {
            change.replaced.iter().copied().find(|host| self.hosts[*host].1 == member)
        };
        let replaced =
            self.changes.iter().rev().filter_map(|change| new(change).map(|host| (change, host)));
        let mut heard =
            replaced.filter(|(change, _)| self.resolvers.knows(change.dns, resolver, refill));
        heard.next().map_or(self.members[member].host, |(_, host)| host)
    }

    /// Whether the reader endpoint counts the member in.
    fn is_known(&self, member: usize, resolver: usize, refill: Moment) -> bool {
        let tells = |change: &Change| match change.what {
            What::Joins { member: joins, .. } if joins == member => Some(true),
            What::Leaves { member: leaves } if leaves == member => Some(false),
            _ => None,
        };
        let told = self
            .changes
            .iter()
            .rev()
            .filter_map(|change| tells(change).map(|is_there| (change, is_there)));
        let mut heard =
            told.filter(|(change, _)| self.resolvers.knows(change.dns, resolver, refill));
        heard.next().map_or(self.members[member].is_first, |(_, is_there)| is_there)
    }

    /// The member that the RDS API calls the writer.
    pub fn writer_by_topology(&self, at: Moment) -> usize {
        let told = self.moves().rev().find(|change| change.topology <= at);
        self.hosts[told.map_or(self.first_writer, |change| change.to)].1
    }

    /// What the RDS API says about the cluster's members.
    pub fn described(&self, at: Moment) -> Vec<ClusterMember> {
        let writer = self.writer_by_topology(at);
        let member = |(number, member): (usize, &Member)| {
            let status = self.status(number, at)?;
            let endpoint = self.has_endpoint(number, at).then(|| member.endpoint.clone());
            Some(ClusterMember {
                id: member.id.clone(),
                is_writer: number == writer,
                endpoint,
                status: status.to_owned(),
            })
        };
        self.members.iter().enumerate().filter_map(member).collect()
    }

    /// What the RDS API says of an instance, if it lists it. Old and new writer restart.
    pub fn status(&self, member: usize, at: Moment) -> Option<&'static str> {
        let is_part = |change: &&Change| {
            self.engine == Engine::Instance
                || change.restarts.iter().any(|host| self.hosts[*host].1 == member)
        };
        let is_busy = |change: &Change| match change.what {
            What::Switchover { .. } => false,
            _ => (change.started..change.available).contains(&at),
        };
        let mut is_listed = self.members[member].is_first;
        for change in &self.changes {
            match change.what {
                What::Joins { member: joins, created } if joins == member && created <= at => {
                    if at < change.available {
                        return Some("creating");
                    }
                    is_listed = true;
                }
                What::Leaves { member: leaves } if leaves == member && change.started <= at => {
                    return (at < change.completed).then_some("deleting");
                }
                _ => {}
            }
        }
        let is_busy = self.changes.iter().filter(is_part).any(is_busy);
        is_listed.then_some(if is_busy { "rebooting" } else { "available" })
    }

    /// While it is created, an instance has no endpoint at first.
    fn has_endpoint(&self, member: usize, at: Moment) -> bool {
        self.changes.iter().all(|change| match change.what {
            What::Joins { member: joins, created } if joins == member => {
                created + (change.moved - created) / 2 <= at
            }
            _ => true,
        })
    }

    /// Whether the RDS API knows no such cluster: its name is between blue and green.
    pub fn is_being_renamed(&self, at: Moment) -> bool {
        self.changes.iter().any(|change| match change.what {
            What::Switchover { renamed } => (change.moved..renamed).contains(&at),
            _ => false,
        })
    }

    /// Whether the health checks of an address fail: its database restarts, is to come, or is gone.
    pub fn is_down(&self, address: IpAddr, at: Moment) -> bool {
        let is_it = |host: &Host| self.hosts[*host].0 == address;
        self.changes.iter().any(|change| {
            let is_to_come = match change.what {
                What::Joins { member, .. } => is_it(&self.members[member].host),
                _ => false,
            };
            if at < change.moved {
                is_to_come || (change.restarts.iter().any(is_it) && change.started <= at)
            } else {
                change.lost.iter().any(is_it)
            }
        })
    }
}

/// The address of a host.
pub(crate) fn address(network: u8, host: usize, family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(10, network, host as u8, 10).into(),
        Family::Ipv6 => {
            Ipv6Addr::new(0xfd00, 0, 0, u16::from(network), 0, 0, host as u16, 0x10).into()
        }
    }
}

/// The A record beside an AAAA record of [`address`]: a dual-stack database has both.
pub(crate) fn beside(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => {
            let [.., network, _, _, host, _] = address.segments();
            self::address(network as u8, usize::from(host), Family::Ipv4)
        }
        IpAddr::V4(_) => address,
    }
}
