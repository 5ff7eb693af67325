//! What a process remembers of a target group from one run to the next. Only a help: a new process does without it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use reconcile::agenda::Settled;
use reconcile::binding::TargetGroupArn;
use reconcile::group::Departures;

/// What is remembered of every group.
#[derive(Default)]
pub(crate) struct Memory(Mutex<BTreeMap<TargetGroupArn, Remembered>>);

/// What is remembered of one group.
#[derive(Clone, Default)]
pub(crate) struct Remembered {
    /// When this process deregistered which address.
    pub(crate) left: Departures,
    /// The last time it saw the group in sync.
    pub(crate) settled: Settled,
}

impl Memory {
    pub(crate) fn of(&self, group: &TargetGroupArn) -> Remembered {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(group).cloned().unwrap_or_default()
    }

    pub(crate) fn leave(&self, group: &TargetGroupArn, left: &Departures) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.entry(group.clone()).or_default().left.extend(left);
    }

    pub(crate) fn settle(&self, group: &TargetGroupArn, settled: &Settled) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.entry(group.clone()).or_default().settled = settled.clone();
    }
}
