//! The events of a world, and what becomes of them on their way to the function.

use std::sync::Arc;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::database::{Host, ID, What};
use crate::dice::{Moment, between, chance};
use crate::distributions as d;
use crate::distributions::kinds as dk;
use crate::kinds::Kind;
use crate::payload::{Event, Source, subscription_test, without_id};
use crate::scenario::Scenario;

/// A message that reaches the function.
#[derive(Clone)]
pub struct Delivery {
    /// When.
    pub at: Moment,
    /// On which way.
    pub path: Path,
    /// What the function is invoked with.
    pub payload: Arc<Value>,
    /// The address that it names, and when the event happened.
    pub names: Option<(Host, Moment)>,
    /// Its number and text, or what it is.
    pub text: String,
    /// Whether it is of "failover" or "failure", to which alone the AWS sample subscribes.
    pub is_failover: bool,
}

/// The ways to the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The RDS event subscription.
    Sns,
    /// The rule for RDS events.
    EventBridge,
    /// A person in the console.
    Console,
}

struct Happening {
    event: Event,
    names: Option<Host>,
    is_failover: bool,
}

/// Everything that reaches the function in this world, in order.
pub(crate) fn deliver(scenario: &Scenario, rng: &mut Rng) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    let down = if scenario.kind == Kind::StuckDns { dk::STUCK_PATH_DOWN } else { d::PATH_DOWN };
    let is_down = [chance(rng, down), chance(rng, down)];
    // The subscription of a cluster does not hold the events of its instances, nor any those of
    // deployments; the rule does.
    let subscribed =
        if scenario.database.engine.is_cluster() { Source::Cluster } else { Source::Instance };
    for happening in happenings(scenario, rng) {
        for (path, is_down) in [Path::Sns, Path::EventBridge].into_iter().zip(is_down) {
            let is_subscribed = path == Path::EventBridge || happening.event.source == subscribed;
            if is_subscribed && !is_down && !chance(rng, d::LOST) {
                let first = happening.event.time + d::delivery(rng);
                let copies = if chance(rng, d::DOUBLED) {
                    vec![first, first + d::delivery(rng)]
                } else {
                    vec![first]
                };
                let delivery = on_its_way(&happening, path, rng);
                deliveries.extend(copies.into_iter().map(|at| Delivery { at, ..delivery.clone() }));
            }
        }
    }
    noise(scenario, rng, &mut deliveries);
    deliveries.sort_by_key(|delivery| delivery.at);
    deliveries
}

/// One message as it arrives, possibly garbled.
fn on_its_way(happening: &Happening, path: Path, rng: &mut Rng) -> Delivery {
    let event = &happening.event;
    let mut payload = match path {
        Path::Sns => event.by_sns(chance(rng, 0.9)),
        _ => event.by_eventbridge(),
    };
    let mut names = happening.names.map(|host| (host, event.time));
    let mut text = format!("{} {}", event.number, event.message);
    if chance(rng, d::GARBLED) {
        (payload, text) = match path {
            Path::Sns => (subscription_test(), format!("garbled: {text}")),
            _ => (without_id(&event.id), format!("without an id: {text}")),
        };
        names = None;
    }
    Delivery {
        at: 0,
        path,
        payload: Arc::new(payload),
        names,
        text,
        is_failover: happening.is_failover,
    }
}

fn happenings(scenario: &Scenario, rng: &mut Rng) -> Vec<Happening> {
    let mut all = Vec::new();
    let database = &scenario.database;
    let is_cluster = database.engine.is_cluster();
    for (number, change) in database.changes.iter().enumerate() {
        let member = database.hosts[change.host()].1;
        let instance = if is_cluster { database.members[member].id.clone() } else { ID.to_owned() };
        let of_instance = |number, message: &str, time| Happening {
            event: Event {
                number,
                message: message.to_owned(),
                source: Source::Instance,
                id: instance.clone(),
                time,
            },
            names: None,
            is_failover: false,
        };
        let of_cluster = |number, what: &str, host: Host, time| {
            let message = format!("{what}: {}", database.members[database.hosts[host].1].id);
            let event = Event { number, message, source: Source::Cluster, id: ID.to_owned(), time };
            Happening { event, names: Some(host), is_failover: true }
        };
        let of_deployment = |number, message: &str| Happening {
            event: Event {
                number,
                message: message.to_owned(),
                source: Source::Deployment,
                id: "bgd-hdqs3ik6vrwgutsn".to_owned(),
                time: change.completed,
            },
            names: None,
            is_failover: false,
        };
        let failover = |happening| Happening { is_failover: true, ..happening };
        match change.what {
            What::Replacement => {
                all.push(of_instance(
                    "0422",
                    "RDS will replace the host of the DB instance",
                    change.started,
                ));
                all.push(of_instance("0006", "DB instance restarted", change.moved));
            }
            What::Failover if is_cluster => {
                let (id, text) = if chance(rng, 0.8) {
                    ("0073", "Started cross AZ failover to DB instance")
                } else {
                    ("0072", "Started same AZ failover to DB instance")
                };
                all.push(of_cluster(id, text, change.to, change.started));
                all.push(of_instance("0006", "DB instance restarted", change.moved));
                all.push(of_cluster(
                    "0071",
                    "Completed failover to DB instance",
                    change.to,
                    change.completed,
                ));
                all.push(of_instance(
                    "0385",
                    TOPOLOGY_UPDATED,
                    change.moved + between(rng, 0.0, 60.0),
                ));
            }
            What::Failover => {
                all.push(failover(of_instance(
                    "0013",
                    "Multi-AZ instance failover started.",
                    change.started,
                )));
                all.push(of_instance("0006", "DB instance restarted", change.moved));
                all.push(failover(of_instance(
                    "0049",
                    "Multi-AZ instance failover completed",
                    change.completed,
                )));
            }
            What::Switchover { .. } => {
                let (id, text) =
                    if is_cluster { ("0260", "cluster") } else { ("0251", "instance") };
                all.push(of_deployment(
                    id,
                    &format!("Switchover completed. Renamed the green {text}"),
                ));
                all.push(of_deployment("0248", "Switchover completed on blue/green deployment"));
            }
            What::Joins { .. } | What::Leaves { .. } => {
                all.push(of_instance(
                    "0385",
                    TOPOLOGY_UPDATED,
                    change.moved + between(rng, 0.0, 60.0),
                ));
            }
            What::Reboot => all.push(of_instance("0006", "DB instance restarted", change.moved)),
        }
        if matches!(change.what, What::Failover | What::Replacement) && chance(rng, d::ABANDONED) {
            let begun = change.completed + between(rng, 10.0, 120.0);
            let given_up = begun + between(rng, 10.0, 40.0);
            let mut others = change.roster.iter().map(|host| database.hosts[*host].1);
            let other = others.find(|other| *other != database.hosts[change.to].1);
            // It ends before the next one begins.
            if database.changes.get(number + 1).is_none_or(|next| given_up < next.started) {
                if let Some(other) = other.filter(|_| is_cluster) {
                    let other = database.members[other].host;
                    all.push(of_cluster(
                        "0073",
                        "Started cross AZ failover to DB instance",
                        other,
                        begun,
                    ));
                    all.push(of_cluster(
                        "0070",
                        "Promoting previous primary again",
                        change.to,
                        given_up,
                    ));
                } else if !is_cluster {
                    all.push(failover(of_instance(
                        "0013",
                        "Multi-AZ instance failover started.",
                        begun,
                    )));
                    let text =
                        "Abandoning user requested failover since a failover recently occurred";
                    all.push(failover(of_instance("0034", text, given_up)));
                }
            }
        }
    }
    all
}

/// "There are DNS changes to the DB cluster for the DB instance": when it comes was never seen.
const TOPOLOGY_UPDATED: &str = "Cluster topology is updated.";

/// Messages that have nothing to do with a failover, and people who press the console's button.
fn noise(scenario: &Scenario, rng: &mut Rng, deliveries: &mut Vec<Delivery>) {
    let end = scenario.database.changes.last().map_or(0.0, |change| change.completed as f64 / 1e3);
    let mut push = |rng: &mut Rng, path, payload, text: &str| {
        let (at, text) = (between(rng, 0.0, end), text.to_owned());
        deliveries.push(Delivery {
            at,
            path,
            payload: Arc::new(payload),
            names: None,
            text,
            is_failover: false,
        });
    };
    if chance(rng, 0.3) {
        push(rng, Path::Sns, subscription_test(), "subscription test, no JSON");
    }
    if chance(rng, 0.3) {
        push(
            rng,
            Path::EventBridge,
            without_id(&scenario.database.members[0].id),
            "an event without an id",
        );
    }
    if chance(rng, 0.3) {
        push(
            rng,
            Path::Console,
            json!({"key1": "value1", "key2": "value2", "key3": "value3"}),
            "hello world",
        );
    }
    if chance(rng, 0.1) {
        push(rng, Path::Console, json!({"dryRun": true}), "dry run");
    }
}
