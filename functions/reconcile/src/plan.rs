//! The plan: which targets to register and which to deregister.

use std::fmt;

use serde::Serialize;
use strum::{Display, EnumString};

use crate::target::{Addresses, DescribedTarget, Target, strings};

/// Whether a run carries its plans out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Display, EnumString, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Mode {
    /// It does.
    #[default]
    Act,
    /// It only says what it would do, as in a dry run.
    Observe,
}

impl Mode {
    /// What of a plan is carried out.
    pub fn permit(self, plan: Plan) -> Plan {
        match self {
            Mode::Act => plan,
            Mode::Observe => Plan { keep: plan.keep, ..Plan::default() },
        }
    }
}

/// What to do to a target group.
///
/// | wanted | described as             | on port | the plan says                                 |
/// |--------|--------------------------|---------|-----------------------------------------------|
/// | yes    | registered               | yes     | keep                                          |
/// | yes    | registered               | no      | register on the port, deregister as described |
/// | yes    | draining, or not at all  | any     | register                                      |
/// | no     | registered               | any     | deregister by the described `Id` and port     |
/// | no     | draining, not registered | any     | nothing: it is leaving, or never was in       |
///
/// Applied, it registers, describes again, and deregisters only what a verdict on that description
/// still takes away, and only if it registers nothing: no apply takes the last target away, and a
/// failed registration deregisters nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Wanted targets that are not registered, in order.
    pub register: Vec<Target>,
    /// Registered targets that are not wanted, as they were described.
    pub deregister: Vec<DescribedTarget>,
    /// Wanted targets that are registered already, in order.
    pub keep: Vec<Target>,
}

impl Plan {
    /// The difference between the wanted addresses on a port and the group as it was described.
    pub fn new(wanted: &Addresses, port: u16, group: &[DescribedTarget]) -> Plan {
        let is_wanted = |target: &Target| target.port == port && wanted.contains(target.address);
        let is_kept =
            |member: &DescribedTarget| member.target().is_some_and(|target| is_wanted(&target));
        let (kept, unwanted): (Vec<_>, Vec<_>) = group
            .iter()
            .filter(|described| described.is_registered())
            .partition(|member| is_kept(member));
        let mut keep: Vec<Target> = kept.into_iter().filter_map(DescribedTarget::target).collect();
        keep.sort();
        keep.dedup();
        let targets = wanted.iter().map(|address| Target { address, port });
        let register = targets.filter(|target| !keep.contains(target)).collect();
        Plan { register, deregister: unwanted.into_iter().cloned().collect(), keep }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.register.is_empty() && self.deregister.is_empty()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing to do");
        }
        let mut steps = Vec::new();
        if !self.register.is_empty() {
            steps.push(format!("register {}", strings(&self.register).join(", ")));
        }
        if !self.deregister.is_empty() {
            steps.push(format!("deregister {}", strings(&self.deregister).join(", ")));
        }
        f.write_str(&steps.join(", then "))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::target::TargetState;
    use crate::target::tests::described;

    fn wanted(addresses: &[&str]) -> Addresses {
        Addresses::new(addresses.iter().map(|text| text.parse().expect("an address")))
            .expect("not empty")
    }

    #[test]
    fn a_plan_is_the_difference_between_wanted_and_described() {
        for (title, want, group, plan) in [
            ("in-sync", &["10.0.0.1"][..], &["10.0.0.1:5432"][..], "nothing to do"),
            ("an empty group", &["10.0.0.1"], &[], "register 10.0.0.1:5432"),
            (
                "a failover",
                &["10.0.0.2"],
                &["10.0.0.1:5432 unhealthy"],
                "register 10.0.0.2:5432, then deregister 10.0.0.1:5432",
            ),
            (
                "a failback within the deregistration delay",
                &["10.0.0.1"],
                &["10.0.0.1:5432 draining", "10.0.0.2:5432"],
                "register 10.0.0.1:5432, then deregister 10.0.0.2:5432",
            ),
            (
                "the old writer is draining already",
                &["10.0.0.2"],
                &["10.0.0.1:5432 draining", "10.0.0.2:5432 initial"],
                "nothing to do",
            ),
            (
                "the right address on the wrong port",
                &["10.0.0.1"],
                &["10.0.0.1:3307"],
                "register 10.0.0.1:5432, then deregister 10.0.0.1:3307",
            ),
            (
                "one address on two ports",
                &["10.0.0.1"],
                &["10.0.0.1:5432", "10.0.0.1:3307"],
                "deregister 10.0.0.1:3307",
            ),
            (
                "registered although the listener is missing",
                &["10.0.0.1"],
                &["10.0.0.1:5432 unused/Target.NotInUse", "10.0.0.9:5432 unused/Target.NotInUse"],
                "deregister 10.0.0.9:5432",
            ),
            (
                "never registered",
                &["10.0.0.1"],
                &["10.0.0.1:5432 unused/Target.NotRegistered"],
                "register 10.0.0.1:5432",
            ),
            (
                "states of the future are members",
                &["10.0.0.1"],
                &["10.0.0.1:5432 resting", "10.0.0.9:5432 resting"],
                "deregister 10.0.0.9:5432",
            ),
            (
                "a stale writer in unhealthy.draining would come back",
                &["10.0.0.2"],
                &["10.0.0.1:5432 unhealthy.draining", "10.0.0.2:5432"],
                "deregister 10.0.0.1:5432",
            ),
            (
                "an id that is no address",
                &["10.0.0.1"],
                &["10.0.0.1:5432", "i-0abc:5432"],
                "deregister i-0abc:5432",
            ),
            (
                "several addresses",
                &["10.0.0.3", "10.0.0.2"],
                &["10.0.0.1:5432", "10.0.0.2:5432"],
                "register 10.0.0.3:5432, then deregister 10.0.0.1:5432",
            ),
            ("another spelling", &["fd00::1"], &["[fd00:0:0:0:0:0:0:1]:5432"], "nothing to do"),
        ] {
            let group: Vec<DescribedTarget> = group.iter().map(|text| described(text)).collect();
            assert_eq!(Plan::new(&wanted(want), 5432, &group).to_string(), plan, "{title}");
        }
    }

    /// What ELBv2 holds after the plan was applied in its order.
    fn apply(plan: &Plan, group: &[DescribedTarget]) -> Vec<DescribedTarget> {
        let mut group = group.to_vec();
        for target in &plan.register {
            group.retain(|entry| entry.target() != Some(*target));
            group.push(described(&format!("{target} initial/Elb.RegistrationInProgress")));
        }
        for gone in &plan.deregister {
            for entry in
                group.iter_mut().filter(|entry| entry.id == gone.id && entry.port == gone.port)
            {
                entry.state = TargetState::Draining;
            }
        }
        group
    }

    fn addresses() -> impl Strategy<Value = Addresses> {
        btree_set(1u8..6, 1..4).prop_map(|last| {
            Addresses::new(last.into_iter().map(|last| IpAddr::from([10, 0, 0, last])))
                .expect("not empty")
        })
    }

    fn group() -> impl Strategy<Value = Vec<DescribedTarget>> {
        let states = [
            "initial",
            "healthy",
            "unhealthy",
            "unhealthy.draining",
            "unused/Target.NotInUse",
            "unused/Target.NotRegistered",
            "draining",
            "unavailable",
            "resting",
        ];
        let entry = (1u8..6, select(vec![5432u16, 3307]), select(states.to_vec()));
        vec(entry, 0..7).prop_map(|entries| {
            let mut group: Vec<DescribedTarget> = Vec::new();
            for (last, port, state) in entries {
                let entry = described(&format!("10.0.0.{last}:{port} {state}"));
                if group.iter().all(|other| other.target() != entry.target()) {
                    group.push(entry);
                }
            }
            group
        })
    }

    fn members(group: &[DescribedTarget]) -> Vec<Target> {
        let mut members: Vec<Target> = group
            .iter()
            .filter(|entry| entry.is_registered())
            .filter_map(DescribedTarget::target)
            .collect();
        members.sort();
        members
    }

    proptest! {
        #[test]
        fn an_applied_plan_leaves_exactly_the_wanted_targets(
            wanted in addresses(), group in group(),
        ) {
            let after = apply(&Plan::new(&wanted, 5432, &group), &group);
            let expected = wanted.iter().map(|address| Target { address, port: 5432 });
            prop_assert_eq!(members(&after), expected.collect::<Vec<_>>());
        }

        #[test]
        fn a_second_plan_right_after_is_empty(wanted in addresses(), group in group()) {
            let after = apply(&Plan::new(&wanted, 5432, &group), &group);
            prop_assert!(Plan::new(&wanted, 5432, &after).is_empty());
        }

        #[test]
        fn nothing_is_registered_that_was_not_wanted(wanted in addresses(), group in group()) {
            let plan = Plan::new(&wanted, 5432, &group);
            for target in &plan.register {
                prop_assert!(wanted.contains(target.address) && target.port == 5432);
            }
        }

        #[test]
        fn only_described_members_are_deregistered(wanted in addresses(), group in group()) {
            let plan = Plan::new(&wanted, 5432, &group);
            for gone in &plan.deregister {
                prop_assert!(gone.is_registered() && group.contains(gone));
            }
        }

        #[test]
        fn the_order_of_the_description_does_not_matter(wanted in addresses(), group in group()) {
            let mut reversed = group.clone();
            reversed.reverse();
            let [plan, other] = [group, reversed].map(|group| {
                let mut plan = Plan::new(&wanted, 5432, &group);
                plan.deregister.sort_by_key(DescribedTarget::target);
                plan
            });
            prop_assert_eq!(plan, other);
        }
    }
}
