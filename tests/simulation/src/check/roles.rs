//! What must hold where the databases are asked: their roles count.

use std::net::IpAddr;

use reconcile::claim::Role;
use reconcile::target::Target;

use crate::check::Invariant;
use crate::dice::{Moment, SECOND};
use crate::ports::Ports;

/// What a database said counts for so long.
const COUNTS: Moment = 5 * SECOND;

impl Ports {
    /// Notes what a database says of itself; a single writer is named by its own answer.
    pub(crate) fn record_role(&self, binding: usize, address: IpAddr, role: Role) {
        let names = role == Role::Writer
            && self.scenario().config.bindings[binding].kind.is_single_writer();
        if names {
            self.world().state().kept[binding].name(address);
        }
        let now = self.world().now();
        let audit = &mut self.audit().bindings[binding];
        audit.roles.insert(address, (role, now));
        audit.writer_reported |= names;
    }

    /// Checks a registration; what the process got before it, it got before it decided.
    pub(super) fn examine_roles(&self, binding: usize, targets: &[Target]) {
        let is_reader = |target: &&Target| self.has_reported(binding, target.address, Role::Reader);
        if let Some(reader) = targets.iter().find(is_reader) {
            let text =
                format_args!("{reader} was registered a moment after it said that it is read only");
            self.world().violate(Invariant::ReaderIsNotRegistered, text);
        }
    }

    /// Whether this is the last role that the database at this address reported, a moment ago.
    pub(super) fn has_reported(&self, binding: usize, address: IpAddr, role: Role) -> bool {
        let (now, audit) = (self.world().now(), self.audit());
        audit.bindings[binding]
            .roles
            .get(&address)
            .is_some_and(|(said, at)| *said == role && now <= at + COUNTS)
    }
}
