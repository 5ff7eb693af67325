//! The verdict: what follows from the evidence. The only place that decides where a target group should point.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::binding::{Binding, Kind};
use crate::evidence::{Evidence, Steady, Topology};
use crate::network::{AllowedNetworks, Refusal};
use crate::plan::Plan;
use crate::target::{Addresses, DescribedTarget, TargetState};

/// What should become of a target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The members are what the evidence says.
    InSync,
    /// Apply the plan that makes the witnessed addresses the members.
    Switch(Plan),
    /// Change nothing and look again.
    Wait(Reason),
    /// Change nothing, and say why.
    Refuse(Refusal),
}

/// What a verdict waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// DNS has not answered, or not for a while.
    NoAnswer,
    /// Two witnesses name different addresses.
    Disagreement {
        /// What DNS says.
        dns: Addresses,
        /// What the RDS API says.
        topology: Addresses,
    },
    /// DNS has not given the same answer for long enough.
    Unsteady {
        /// What DNS says.
        dns: Addresses,
        /// For how long it has.
        lasted: Duration,
        /// How long it must.
        needed: Duration,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoAnswer => f.write_str("DNS does not answer"),
            Reason::Disagreement { dns, topology } => {
                write!(f, "DNS names {dns} as the writer and the RDS API names {topology}")
            }
            Reason::Unsteady { dns, lasted, needed } => {
                let (lasted, needed) = (lasted.as_secs(), needed.as_secs());
                write!(f, "DNS has named {dns} for {lasted} s, {needed} s are needed without a second witness")
            }
        }
    }
}

/// DNS alone is believed after this at least. Its TTL at RDS is 5 s, and what it says flaps for 20 to 30 s.
const STEADY_AT_LEAST: Duration = Duration::from_secs(10);

/// DNS alone is believed after this at most, whatever its TTL.
const STEADY_AT_MOST: Duration = Duration::from_secs(20);

/// DNS alone is believed after this when an unnamed failover event is young.
const STEADY_AFTER_EVENT: Duration = Duration::from_secs(3);

/// DNS with topology is believed about a step back after this. A step back needs more proof than a step forward.
const STEP_BACK_WITH_TOPOLOGY: Duration = Duration::from_secs(30);

/// DNS without topology is believed about a step back after this: longer than stale and flapping answers last together.
const STEP_BACK_ALONE: Duration = Duration::from_secs(90);

/// Judges one binding.
///
/// For the kinds with one writer, `cluster` and `instance`; R is what is registered, B what is proposed, *fresh* an
/// address that is not draining in the group, *steady* the time in which every answer of DNS was B. The first row that
/// applies decides.
///
/// | # | evidence                                                                           | verdict               |
/// |---|------------------------------------------------------------------------------------|-----------------------|
/// | 1 | B may not be registered, or is more than one address                               | refuse                |
/// | 2 | DNS has not answered                                                               | wait                  |
/// | 3 | R holds no address but B's: it is empty, or only the port is wrong                 | switch                |
/// | 4 | a named event and topology name B, whatever DNS says; B is fresh, or was left before the event | switch    |
/// | 5 | DNS and topology name B, R is another member's address, B is fresh                 | switch                |
/// | 6 | DNS and a named event name B, B is fresh                                           | switch                |
/// | 7 | topology is readable and names another address than DNS                            | wait                  |
/// | 8 | B is draining: it was left a moment ago                                            | steady for 30 s with topology, 90 s without |
/// | 9 | anything else: DNS names B                                                         | steady for 2 × TTL, 10 to 20 s; 3 s after a young unnamed event |
///
/// The group is in sync when R is exactly B on the binding's port and no readable witness says otherwise. DNS and
/// topology are not independent when only an address behind an unchanged name moved: row 5 therefore asks that R is the
/// address of *another* member. A writer switch never waits for health: while it waited, clients would write to a
/// database that no longer takes it.
///
/// | kind       | wanted                                                                  | when                         |
/// |------------|-------------------------------------------------------------------------|------------------------------|
/// | `readers`  | every reader of a readable topology that can serve, else as `proxy`     | at once                      |
/// | `proxy`    | the addresses of DNS, and members absent from it that are not ill       | at once                      |
/// | `hostname` | the addresses of DNS                                                    | steady, as in row 9          |
/// | `address`  | the address                                                             | at once                      |
///
/// For these four a healthy member leaves only when a wanted one is healthy. A proxy's or reader endpoint gives a part of
/// its addresses in each answer, so absence alone is no reason to leave.
pub fn verdict(
    binding: &Binding,
    allowed: &AllowedNetworks,
    evidence: &Evidence,
    group: &[DescribedTarget],
    now: DateTime<Utc>,
) -> Verdict {
    if binding.kind.is_single_writer() {
        Judge { binding, allowed, evidence, group, now }.single_writer()
    } else {
        Judge { binding, allowed, evidence, group, now }.several()
    }
}

struct Judge<'a> {
    binding: &'a Binding,
    allowed: &'a AllowedNetworks,
    evidence: &'a Evidence,
    group: &'a [DescribedTarget],
    now: DateTime<Utc>,
}

impl Judge<'_> {
    fn single_writer(&self) -> Verdict {
        let topology = self.evidence.topology(self.now);
        let writer = topology.and_then(Topology::writer);
        let event = self.evidence.named(self.now);
        if let Some(verdict) = self.event_with_topology(event, writer) {
            return verdict;
        }
        let Some(dns) = self.evidence.dns(self.now) else { return Verdict::Wait(Reason::NoAnswer) };
        let named = &dns.answer.addresses;
        if let Some(refusal) = self.refusal(named) {
            return Verdict::Refuse(refusal);
        }
        let plan = self.plan(named);
        let disagreement = writer.filter(|writer| *writer != named);
        let disagree =
            |writer: &Addresses| Verdict::Wait(Reason::Disagreement { dns: named.clone(), topology: writer.clone() });
        if plan.is_empty() {
            return disagreement.map_or(Verdict::InSync, disagree);
        }
        if self.surplus(named).next().is_none() {
            return Verdict::Switch(plan);
        }
        let is_fresh = self.is_fresh(named);
        let is_other_members = |topology: &Topology| self.surplus(named).all(|address| topology.has(address));
        let agrees = writer == Some(named);
        if is_fresh && agrees && topology.is_some_and(is_other_members) {
            return Verdict::Switch(plan);
        }
        if is_fresh && event.is_some_and(|(by_event, _)| by_event == named) {
            return Verdict::Switch(plan);
        }
        if let Some(writer) = disagreement {
            return disagree(writer);
        }
        let needed = match (is_fresh, agrees) {
            (true, _) => self.steady_time(dns),
            (false, true) => STEP_BACK_WITH_TOPOLOGY,
            (false, false) => STEP_BACK_ALONE,
        };
        self.once_steady(dns, needed, plan)
    }

    /// Row 4: two witnesses that do not need DNS.
    fn event_with_topology(
        &self,
        event: Option<(&Addresses, DateTime<Utc>)>,
        writer: Option<&Addresses>,
    ) -> Option<Verdict> {
        let (named, time) = event.filter(|(named, _)| Some(*named) == writer)?;
        if let Some(refusal) = self.refusal(named) {
            return Some(Verdict::Refuse(refusal));
        }
        let plan = self.plan(named);
        let was_left_before = |address| self.evidence.left().get(&address).is_some_and(|left| *left < time);
        if plan.is_empty() {
            Some(Verdict::InSync)
        } else if self.is_fresh(named) || named.iter().all(was_left_before) {
            Some(Verdict::Switch(plan))
        } else {
            None
        }
    }

    fn several(&self) -> Verdict {
        let Some(dns) = self.evidence.dns(self.now) else { return Verdict::Wait(Reason::NoAnswer) };
        let topology = self.evidence.topology(self.now);
        let readers = topology.and_then(Topology::readers).filter(|_| self.binding.kind == Kind::Readers);
        let named = readers.as_ref().unwrap_or(&dns.answer.addresses);
        if let Some(refusal) = self.refusal(named) {
            return Verdict::Refuse(refusal);
        }
        let keeps_absent = match self.binding.kind {
            Kind::Proxy => true,
            Kind::Readers => readers.is_none(),
            _ => false,
        };
        let wanted = if keeps_absent {
            // A target that is still in its first health checks is not ill. If it left with every answer that lacks
            // it, an endpoint that gives one address at a time would never have two targets.
            named.with(self.on_port(|target| target.is_member() && !target.is_ill()))
        } else if self.on_port(|target| target.state == TargetState::Healthy).any(|address| named.contains(address)) {
            named.clone()
        } else {
            named.with(self.on_port(|target| target.state == TargetState::Healthy))
        };
        let plan = self.plan(&wanted);
        if plan.is_empty() {
            Verdict::InSync
        } else if self.binding.kind == Kind::Hostname && self.surplus(named).next().is_some() {
            self.once_steady(dns, self.steady_time(dns), plan)
        } else {
            Verdict::Switch(plan)
        }
    }

    /// The addresses of the targets on the binding's port that are so.
    fn on_port(&self, is_so: impl Fn(&DescribedTarget) -> bool) -> impl Iterator<Item = IpAddr> {
        let targets = self.group.iter().filter(move |target| is_so(target)).filter_map(DescribedTarget::target);
        targets.filter(|target| target.port == self.binding.port).map(|target| target.address)
    }

    fn refusal(&self, named: &Addresses) -> Option<Refusal> {
        let not_allowed = named.iter().find_map(|address| self.allowed.refusal(address));
        let is_split = self.binding.kind.is_single_writer() && named.count() > 1;
        not_allowed.or_else(|| is_split.then(|| Refusal::SeveralWriters(named.iter().collect())))
    }

    fn plan(&self, wanted: &Addresses) -> Plan {
        Plan::new(wanted, self.binding.port, self.group)
    }

    /// The addresses of members that are not named. An `Id` that is no address has none and is passed over: in a group
    /// of IP targets there is none.
    fn surplus(&self, named: &Addresses) -> impl Iterator<Item = IpAddr> {
        let members = self.group.iter().filter(|target| target.is_member());
        members
            .filter_map(DescribedTarget::target)
            .map(|target| target.address)
            .filter(|address| !named.contains(*address))
    }

    fn is_fresh(&self, named: &Addresses) -> bool {
        let draining = self.group.iter().filter(|target| target.state == TargetState::Draining);
        !draining.filter_map(DescribedTarget::target).any(|target| named.contains(target.address))
    }

    fn steady_time(&self, dns: &Steady) -> Duration {
        if self.evidence.has_young_event(self.now) {
            STEADY_AFTER_EVENT
        } else {
            (dns.answer.ttl * 2).clamp(STEADY_AT_LEAST, STEADY_AT_MOST)
        }
    }

    fn once_steady(&self, dns: &Steady, needed: Duration, plan: Plan) -> Verdict {
        let lasted = dns.lasted();
        if lasted >= needed {
            Verdict::Switch(plan)
        } else {
            Verdict::Wait(Reason::Unsteady { dns: dns.answer.addresses.clone(), lasted, needed })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::binding::{Endpoint, Family, TargetGroupArn};
    use crate::event::RdsEvent;
    use crate::evidence::{Answer, ClusterMember};
    use crate::target::tests::described;

    const ARN: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/db/0123456789abcdef";

    /// The cluster of these tests: `a` is 10.0.0.1, `b` is 10.0.0.2, `c` is 10.0.0.3.
    const MEMBERS: [(&str, [u8; 4]); 3] = [("a", [10, 0, 0, 1]), ("b", [10, 0, 0, 2]), ("c", [10, 0, 0, 3])];

    const SWITCH: &str = "register 10.0.0.2:5432, then deregister 10.0.0.1:5432";

    /// What the witnesses say at the time 1000 s. The times are seconds.
    #[derive(Default)]
    struct Said<'a> {
        dns: &'a [&'a str],
        /// For how long DNS has said so.
        steady: i64,
        /// The id of the writer in the RDS API; no id, no answer.
        writer: Option<&'a str>,
        /// The RDS API's last answer is this old.
        told: i64,
        /// `(RDS-EVENT number, text, age)`
        events: &'a [(&'a str, &'a str, i64)],
        /// `(address, how long ago it was deregistered by this process)`
        left: &'a [(&'a str, i64)],
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).expect("a time")
    }

    fn addresses(texts: &[&str]) -> Addresses {
        Addresses::new(texts.iter().map(|text| text.parse().expect("an address"))).expect("not empty")
    }

    fn binding(kind: Kind) -> Binding {
        Binding {
            name: "writer".into(),
            endpoint: Endpoint::Name("db.example".into()),
            port: 5432,
            target_group: TargetGroupArn::parse(ARN).expect("valid"),
            kind,
            id: Some("orders".into()),
            family: Family::Ipv4,
        }
    }

    fn topology(writer: &str) -> Topology {
        let member = |(id, address): (&str, [u8; 4])| {
            let status = if id == "c" { "creating" } else { "available" };
            let member =
                ClusterMember { id: id.into(), is_writer: id == writer, endpoint: None, status: status.into() };
            (member, std::net::IpAddr::from(address).into())
        };
        Topology(MEMBERS.map(member).into())
    }

    fn evidence(binding: &Binding, said: &Said) -> Evidence {
        let events: Vec<RdsEvent> = said
            .events
            .iter()
            .map(|(number, message, age)| RdsEvent {
                id: Some(format!("RDS-EVENT-{number}")),
                time: Some(at(1000 - age)),
                source_arn: None,
                source_id: Some("orders".into()),
                message: (*message).to_owned(),
            })
            .collect();
        let left: BTreeMap<_, _> =
            said.left.iter().map(|(address, ago)| (address.parse().expect("an address"), at(1000 - ago))).collect();
        let mut evidence = Evidence::new(binding, &events, left, at(1000));
        if !said.dns.is_empty() {
            let answer = Answer { addresses: addresses(said.dns), ttl: Duration::from_secs(5) };
            evidence.hear_dns(answer.clone(), at(1000 - said.steady));
            evidence.hear_dns(answer, at(1000));
        }
        if let Some(writer) = said.writer {
            evidence.hear_topology(Some(topology(writer)), at(1000 - said.told));
        }
        evidence
    }

    fn check(kind: Kind, said: &Said, group: &[&str]) -> String {
        let binding = binding(kind);
        let group: Vec<DescribedTarget> = group.iter().map(|text| described(text)).collect();
        match verdict(&binding, &AllowedNetworks::default(), &evidence(&binding, said), &group, at(1000)) {
            Verdict::InSync => "in sync".into(),
            Verdict::Switch(plan) => plan.to_string(),
            Verdict::Wait(reason) => format!("wait: {reason}"),
            Verdict::Refuse(refusal) => format!("refuse: {refusal}"),
        }
    }

    const NAMES_B: (&str, &str, i64) = ("0071", "Completed failover to DB instance: b", 5);

    #[test]
    fn row_1_refuses_what_may_not_be_registered() {
        for (_, kind) in Kind::NAMES {
            let refused = check(kind, &Said { dns: &["10.0.0.1", "52.1.2.3"], ..Said::default() }, &["10.0.0.1:5432"]);
            assert!(refused.starts_with("refuse: 52.1.2.3"), "{kind}: {refused}");
        }
        for kind in [Kind::Cluster, Kind::Instance] {
            let refused = check(kind, &Said { dns: &["10.0.0.1", "10.0.0.2"], ..Said::default() }, &["10.0.0.1:5432"]);
            assert!(refused.starts_with("refuse: 2 addresses (10.0.0.1, 10.0.0.2)"), "{refused}");
        }
    }

    #[test]
    fn row_2_waits_for_the_first_answer() {
        for (_, kind) in Kind::NAMES {
            assert_eq!(check(kind, &Said::default(), &[]), "wait: DNS does not answer");
        }
    }

    #[test]
    fn row_3_fills_an_empty_group_and_mends_the_port_on_dns_alone() {
        let said = Said { dns: &["10.0.0.2"], writer: Some("a"), ..Said::default() };
        assert_eq!(check(Kind::Cluster, &said, &[]), "register 10.0.0.2:5432");
        assert_eq!(check(Kind::Cluster, &said, &["10.0.0.2:5432 draining"]), "register 10.0.0.2:5432");
        let port = "register 10.0.0.2:5432, then deregister 10.0.0.2:3307";
        assert_eq!(check(Kind::Cluster, &said, &["10.0.0.2:3307"]), port);
    }

    #[test]
    fn row_4_believes_a_named_event_and_topology_whatever_dns_says() {
        let said = Said { dns: &["10.0.0.1"], writer: Some("b"), events: &[NAMES_B], ..Said::default() };
        assert_eq!(check(Kind::Cluster, &said, &["10.0.0.1:5432"]), SWITCH);
        assert_eq!(check(Kind::Cluster, &said, &["10.0.0.2:5432"]), "in sync");
        assert_eq!(check(Kind::Cluster, &Said { dns: &[], ..said }, &["10.0.0.1:5432"]), SWITCH);
    }

    #[test]
    fn row_4_goes_back_to_a_draining_target_only_if_it_was_left_before_the_event() {
        let group = ["10.0.0.1:5432", "10.0.0.2:5432 draining"];
        let said = |left| Said { dns: &["10.0.0.1"], writer: Some("b"), events: &[NAMES_B], left, ..Said::default() };
        assert_eq!(check(Kind::Cluster, &said(&[("10.0.0.2", 60)]), &group), SWITCH);
        for left in [&[][..], &[("10.0.0.2", 2)], &[("10.0.0.3", 60)]] {
            let waited = check(Kind::Cluster, &said(left), &group);
            assert!(waited.starts_with("wait: DNS names 10.0.0.1"), "{left:?}: {waited}");
        }
    }

    #[test]
    fn an_event_that_is_old_foreign_or_names_no_member_is_no_witness() {
        for event in [
            ("0071", "Completed failover to DB instance: b", 601),
            ("0071", "Completed failover to DB instance: z", 5),
            ("0071", "Completed failover", 5),
        ] {
            let said = Said { dns: &["10.0.0.1"], writer: Some("b"), events: &[event], ..Said::default() };
            let waited = check(Kind::Cluster, &said, &["10.0.0.1:5432"]);
            assert!(waited.starts_with("wait: DNS names 10.0.0.1 as the writer"), "{event:?}: {waited}");
        }
    }

    #[test]
    fn of_several_named_events_the_newest_counts() {
        let events = [NAMES_B, ("0073", "Started cross AZ failover to DB instance: a", 40)];
        let said = Said { dns: &["10.0.0.1"], writer: Some("b"), events: &events, ..Said::default() };
        assert_eq!(check(Kind::Cluster, &said, &["10.0.0.1:5432"]), SWITCH);
    }

    #[test]
    fn row_5_believes_dns_and_topology_when_another_member_is_registered() {
        let said = Said { dns: &["10.0.0.2"], writer: Some("b"), ..Said::default() };
        assert_eq!(check(Kind::Cluster, &said, &["10.0.0.1:5432 healthy"]), SWITCH);
        assert_eq!(
            check(Kind::Cluster, &said, &["10.0.0.1:5432", "10.0.0.2:5432 initial"]),
            "deregister 10.0.0.1:5432",
            "a switch does not wait for health"
        );
        let waited = check(Kind::Cluster, &said, &["10.0.9.9:5432"]);
        assert!(waited.starts_with("wait: DNS has named 10.0.0.2 for 0 s, 10 s"), "only an address moved: {waited}");
    }

    #[test]
    fn row_6_believes_dns_and_a_named_event_before_topology_knows() {
        let said = Said { dns: &["10.0.0.2"], writer: Some("a"), events: &[NAMES_B], ..Said::default() };
        assert_eq!(check(Kind::Cluster, &said, &["10.0.0.1:5432"]), SWITCH);
    }

    #[test]
    fn row_7_waits_while_a_readable_topology_contradicts_dns() {
        let said = |told, steady| Said { dns: &["10.0.0.2"], steady, writer: Some("a"), told, ..Said::default() };
        let veto = "wait: DNS names 10.0.0.2 as the writer and the RDS API names 10.0.0.1";
        assert_eq!(check(Kind::Cluster, &said(0, 600), &["10.0.0.1:5432"]), veto);
        assert_eq!(check(Kind::Cluster, &said(6, 20), &["10.0.0.1:5432"]), SWITCH, "an old answer is no veto");
        assert_eq!(check(Kind::Cluster, &said(0, 20), &["10.0.0.2:5432"]), veto, "in sync is not what it contradicts");
    }

    #[test]
    fn row_8_steps_back_only_with_more_proof() {
        let group = ["10.0.0.1:5432", "10.0.0.2:5432 draining"];
        for (writer, steady, switches) in
            [(Some("b"), 29, false), (Some("b"), 30, true), (None, 30, false), (None, 89, false), (None, 90, true)]
        {
            let said = Said { dns: &["10.0.0.2"], steady, writer, ..Said::default() };
            assert_eq!(check(Kind::Cluster, &said, &group) == SWITCH, switches, "{writer:?} {steady}");
        }
        let hurried = Said { dns: &["10.0.0.2"], steady: 30, events: &[("0049", "", 5)], ..Said::default() };
        assert!(check(Kind::Instance, &hurried, &group).starts_with("wait"), "no event hurries a step back");
    }

    #[test]
    fn row_9_believes_dns_alone_once_it_is_steady() {
        for (kind, events, steady, switches) in [
            (Kind::Cluster, &[][..], 9, false),
            (Kind::Cluster, &[], 10, true),
            (Kind::Instance, &[], 9, false),
            (Kind::Instance, &[], 10, true),
            (Kind::Instance, &[("0049", "Multi-AZ instance failover completed.", 89)], 2, false),
            (Kind::Instance, &[("0049", "Multi-AZ instance failover completed.", 89)], 3, true),
            (Kind::Instance, &[("0049", "Multi-AZ instance failover completed.", 90)], 3, false),
            (Kind::Instance, &[("0006", "DB instance restarted", 5)], 3, false),
        ] {
            let said = Said { dns: &["10.0.0.2"], steady, events, ..Said::default() };
            assert_eq!(check(kind, &said, &["10.0.0.1:5432"]) == SWITCH, switches, "{kind} {events:?} {steady}");
        }
    }

    #[test]
    fn the_steady_time_follows_the_ttl_between_its_bounds() {
        let binding = binding(Kind::Instance);
        let group = [described("10.0.0.1:5432")];
        for (ttl, needed) in [(0, 10), (5, 10), (8, 16), (10, 20), (300, 20)] {
            for (lasted, switches) in [(needed - 1, false), (needed, true)] {
                let mut evidence = Evidence::new(&binding, &[], BTreeMap::new(), at(0));
                let answer = Answer { addresses: addresses(&["10.0.0.2"]), ttl: Duration::from_secs(ttl) };
                evidence.hear_dns(answer.clone(), at(0));
                evidence.hear_dns(answer, at(lasted));
                let judged = verdict(&binding, &AllowedNetworks::default(), &evidence, &group, at(lasted));
                assert_eq!(matches!(judged, Verdict::Switch(_)), switches, "ttl {ttl}, {lasted} s");
            }
        }
    }

    #[test]
    fn another_answer_begins_a_new_row_and_silence_does_not_lengthen_one() {
        let binding = binding(Kind::Instance);
        let answer = |text| Answer { addresses: addresses(&[text]), ttl: Duration::from_secs(5) };
        let mut evidence = Evidence::new(&binding, &[], BTreeMap::new(), at(0));
        for (second, text) in [(0, "10.0.0.2"), (9, "10.0.0.1"), (10, "10.0.0.2"), (15, "10.0.0.2")] {
            evidence.hear_dns(answer(text), at(second));
        }
        let judged = verdict(&binding, &AllowedNetworks::default(), &evidence, &[described("10.0.0.1:5432")], at(19));
        let Verdict::Wait(Reason::Unsteady { lasted, .. }) = judged else { panic!("{judged:?}") };
        assert_eq!(lasted, Duration::from_secs(5));
    }

    #[test]
    fn a_proxy_keeps_an_absent_address_until_it_is_ill() {
        let said = Said { dns: &["10.0.0.2"], ..Said::default() };
        for kind in [Kind::Proxy, Kind::Readers] {
            for state in ["initial", "healthy", "unused/Target.NotInUse", "resting"] {
                let absent = format!("10.0.0.1:5432 {state}");
                assert_eq!(check(kind, &said, &[&absent]), "register 10.0.0.2:5432");
                assert_eq!(check(kind, &said, &[&absent, "10.0.0.2:5432 healthy"]), "in sync", "{state}");
            }
            assert_eq!(
                check(kind, &said, &["10.0.0.1:5432 unhealthy", "10.0.0.2:5432 initial"]),
                "deregister 10.0.0.1:5432"
            );
        }
        let group = ["10.0.0.2:5432 healthy", "10.0.0.1:3307 healthy"];
        assert_eq!(check(Kind::Proxy, &said, &group), "deregister 10.0.0.1:3307", "a foreign port does not stay");
    }

    #[test]
    fn readers_are_those_that_topology_says_can_serve() {
        let said = Said { dns: &["10.0.0.2"], writer: Some("a"), ..Said::default() };
        assert_eq!(check(Kind::Readers, &said, &[]), "register 10.0.0.2:5432", "10.0.0.3 is being created");
        let group = ["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"];
        assert_eq!(check(Kind::Readers, &said, &group), "deregister 10.0.0.1:5432", "the writer is no reader");
        let group = ["10.0.0.1:5432 healthy", "10.0.0.2:5432 initial"];
        assert_eq!(check(Kind::Readers, &said, &group), "in sync", "a healthy one leaves only for a healthy one");
    }

    #[test]
    fn a_host_name_is_followed_once_steady_and_a_healthy_target_leaves_for_a_healthy_one() {
        let said = |steady| Said { dns: &["10.0.0.2"], steady, ..Said::default() };
        let waited = check(Kind::Hostname, &said(9), &["10.0.0.1:5432 unhealthy"]);
        assert!(waited.starts_with("wait: DNS has named 10.0.0.2 for 9 s, 10 s"), "{waited}");
        let steady = said(10);
        assert_eq!(check(Kind::Hostname, &steady, &["10.0.0.1:5432 unhealthy"]), SWITCH);
        assert_eq!(check(Kind::Hostname, &steady, &["10.0.0.1:5432 healthy"]), "register 10.0.0.2:5432");
        let group = ["10.0.0.1:5432 healthy", "10.0.0.2:5432 initial"];
        assert_eq!(check(Kind::Hostname, &steady, &group), "in sync");
        let group = ["10.0.0.1:5432 healthy", "10.0.0.2:5432 healthy"];
        assert_eq!(check(Kind::Hostname, &steady, &group), "deregister 10.0.0.1:5432");
    }

    #[test]
    fn an_address_is_registered_at_once() {
        let said = Said { dns: &["10.0.0.2"], ..Said::default() };
        assert_eq!(check(Kind::Address, &said, &["10.0.0.1:5432 unhealthy"]), SWITCH);
    }
}
