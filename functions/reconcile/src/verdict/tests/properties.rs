//! What holds whatever the witnesses and the databases say.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Addresses of the cluster, one outside it and one that may not be registered.
const ADDRESSES: [&str; 5] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.9.9", "52.1.2.3"];

const EVENTS: [(&str, &str); 4] = [
    ("0071", "Completed failover to DB instance: b"),
    ("0073", "Started cross AZ failover to DB instance: a"),
    ("0071", "Completed failover to DB instance: z"),
    ("0385", "Cluster topology is updated."),
];

prop_compose! {
    fn any_given()(
        dns in option::of(select(ADDRESSES.to_vec())),
        steady in 0..200i64,
        writer in option::of(select(vec!["a", "b"])),
        topology_age in 0..10i64,
        event in option::of((select(EVENTS.to_vec()), 0..700i64)),
        left in option::of((select(ADDRESSES.to_vec()), 0..200i64)),
        roles in any_roles(),
    ) -> Given<'static> {
        Given {
            dns: dns.map_or(&[], |address| Vec::leak(vec![address])),
            steady,
            writer,
            topology_age,
            events: event.map_or(&[], |((number, text), age)| Vec::leak(vec![(number, text, age)])),
            left: left.map_or(&[], |left| Vec::leak(vec![left])),
            saw: &[],
            roles: Vec::leak(roles),
        }
    }
}

/// What the databases said, each at most one thing at a time.
fn any_roles() -> impl Strategy<Value = Vec<Probed<'static>>> {
    let role = select(vec![None, Some(Role::Writer), Some(Role::Reader), Some(Role::Reader)]);
    let roles = proptest::collection::btree_map((select(ADDRESSES.to_vec()), 0..8i64), role, 0..8);
    roles.prop_map(|roles| {
        roles.into_iter().map(|((address, ago), role)| (address, role, ago)).collect()
    })
}

fn any_group() -> impl Strategy<Value = Vec<DescribedTarget>> {
    let states = ["initial", "healthy", "unhealthy", "draining", "unused/Target.NotRegistered"];
    let target = (select(ADDRESSES.to_vec()), select(states.to_vec()));
    proptest::collection::vec(target, 0..4).prop_map(|targets| {
        let targets: BTreeMap<_, _> = targets.into_iter().collect();
        targets
            .iter()
            .map(|(address, state)| described(&format!("{address}:5432 {state}")))
            .collect()
    })
}

fn decide(kind: Kind, given: &Given, group: &[DescribedTarget]) -> Verdict {
    let binding = binding(kind);
    let mut evidence = evidence(&binding, given);
    evidence.group.update(group.to_vec(), at(1000));
    verdict(&binding, &AllowedNetworks::default(), &evidence, at(1000))
}

fn takes_writes(given: &Given, address: IpAddr) -> bool {
    given
        .roles
        .iter()
        .any(|(known, role, _)| *role == Some(Role::Writer) && address.to_string() == **known)
}

/// What was said, but by no database that takes writes, and nothing by those at these addresses.
fn without_writers(given: &Given<'static>, silent: &[&str]) -> &'static [Probed<'static>] {
    let is_left =
        |(address, role, _): &&Probed| *role != Some(Role::Writer) && !silent.contains(address);
    Vec::leak(given.roles.iter().filter(is_left).copied().collect())
}

fn single_writer() -> impl Strategy<Value = Kind> {
    select(vec![Kind::Cluster, Kind::Instance])
}

proptest! {
    #[test]
    fn a_switch_leads_to_one_allowed_address_that_a_witness_named(
        kind in single_writer(), given in any_given(), group in any_group(),
    ) {
        if let Verdict::Switch(plan, _) = decide(kind, &given, &group) {
            let wanted: Vec<_> = plan.keep.iter().chain(&plan.register).collect();
            prop_assert_eq!(wanted.len(), 1);
            let wanted = wanted[0].address;
            prop_assert!(AllowedNetworks::default().refusal(wanted).is_none());
            let by_dns = given.dns.contains(&&*wanted.to_string());
            let by_itself = takes_writes(&given, wanted);
            let by_topology = MEMBERS.iter().any(|(member, address)| {
                given.writer == Some(*member) && IpAddr::from(*address) == wanted
            });
            prop_assert!(by_dns || by_itself || by_topology);
        }
    }

    #[test]
    fn nothing_happens_without_dns_or_two_other_witnesses_or_a_writer(
        kind in single_writer(), given in any_given(), group in any_group(),
    ) {
        let given = Given { dns: &[], events: &[], roles: without_writers(&given, &[]), ..given };
        prop_assert_eq!(decide(kind, &given, &group), Verdict::Wait(Reason::NoDnsAnswer));
    }

    #[test]
    fn a_member_that_all_name_is_never_touched(kind in single_writer(), given in any_given()) {
        let roles = without_writers(&given, &["10.0.0.2"]);
        let writer = given.writer.map(|_| "b");
        let given = Given { dns: &["10.0.0.2"], writer, events: &[NAMES_B], roles, ..given };
        let decided = decide(kind, &given, &[described("10.0.0.2:5432 unhealthy")]);
        prop_assert!(matches!(decided, Verdict::InSync(_)), "{decided:?}");
    }

    #[test]
    fn topology_alone_never_moves_a_writer(given in any_given(), steady in 0..200i64) {
        let roles = without_writers(&given, &[]);
        let given = Given { dns: &["10.0.0.1"], steady, events: &[], roles, ..given };
        let decided = decide(Kind::Cluster, &given, &[described("10.0.0.1:5432 healthy")]);
        prop_assert!(!matches!(decided, Verdict::Switch(..)), "{decided:?}");
    }

    #[test]
    fn more_time_with_the_same_answers_never_turns_a_switch_back(
        kind in single_writer(), given in any_given(), group in any_group(), more in 0..100i64,
    ) {
        let later = Given { steady: given.steady + more, ..given };
        if matches!(decide(kind, &given, &group), Verdict::Switch(..)) {
            prop_assert!(matches!(decide(kind, &later, &group), Verdict::Switch(..)));
        }
    }

    #[test]
    fn no_switch_leads_to_a_database_that_said_a_moment_ago_that_it_is_read_only(
        kind in select(vec![Kind::Cluster, Kind::Instance, Kind::Hostname]),
        given in any_given(),
        group in any_group(),
    ) {
        let last = |address: IpAddr| {
            let its = given.roles.iter().filter(|(known, _, _)| address.to_string() == *known);
            let (_, role, ago) =
                its.filter(|(_, role, _)| role.is_some()).min_by_key(|(_, _, ago)| *ago)?;
            role.filter(|_| *ago <= 5)
        };
        if let Verdict::Switch(plan, _) = decide(kind, &given, &group) {
            let left_alone = plan.keep.iter().filter(|_| kind.is_single_writer());
            for target in plan.register.iter().chain(left_alone) {
                prop_assert_ne!(last(target.address), Some(Role::Reader), "{} {:?}", plan, given);
            }
        }
    }

    #[test]
    fn a_database_that_says_nothing_changes_nothing(
        kind in select(Kind::ALL.to_vec()), given in any_given(), group in any_group(),
    ) {
        let silence = given.roles.iter().map(|(address, _, ago)| (*address, None, *ago));
        let silence: Vec<_> = silence.collect();
        let [silent, unasked] =
            [&silence[..], &[]].map(|roles| decide(kind, &Given { roles, ..given }, &group));
        prop_assert_eq!(silent, unasked);
    }
}
