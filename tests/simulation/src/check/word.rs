//! What must hold where the databases are asked: their word about themselves is heard.

use std::net::IpAddr;

use reconcile::claim::Voice;
use reconcile::target::Target;

use crate::check::Invariant;
use crate::dice::{Moment, SECOND};
use crate::ports::Ports;

/// What a database said counts for so long.
const COUNTS: Moment = 5 * SECOND;

impl Ports {
    /// Notes what a database says of itself. Where there is one writer, the one that takes writes is named by its own word.
    pub(crate) fn hear_voice(&self, binding: usize, address: IpAddr, voice: Voice) {
        let names = voice == Voice::TakesWrites && self.scenario().config.bindings[binding].kind.is_single_writer();
        if names {
            self.world().state().kept[binding].name(address);
        }
        let now = self.world().now();
        let audit = &mut self.audit().bindings[binding];
        audit.voices.insert(address, (voice, now));
        audit.writer_spoke |= names;
    }

    /// Checks a registration that was carried out. What the process heard a moment before it, it heard before it judged.
    pub(super) fn examine_voices(&self, binding: usize, targets: &[Target]) {
        let is_reader = |target: &&Target| self.has_said(binding, target.address, Voice::ReadOnly);
        if let Some(reader) = targets.iter().find(is_reader) {
            let text = format_args!("{reader} was registered a moment after it said that it is read only");
            self.world().violate(Invariant::ReadOnlyIsHeard, text);
        }
    }

    /// Whether this is the last word of the database at this address, and was said a moment ago.
    pub(super) fn has_said(&self, binding: usize, address: IpAddr, voice: Voice) -> bool {
        let (now, audit) = (self.world().now(), self.audit());
        audit.bindings[binding].voices.get(&address).is_some_and(|(said, at)| *said == voice && now <= at + COUNTS)
    }
}
