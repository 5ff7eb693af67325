//! What a process asks and writes through, and what it remembers: shared by the runs of all bindings.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reconcile::binding::{Binding, Endpoint};
use reconcile::config::Config;
use reconcile::evidence::Answer;

use crate::error::DnsError;
use crate::limit::Limited;
use crate::memory::Memory;
use crate::ports::{Clock, Databases, Dns, TargetGroups, Topology};

/// The configuration and the ports of a process.
pub(crate) struct Sources<D, G, T, C> {
    pub(crate) config: Config,
    pub(crate) dns: D,
    pub(crate) groups: Limited<G>,
    pub(crate) topology: Limited<T>,
    pub(crate) databases: Option<Arc<dyn Databases>>,
    pub(crate) clock: C,
    pub(crate) memory: Memory,
}

impl<D: Dns, G: TargetGroups, T: Topology, C: Clock> Sources<D, G, T, C> {
    pub(crate) fn new(config: Config, dns: D, groups: G, topology: T, clock: C) -> Sources<D, G, T, C> {
        let (groups, topology) = (Limited::new(groups), Limited::new(topology));
        Sources { config, dns, groups, topology, databases: None, clock, memory: Memory::default() }
    }

    /// The addresses behind the binding's endpoint.
    pub(crate) async fn resolve(&self, binding: &Binding) -> Result<Answer, DnsError> {
        match &binding.endpoint {
            Endpoint::Name(name) => self.dns.lookup(name, binding.family).await,
            Endpoint::Address(address) => Ok(Answer { addresses: (*address).into(), ttl: Duration::ZERO }),
        }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}
