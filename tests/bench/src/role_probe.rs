//! What it costs to ask a database: a real PostgreSQL with TLS, which the function logs in to.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::dns::{Answer, DnsServer};
use lab::postgres::{Pair, USER};
use lab::tls::Files;
use lab::workspace::Run;
use serde_json::json;

use crate::aws::Aws;
use crate::function::Function;
use crate::measure::{ENDPOINT, INSTANCES, mebibytes};
use crate::report::{Budget, Figure};

const GROUP: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/db/0123456789abcdef";
const PROCESSES: usize = 7;
const WARM: usize = 30;

/// A database that takes writes, and the authority that vouches for it.
pub(crate) struct Database {
    pair: Pair,
    authority: PathBuf,
    _run: Run,
}

impl Database {
    pub(crate) async fn start() -> Result<Database> {
        let run = Run::new()?;
        let files = Files::issue(&[INSTANCES[0]], &run.scratch("tls")?)?;
        let pair = Pair::start_with_tls(&run, &files).await?;
        Ok(Database { pair, authority: files.authority, _run: run })
    }
}

/// With a login: a start, the first run, and those with and without the periodic question.
pub(crate) fn figures(
    binary: &Path,
    dns: &DnsServer,
    aws: &Aws,
    database: &Database,
) -> Result<Vec<Figure>> {
    let IpAddr::V4(address) = database.pair.address(0).ip() else {
        unreachable!("the lab's servers have IPv4")
    };
    let port = database.pair.port();
    dns.set(INSTANCES[0], Answer::v4(address.octets()));
    dns.set(ENDPOINT, Answer::alias(INSTANCES[0]));
    {
        let mut state = aws.state();
        (state.latency, state.has_failed_over) = (Duration::ZERO, false);
        let targets = [((address.to_string(), port.to_string()), "healthy")].into();
        state.groups = [(GROUP.to_owned(), targets)].into();
    }
    let bindings = json!([{
        "name": "writer", "endpoint": ENDPOINT, "port": port, "id": "orders",
        "targetGroupArn": GROUP, "engine": "postgres",
    }]);
    let mut variables = vec![
        ("BINDINGS", bindings.to_string()),
        ("DNS_SERVERS", dns.addr().to_string()),
        ("ALLOWED_CIDRS", "127.0.0.0/8".to_owned()),
        // The lab's servers let this user in whatever the password: they cannot check a token.
        ("PROBE_USER", USER.to_owned()),
        ("CA_BUNDLE", database.authority.display().to_string()),
    ];
    variables.extend(aws.variables());
    let [mut init, mut asking, mut warm, mut memory] = [const { Vec::new() }; 4];
    for _ in 0..PROCESSES {
        let (mut function, cost) = Function::start(binary, &variables)?;
        init.push(cost.cpu.as_secs_f64() * 1000.0);
        let (answer, cost) = function.invoke(&json!({}))?;
        let said = &answer["bindings"][0]["databases"][address.to_string()];
        ensure!(said == "writer", "the database was not asked: {answer}");
        asking.push(cost.wall.as_secs_f64() * 1000.0);
        for _ in 0..WARM {
            let (answer, cost) = function.invoke(&json!({}))?;
            let binding = answer["bindings"].get(0).context("the answer has no binding")?;
            ensure!(
                binding["state"] == "in-sync" && binding.get("databases").is_none(),
                "not in sync: {answer}"
            );
            warm.push(cost.cpu.as_secs_f64() * 1000.0);
        }
        memory.push(mebibytes(function.peak_memory()?));
    }
    Ok(vec![
        Figure::new("with a login: init, CPU", "ms", init, Budget::Noisy(15.0)),
        Figure::new("with a login: a run that asks the database, wall", "ms", asking, Budget::None),
        Figure::new("with a login: warm in sync, CPU", "ms", warm, Budget::Noisy(0.6)),
        Figure::new("with a login: peak memory", "MiB", memory, Budget::Exact(16.0)),
    ])
}
