//! `infra/ticket.py`: what is asked of a vendor, and what is refused before anything is sent.

use lab::workspace::{Run, root};

use crate::api::{Account, Outcome, SERVICE, STACK, account, environment, outcome, run};

const PROGRAM: &str = "infra/ticket.py";
const STARBURST: &[&str] = &["arn:aws:iam::179619298502:root"];
const THREE_ZONES: &[&str] = &["use1-az1", "use1-az2", "use1-az4"];

async fn ticket(account: Account, arguments: &[&str]) -> Outcome {
    outcome(PROGRAM, account, arguments).await
}

#[tokio::test]
async fn starbursts_ticket_has_all_that_its_assistant_asks_for() {
    let outcome = ticket(Account { principals: STARBURST, ..account() }, &[STACK]).await;
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""));
    let expected = format!(
        "Hello, please create a private endpoint connection (AWS PrivateLink) \
         to this endpoint service.\n\
         \n\
         Service name:       com.amazonaws.vpce.eu-west-1.{SERVICE}\n\
         Service ID:         {SERVICE}\n\
         Region:             eu-west-1\n\
         Port:               5432\n\
         Configuration name: {STACK}\n\
         Availability Zones: euw1-az1, euw1-az2\n\
         Allowed principals: {}\n\
         Acceptance:         by hand, once you say that the endpoint exists\n\
         \n\
         Where to: In Starburst Galaxy: support icon at the bottom right > \
         Chat with technical support >\n\
         Submit a Support Ticket. It asks for your e-mail address, \
         first and last name, then for the issue:\n\
         paste the text above. The answer takes 24 to 48 hours. \
         Accept nothing before it says that the\n\
         endpoint exists. First link? Your account team assigns a technical contact.\n\
         Once the endpoint exists:  make accept STACK={STACK}\n",
        STARBURST[0]
    );
    assert_eq!(outcome.output, expected);
}

#[tokio::test]
async fn each_recipient_is_reached_in_its_own_way() {
    let with_readers = [account().outputs, vec![("ReaderListenerPort", "5433")]].concat();
    let account = Account {
        outputs: with_readers,
        zones: THREE_ZONES,
        acceptance_required: false,
        ..account()
    };
    let cases: [(&[&str], &[&str]); 3] = [
        (
            &[],
            &[
                "infra/consumer.md",
                "Port:               5432, 5433\n",
                "Acceptance:         not required\n",
            ],
        ),
        (
            &["--to", "planetscale"],
            &[
                "Solutions Engineer",
                "support team",
                "Availability Zones: use1-az1, use1-az2, use1-az4\n",
            ],
        ),
        (
            &["--to", "starburst", "--name", "orders", "--port", "3306"],
            &["Galaxy", "Configuration name: orders\n", "Port:               3306\n"],
        ),
    ];
    for (arguments, said) in cases {
        let outcome = ticket(account.clone(), &[&[STACK], arguments].concat()).await;
        assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""), "{arguments:?}");
        for words in said {
            assert!(outcome.output.contains(words), "{words:?} in {}", outcome.output);
        }
        assert!(
            !outcome.output.contains("accept STACK"),
            "nobody has to accept: {}",
            outcome.output
        );
    }
}

#[tokio::test]
async fn what_a_vendor_would_send_back_is_refused() {
    let two_zones = || Account { zones: &["use1-az1", "use1-az2"], ..account() };
    let alone = || Account { outputs: account().outputs[..2].to_vec(), ..account() };
    let cases: [(Account, &[&str], &[&str]); 4] = [
        (
            two_zones(),
            &[STACK, "--to", "planetscale"],
            &["3 Availability Zones", "use1-az1, use1-az2 alone", "SubnetIds"],
        ),
        (alone(), &[STACK], &["a link without a database", "--port"]),
        (account(), &["other"], &["no stack other in eu-west-1"]),
        (Account { outputs: Vec::new(), ..account() }, &[STACK], &["no output EndpointServiceId"]),
    ];
    for (account, arguments, said) in cases {
        let outcome = ticket(account, arguments).await;
        assert_eq!((outcome.code, outcome.output.as_str()), (Some(1), ""), "{outcome:?}");
        assert!(
            outcome.errors.starts_with("error: ") && outcome.errors.lines().count() == 1,
            "{outcome:?}"
        );
        for words in said {
            assert!(outcome.errors.contains(words), "{words:?} in {outcome:?}");
        }
    }
    let (code, _, errors) =
        run(PROGRAM, &[STACK, "--to", "nobody"], environment("http://127.0.0.1:1")).await;
    assert_eq!(code, Some(2), "{errors}");
}

/// A release has the programs and no Makefile.
#[tokio::test]
async fn where_there_is_no_make_the_programs_name_themselves() {
    let release = Run::new().unwrap();
    let infra = release.scratch("release").unwrap().join("infra");
    std::fs::create_dir(&infra).unwrap();
    for program in ["accept.py", "ticket.py"] {
        std::fs::copy(root().join("infra").join(program), infra.join(program)).unwrap();
    }
    for (program, said) in
        [("accept.py", "accept.py link vpce-"), ("ticket.py", "accept.py link\n")]
    {
        let program = infra.join(program);
        let outcome = outcome(program.to_str().unwrap(), account(), &[STACK]).await;
        assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""));
        assert!(
            outcome.output.contains("python ") && outcome.output.contains(said),
            "{}",
            outcome.output
        );
        assert!(!outcome.output.contains("make "), "{}", outcome.output);
    }
}
