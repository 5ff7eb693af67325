//! Whatever AWS answers: a description or an error that names the action, never a panic.
//!
//! `make fuzz` tries many more cases, from another seed.

mod wire;

use std::collections::BTreeSet;

use aws_sdk_elasticloadbalancingv2::config::retry::RetryConfig;
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use failover_sync::elbv2::{Elbv2, IAM_ACTIONS};
use failover_sync::error::{AwsError, chain};
use failover_sync::ports::{Clusters, TargetGroups};
use failover_sync::rds::Rds;
use platform::rds;
use proptest::prelude::*;
use reconcile::binding::TargetGroupArn;
use reconcile::target::{DescribedTarget, Target, TargetState};
use wire::{error, response};

const ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/db/0123456789abcdef";
const TARGETS: &str = include_str!("xml/describe-target-health.xml");
const CLUSTERS: &str = include_str!("xml/describe-db-clusters.xml");
const INSTANCES: &str = include_str!("xml/describe-db-instances.xml");

/// One change to a document. Positions wrap around.
#[derive(Clone, Debug)]
enum Mutation {
    Cut(usize),
    Drop(usize, usize),
    Insert(usize, String),
    Twice(usize, usize),
    Rename(usize, String),
    Text(usize, String),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let text = prop_oneof![
        any::<String>(),
        "[<>/&;\"'a-zA-Z0-9!\\[\\] =-]{0,24}",
        prop::sample::select(vec![
            "<",
            "</member>",
            "<![CDATA[",
            "]]>",
            "&#0;",
            "&amp;",
            "<!DOCTYPE a>",
            "<Id/>",
            "\u{0}"
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
    ];
    let at = any::<usize>;
    prop_oneof![
        1 => at().prop_map(Mutation::Cut),
        2 => (at(), 0..200usize).prop_map(|(from, length)| Mutation::Drop(from, length)),
        2 => (at(), text.clone()).prop_map(|(at, text)| Mutation::Insert(at, text)),
        2 => (at(), 0..400usize).prop_map(|(from, length)| Mutation::Twice(from, length)),
        1 => (at(), "[A-Za-z]{0,8}").prop_map(|(which, name)| Mutation::Rename(which, name)),
        4 => (at(), text).prop_map(|(which, text)| Mutation::Text(which, text)),
    ]
}

/// The spans between this character and the next of the other, without both.
fn spans(document: &[char], from: char, to: char) -> Vec<(usize, usize)> {
    let starts = document.iter().enumerate().filter(|(_, c)| **c == from).map(|(at, _)| at + 1);
    let end = |start: usize| {
        document[start..].iter().position(|c| *c == to).map(|length| (start, start + length))
    };
    starts.filter_map(end).collect()
}

fn mutate(document: &str, mutation: &Mutation) -> String {
    let mut text: Vec<char> = document.chars().collect();
    let within = |at: &usize| at % (text.len() + 1);
    let put = |(from, to): (usize, usize), new: &str| {
        text[..from].iter().copied().chain(new.chars()).chain(text[to..].iter().copied()).collect()
    };
    match mutation {
        Mutation::Cut(at) => text.truncate(within(at)),
        Mutation::Drop(from, length) => {
            let from = within(from);
            text.drain(from..(from + length).min(text.len()));
        }
        Mutation::Insert(at, new) => return put((within(at), within(at)), new),
        Mutation::Twice(from, length) => {
            let from = within(from);
            let part: String = text[from..(from + length).min(text.len())].iter().collect();
            return put((from, from), &part);
        }
        Mutation::Rename(which, name) => {
            let tags = spans(&text, '<', '>');
            return tags
                .get(which % tags.len().max(1))
                .map_or_else(|| document.to_owned(), |span| put(*span, name));
        }
        Mutation::Text(which, new) => {
            let texts = spans(&text, '>', '<');
            return texts
                .get(which % texts.len().max(1))
                .map_or_else(|| document.to_owned(), |span| put(*span, new));
        }
    }
    text.into_iter().collect()
}

/// A document that was changed, another, or no document.
fn body(document: &'static str) -> impl Strategy<Value = String> {
    let changes = prop::collection::vec(mutation(), 0..5);
    let changed = move |changes: Vec<Mutation>| {
        changes.iter().fold(document.to_owned(), |text, change| mutate(&text, change))
    };
    prop_oneof![
        8 => changes.prop_map(changed),
        1 => any::<String>(),
        1 => (any::<String>(), any::<String>()).prop_map(|(code, message)| error(&code, &message)),
        1 => prop::sample::select(vec![TARGETS, CLUSTERS, INSTANCES, ""]).prop_map(str::to_owned),
    ]
}

fn status() -> impl Strategy<Value = u16> {
    let others = vec![204u16, 301, 400, 403, 404, 429, 500, 503];
    prop_oneof![4 => Just(200u16), 1 => prop::sample::select(others)]
}

/// On a runtime of its own, without the pauses between tries: there is one try.
fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

/// The group, if this answer describes one.
fn described(body: String) -> Option<Vec<DescribedTarget>> {
    let rule = mock!(aws_sdk_elasticloadbalancingv2::Client::describe_target_health)
        .then_http_response(move || response(200, &body));
    let client =
        mock_client!(aws_sdk_elasticloadbalancingv2, RuleMode::MatchAny, &[&rule], |config| config
            .retry_config(RetryConfig::disabled()));
    wait(Elbv2(client).describe(&TargetGroupArn::parse(ARN).expect("an ARN"))).ok()
}

fn names(failed: &AwsError, actions: &[&str], resource: &str) -> Result<(), TestCaseError> {
    prop_assert!(actions.contains(&failed.action), "{}", failed.action);
    let message = chain(failed);
    prop_assert!(
        message.starts_with(&format!("{} on {resource} failed", failed.action)),
        "{}",
        message
    );
    let kinds =
        ["TargetGroupNotFound", "AccessDenied", "Throttled", "AwsRefused", "AwsAnswerUnreadable"];
    prop_assert!(kinds.contains(&failed.kind()), "{}: {}", failed.kind(), message);
    Ok(())
}

proptest! {
    #[test]
    fn no_answer_of_the_load_balancer_is_more_than_an_error(
        status in status(), body in body(TARGETS),
    ) {
        let group = TargetGroupArn::parse(ARN).expect("an ARN");
        let target = Target { address: [10, 0, 0, 2].into(), port: 5432 };
        let old = DescribedTarget::new("10.0.0.1".into(), 5432, TargetState::Healthy, None);
        let answer = || { let body = body.clone(); move || response(status, &body) };
        let rules = [
            mock!(aws_sdk_elasticloadbalancingv2::Client::describe_target_health)
                .then_http_response(answer()),
            mock!(aws_sdk_elasticloadbalancingv2::Client::register_targets)
                .then_http_response(answer()),
            mock!(aws_sdk_elasticloadbalancingv2::Client::deregister_targets)
                .then_http_response(answer()),
        ];
        let client = mock_client!(aws_sdk_elasticloadbalancingv2, RuleMode::MatchAny, &rules,
            |config| config.retry_config(RetryConfig::disabled()));
        let groups = Elbv2(client);
        let failed = wait(async {
            [
                groups.describe(&group).await.map(drop).err(),
                groups.register(&group, &[target]).await.err(),
                groups.deregister(&group, &[old]).await.err(),
            ]
        });
        for (failed, action) in failed.iter().zip(IAM_ACTIONS) {
            prop_assert!(
                failed.is_some() || (200..300).contains(&status),
                "{} succeeded with {}", action, status
            );
            failed.iter().try_for_each(|failed| names(failed, &[action], ARN))?;
        }
    }

    /// What it reads stands in the document: no address, no port comes from nowhere.
    #[test]
    fn no_description_holds_what_the_answer_does_not(body in body(TARGETS)) {
        let described = described(body.clone()).unwrap_or_default();
        // An entity such as &amp; stands for another character.
        for target in described.iter().filter(|_| !body.contains('&')) {
            for text in [&target.id, &target.port.to_string()] {
                prop_assert!(body.contains(text), "{} is not in {}", text, body);
            }
        }
    }

    /// Wherever a description ends, and whatever it says until then: it is the whole group or an
    /// error.
    #[test]
    fn no_cut_of_a_description_is_a_smaller_group(
        body in body(TARGETS), end in any::<prop::sample::Index>(),
    ) {
        let Some(whole) = described(body.clone()) else { return Ok(()) };
        let ends: Vec<usize> = body.char_indices().map(|(at, _)| at).collect();
        let cut = body[..ends[end.index(ends.len())]].to_owned();
        if let Some(seen) = described(cut.clone()) {
            prop_assert_eq!(seen, whole, "{}", cut);
        }
    }

    #[test]
    fn no_answer_of_rds_is_more_than_an_error(
        (status, clusters) in (status(), body(CLUSTERS)),
        (other, instances) in (status(), body(INSTANCES)),
    ) {
        let documents = clusters.clone() + &instances;
        let rules = [
            mock!(aws_sdk_rds::Client::describe_db_clusters)
                .then_http_response(move || response(status, &clusters)),
            mock!(aws_sdk_rds::Client::describe_db_instances)
                .then_http_response(move || response(other, &instances)),
        ];
        let client = mock_client!(aws_sdk_rds, RuleMode::MatchAny, &rules,
            |config| config.retry_config(RetryConfig::disabled()));
        match wait(Rds(client).members("orders")) {
            Err(failed) => names(&failed, &rds::IAM_ACTIONS, "orders")?,
            Ok(members) => {
                let writers = members.iter().filter(|member| member.is_writer);
                let writers: BTreeSet<_> = writers.map(|member| &member.id).collect();
                prop_assert!(writers.len() <= 1);
                let texts =
                    members.iter().flat_map(|member| [Some(&member.id), member.endpoint.as_ref()]);
                for text in texts.flatten().filter(|_| !documents.contains('&')) {
                    prop_assert!(documents.contains(text), "{} is not in {}", text, documents);
                }
            }
        }
    }
}
