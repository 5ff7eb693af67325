//! What can go wrong, in words for the person who reads it at night. The stable name of an error
//! becomes the `errorType` of a failed invocation.

use base::payload::PayloadError;
use base::report::Failure;
use lambda_runtime::Diagnostic;
pub use platform::error::{AwsError, chain};
use platform::runtime::error_type;
use reconcile::binding::Family;
use reconcile::network::AddressRefusal;
use reconcile::plan::Plan;
use reconcile::report::{BindingReport, Report};
use reconcile::target::{DescribedTarget, Target, strings};
use thiserror::Error;

pub(crate) const REGISTER: &str = "elasticloadbalancing:RegisterTargets";
pub(crate) const DEREGISTER: &str = "elasticloadbalancing:DeregisterTargets";

/// Why a run failed. The message of the invocation's error names each failure.
#[derive(Debug, Error)]
pub enum RunError {
    /// The payload asks for something impossible; nothing was done.
    #[error(transparent)]
    BadPayload(#[from] PayloadError),
    /// The payload names a binding that is not configured; nothing was done.
    #[error("there is no binding {wanted:?}: there are {}; nothing was done", known.join(", "))]
    UnknownBinding {
        /// The name in the payload.
        wanted: String,
        /// The names that are configured.
        known: Vec<String>,
    },
    /// Some bindings failed, after everything that could be done for all of them.
    #[error("{}", failures_of(.0))]
    Bindings(Report),
}

impl From<RunError> for Diagnostic {
    fn from(error: RunError) -> Diagnostic {
        let kind = match &error {
            RunError::BadPayload(_) => "BadPayload",
            RunError::UnknownBinding { .. } => "UnknownBinding",
            RunError::Bindings(report) => error_type(report.failures().map(|(_, it)| it.kind)),
        };
        Diagnostic { error_type: kind.to_owned(), error_message: error.to_string() }
    }
}

fn failures_of(report: &Report) -> String {
    let text = |(failed, failure): (&BindingReport, &Failure)| {
        format!("{}: {}", failed.binding, failure.message)
    };
    let failures: Vec<String> = report.failures().map(text).collect();
    let (failed, all) = (failures.len(), report.bindings.len());
    format!("{failed} of {all} bindings failed: {}", failures.join("; "))
}

/// Why one binding could not be kept.
#[derive(Debug, Error)]
pub enum SyncError {
    /// DNS never gave a usable answer, and no other witnesses made up for it.
    #[error("the writer is unknown, nothing was changed")]
    Dns(#[source] DnsError),
    /// The group is not what was written to it.
    #[error("the target group does not show what was written to it; still to do: {0}")]
    Unconfirmed(Plan),
    /// AWS refused or could not be reached.
    #[error("{progress}")]
    Aws {
        /// What was done before.
        progress: &'static str,
        /// What AWS said.
        source: Box<AwsError>,
    },
    /// Neither DNS nor the target group could be read.
    #[error(
        "neither DNS nor the target group could be read, nothing was changed: {dns}; {}",
        chain(group)
    )]
    NothingRead {
        /// What DNS said.
        dns: DnsError,
        /// What ELBv2 said.
        group: Box<AwsError>,
    },
    /// The evidence names an address that may not be registered.
    #[error("{0}")]
    Refused(AddressRefusal),
    /// The invocation's time ran out.
    #[error(
        "the function's deadline is near and the work is unfinished; it stopped while {phase}; \
         what was done is in the log"
    )]
    DeadlineNear {
        /// What it was doing.
        phase: Phase,
    },
    /// A defect in this program.
    #[error(
        "failover-sync panicked while it reconciled this binding: {0}; this is a defect, please \
         report it"
    )]
    Panicked(String),
}

/// What a run is doing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Phase {
    /// Nothing yet.
    #[error("starting")]
    Starting,
    /// Asking DNS, the target group and the others.
    #[error("reading DNS and the target group")]
    Observing,
    /// Pausing between two observations.
    #[error("waiting to look again")]
    Waiting,
    /// Describing the target group before a deregistration.
    #[error("describing the target group")]
    Describing,
    /// Registering these targets.
    #[error("registering {}", strings(.0).join(", "))]
    Registering(Vec<Target>),
    /// Deregistering these targets.
    #[error("deregistering {}", strings(.0).join(", "))]
    Deregistering(Vec<DescribedTarget>),
    /// Asking through the load balancer, when all else is done.
    #[error("asking through the load balancer")]
    AskingPath,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing: somebody must change a role or a configuration.
    None,
    /// Nothing, unless the evidence changes: it names an address that may not be registered.
    OtherEvidence,
    /// It helps if it comes later.
    Patience,
    /// The same, if the right to write was given a moment ago.
    Permission,
    Retry,
}

impl SyncError {
    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            SyncError::Aws { source, .. } | SyncError::NothingRead { group: source, .. } => {
                match source.kind() {
                    "AccessDenied" if [REGISTER, DEREGISTER].contains(&source.action) => {
                        Remedy::Permission
                    }
                    "AccessDenied" | "TargetGroupNotFound" => Remedy::None,
                    "Throttled" => Remedy::Patience,
                    _ => Remedy::Retry,
                }
            }
            SyncError::Refused(_) => Remedy::OtherEvidence,
            _ => Remedy::Retry,
        }
    }

    /// The failure as the report carries it: a stable name and the whole chain.
    pub fn failure(&self) -> Failure {
        let kind = match self {
            SyncError::Dns(_) => "EndpointNotResolved",
            SyncError::Unconfirmed(_) => "Unconfirmed",
            SyncError::Aws { source, .. } => source.kind(),
            SyncError::NothingRead { .. } => "EndpointNotResolved",
            SyncError::Refused(AddressRefusal::Address { .. }) => "AddressRefused",
            SyncError::Refused(AddressRefusal::SeveralWriters(_)) => "SeveralWriters",
            SyncError::DeadlineNear { .. } => "DeadlineNear",
            SyncError::Panicked(_) => "Panicked",
        };
        Failure { kind, message: chain(self) }
    }
}

/// A look-up that gave no address: who was asked for what, and what the answer was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name} could not be resolved to an {family} address: {servers} {answer}")]
pub struct DnsError {
    /// The endpoint's name.
    pub name: String,
    /// The family that was asked for.
    pub family: Family,
    /// The servers that were asked.
    pub servers: String,
    /// What they answered.
    pub answer: DnsFailure,
}

/// The ways in which DNS does not answer with an address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DnsFailure {
    /// The name does not exist.
    #[error("answered NXDOMAIN: check the endpoint's spelling")]
    NoSuchName,
    /// The name has no address in this family, or its chain of CNAMEs ends nowhere.
    #[error(
        "answered without an address: check \"ipAddressType\", and that the CNAME chain does not \
         loop"
    )]
    NoAddress,
    /// The server answered with an error code such as SERVFAIL.
    #[error("answered {0}")]
    Code(String),
    /// No answer in time.
    #[error("did not answer in time")]
    Timeout,
    /// Anything else, such as a server that cannot be reached.
    #[error("could not be asked: {0}")]
    Other(String),
}

impl DnsFailure {
    /// Whether it is an answer to the question, which another server would give as well.
    pub(crate) fn is_definite(&self) -> bool {
        matches!(self, DnsFailure::NoSuchName | DnsFailure::NoAddress)
    }
}
