//! What the loop needs from the world; tests implement these traits with fakes.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use base::database::ClusterMember;
use base::report::Failure;
use chrono::{DateTime, Utc};
pub use futures_util::future::BoxFuture;
use reconcile::binding::{Binding, Family, TargetGroupArn};
use reconcile::claim::Role;
use reconcile::evidence::DnsAnswer;
use reconcile::path::Session;
use reconcile::target::{DescribedTarget, Target};

use crate::error::{AwsError, DnsError};

/// All that the loop needs, as one type. A tuple of implementations is one.
pub trait Ports: Send + Sync + 'static {
    /// Asks DNS.
    type Dns: Dns;
    /// Reads and changes target groups.
    type TargetGroups: TargetGroups;
    /// Asks the RDS API.
    type Clusters: Clusters;
    /// Tells the time of day.
    type Clock: Clock;
}

impl<D: Dns, G: TargetGroups, T: Clusters, C: Clock> Ports for (D, G, T, C) {
    type Dns = D;
    type TargetGroups = G;
    type Clusters = T;
    type Clock = C;
}

/// Asks DNS.
pub trait Dns: Send + Sync + 'static {
    /// The addresses behind a host name in one family, read with no cache.
    ///
    /// # Errors
    /// Every answer without an address, and no answer.
    fn lookup(
        &self,
        name: &str,
        family: Family,
    ) -> impl Future<Output = Result<DnsAnswer, DnsError>> + Send;
}

/// Reads and changes target groups.
pub trait TargetGroups: Send + Sync + 'static {
    /// Everything that the group lists, draining targets too.
    ///
    /// # Errors
    /// When ELBv2 refused or could not be reached, after the SDK's retries.
    fn describe(
        &self,
        group: &TargetGroupArn,
    ) -> impl Future<Output = Result<Vec<DescribedTarget>, AwsError>> + Send;

    /// Registers the targets; those that are registered already stay as they are.
    ///
    /// # Errors
    /// As [`TargetGroups::describe`]; it is unknown then whether the targets were registered.
    fn register(
        &self,
        group: &TargetGroupArn,
        targets: &[Target],
    ) -> impl Future<Output = Result<(), AwsError>> + Send;

    /// Deregisters the targets by the `Id` and port that were described.
    ///
    /// # Errors
    /// As [`TargetGroups::describe`]; it is unknown then whether the targets were deregistered.
    fn deregister(
        &self,
        group: &TargetGroupArn,
        targets: &[DescribedTarget],
    ) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// Asks the RDS API about a cluster.
pub trait Clusters: Send + Sync + 'static {
    /// The instances of the cluster, with those flagged as the writer: one, or none or several.
    ///
    /// # Errors
    /// When RDS refused or could not be reached.
    fn members(
        &self,
        cluster: &str,
    ) -> impl Future<Output = Result<Vec<ClusterMember>, AwsError>> + Send;
}

/// Opens sessions with databases. Optional, so an object: without it the function is the same.
pub trait RoleProbe: Send + Sync + 'static {
    /// The sessions of one run with the databases of this binding. None is open yet.
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn ProbeSessions + 'a>;
}

/// The sessions of one run with the databases of one binding.
pub trait ProbeSessions: Send + Sync {
    /// Fetches what all of them log in with, in its own time and not that of a database.
    ///
    /// # Errors
    /// Why there is nothing to log in with.
    fn prepare(&self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Whether the database at this address takes writes, never through the load balancer; its
    /// certificate must be for the name. The session is kept. A question that is given up ends it,
    /// or if it is only being opened leaves it to the next question.
    ///
    /// # Errors
    /// Why it said nothing: unreachable, did not let the function in, or did not prove who it is.
    fn probe<'a>(&'a self, address: IpAddr, name: &'a str) -> BoxFuture<'a, Result<Role, Failure>>;

    /// Who answers at this address in a session of its own, which is ended: at a database, or
    /// through a load balancer, which keeps a session on its target for life. The certificate must
    /// be for the name; a token is for the name and the database's port.
    fn ask_anew<'a>(&'a self, server: SocketAddr, name: &'a str) -> BoxFuture<'a, Session>;

    /// Says goodbye to all of them, and waits for those that are late.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Tells the time of day, which events are compared with. Durations within a run are tokio's.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> DateTime<Utc>;
}

/// The clock of the system.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
