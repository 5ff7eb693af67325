//! Topology: where the members of a cluster are, as the RDS API and DNS say together.

use std::net::IpAddr;

use base::database::ClusterMember;

use crate::target::Addresses;

/// A cluster's members with the addresses behind their endpoints, without those that have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology(pub Vec<(ClusterMember, Addresses)>);

impl Topology {
    /// The writer's addresses, if one member is flagged as it: in a global database's secondary
    /// cluster none is, for a moment of a failover none or, as seen, two may be.
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

    pub(crate) fn member(&self, id: &str) -> Option<&Addresses> {
        self.0
            .iter()
            .find(|(member, _)| member.id.eq_ignore_ascii_case(id))
            .map(|(_, addresses)| addresses)
    }
}
