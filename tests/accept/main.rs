//! Endpoint connections. `make accept` lists them, and accepts what was named and nothing else.
//! `make ticket` says what a vendor needs before.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

mod api;
mod ticket;

use api::{
    Account, FIRST, OLD, Outcome, SECOND, SERVICE, STACK, account, environment, outcome, run,
};

const PROGRAM: &str = "infra/accept.py";

async fn accept(account: Account, arguments: &[&str]) -> Outcome {
    outcome(PROGRAM, account, arguments).await
}

#[tokio::test]
async fn without_an_endpoint_it_lists_and_accepts_nothing() {
    let outcome = accept(account(), &[STACK]).await;
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""));
    assert!(outcome.accepted.is_empty(), "{outcome:?}");
    let expected = format!(
        "{STACK} in eu-west-1: endpoint service {SERVICE}, \
         which waits for you to accept each connection\n\
         ENDPOINT                OWNER         STATE              CREATED               DNS\n\
         {OLD}  444455556666  available          2026-01-02 03:04 UTC  \
         {OLD}-x.{SERVICE}.eu-west-1.vpce.amazonaws.com\n\
         {FIRST}  444455556666  pendingAcceptance  2026-11-20 16:30 UTC  \
         {FIRST}-x.{SERVICE}.eu-west-1.vpce.amazonaws.com\n\
         {SECOND}  444455556666  pendingAcceptance  2026-11-20 17:05 UTC  \
         {SECOND}-x.{SERVICE}.eu-west-1.vpce.amazonaws.com\n\
         \n\
         Nothing was accepted. If you know the owner, accept with:\n\
         \x20 make accept STACK={STACK} ENDPOINT={FIRST}\n\
         \x20 make accept STACK={STACK} ENDPOINT={SECOND}\n"
    );
    assert_eq!(outcome.output, expected);
}

#[tokio::test]
async fn it_accepts_exactly_what_is_named() {
    let cases: [(&[&str], &[&str]); 3] = [
        (&[SECOND], &[SECOND]),
        (&[SECOND, FIRST], &[SECOND, FIRST]),
        (&["all"], &[FIRST, SECOND]),
    ];
    for (named, expected) in cases {
        let outcome = accept(account(), &[&[STACK], named].concat()).await;
        assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""), "{named:?}");
        assert_eq!(outcome.accepted, [expected], "{named:?}");
        for endpoint in expected {
            assert!(outcome.output.contains(&format!("Accepted {endpoint}.")), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_service_without_connections_has_nothing_to_accept() {
    let empty = Account { connections: Vec::new(), ..account() };
    for (arguments, said) in [
        (&[STACK][..], "No endpoint is connected, and none has asked."),
        (&[STACK, "all"], "No connection is pending"),
    ] {
        let outcome = accept(empty.clone(), arguments).await;
        assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(outcome.output.contains(said), "{outcome:?}");
        assert!(outcome.accepted.is_empty(), "{outcome:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_accepted_is_an_error_and_nothing_is_accepted() {
    let by_itself = Account { acceptance_required: false, ..account() };
    let no_service = Account { outputs: Vec::new(), ..account() };
    let cases: [(Account, &[&str], &[&str]); 5] = [
        (account(), &["other"], &["no stack other in eu-west-1", "AWS_REGION"]),
        (no_service, &[STACK, "all"], &["no output EndpointServiceId", "CREATE_IN_PROGRESS"]),
        (
            account(),
            &[STACK, FIRST, "vpce-0000000000000000d"],
            &["no endpoint vpce-0000000000000000d"],
        ),
        (account(), &[STACK, FIRST, OLD], &[OLD, "is available and not pendingAcceptance. "]),
        (by_itself, &[STACK, OLD], &["is available", "this service accepts connections by itself"]),
    ];
    for (account, arguments, said) in cases {
        let outcome = accept(account, arguments).await;
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.accepted.is_empty(), "{outcome:?}");
        assert!(
            outcome.errors.starts_with("error: ") && outcome.errors.lines().count() == 1,
            "{outcome:?}"
        );
        for words in said {
            assert!(outcome.errors.contains(words), "{words:?} in {outcome:?}");
        }
    }
}

#[tokio::test]
async fn an_acceptance_that_aws_refuses_is_an_error_beside_those_that_worked() {
    let outcome = accept(Account { broken: Some(FIRST), ..account() }, &[STACK, "all"]).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(outcome.errors, format!("error: {FIRST} was not accepted: the message of AWS\n"));
    assert!(outcome.output.contains(&format!("Accepted {SECOND}.")), "{outcome:?}");
    assert!(!outcome.output.contains(&format!("Accepted {FIRST}.")), "{outcome:?}");
}

#[tokio::test]
async fn without_credentials_region_or_network_it_says_so_in_one_line() {
    // Nobody listens on port 1.
    let complete = environment("http://127.0.0.1:1");
    let without =
        |gone: &str| complete.iter().filter(|(name, _)| *name != gone).cloned().collect::<Vec<_>>();
    let cases = [
        (without("AWS_ACCESS_KEY_ID"), "credentials"),
        (without("AWS_REGION"), "You must specify a region"),
        (complete.clone(), "Could not connect to the endpoint URL"),
    ];
    for (environment, said) in cases {
        let (code, output, errors) = run(PROGRAM, &[STACK], environment).await;
        assert_eq!((code, output.as_str()), (Some(1), ""), "{errors}");
        assert!(
            errors.starts_with("error: ") && errors.lines().count() == 1 && errors.contains(said),
            "{errors}"
        );
    }
}

#[tokio::test]
async fn a_wrong_call_is_told_from_a_failed_one() {
    let nowhere = || environment("http://127.0.0.1:1");
    for arguments in [&[][..], &[STACK, "all", FIRST]] {
        let (code, _, errors) = run(PROGRAM, arguments, nowhere()).await;
        assert_eq!(code, Some(2), "{errors}");
    }
    let (code, help, _) = run(PROGRAM, &["--help"], nowhere()).await;
    assert_eq!(code, Some(0));
    for command in ["describe-vpc-endpoint-connections", "accept-vpc-endpoint-connections"] {
        assert!(help.contains(&format!("aws ec2 {command}")), "{help}");
    }
}
