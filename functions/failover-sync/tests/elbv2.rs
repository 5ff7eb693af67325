//! The ELBv2 adapter against the XML of the API: what is read, what is sent, what an error says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod wire;

use aws_sdk_elasticloadbalancingv2::Client;
use aws_sdk_elasticloadbalancingv2::config::retry::RetryConfig;
use aws_sdk_elasticloadbalancingv2::operation::deregister_targets::DeregisterTargetsOutput;
use aws_sdk_elasticloadbalancingv2::operation::register_targets::{
    RegisterTargetsInput, RegisterTargetsOutput,
};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use failover_sync::elbv2::Elbv2;
use failover_sync::error::{AwsError, SyncError, chain};
use failover_sync::ports::TargetGroups;
use reconcile::binding::TargetGroupArn;
use reconcile::target::{DescribedTarget, Target, TargetState};
use wire::{error, response};

const ARN: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/db/0123456789abcdef";
const DESCRIPTION: &str = include_str!("xml/describe-target-health.xml");

fn arn() -> TargetGroupArn {
    TargetGroupArn::parse(ARN).unwrap()
}

fn elbv2(rules: &[&Rule]) -> Elbv2 {
    elbv2_with(RetryConfig::standard().with_max_attempts(4), rules)
}

/// For tests with many errors: the clients of a process share what they may spend on further tries.
fn elbv2_without_retries(rule: &Rule) -> Elbv2 {
    elbv2_with(RetryConfig::disabled(), &[rule])
}

fn elbv2_with(retries: RetryConfig, rules: &[&Rule]) -> Elbv2 {
    Elbv2(mock_client!(aws_sdk_elasticloadbalancingv2, RuleMode::Sequential, rules, |conf| conf
        .retry_config(retries.clone())))
}

#[tokio::test]
async fn every_entry_of_the_description_is_read_as_it_stands() {
    let rule = mock!(Client::describe_target_health)
        .match_requests(|request| {
            request.target_group_arn() == Some(ARN) && request.targets().is_empty()
        })
        .then_http_response(|| response(200, DESCRIPTION));
    let group = elbv2(&[&rule]).describe(&arn()).await.unwrap();
    let entry = |id: &str, port, state, reason: Option<&str>| {
        DescribedTarget::new(id.to_owned(), port, state, reason.map(str::to_owned))
    };
    assert_eq!(
        group,
        [
            entry("10.0.1.10", 5432, TargetState::Healthy, None).in_zone(Some("eu-west-1a".into())),
            entry(
                "10.0.2.10",
                5432,
                TargetState::Draining,
                Some("Target.DeregistrationInProgress")
            )
            .in_zone(Some("eu-west-1b".into())),
            entry("10.0.1.10", 3307, TargetState::Unused, Some("Target.NotInUse")),
            entry(
                "10.0.3.10",
                5432,
                TargetState::UnhealthyDraining,
                Some("Target.FailedHealthChecks")
            ),
            entry(
                "fd00::4",
                5432,
                TargetState::Unknown("resting".into()),
                Some("Target.FirstSeenInTheFuture")
            ),
        ]
    );
    let members: Vec<String> =
        group.iter().filter(|entry| entry.is_registered()).map(ToString::to_string).collect();
    assert_eq!(members, ["10.0.1.10:5432", "10.0.1.10:3307", "10.0.3.10:5432", "[fd00::4]:5432"]);
}

#[tokio::test]
async fn registration_sends_address_and_port() {
    let rule = mock!(Client::register_targets)
        .match_requests(|request| {
            let targets: Vec<_> =
                request.targets().iter().map(|target| (target.id(), target.port())).collect();
            request.target_group_arn() == Some(ARN) && targets == [(Some("10.0.0.2"), Some(5432))]
        })
        .then_output(|| RegisterTargetsOutput::builder().build());
    let target = Target { address: "10.0.0.2".parse().unwrap(), port: 5432 };
    elbv2(&[&rule]).register(&arn(), &[target]).await.unwrap();
    assert_eq!(rule.num_calls(), 1);
}

/// AWS refuses a zone for an address inside the VPC, and misses one for an address outside it.
#[tokio::test]
async fn an_address_outside_the_vpc_is_registered_for_all_zones() {
    const WORDINGS: [&str; 2] = [
        "You must specify a valid Availability Zone or select 'all' for all enabled Availability \
         zones, since the IP address '192.168.1.7' is outside the VPC",
        "The Availability Zone is required for IP address '192.168.1.7' because it is not in the \
         VPC",
    ];
    for wording in WORDINGS {
        let is_sent = |request: &RegisterTargetsInput, ids: &[(&str, Option<&str>)]| {
            let sent = request
                .targets()
                .iter()
                .map(|target| (target.id().unwrap(), target.availability_zone()));
            sent.eq(ids.iter().copied())
        };
        let refuse = |ids: &'static [(&str, Option<&str>)]| {
            mock!(Client::register_targets)
                .match_requests(move |request| is_sent(request, ids))
                .then_http_response(move || response(400, &error("ValidationError", wording)))
        };
        let take = |ids: &'static [(&str, Option<&str>)]| {
            mock!(Client::register_targets)
                .match_requests(move |request| is_sent(request, ids))
                .then_output(|| RegisterTargetsOutput::builder().build())
        };
        let rules = [
            refuse(&[("10.0.0.2", None), ("192.168.1.7", None)]),
            take(&[("10.0.0.2", None)]),
            refuse(&[("192.168.1.7", None)]),
            take(&[("192.168.1.7", Some("all"))]),
        ];
        let targets = ["10.0.0.2", "192.168.1.7"]
            .map(|address| Target { address: address.parse().unwrap(), port: 5432 });
        elbv2(&rules.each_ref()).register(&arn(), &targets).await.unwrap();
        assert_eq!(rules.each_ref().map(|rule| rule.num_calls()), [1; 4], "{wording}");
    }
}

#[tokio::test]
async fn another_refusal_is_not_tried_with_a_zone() {
    let rule = mock!(Client::register_targets).then_http_response(|| {
        response(400, &error("ValidationError", "'10.0.0.2' is not a valid IPv4 address"))
    });
    let target = Target { address: "10.0.0.2".parse().unwrap(), port: 5432 };
    assert!(elbv2(&[&rule]).register(&arn(), &[target]).await.is_err());
    assert_eq!(rule.num_calls(), 1);
}

#[tokio::test]
async fn deregistration_sends_the_described_id_and_port() {
    let rule = mock!(Client::deregister_targets)
        .match_requests(|request| {
            let targets: Vec<_> =
                request.targets().iter().map(|target| (target.id(), target.port())).collect();
            targets == [(Some("fd00:0:0:0:0:0:0:1"), Some(3307))]
        })
        .then_output(|| DeregisterTargetsOutput::builder().build());
    let target =
        DescribedTarget::new("fd00:0:0:0:0:0:0:1".into(), 3307, TargetState::Unhealthy, None);
    elbv2(&[&rule]).deregister(&arn(), &[target]).await.unwrap();
    assert_eq!(rule.num_calls(), 1);
}

/// If ELBv2 wants the zone of an address outside the VPC for this as it does for a registration,
/// the target never left.
#[tokio::test]
async fn a_target_is_deregistered_in_the_zone_that_was_described() {
    let described = DESCRIPTION.replace("eu-west-1a", "all");
    assert_ne!(described, DESCRIPTION);
    let description =
        mock!(Client::describe_target_health).then_http_response(move || response(200, &described));
    let group = elbv2(&[&description]).describe(&arn()).await.unwrap();
    let zones = |targets: &[DescribedTarget]| {
        targets.iter().map(|target| target.zone.clone()).collect::<Vec<_>>()
    };
    assert!(
        zones(&group).contains(&Some("all".into())) && zones(&group).contains(&None),
        "{group:?}"
    );
    let expected = zones(&group);
    let deregistration = mock!(Client::deregister_targets)
        .match_requests(move |request| {
            let sent = request.targets().iter().map(|target| target.availability_zone());
            sent.eq(expected.iter().map(Option::as_deref))
        })
        .then_output(|| DeregisterTargetsOutput::builder().build());
    elbv2(&[&deregistration]).deregister(&arn(), &group).await.unwrap();
    assert_eq!(deregistration.num_calls(), 1);
}

#[tokio::test]
async fn an_error_names_action_resource_code_request_and_remedy() {
    for (status, code, kind, remedy) in [
        (400, "TargetGroupNotFound", "TargetGroupNotFound", "targetGroupArn"),
        (403, "AccessDenied", "AccessDenied", "allow elasticloadbalancing:DescribeTargetHealth"),
        (403, "AccessDeniedException", "AccessDenied", "in the function's role"),
        (400, "ValidationError", "AwsRefused", "the message of AWS"),
    ] {
        let rule = mock!(Client::describe_target_health)
            .then_http_response(move || response(status, &error(code, "the message of AWS")));
        let failed = elbv2(&[&rule]).describe(&arn()).await.unwrap_err();
        let message = chain(&failed);
        for word in [
            "elasticloadbalancing:DescribeTargetHealth",
            ARN,
            code,
            remedy,
            "request id c534f810-0000-4000-8000-0123456789ab",
            "the message of AWS",
        ] {
            assert!(message.contains(word), "{word} in {message}");
        }
        let failure =
            SyncError::Aws { progress: "nothing was changed", source: failed.into() }.failure();
        assert_eq!(failure.kind, kind);
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_or_broken_answer_is_tried_again() {
    for (status, code) in
        [(400, "Throttling"), (500, "InternalFailure"), (503, "ServiceUnavailable")]
    {
        let broken = move || response(status, &error(code, "Rate exceeded"));
        let rule = mock!(Client::describe_target_health)
            .sequence()
            .http_response(broken)
            .times(2)
            .http_response(|| response(200, DESCRIPTION))
            .build();
        let group = elbv2(&[&rule]).describe(&arn()).await;
        assert_eq!((group.unwrap().len(), rule.num_calls()), (5, 3), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_stays_throttled_is_an_error_after_four_tries() {
    let rule = mock!(Client::describe_target_health)
        .sequence()
        .http_response(|| response(400, &error("Throttling", "Rate exceeded")))
        .repeatedly()
        .build();
    let failed = elbv2(&[&rule]).describe(&arn()).await.unwrap_err();
    assert_eq!(rule.num_calls(), 4);
    assert_eq!(SyncError::Aws { progress: "", source: failed.into() }.failure().kind, "Throttled");
}

#[tokio::test]
async fn an_answer_that_is_no_description_is_an_error() {
    let no_port = DESCRIPTION.replacen("<Port>5432</Port>", "", 1);
    let no_state = DESCRIPTION.replacen("<State>healthy</State>", "", 1);
    let large_port = DESCRIPTION.replacen("<Port>5432</Port>", "<Port>70000</Port>", 1);
    for (title, body) in [
        ("no XML", "<html>502 Bad Gateway"),
        ("another document", "<ErrorResponse></ErrorResponse>"),
        ("no port", &no_port),
        ("no state", &no_state),
        ("an impossible port", &large_port),
    ] {
        let body = body.to_owned();
        let rule =
            mock!(Client::describe_target_health).then_http_response(move || response(200, &body));
        assert!(elbv2_without_retries(&rule).describe(&arn()).await.is_err(), "{title}");
    }
}

/// The SDK would take it for a smaller group.
#[tokio::test]
async fn a_description_that_ends_early_is_an_error_wherever_it_ends() {
    for end in 0..DESCRIPTION.trim_end().len() {
        let rule = mock!(Client::describe_target_health)
            .then_http_response(move || response(200, &DESCRIPTION[..end]));
        let failed =
            elbv2_without_retries(&rule).describe(&arn()).await.expect_err(&DESCRIPTION[..end]);
        assert_eq!(failed.kind(), "AwsAnswerUnreadable", "cut at {end}");
        let message = chain(&failed);
        assert!(
            message.starts_with("elasticloadbalancing:DescribeTargetHealth on arn:aws:"),
            "{message}"
        );
        assert!(message.contains("request id c534f810-0000-4000-8000-0123456789ab"), "{message}");
    }
}

#[tokio::test]
async fn a_description_without_a_request_id_is_an_error() {
    let (before, after) = DESCRIPTION.split_once("<ResponseMetadata>").unwrap();
    let (_, after) = after.split_once("</ResponseMetadata>").unwrap();
    let body = before.to_owned() + after;
    let rule =
        mock!(Client::describe_target_health).then_http_response(move || response(200, &body));
    let failed = elbv2_without_retries(&rule).describe(&arn()).await.unwrap_err();
    assert_eq!(failed.kind(), "AwsAnswerUnreadable");
    assert!(
        chain(&failed).ends_with("the answer has no ResponseMetadata with a RequestId"),
        "{}",
        chain(&failed)
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_cut_once_is_asked_for_again() {
    let rule = mock!(Client::describe_target_health)
        .sequence()
        .http_response(|| response(200, &DESCRIPTION[..DESCRIPTION.len() / 2]))
        .http_response(|| response(200, DESCRIPTION))
        .build();
    let group = elbv2(&[&rule]).describe(&arn()).await.unwrap();
    assert_eq!((group.len(), rule.num_calls()), (5, 2));
}

/// The SDK does not look at what these two answer.
#[tokio::test]
async fn a_write_that_is_not_confirmed_by_a_whole_answer_is_an_error() {
    for action in ["RegisterTargets", "DeregisterTargets"] {
        let whole = format!(
            "<{action}Response><{action}Result/><ResponseMetadata>\
             <RequestId>c534f810-0000-4000-8000-0123456789ab</RequestId>\
             </ResponseMetadata></{action}Response>"
        );
        let cuts = (0..whole.len()).map(|end| whole[..end].to_owned());
        for body in cuts.chain(["<html><body>Bad Gateway</body></html>".to_owned()]) {
            let failed = write(action, body.clone()).await.expect_err(&body);
            assert_eq!(failed.kind(), "AwsAnswerUnreadable", "{body}");
            assert_eq!(failed.action, format!("elasticloadbalancing:{action}"));
        }
        write(action, whole).await.unwrap();
    }
}

async fn write(action: &str, body: String) -> Result<(), AwsError> {
    let answer = move || response(200, &body);
    if action == "RegisterTargets" {
        let rule = mock!(Client::register_targets).then_http_response(answer);
        let new = Target { address: "10.0.0.2".parse().unwrap(), port: 5432 };
        elbv2_without_retries(&rule).register(&arn(), &[new]).await
    } else {
        let rule = mock!(Client::deregister_targets).then_http_response(answer);
        let old = DescribedTarget::new("10.0.0.1".into(), 5432, TargetState::Healthy, None);
        elbv2_without_retries(&rule).deregister(&arn(), &[old]).await
    }
}
