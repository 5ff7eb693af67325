//! What a process remembers of a target group from one run to the next. Only a help: a new process does without it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use reconcile::agenda::Settled;
use reconcile::binding::TargetGroupArn;
use reconcile::history::History;

/// What is remembered of every group.
#[derive(Default)]
pub(crate) struct Memory(Mutex<BTreeMap<TargetGroupArn, Remembered>>);

/// What is remembered of one group.
#[derive(Clone, Default)]
pub(crate) struct Remembered {
    /// What its runs saw.
    pub(crate) history: History,
    /// The last time it saw the group in sync.
    pub(crate) settled: Settled,
}

impl Memory {
    pub(crate) fn of(&self, group: &TargetGroupArn) -> Remembered {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(group).cloned().unwrap_or_default()
    }

    pub(crate) fn keep(&self, group: &TargetGroupArn, history: History) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.entry(group.clone()).or_default().history = history;
    }

    pub(crate) fn settle(&self, group: &TargetGroupArn, settled: &Settled) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.entry(group.clone()).or_default().settled = settled.clone();
    }
}
