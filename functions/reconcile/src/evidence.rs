//! Evidence: what the witnesses said about where the writer is.

use std::time::Duration;

use crate::target::Addresses;

/// What the witnesses said in one observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The addresses that the endpoint's name resolves to in the group's family, read with no cache.
    pub dns: Answer,
    /// The address of the cluster's writer as the RDS API knows it.
    pub topology: Topology,
}

/// One answer with addresses. An empty answer is no evidence and has no value of this type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The address set.
    pub addresses: Addresses,
    /// How long DNS lets others keep it: the smallest TTL of the chain. Zero for a literal address.
    pub ttl: Duration,
}

/// What the RDS API says: cluster → writer member → its instance endpoint → address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Not asked in this observation.
    NotAsked,
    /// Asked, and no usable answer came. It is silent, never an error: the RDS API may be throttled or out of reach.
    Silent,
    /// The writer's addresses.
    Names(Addresses),
}
