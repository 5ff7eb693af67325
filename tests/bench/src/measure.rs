//! The runs that are measured.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::dns::{Answer, DnsServer};
use lab::variables::{VARIABLES_LIMIT, lambda_size};
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::function::{Cost, Function};
use crate::report::{Budget, Figure};

pub(crate) const ENDPOINT: &str = "orders.cluster-c1.eu-west-1.rds.amazonaws.com";
pub(crate) const INSTANCES: [&str; 2] =
    ["orders-a.c1.eu-west-1.rds.amazonaws.com", "orders-b.c1.eu-west-1.rds.amazonaws.com"];

const PROCESSES: usize = 11;
const WARM: usize = 30;
const SWITCHES: usize = 5;

/// For growth and round trips every answer of AWS takes this long, about as in a Region.
pub(crate) const LATENCY: Duration = Duration::from_millis(10);
const SIZES: [usize; 2] = [1, 10];
const GROWTH_PROCESSES: usize = 5;
const GROWTH_WARM: usize = 7;

/// The cluster whose writer the function follows, and where it asks.
struct World<'a> {
    dns: &'a DnsServer,
    aws: &'a Aws,
    /// How often the writer has moved, each time to an address that is new to every group.
    moves: u8,
}

/// The samples of one phase.
#[derive(Default)]
struct Samples {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

/// Everything that is measured with running functions.
pub(crate) fn figures(binary: &Path, dns: &DnsServer, aws: &Aws) -> Result<Vec<Figure>> {
    let mut figures = single(binary, dns, aws)?;
    figures.extend(growth(binary, dns, aws)?);
    Ok(figures)
}

fn single(binary: &Path, dns: &DnsServer, aws: &Aws) -> Result<Vec<Figure>> {
    let mut world = World::new(dns, aws, Duration::ZERO);
    let [mut init, mut first, mut warm, mut switch] = std::array::from_fn(|_| Samples::default());
    let (mut memory, mut handshakes) = (Vec::new(), Vec::new());
    for _ in 0..PROCESSES {
        aws.state().forget();
        let (mut function, cost) = world.start(binary, 1)?;
        init.add(cost);
        aws.state().forget();
        first.add(world.expect(&mut function, "in-sync")?);
        handshakes.push(number(aws.state().connections));
        for _ in 0..WARM {
            warm.add(world.expect(&mut function, "in-sync")?);
        }
        for _ in 0..SWITCHES {
            world.fail_over();
            switch.add(world.expect(&mut function, "updated")?);
        }
        memory.push(mebibytes(function.peak_memory()?));
    }
    Ok(vec![
        Figure::new("init, wall", "ms", init.wall, Budget::Noisy(30.0)),
        Figure::new("init, CPU", "ms", init.cpu, Budget::Noisy(15.0)),
        Figure::new("first invocation, wall", "ms", first.wall, Budget::Noisy(10.0)),
        Figure::new("first invocation, CPU", "ms", first.cpu, Budget::Noisy(8.0)),
        Figure::new("first invocation, TLS handshakes", "", handshakes, Budget::Exact(0.0)),
        Figure::new("warm invocation in sync, wall", "ms", warm.wall, Budget::Noisy(3.0)),
        Figure::new("warm invocation in sync, CPU", "ms", warm.cpu, Budget::Noisy(0.6)),
        Figure::new("switch, wall", "ms", switch.wall, Budget::None),
        Figure::new("switch, CPU", "ms", switch.cpu, Budget::None),
        Figure::new("peak memory", "MiB", memory, Budget::Exact(16.0)),
    ])
}

fn growth(binary: &Path, dns: &DnsServer, aws: &Aws) -> Result<Vec<Figure>> {
    let mut world = World::new(dns, aws, LATENCY);
    let mut figures = Vec::new();
    let (mut in_sync, mut switches) = (Vec::new(), Vec::new());
    let mut one = None;
    let largest = world.largest();
    for size in SIZES.into_iter().chain([largest]) {
        let [mut init, mut first, mut warm, mut switch] =
            std::array::from_fn(|_| Samples::default());
        let mut memory = Vec::new();
        for _ in 0..GROWTH_PROCESSES {
            let (mut function, cost) = world.start(binary, size)?;
            init.add(cost);
            first.add(world.expect(&mut function, "in-sync")?);
            for _ in 0..GROWTH_WARM {
                aws.state().forget();
                warm.add(world.expect(&mut function, "in-sync")?);
                if size == 1 {
                    in_sync.push(number(aws.state().round_trips()));
                }
            }
            world.fail_over();
            aws.state().forget();
            switch.add(world.expect(&mut function, "updated")?);
            if size == 1 {
                switches.push(number(aws.state().round_trips()));
            }
            memory.push(mebibytes(function.peak_memory()?));
        }
        let name =
            |what: &str| format!("{size} binding{}: {what}", if size == 1 { "" } else { "s" });
        let shown =
            |what: &str, samples: Vec<f64>| Figure::new(name(what), "ms", samples, Budget::None);
        let wall = shown("warm in sync, wall", warm.wall);
        let median = wall.median();
        let one = *one.get_or_insert(median);
        figures.extend([
            shown("init, wall", init.wall),
            shown("first invocation, wall", first.wall),
            wall,
            shown("warm in sync, CPU", warm.cpu),
            shown("switch, wall", switch.wall),
            Figure::new(name("peak memory"), "MiB", memory, Budget::Exact(16.0)),
        ]);
        if size == largest {
            let name = format!("{largest} bindings, which is all that fit, times one, wall");
            figures.push(Figure::new(name, "", vec![median / one], Budget::Noisy(6.0)));
        }
    }
    figures.push(Figure::new("AWS round trips in a row, in sync", "", in_sync, Budget::Exact(1.0)));
    figures.push(Figure::new("AWS round trips in a row, switch", "", switches, Budget::Exact(5.0)));
    Ok(figures)
}

impl World<'_> {
    fn new<'a>(dns: &'a DnsServer, aws: &'a Aws, latency: Duration) -> World<'a> {
        aws.state().latency = latency;
        let mut world = World { dns, aws, moves: 0 };
        world.fail_over();
        world
    }

    /// The target groups hold the writer, and have for a while.
    fn settle(&self) {
        let mut state = self.aws.state();
        state.groups.clear();
        state.default_target = Ipv4Addr::from(self.address()).to_string();
    }

    /// The writer is the other instance, on a new address.
    fn fail_over(&mut self) {
        self.settle();
        self.moves += 1;
        let writer = INSTANCES[usize::from(self.moves % 2)];
        self.dns.set(writer, Answer::v4(self.address()));
        self.dns.set(ENDPOINT, Answer::alias(writer));
        self.aws.state().has_failed_over = self.moves % 2 == 1;
    }

    fn address(&self) -> [u8; 4] {
        [10, 0, 0, self.moves]
    }

    /// A function with so many bindings, whose groups all hold the writer.
    fn start(&self, binary: &Path, bindings: usize) -> Result<(Function, Cost)> {
        self.settle();
        Function::start(
            binary,
            &self.variables(bindings).into_iter().chain(self.aws.variables()).collect::<Vec<_>>(),
        )
    }

    /// How many bindings Lambda takes.
    fn largest(&self) -> usize {
        (1..)
            .find(|count| lambda_size(&self.variables(count + 1)) > VARIABLES_LIMIT)
            .unwrap_or_default()
    }

    fn variables(&self, bindings: usize) -> Vec<(&'static str, String)> {
        let binding = |number: usize| {
            let name = format!("db-{number}");
            let group = format!("targetgroup/{name}/0123456789abcdef");
            let arn = format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:{group}");
            json!({
                "name": name, "endpoint": ENDPOINT, "port": 5432, "id": "orders",
                "targetGroupArn": arn,
            })
        };
        let bindings: Value = (0..bindings).map(binding).collect();
        vec![("BINDINGS", bindings.to_string()), ("DNS_SERVERS", self.dns.addr().to_string())]
    }

    /// Invokes the function as its schedule does. Every binding must come to this state.
    fn expect(&self, function: &mut Function, state: &str) -> Result<Cost> {
        let (answer, cost) = function.invoke(&json!({}))?;
        let bindings = answer["bindings"].as_array().context("the answer has no bindings")?;
        let is_expected = |binding: &Value| binding["state"] == state;
        ensure!(bindings.iter().all(is_expected), "a binding is not {state}: {answer}");
        Ok(cost)
    }
}

impl Samples {
    fn add(&mut self, cost: Cost) {
        self.wall.push(cost.wall.as_secs_f64() * 1000.0);
        self.cpu.push(cost.cpu.as_secs_f64() * 1000.0);
    }
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

pub(crate) fn mebibytes(bytes: u64) -> f64 {
    number(usize::try_from(bytes / 1024).unwrap_or(usize::MAX)) / 1024.0
}
