//! Topology: where the members of a cluster are, as the RDS API and DNS say together.

use std::net::IpAddr;

use base::database::ClusterMember;

use crate::target::Addresses;

/// A cluster's members with the addresses behind their endpoints; a member without a resolvable one
/// is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology(pub Vec<(ClusterMember, Addresses)>);

impl Topology {
    /// The writer's addresses, if one member is flagged as the writer. A secondary cluster of a
    /// global database has none, another has none for a moment of a failover, and the API has been
    /// seen to flag two.
    pub fn writer(&self) -> Option<&Addresses> {
        let mut flagged = self.0.iter().filter(|(member, _)| member.is_writer);
        let (_, addresses) = flagged.next()?;
        flagged.next().is_none().then_some(addresses)
    }

    /// The addresses of every member that is not flagged as the writer and can serve.
    pub fn readers(&self) -> Option<Addresses> {
        let readers = self.0.iter().filter(|(member, _)| !member.is_writer && member.can_serve());
        Addresses::new(readers.flat_map(|(_, addresses)| addresses.iter()))
    }

    /// Whether the address belongs to a member.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(_, addresses)| addresses.contains(address))
    }

    /// The addresses of the member with this identifier.
    pub(crate) fn member(&self, id: &str) -> Option<&Addresses> {
        self.0
            .iter()
            .find(|(member, _)| member.id.eq_ignore_ascii_case(id))
            .map(|(_, addresses)| addresses)
    }
}
