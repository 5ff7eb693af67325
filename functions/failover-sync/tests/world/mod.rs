//! A world for the loop: DNS, target groups and the RDS API as state that a test sets and the loop
//! changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base::database::ClusterMember;
use chrono::{DateTime, TimeDelta, Utc};
use failover_sync::error::{AwsError, DnsError, DnsFailure};
use failover_sync::ports::{Clock, Clusters, Dns, TargetGroups};
use failover_sync::sync::Synchronizer;
use reconcile::binding::{Family, TargetGroupArn};
use reconcile::config::Config;
use reconcile::evidence::DnsAnswer;
use reconcile::plan::Mode;
use reconcile::target::{Addresses, DescribedTarget, Target, TargetState};
use serde_json::json;
use tokio::time::{Instant, sleep};

/// The world, shared by the ports and the test.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<State>>);

/// What the world holds.
#[derive(Default)]
pub(crate) struct State {
    /// Addresses by name; a missing name is NXDOMAIN.
    pub(crate) names: HashMap<String, Vec<&'static str>>,
    /// Targets by group name.
    pub(crate) groups: HashMap<String, Vec<DescribedTarget>>,
    /// The writer of the cluster of `orders-a` and `orders-b`; without one the RDS API refuses.
    pub(crate) writer: Option<&'static str>,
    /// Every call so far, such as `register db 10.0.0.2:5432`.
    pub(crate) calls: Vec<String>,
    /// When something was first changed.
    pub(crate) first_write: Option<DateTime<Utc>>,
    /// Whether the function changes anything.
    pub(crate) mode: Mode,
    /// Calls that fail once: what they begin with, and how many of them succeed before.
    failing: Vec<(String, usize)>,
    /// Calls that never return while they begin with one of these texts.
    pub(crate) hanging: Vec<String>,
    /// Calls that panic while they begin with one of these texts.
    pub(crate) panicking: Vec<String>,
    /// How long AWS takes to answer a call.
    pub(crate) round_trip: Duration,
    /// How long DNS takes to answer.
    pub(crate) lookup_time: Duration,
    /// The first call that begins with the text takes this long.
    pub(crate) slow: Option<(&'static str, Duration)>,
    /// Calls that AWS refuses with a code while they begin with one of these texts.
    pub(crate) refusing: Vec<(&'static str, &'static str)>,
    /// Each call that begins with the text takes this long.
    pub(crate) slow_calls: Option<(&'static str, Duration)>,
    /// The status of a member that is not `available`.
    pub(crate) statuses: HashMap<&'static str, &'static str>,
    /// So many describes after a write still show the state before it.
    pub(crate) stale_describes: usize,
    /// The first time that the clock was looked at; tokio's time goes on from there.
    start: Option<Instant>,
    /// At the first call that begins with the text, another run deregisters this target.
    pub(crate) interfering: Option<(&'static str, &'static str)>,
    /// Writes that no describe has shown yet.
    unseen: Option<(usize, HashMap<String, Vec<DescribedTarget>>)>,
}

/// What a call meets.
enum Fate {
    Succeeds,
    Fails,
    Hangs,
}

impl World {
    /// The state, to set or read it.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("not poisoned")
    }

    /// A loop over this world that keeps a group for each `(name, kind)`.
    pub(crate) fn synchronizer(
        &self,
        bindings: &[(&str, &str)],
    ) -> Arc<Synchronizer<(World, World, World, World)>> {
        let [dns, groups, topology, clock] = [(); 4].map(|()| self.clone());
        Arc::new(Synchronizer::new(self.config(bindings), dns, groups, topology, clock))
    }

    /// The configuration of a group for each `(name, kind)`.
    pub(crate) fn config(&self, bindings: &[(&str, &str)]) -> Config {
        let bindings: Vec<_> = bindings
            .iter()
            .map(|(name, kind)| {
                let host = format!("{name}.example");
                let endpoint = if *kind == "address" { "10.0.0.7" } else { &host };
                let group = format!("targetgroup/{name}/0123456789abcdef");
                let arn = format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:{group}");
                json!({
                    "name": name, "endpoint": endpoint, "port": 5432, "kind": kind, "id": "orders",
                    "targetGroupArn": arn,
                })
            })
            .collect();
        let bindings = serde_json::Value::from(bindings).to_string();
        let mode = self.state().mode;
        Config::parse(|name| match name {
            "BINDINGS" => Some(bindings.clone()),
            "MODE" => Some(mode.to_string()),
            _ => None,
        })
        .expect("a valid configuration")
    }

    /// Lets the call that begins with the text fail once, after so many of them succeeded.
    pub(crate) fn fail(&self, call: &str, after: usize) {
        self.state().failing.push((call.to_owned(), after));
    }

    /// Sets what a name resolves to.
    pub(crate) fn resolve(&self, name: &str, addresses: &[&'static str]) {
        self.state().names.insert(name.to_owned(), addresses.to_vec());
    }

    /// Sets a group's targets, each as `address:port state`.
    pub(crate) fn group(&self, name: &str, targets: &[&str]) {
        let targets = targets.iter().map(|text| described(text)).collect();
        self.state().groups.insert(name.to_owned(), targets);
    }

    /// A group's targets, each as `address:port state`, in order.
    pub(crate) fn targets(&self, name: &str) -> Vec<String> {
        let state = self.state();
        let mut targets: Vec<String> = state.groups[name]
            .iter()
            .map(|target| format!("{target} {:?}", target.state).to_lowercase())
            .collect();
        targets.sort();
        targets
    }

    /// The calls that changed something.
    pub(crate) fn writes(&self) -> Vec<String> {
        let is_write =
            |call: &&String| call.starts_with("register") || call.starts_with("deregister");
        self.state().calls.iter().filter(is_write).cloned().collect()
    }

    /// How many calls began with the text.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.state().calls.iter().filter(|call| call.starts_with(prefix)).count()
    }

    async fn call(&self, call: String) -> Result<(), AwsError> {
        let fate = self.fate_of(call.clone());
        let (round_trip, slow) = {
            let mut state = self.state();
            let slow = state.slow.take_if(|(text, _)| call.starts_with(*text));
            (
                state.round_trip,
                slow.or(state.slow_calls.filter(|(text, _)| call.starts_with(*text))),
            )
        };
        sleep(slow.map_or(round_trip, |(_, time)| time)).await;
        let code = self
            .state()
            .refusing
            .iter()
            .find(|(text, _)| call.starts_with(text))
            .map(|(_, code)| *code);
        if let Some(code) = code {
            let action = match call.split(' ').next() {
                Some("register") => "elasticloadbalancing:RegisterTargets",
                Some("deregister") => "elasticloadbalancing:DeregisterTargets",
                _ => "elasticloadbalancing:DescribeTargetHealth",
            };
            let mut error = AwsError::incomplete(action, call, "it was refused");
            error.code = Some(code.to_owned());
            return Err(error);
        }
        match fate {
            Fate::Succeeds => Ok(()),
            Fate::Fails => {
                Err(AwsError::incomplete("elasticloadbalancing:Test", call, "it was to fail"))
            }
            Fate::Hangs => std::future::pending().await,
        }
    }

    fn fate_of(&self, call: String) -> Fate {
        let mut state = self.state();
        let is_in = |texts: &[String]| texts.iter().any(|text| call.starts_with(text.as_str()));
        let (hangs, panics) = (is_in(&state.hanging), is_in(&state.panicking));
        let mut fails = false;
        state.failing.retain_mut(|(text, before)| {
            let is_meant = call.starts_with(text.as_str());
            let is_due = is_meant && *before == 0;
            *before -= usize::from(is_meant && !is_due);
            fails |= is_due;
            !is_due
        });
        if let Some((_, target)) = state.interfering.take_if(|(text, _)| call.starts_with(*text)) {
            let entries = state.groups.values_mut().flatten();
            entries
                .filter(|entry| entry.to_string() == target)
                .for_each(|entry| entry.state = TargetState::Draining);
        }
        state.calls.push(call);
        drop(state);
        assert!(!panics, "it was to panic");
        match (hangs, fails) {
            (true, _) => Fate::Hangs,
            (false, true) => Fate::Fails,
            (false, false) => Fate::Succeeds,
        }
    }
}

impl State {
    fn before_write(&mut self) {
        let is_stale_already = self.unseen.as_ref().is_some_and(|(left, _)| *left > 0);
        if self.stale_describes > 0 && !is_stale_already {
            self.unseen = Some((self.stale_describes, self.groups.clone()));
        }
    }

    fn shown(&mut self, group: &str) -> Vec<DescribedTarget> {
        match &mut self.unseen {
            Some((left, before)) if *left > 0 => {
                *left -= 1;
                before.get(group).cloned().unwrap_or_default()
            }
            _ => self.groups.get(group).cloned().unwrap_or_default(),
        }
    }
}

impl Dns for World {
    async fn lookup(&self, name: &str, family: Family) -> Result<DnsAnswer, DnsError> {
        let time = self.state().lookup_time;
        sleep(time).await;
        let error = |answer| DnsError {
            name: name.to_owned(),
            family,
            servers: "10.0.0.2:53".to_owned(),
            answer,
        };
        match self.fate_of(format!("lookup {name}")) {
            Fate::Succeeds => {}
            Fate::Fails => return Err(error(DnsFailure::Timeout)),
            Fate::Hangs => std::future::pending().await,
        }
        let addresses = self.state().names.get(name).cloned().unwrap_or_default();
        let addresses = addresses.iter().map(|text| text.parse().expect("an address"));
        let addresses = Addresses::new(addresses).ok_or_else(|| error(DnsFailure::NoSuchName))?;
        Ok(DnsAnswer { addresses, ttl: Duration::from_secs(5) })
    }
}

impl TargetGroups for World {
    async fn describe(&self, group: &TargetGroupArn) -> Result<Vec<DescribedTarget>, AwsError> {
        self.call(format!("describe {}", name_of(group))).await?;
        Ok(self.state().shown(name_of(group)))
    }

    async fn register(&self, group: &TargetGroupArn, targets: &[Target]) -> Result<(), AwsError> {
        let names: Vec<String> = targets.iter().map(Target::to_string).collect();
        let now = self.now();
        self.state().first_write.get_or_insert(now);
        self.call(format!("register {} {}", name_of(group), names.join(" "))).await?;
        let mut state = self.state();
        state.before_write();
        let entries = state.groups.entry(name_of(group).to_owned()).or_default();
        for target in targets {
            entries.retain(|entry| entry.is_registered() || entry.target() != Some(*target));
            if entries.iter().all(|entry| entry.target() != Some(*target)) {
                entries.push(described(&format!("{target} initial")));
            }
        }
        Ok(())
    }

    async fn deregister(
        &self,
        group: &TargetGroupArn,
        targets: &[DescribedTarget],
    ) -> Result<(), AwsError> {
        let names: Vec<String> =
            targets.iter().map(|target| format!("{}:{}", target.id, target.port)).collect();
        self.call(format!("deregister {} {}", name_of(group), names.join(" "))).await?;
        let mut state = self.state();
        state.before_write();
        let entries = state.groups.entry(name_of(group).to_owned()).or_default();
        for gone in targets {
            for entry in
                entries.iter_mut().filter(|entry| entry.id == gone.id && entry.port == gone.port)
            {
                entry.state = TargetState::Draining;
            }
        }
        Ok(())
    }
}

impl Clusters for World {
    async fn members(&self, cluster: &str) -> Result<Vec<ClusterMember>, AwsError> {
        self.call(format!("topology {cluster}")).await?;
        let writer = self.state().writer;
        let missing =
            || AwsError::incomplete("rds:DescribeDBClusters", cluster, "no member is the writer");
        let writer = writer.ok_or_else(missing)?;
        let member = |id: &str| ClusterMember {
            id: id.to_owned(),
            is_writer: id == writer,
            endpoint: Some(format!("{id}.example")),
            status: (*self.state().statuses.get(id).unwrap_or(&"available")).to_owned(),
        };
        Ok(["orders-a", "orders-b"].map(member).into())
    }
}

impl Clock for World {
    fn now(&self) -> DateTime<Utc> {
        let start = *self.state().start.get_or_insert_with(Instant::now);
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + start.elapsed()
    }
}

fn name_of(group: &TargetGroupArn) -> &str {
    group.as_str().rsplit('/').nth(1).expect("a checked ARN")
}

fn described(text: &str) -> DescribedTarget {
    let (target, state) = text.split_once(' ').unwrap_or((text, "healthy"));
    let (id, port) = target.rsplit_once(':').expect("address:port");
    let id = id.trim_matches(['[', ']']).to_owned();
    DescribedTarget::new(id, port.parse().expect("a port"), state.parse().unwrap(), None)
}
