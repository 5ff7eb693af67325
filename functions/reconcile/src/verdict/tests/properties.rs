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
    fn any_said()(
        dns in option::of(select(ADDRESSES.to_vec())),
        steady in 0..200i64,
        writer in option::of(select(vec!["a", "b"])),
        told in 0..10i64,
        event in option::of((select(EVENTS.to_vec()), 0..700i64)),
        left in option::of((select(ADDRESSES.to_vec()), 0..200i64)),
        voices in any_voices(),
    ) -> Said<'static> {
        Said {
            dns: dns.map_or(&[], |address| Vec::leak(vec![address])),
            steady,
            writer,
            told,
            events: event.map_or(&[], |((number, text), age)| Vec::leak(vec![(number, text, age)])),
            left: left.map_or(&[], |left| Vec::leak(vec![left])),
            saw: &[],
            voices: Vec::leak(voices),
        }
    }
}

/// What the databases said, each at most one thing at a time.
fn any_voices() -> impl Strategy<Value = Vec<Voiced<'static>>> {
    let voice = select(vec![None, Some(Voice::TakesWrites), Some(Voice::ReadOnly), Some(Voice::ReadOnly)]);
    let voices = proptest::collection::btree_map((select(ADDRESSES.to_vec()), 0..8i64), voice, 0..8);
    voices.prop_map(|voices| voices.into_iter().map(|((address, ago), voice)| (address, voice, ago)).collect())
}

fn any_group() -> impl Strategy<Value = Vec<DescribedTarget>> {
    let states = ["initial", "healthy", "unhealthy", "draining", "unused/Target.NotRegistered"];
    let target = (select(ADDRESSES.to_vec()), select(states.to_vec()));
    proptest::collection::vec(target, 0..4).prop_map(|targets| {
        let targets: BTreeMap<_, _> = targets.into_iter().collect();
        targets.iter().map(|(address, state)| described(&format!("{address}:5432 {state}"))).collect()
    })
}

fn judge(kind: Kind, said: &Said, group: &[DescribedTarget]) -> Verdict {
    let binding = binding(kind);
    let mut evidence = evidence(&binding, said);
    evidence.group.see(group.to_vec(), at(1000));
    verdict(&binding, &AllowedNetworks::default(), &evidence, at(1000))
}

fn takes_writes(said: &Said, address: IpAddr) -> bool {
    said.voices.iter().any(|(known, voice, _)| *voice == Some(Voice::TakesWrites) && address.to_string() == **known)
}

/// What was said, but by no database that takes writes, and nothing by those at these addresses.
fn without_writers(said: &Said<'static>, silent: &[&str]) -> &'static [Voiced<'static>] {
    let is_left = |(address, voice, _): &&Voiced| *voice != Some(Voice::TakesWrites) && !silent.contains(address);
    Vec::leak(said.voices.iter().filter(is_left).copied().collect())
}

fn single_writer() -> impl Strategy<Value = Kind> {
    select(vec![Kind::Cluster, Kind::Instance])
}

proptest! {
    #[test]
    fn a_switch_leads_to_one_allowed_address_that_a_witness_named(
        kind in single_writer(), said in any_said(), group in any_group(),
    ) {
        if let Verdict::Switch(plan, _) = judge(kind, &said, &group) {
            let wanted: Vec<IpAddr> = plan.keep.iter().chain(&plan.register).map(|target| target.address).collect();
            prop_assert_eq!(wanted.len(), 1);
            prop_assert!(AllowedNetworks::default().refusal(wanted[0]).is_none());
            let by_dns = said.dns.contains(&&*wanted[0].to_string());
            let writer = said.writer.map(|id| MEMBERS.iter().find(|(member, _)| *member == id).expect("a member").1);
            let by_itself = takes_writes(&said, wanted[0]);
            prop_assert!(by_dns || by_itself || writer.map(IpAddr::from) == Some(wanted[0]));
        }
    }

    #[test]
    fn nothing_happens_without_dns_or_two_other_witnesses_or_a_writers_word(
        kind in single_writer(), said in any_said(), group in any_group(),
    ) {
        let said = Said { dns: &[], events: &[], voices: without_writers(&said, &[]), ..said };
        prop_assert_eq!(judge(kind, &said, &group), Verdict::Wait(Because::Silence));
    }

    #[test]
    fn a_member_that_all_name_is_never_touched(kind in single_writer(), said in any_said()) {
        let voices = without_writers(&said, &["10.0.0.2"]);
        let said = Said { dns: &["10.0.0.2"], writer: said.writer.map(|_| "b"), events: &[NAMES_B], voices, ..said };
        let judged = judge(kind, &said, &[described("10.0.0.2:5432 unhealthy")]);
        prop_assert!(matches!(judged, Verdict::InSync(_)), "{judged:?}");
    }

    #[test]
    fn topology_alone_never_moves_a_writer(said in any_said(), steady in 0..200i64) {
        let said = Said { dns: &["10.0.0.1"], steady, events: &[], voices: without_writers(&said, &[]), ..said };
        let judged = judge(Kind::Cluster, &said, &[described("10.0.0.1:5432 healthy")]);
        prop_assert!(!matches!(judged, Verdict::Switch(..)), "{judged:?}");
    }

    #[test]
    fn more_time_with_the_same_answers_never_turns_a_switch_back(
        kind in single_writer(), said in any_said(), group in any_group(), more in 0..100i64,
    ) {
        let later = Said { steady: said.steady + more, ..said };
        if matches!(judge(kind, &said, &group), Verdict::Switch(..)) {
            prop_assert!(matches!(judge(kind, &later, &group), Verdict::Switch(..)));
        }
    }

    #[test]
    fn no_switch_leads_to_a_database_that_said_a_moment_ago_that_it_is_read_only(
        kind in select(vec![Kind::Cluster, Kind::Instance, Kind::Hostname]), said in any_said(), group in any_group(),
    ) {
        let last = |address: IpAddr| {
            let its = said.voices.iter().filter(|(known, voice, _)| voice.is_some() && address.to_string() == *known);
            its.min_by_key(|(_, _, ago)| *ago).filter(|(_, _, ago)| *ago <= 5).and_then(|(_, voice, _)| *voice)
        };
        if let Verdict::Switch(plan, _) = judge(kind, &said, &group) {
            let left_alone = plan.keep.iter().filter(|_| kind.is_single_writer());
            for target in plan.register.iter().chain(left_alone) {
                prop_assert_ne!(last(target.address), Some(Voice::ReadOnly), "{} {:?}", plan, said);
            }
        }
    }

    #[test]
    fn a_database_that_says_nothing_changes_nothing(
        kind in select(Kind::NAMES.to_vec()), said in any_said(), group in any_group(),
    ) {
        let silence = said.voices.iter().map(|(address, _, ago)| (*address, None, *ago)).collect::<Vec<_>>();
        let [silent, unasked] = [&silence[..], &[]].map(|voices| judge(kind.1, &Said { voices, ..said }, &group));
        prop_assert_eq!(silent, unasked);
    }
}
