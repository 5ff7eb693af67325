//! What an RDS event says about the writer.

use chrono::{DateTime, Utc};

use crate::binding::{Binding, Kind};
use crate::topology::Topology;

/// An event of RDS, as far as its two delivery forms agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdsEvent {
    /// Such as `RDS-EVENT-0071`; some events have none.
    pub id: Option<String>,
    /// Whether its category is `failover`, which EventBridge tells and SNS does not.
    pub is_failover: bool,
    /// When it happened, where the time could be read.
    pub time: Option<DateTime<Utc>>,
    /// The ARN of the cluster, instance or deployment; absent in messages before 2021.
    pub source_arn: Option<String>,
    /// The bare identifier, without the `rds:` prefix that some samples carry.
    pub source_id: Option<String>,
    /// Free text.
    pub message: String,
}

/// What an event says about the writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The cluster's writer is, or is about to be, this instance.
    NewWriter(String),
    /// A failover happens, and the event does not say where to.
    Failover,
    /// Addresses may move, without a failover of this kind.
    AddressChange,
    /// Nothing about the writer.
    Irrelevant,
}

/// Failovers of clusters whose message ends in the identifier of the new writer (RDS guide, "Amazon
/// RDS event categories and event messages", table of DB cluster events).
const NEW_WRITER: &[&str] = &["0070", "0071", "0072", "0073"];

/// Failovers and activations of Multi-AZ instances (same guide, table of DB instance events).
const FAILOVER: &[&str] = &["0013", "0015", "0049", "0050", "0051"];

/// Of category `failover` and none (same guide): abandoned, just after one, and failed.
const NO_FAILOVER: &[&str] = &["0034", "0069"];

/// What can move an address otherwise. The texts are those of the same guide and of Aurora's
/// (global databases); that each can is inferred from "IP address changes include a DB instance
/// name change or a DB instance class change".
const ADDRESS_CHANGE: &[&str] = &[
    "0006", // Restarted.
    "0014", // Class changed.
    "0021", // Recovered.
    "0025", // Converted to Multi-AZ.
    "0029", // Converted to Single-AZ.
    "0065", // Recovered from a partial failover.
    "0088", // DB instance started.
    "0151", // DB cluster started.
    "0181", // Global switchover started.
    // 0183, which comes ten times in a global switchover, is left out.
    "0182", // Global switchover: the old primary cluster was shut down.
    "0184", // Global switchover: the new primary cluster was promoted.
    "0185", // Global switchover finished.
    "0238", // Global failover completed.
    "0248", // Blue/green switchover completed.
    "0251", // Blue/green switchover of an instance completed.
    "0260", // Blue/green switchover of a cluster completed.
    "0385", // Cluster topology updated: DNS changed.
    "0397", // Global writer endpoint moved.
];

/// The host of the instance is about to be replaced.
const REPLACES_HOST: &str = "0422";

/// Every id that tells something about the writer, such as `RDS-EVENT-0071`: rules let it through.
pub fn ids() -> impl Iterator<Item = String> {
    let numbers = NEW_WRITER.iter().chain(FAILOVER).chain(ADDRESS_CHANGE).chain([&REPLACES_HOST]);
    numbers.map(|number| format!("RDS-EVENT-{number}"))
}

impl RdsEvent {
    /// What it tells, by its id (the text only adds a name), or if that is unknown by its category.
    pub fn kind(&self) -> EventKind {
        let number =
            self.id.as_deref().and_then(|id| id.strip_prefix("RDS-EVENT-")).unwrap_or_default();
        if NEW_WRITER.contains(&number) {
            self.named_instance().map_or(EventKind::Failover, EventKind::NewWriter)
        } else if FAILOVER.contains(&number) {
            EventKind::Failover
        } else if ADDRESS_CHANGE.contains(&number) || number == REPLACES_HOST {
            EventKind::AddressChange
        } else if self.is_failover && !NO_FAILOVER.contains(&number) {
            EventKind::Failover
        } else {
            EventKind::Irrelevant
        }
    }

    /// Whether it is about what the binding follows, by ARN, else by identifier. Those of instances
    /// and blue/green deployments are unknown here and count: they only make the run look longer.
    pub fn concerns(&self, binding: &Binding) -> bool {
        if binding.id.is_none() || !self.is_in_account_and_region_of(binding) {
            return false;
        }
        let is_own = self.has_identifier_of(binding);
        match self.kind() {
            EventKind::Irrelevant => false,
            EventKind::AddressChange => is_own || self.may_be_from_member(binding.kind),
            EventKind::NewWriter(_) => is_own && binding.kind != Kind::Instance,
            EventKind::Failover => is_own,
        }
    }

    /// Whether its source is a database with the binding's identifier in another Region or account.
    pub(crate) fn is_from_namesake(&self, binding: &Binding) -> bool {
        self.has_identifier_of(binding) && !self.is_in_account_and_region_of(binding)
    }

    /// Whether it is of the binding's own cluster or instance, whatever it tells.
    pub(crate) fn is_from_database_of(&self, binding: &Binding) -> bool {
        self.has_identifier_of(binding) && self.is_in_account_and_region_of(binding)
    }

    /// Whether it is of an instance that is no member, though it seemed to
    /// [concern](RdsEvent::concerns) the binding: rules cannot name members, and let all through.
    pub fn is_from_non_member(&self, binding: &Binding, topology: &Topology) -> bool {
        let name = self.source_arn.as_deref().map_or(self.source_id.as_deref(), |arn| {
            let mut parts = arn.splitn(7, ':').skip(5);
            (parts.next() == Some("db")).then(|| parts.next()).flatten()
        });
        let is_unknown =
            |name: &str| topology.0.iter().all(|(member, _)| !member.id.eq_ignore_ascii_case(name));
        let is_own = || self.is_from("cluster", binding.id.as_deref().unwrap_or_default());
        self.kind() == EventKind::AddressChange && !is_own() && name.is_some_and(is_unknown)
    }

    fn has_identifier_of(&self, binding: &Binding) -> bool {
        let resource = if binding.kind == Kind::Instance { "db" } else { "cluster" };
        binding.id.as_deref().is_some_and(|id| self.is_from(resource, id))
    }

    /// Only events of the Region and account come without an ARN.
    fn is_in_account_and_region_of(&self, binding: &Binding) -> bool {
        let mut parts = self.source_arn.iter().flat_map(|arn| arn.split(':').skip(3));
        let (region, account) = binding.target_group.place();
        self.source_arn.is_none() || (parts.next() == Some(region) && parts.next() == Some(account))
    }

    fn may_be_from_member(&self, kind: Kind) -> bool {
        let resource = self.source_arn.as_deref().and_then(|arn| arn.split(':').nth(5));
        match resource {
            Some("deployment") => true,
            Some("cluster") => false,
            _ => kind != Kind::Instance,
        }
    }

    fn is_from(&self, resource: &str, id: &str) -> bool {
        match &self.source_arn {
            Some(arn) => {
                let mut parts = arn.splitn(7, ':').skip(5);
                parts.next() == Some(resource)
                    && parts.next().is_some_and(|name| name.eq_ignore_ascii_case(id))
            }
            None => self.source_id.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(id)),
        }
    }

    /// `Completed failover to DB instance: orders-b` and `Promoting previous primary again:
    /// orders-b`; real messages lack the guide's full stop at the end.
    fn named_instance(&self) -> Option<String> {
        let (_, name) = self.message.rsplit_once(": ")?;
        let name = name.trim().trim_end_matches('.');
        let is_identifier = (1..=63).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        is_identifier.then(|| name.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::tests::binding;
    use base::database::ClusterMember;

    fn event(id: &str, message: &str) -> RdsEvent {
        RdsEvent {
            id: Some(id.to_owned()),
            is_failover: false,
            time: None,
            source_arn: None,
            source_id: Some("orders".to_owned()),
            message: message.to_owned(),
        }
    }

    #[test]
    fn the_id_decides_and_the_text_only_adds_the_name() {
        let names = |name: &str| EventKind::NewWriter(name.to_owned());
        for (id, message, kind) in [
            ("RDS-EVENT-0070", "Promoting previous primary again: orders-a.", names("orders-a")),
            ("RDS-EVENT-0071", "Completed failover to DB instance: orders-b", names("orders-b")),
            (
                "RDS-EVENT-0072",
                "Started same AZ failover to DB instance: Orders-B",
                names("orders-b"),
            ),
            (
                "RDS-EVENT-0073",
                "Started cross AZ failover to DB instance: orders-b",
                names("orders-b"),
            ),
            ("RDS-EVENT-0071", "Completed failover", EventKind::Failover),
            ("RDS-EVENT-0071", "Completed failover to DB instance: ", EventKind::Failover),
            ("RDS-EVENT-0049", "Multi-AZ instance failover completed.", EventKind::Failover),
            ("RDS-EVENT-0385", "Cluster topology is updated.", EventKind::AddressChange),
            ("RDS-EVENT-0422", "RDS will replace the host", EventKind::AddressChange),
            (
                "RDS-EVENT-0001",
                "Completed failover to DB instance: orders-b",
                EventKind::Irrelevant,
            ),
            ("0071", "Completed failover to DB instance: orders-b", EventKind::Irrelevant),
        ] {
            assert_eq!(event(id, message).kind(), kind, "{id} {message}");
        }
    }

    #[test]
    fn a_failover_without_a_known_id_is_told_by_its_category() {
        let told = |id: Option<&str>, is_failover| {
            let text = "Completed RDS initiated failover to DB instance: orders-b";
            RdsEvent { id: id.map(str::to_owned), is_failover, ..event("", text) }.kind()
        };
        for id in [None, Some("RDS-EVENT-0999")] {
            assert_eq!(
                [told(id, true), told(id, false)],
                [EventKind::Failover, EventKind::Irrelevant],
                "{id:?}"
            );
        }
        for id in ["RDS-EVENT-0034", "RDS-EVENT-0069"] {
            assert_eq!(
                told(Some(id), true),
                EventKind::Irrelevant,
                "{id} is of a failover that did not happen"
            );
        }
        assert_eq!(
            told(Some("RDS-EVENT-0088"), true),
            EventKind::AddressChange,
            "what is known goes by its id"
        );
    }

    #[test]
    fn a_namesake_in_another_region_or_account_is_another_database() {
        let from = |place: &str, number: &str| RdsEvent {
            source_arn: Some(format!("arn:aws:rds:{place}:cluster:orders")),
            ..event(&format!("RDS-EVENT-{number}"), "Completed failover to DB instance: orders-b")
        };
        let cluster = binding(Kind::Cluster);
        let own = from("eu-west-1:123456789012", "0071");
        assert!(
            own.concerns(&cluster)
                && own.is_from_database_of(&cluster)
                && !own.is_from_namesake(&cluster)
        );
        for place in ["us-east-1:123456789012", "eu-west-1:210987654321"] {
            for number in ["0071", "0397", "0001"] {
                let other = from(place, number);
                assert!(
                    !other.concerns(&cluster) && !other.is_from_database_of(&cluster),
                    "{other:?}"
                );
                assert!(other.is_from_namesake(&cluster), "{other:?}");
            }
            let part = RdsEvent {
                source_arn: Some(format!("arn:aws:rds:{place}:db:orders-a")),
                ..from(place, "0006")
            };
            assert!(!part.concerns(&cluster) && !part.is_from_namesake(&cluster), "{part:?}");
        }
        let without_arn = RdsEvent { source_arn: None, ..own };
        assert!(without_arn.concerns(&cluster) && !without_arn.is_from_namesake(&cluster));
    }

    #[test]
    fn the_source_is_matched_by_arn_and_without_one_by_identifier() {
        let named = |arn: Option<&str>, id: &str| RdsEvent {
            source_arn: arn.map(str::to_owned),
            source_id: Some(id.to_owned()),
            ..event("RDS-EVENT-0071", "Completed failover to DB instance: orders-b")
        };
        let arn = |resource: &str| format!("arn:aws:rds:eu-west-1:123456789012:{resource}");
        let cluster = binding(Kind::Cluster);
        assert!(named(Some(&arn("cluster:orders")), "anything").concerns(&cluster));
        assert!(named(None, "Orders").concerns(&cluster));
        assert!(!named(Some(&arn("cluster:other")), "orders").concerns(&cluster));
        assert!(!named(Some(&arn("db:orders")), "orders").concerns(&cluster));
        assert!(!named(None, "other").concerns(&cluster));
        assert!(
            !named(None, "orders").concerns(&binding(Kind::Instance)),
            "an instance has no other to fail over to"
        );
        assert!(!named(None, "orders").concerns(&Binding { id: None, ..cluster }));
    }

    #[test]
    fn an_event_of_a_member_or_a_deployment_makes_a_cluster_look() {
        let event = RdsEvent {
            source_id: Some("orders-b".into()),
            ..event("RDS-EVENT-0385", "Cluster topology is updated.")
        };
        assert!(event.concerns(&binding(Kind::Cluster)));
        let deployment = RdsEvent {
            source_arn: Some(
                "arn:aws:rds:eu-west-1:123456789012:deployment:bgd-hdqs3ik6vrwgutsn".into(),
            ),
            ..event.clone()
        };
        assert!(
            deployment.concerns(&binding(Kind::Cluster))
                && deployment.concerns(&binding(Kind::Instance))
        );
    }

    #[test]
    fn an_event_of_an_instance_that_is_no_member_is_of_a_stranger() {
        let member = |id: &str| ClusterMember {
            id: id.to_owned(),
            is_writer: true,
            endpoint: None,
            status: "available".to_owned(),
        };
        let topology =
            Topology(vec![(member("orders-a"), std::net::IpAddr::from([10, 0, 0, 1]).into())]);
        let arn = |resource: &str| Some(format!("arn:aws:rds:eu-west-1:123456789012:{resource}"));
        for (id, source_arn, source_id, is_unknown) in [
            ("RDS-EVENT-0006", arn("db:ledger"), "ledger", true),
            ("RDS-EVENT-0006", None, "ledger", true),
            ("RDS-EVENT-0006", arn("db:Orders-A"), "orders-a", false),
            ("RDS-EVENT-0385", None, "orders-a", false),
            ("RDS-EVENT-0397", arn("cluster:orders"), "orders", false),
            ("RDS-EVENT-0397", None, "orders", false),
            (
                "RDS-EVENT-0260",
                arn("deployment:bgd-hdqs3ik6vrwgutsn"),
                "bgd-hdqs3ik6vrwgutsn",
                false,
            ),
            ("RDS-EVENT-0071", None, "ledger", false),
        ] {
            let event =
                RdsEvent { source_arn, source_id: Some(source_id.to_owned()), ..event(id, "") };
            assert_eq!(
                event.is_from_non_member(&binding(Kind::Cluster), &topology),
                is_unknown,
                "{event:?}"
            );
        }
    }

    #[test]
    fn an_event_of_another_instance_or_cluster_concerns_nobody_else() {
        for number in ["0006", "0013"] {
            let event = RdsEvent {
                source_id: Some("ledger".into()),
                ..event(&format!("RDS-EVENT-{number}"), "")
            };
            assert!(!event.concerns(&binding(Kind::Instance)), "{number}");
        }
        let arn = |resource: &str| Some(format!("arn:aws:rds:eu-west-1:123456789012:{resource}"));
        let other = RdsEvent { source_arn: arn("cluster:ledger"), ..event("RDS-EVENT-0397", "") };
        assert!(!other.concerns(&binding(Kind::Cluster)));
    }
}
