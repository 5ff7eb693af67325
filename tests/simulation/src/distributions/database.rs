//! How databases answer when they are asked whether they take writes.
//!
//! Nobody publishes these numbers: all are *assumed*, wide, before the first run. Known is that an
//! Aurora writer that is failed over restarts, which ends sessions, and that a Multi-AZ instance's
//! old primary is fenced and becomes a standby out of reach.

use fastrand::Rng;

use crate::dice::{Moment, between, chance};

/// How often the databases cannot be asked in the whole world (no way to them, no login). Assumed.
pub const UNREACHABLE: f64 = 0.10;

/// How often a database refuses a session in one second (all connections are taken). Assumed.
pub const REFUSED_SECOND: f64 = 0.02;

/// What the databases say around a move of the writer.
pub struct RoleChange {
    /// From the begin of the move until the old writer falls silent.
    pub old_stops: Moment,
    /// From the move until the old writer stops to say that it takes writes, if it does not know
    /// that it is fenced.
    pub old_is_fenced: Option<Moment>,
    /// From the move until the old writer answers again, as a reader.
    pub old_returns: Moment,
    /// From the move until the new writer answers.
    pub new_answers: Moment,
}

/// One old writer in ten does not know for up to ten seconds that it is none any more. Assumed.
pub fn role_change(rng: &mut Rng) -> RoleChange {
    let (old_stops, new_answers) = (between(rng, 0.0, 5.0), between(rng, 0.1, 1.5));
    let old_returns = between(rng, 5.0, 60.0);
    let old_is_fenced = chance(rng, 0.1).then(|| between(rng, 0.0, 10.0));
    RoleChange { old_stops, old_is_fenced, old_returns, new_answers }
}

/// From a session's begin to its answer: TCP, TLS, login, query. Assumed: one in twenty is slow.
pub fn session(rng: &mut Rng) -> Moment {
    if chance(rng, 0.05) { between(rng, 0.2, 3.0) } else { between(rng, 0.02, 0.2) }
}
