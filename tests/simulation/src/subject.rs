//! What a binding follows: what its name leads to, and who should be in its group.

use std::net::IpAddr;
use std::sync::Arc;

use reconcile::claim::Role;
use reconcile::target::Target;

use crate::database::Database;
use crate::dice::{Dice, Moment};
use crate::distributions as d;
use crate::resolvers::CachedAnswer;
use crate::scenario::PORT;

/// What a binding follows. All is a function of the moment, whatever the function under test does.
pub trait Subject: Send + Sync {
    /// The name that the function is told to follow.
    fn endpoint(&self) -> &str;

    /// What a resolver answers for it.
    fn answer(&self, resolver: usize, at: Moment) -> CachedAnswer;

    /// Who should be in the group.
    fn wanted(&self, at: Moment) -> Wanted;

    /// When who should be in the group changes, in order.
    fn changes(&self) -> Vec<Moment>;

    /// Whether the health checks of an address fail.
    fn is_down(&self, address: IpAddr, at: Moment) -> bool;

    /// What the database at an address says about itself, if it answers.
    fn role(&self, _dice: Dice, _address: IpAddr, _at: Moment) -> Option<Role> {
        None
    }

    /// From here on all witnesses tell of the last change.
    fn agreed(&self) -> Moment;

    /// What happens to it, in words for a trace.
    fn story(&self) -> Vec<(Moment, String)>;
}

/// Who should be in a group.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// They must be members.
    pub needed: Vec<IpAddr>,
    /// They may be: no witness that can be read tells that they should not.
    pub tolerated: Vec<IpAddr>,
}

impl Wanted {
    /// Whether these are the right members.
    pub fn is_met_by(&self, members: &[Target]) -> bool {
        let has = |address: &IpAddr| members.contains(&Target { address: *address, port: PORT });
        self.needed.iter().all(has) && !members.iter().any(|member| self.is_wrong(*member))
    }

    /// Whether the target should not be a member.
    pub fn is_wrong(&self, member: Target) -> bool {
        member.port != PORT
            || !self.needed.iter().chain(&self.tolerated).any(|address| *address == member.address)
    }
}

/// The writer of a database.
pub struct Writer(pub Arc<Database>);

impl Subject for Writer {
    fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    fn answer(&self, resolver: usize, at: Moment) -> CachedAnswer {
        let (host, expires_in) = self.0.writer_by_dns(resolver, at);
        CachedAnswer { addresses: self.0.hosts[host].0.into(), expires_in }
    }

    fn wanted(&self, at: Moment) -> Wanted {
        Wanted { needed: vec![self.0.writer_address(at)], tolerated: Vec::new() }
    }

    fn changes(&self) -> Vec<Moment> {
        self.0.moves().map(|change| change.moved).collect()
    }

    fn is_down(&self, address: IpAddr, at: Moment) -> bool {
        self.0.is_down(address, at)
    }

    fn role(&self, dice: Dice, address: IpAddr, at: Moment) -> Option<Role> {
        self.0.role(dice, address, at)
    }

    fn agreed(&self) -> Moment {
        agreed(&self.0, d::TTL)
    }

    fn story(&self) -> Vec<(Moment, String)> {
        Vec::new()
    }
}

/// The readers of a cluster.
pub struct Readers {
    /// The cluster.
    pub database: Arc<Database>,
    /// How many readers one answer names.
    pub size: usize,
    /// How long a resolver keeps an answer.
    pub ttl: Moment,
    /// Whether the RDS API can be read, which alone tells of a healthy member that is no reader.
    pub has_topology: bool,
}

impl Subject for Readers {
    fn endpoint(&self) -> &str {
        self.database.reader_endpoint()
    }

    fn answer(&self, resolver: usize, at: Moment) -> CachedAnswer {
        let resolvers = &self.database.resolvers;
        let (refill, expires) = resolvers.refill(resolver, at, self.ttl);
        let readers = self.database.known_readers(resolver, refill);
        // No pool has this number.
        CachedAnswer {
            addresses: resolvers.part(u64::MAX, readers, self.size, resolver, refill),
            expires_in: expires - at,
        }
    }

    fn wanted(&self, at: Moment) -> Wanted {
        let (writer, serving) = (self.database.writer_address(at), self.database.serving(at));
        let is_reader = |address: &IpAddr| self.database.is_secondary || *address != writer;
        let mut needed: Vec<IpAddr> = serving.iter().copied().filter(is_reader).collect();
        if needed.is_empty() {
            needed.push(writer);
        }
        Wanted { needed, tolerated: if self.has_topology { Vec::new() } else { serving } }
    }

    fn changes(&self) -> Vec<Moment> {
        let mut changes = Vec::new();
        let mut before = self.wanted(0).needed;
        for at in self.database.changes.iter().map(|change| change.moved) {
            let after = self.wanted(at).needed;
            if after != before {
                changes.push(at);
                before = after;
            }
        }
        changes
    }

    fn is_down(&self, address: IpAddr, at: Moment) -> bool {
        self.database.is_down(address, at)
    }

    fn agreed(&self) -> Moment {
        // An instance that joins or leaves is described as what it is when its change is over.
        let listed =
            self.database.changes.iter().map(|change| change.completed.max(change.available));
        listed.max().unwrap_or(0).max(agreed(&self.database, self.ttl))
    }

    fn story(&self) -> Vec<(Moment, String)> {
        let tell = |at: Moment| {
            (at, format!("world     THE READERS ARE {} from now on", list(&self.wanted(at).needed)))
        };
        self.changes().into_iter().map(tell).collect()
    }
}

/// Addresses for a trace.
pub(crate) fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

fn agreed(database: &Database, ttl: Moment) -> Moment {
    database
        .changes
        .iter()
        .map(|change| change.dns.everywhere(ttl).max(change.topology))
        .max()
        .unwrap_or(0)
}
