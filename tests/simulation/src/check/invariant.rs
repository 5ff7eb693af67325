//! The invariants, and what is noted when one does not hold.

use std::fmt;

use crate::dice::Moment;
use crate::kinds::Kind;

/// What must hold in every world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// 1: no write takes the last member away.
    AMemberStays,
    /// 2: no address is registered that no witness named.
    NamedByAWitness,
    /// 3: a draining target is never deregistered again.
    DrainingIsLeftAlone,
    /// 4: what is deregistered is an `Id` and a port that the group had.
    DeregistersWhatWasDescribed,
    /// 5: a second run right after a first makes no write call.
    Idempotent,
    /// 6: once the sources agree and targets have drained, two scheduled runs are enough.
    EventuallyStable,
    /// 7: a run that could not do its work returns an error.
    FailsLoudly,
    /// 8: where a group has several members, those that are healthy do not all leave.
    LastHealthyStays,
    /// 9: a proxy's address, a reader or a member of a custom endpoint that an answer of DNS lacks
    /// leaves only when its target is not healthy, when the RDS API says that it is no reader that
    /// can serve, or when the custom endpoint's answers have lacked it for ten minutes.
    AbsenceIsNoProof,
    /// 10: once the sources agree, the writer is among the readers only if there is no reader.
    WriterIsNoReader,
    /// 11: no member of a name of one's own leaves on one DNS answer, unless all named take writes.
    NoFlapOnOneAnswer,
    /// 12: a binding that is slow or broken disturbs no other.
    OthersUndisturbed,
    /// 13: no run calls the group right when the RDS API has long named another and can be asked.
    RdsApiCounts,
    /// 14: no address is registered whose database said a moment ago that it is read only.
    ReaderIsNotRegistered,
    /// 15: `PathUp` is not 1 while an address of the load balancer, which DNS names or the process
    /// knows from before, leads only elsewhere than to the registered writer.
    PathIsUp,
    /// 16: `PathUp` is not 0 while all lead to it alone: a database may be down by itself.
    PathIsNotDown,
    /// 17: `PathLatency` is that of the last registration, and at most a probe's interval more.
    PathLatencyIsTrue,
    /// 18: so many sessions a minute are opened through an address, and with a database.
    PathSessionsBounded,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Invariant::AMemberStays => "1 (no write takes the last member away)",
            Invariant::NamedByAWitness => "2 (no address is registered that no witness named)",
            Invariant::DrainingIsLeftAlone => "3 (a draining target is not deregistered again)",
            Invariant::DeregistersWhatWasDescribed => {
                "4 (deregisters the Id and port that were described)"
            }
            Invariant::Idempotent => "5 (a second run makes no write call)",
            Invariant::EventuallyStable => "6 (eventually stable)",
            Invariant::FailsLoudly => "7 (a run that could not do its work returns an error)",
            Invariant::LastHealthyStays => "8 (the healthy members do not all leave)",
            Invariant::AbsenceIsNoProof => "9 (absence from one answer is no reason to leave)",
            Invariant::WriterIsNoReader => {
                "10 (the writer is among the readers only if there is none)"
            }
            Invariant::NoFlapOnOneAnswer => "11 (no member leaves on a single answer)",
            Invariant::OthersUndisturbed => "12 (a binding in trouble disturbs no other)",
            Invariant::RdsApiCounts => {
                "13 (no run says that the group is right when the RDS API has long said otherwise)"
            }
            Invariant::ReaderIsNotRegistered => {
                "14 (no database is registered that said a moment ago that it is read only)"
            }
            Invariant::PathIsUp => "15 (PathUp is not 1 while an address leads elsewhere)",
            Invariant::PathIsNotDown => "16 (PathUp is not 0 while all lead to the writer)",
            Invariant::PathLatencyIsTrue => "17 (PathLatency is what it took)",
            Invariant::PathSessionsBounded => "18 (so many sessions a minute at most)",
        })
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The kind of the world.
    pub kind: Kind,
    /// The seed of the world.
    pub seed: u64,
    /// The strategy that lived in it.
    pub strategy: &'static str,
    /// When.
    pub at: Moment,
    /// Which one.
    pub invariant: Invariant,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { kind, seed, strategy, at, invariant, text } = self;
        write!(
            f,
            "{strategy} in {kind} world {seed} at {:.3} s: invariant {invariant}: {text}",
            *at as f64 / 1e3
        )
    }
}
