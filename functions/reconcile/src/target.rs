//! Targets of a target group, as wanted and as described.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// A target as it is registered: an address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The address.
    pub address: IpAddr,
    /// The port, 1–65535.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", std::net::SocketAddr::new(self.address, self.port))
    }
}

/// One entry of DescribeTargetHealth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedTarget {
    /// The `Id` as it was described, which is what deregistration must send back.
    pub id: String,
    address: Option<IpAddr>,
    /// The port as it was described.
    pub port: u16,
    /// The state.
    pub state: TargetState,
    /// The reason code, where one was given, such as `Target.NotInUse`.
    pub reason: Option<String>,
    /// The zone as described, `all` for an address outside the VPC: deregistration sends it back.
    pub zone: Option<String>,
}

impl DescribedTarget {
    /// An entry with this `Id`, port, state and reason code.
    pub fn new(
        id: String,
        port: u16,
        state: TargetState,
        reason: Option<String>,
    ) -> DescribedTarget {
        DescribedTarget { address: id.parse().ok(), id, port, state, reason, zone: None }
    }

    /// The same in this zone.
    #[must_use]
    pub fn in_zone(self, zone: Option<String>) -> DescribedTarget {
        DescribedTarget { zone, ..self }
    }

    /// Whether it belongs to the group: all but `draining` ones and `unused` as
    /// `Target.NotRegistered`. Others `unused` get no traffic, `unhealthy.draining` may come back,
    /// and a state that AWS adds counts: to overlook a target is worse than to look twice.
    pub fn is_registered(&self) -> bool {
        match self.state {
            TargetState::Draining => false,
            TargetState::Unused => self.reason.as_deref() != Some("Target.NotRegistered"),
            _ => true,
        }
    }

    /// Whether it fails its health checks, which is a hint and no proof.
    pub fn is_unhealthy(&self) -> bool {
        matches!(self.state, TargetState::Unhealthy | TargetState::UnhealthyDraining)
    }

    /// Registered, but it gets nothing: no listener uses the group, or the load balancer has no
    /// subnet in its zone, which cross-zone balancing does not mend (ELBv2 API, `TargetHealth`).
    pub(crate) fn is_not_in_use(&self) -> bool {
        self.state == TargetState::Unused && self.reason.as_deref() == Some("Target.NotInUse")
    }

    /// The target if its `Id` is an address, which it is in every group of type `ip`.
    pub fn target(&self) -> Option<Target> {
        self.address.map(|address| Target { address, port: self.port })
    }
}

impl fmt::Display for DescribedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target() {
            Some(target) => target.fmt(f),
            None => write!(f, "{}:{}", self.id, self.port),
        }
    }
}

/// The states of a target (`TargetHealthStateEnum` of the ELBv2 API).
#[derive(Clone, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum TargetState {
    /// Being registered, or in its first health checks.
    Initial,
    /// Passes its health checks.
    Healthy,
    /// Fails its health checks.
    Unhealthy,
    /// Failed its health checks, keeps its connections for a grace time.
    #[strum(serialize = "unhealthy.draining")]
    UnhealthyDraining,
    /// Gets no traffic; the reason says why.
    Unused,
    /// Deregistered; keeps its connections until the deregistration delay ends.
    Draining,
    /// Its health is not known.
    Unavailable,
    /// A state that this program does not know.
    #[strum(default)]
    Unknown(String),
}

/// A set of addresses that is never empty, so that nothing can ask to empty a target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(BTreeSet<IpAddr>);

impl Addresses {
    /// The set, or nothing if it would be empty.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Option<Addresses> {
        let addresses: BTreeSet<IpAddr> = addresses.into_iter().collect();
        (!addresses.is_empty()).then_some(Addresses(addresses))
    }

    /// The addresses in order.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.0.iter().copied()
    }

    /// How many there are; at least one.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// These and those together.
    pub fn with(&self, others: impl IntoIterator<Item = IpAddr>) -> Addresses {
        Addresses(self.iter().chain(others).collect())
    }

    /// Whether the address is among them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl From<IpAddr> for Addresses {
    fn from(address: IpAddr) -> Addresses {
        Addresses(BTreeSet::from([address]))
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&strings(&self.0).join(", "))
    }
}

/// The text of each item.
pub fn strings<'a, T: fmt::Display + 'a>(items: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    items.into_iter().map(T::to_string).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A described target in short: `"10.0.0.1:5432 unused/Target.NotInUse"`.
    pub(crate) fn described(text: &str) -> DescribedTarget {
        let (target, state) = text.split_once(' ').unwrap_or((text, "healthy"));
        let (id, port) = target.rsplit_once(':').expect("id:port");
        let (state, reason) = match state.split_once('/') {
            Some((state, reason)) => (state, Some(reason.to_owned())),
            None => (state, None),
        };
        let id = id.trim_matches(['[', ']']).to_owned();
        DescribedTarget::new(
            id,
            port.parse().expect("a port"),
            state.parse().expect("any text is a state"),
            reason,
        )
    }

    #[test]
    fn a_member_is_everything_but_draining_and_not_registered() {
        for (state, is_registered) in [
            ("initial/Elb.RegistrationInProgress", true),
            ("initial/Elb.InitialHealthChecking", true),
            ("healthy", true),
            ("unhealthy/Target.FailedHealthChecks", true),
            ("unhealthy.draining/Target.FailedHealthChecks", true),
            ("unused/Target.NotInUse", true),
            ("unused/Target.InvalidState", true),
            ("unused/Target.IpUnusable", true),
            ("unused", true),
            ("unused/Target.NotRegistered", false),
            ("draining/Target.DeregistrationInProgress", false),
            ("draining", false),
            ("unavailable/Elb.InternalError", true),
            ("resting/Target.FirstSeenInTheFuture", true),
        ] {
            assert_eq!(
                described(&format!("10.0.0.1:5432 {state}")).is_registered(),
                is_registered,
                "{state}"
            );
        }
    }

    #[test]
    fn spellings_of_one_ipv6_address_are_one_target() {
        let long = described("[fd00:0:0:0:0:0:0:1]:5432 healthy");
        let short = described("[fd00::1]:5432 healthy");
        assert_eq!(long.target(), short.target());
        assert_eq!(long.to_string(), "[fd00::1]:5432");
        assert_eq!(
            long.id, "fd00:0:0:0:0:0:0:1",
            "what was described is what deregistration sends"
        );
    }

    #[test]
    fn a_set_of_addresses_is_never_empty() {
        assert_eq!(Addresses::new([]), None);
    }
}
