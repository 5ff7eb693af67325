//! Sessions that a process opens for one question: at a database, or through the load balancer.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use base::report::Failure;
use failover_sync::error::{DnsError, DnsFailure};
use fastrand::Rng;
use reconcile::binding::Family;
use reconcile::evidence::DnsAnswer;
use reconcile::path::{Obstacle, Server, Session};
use reconcile::target::Target;
use tokio::time::{Instant, sleep, sleep_until};

use crate::data_plane::{self, ZoneTrouble};
use crate::dice::{Moment, Topic};
use crate::distributions::database as d;
use crate::distributions::path as dp;
use crate::faults::Shut;
use crate::ports::Ports;
use crate::resolvers::CachedAnswer;
use crate::roles::{are_reachable, takes_sessions};
use crate::scenario::{PORT, Scenario, Service};

impl Scenario {
    /// What comes of a new session at a target.
    pub(crate) fn session(&self, target: Target, at: Moment) -> Result<Server, Obstacle> {
        let host = self.host(target.address).filter(|_| target.port == PORT);
        let host = host.ok_or(Obstacle::Unreachable)?;
        let (database, dice) = (&self.database, self.dice());
        match self.faults.lapses.shut(host, at) {
            Some(Shut::Full) => return Err(Obstacle::Inconclusive),
            Some(Shut::Restart) => return Err(Obstacle::Unreachable),
            None => {}
        }
        let role = self.faults.role_anew(host, database.role_of(dice, host, at), at);
        let role = role.ok_or(Obstacle::Unreachable)?;
        // Who takes no session in this second has none left.
        if !takes_sessions(dice, host as u64, at) {
            return Err(Obstacle::Inconclusive);
        }
        let starts = database.returns(dice, host, at) + self.faults.lapses.restarts(host, at);
        Ok(Server { role, identity: format!("{}, start {starts}", target.address) })
    }
}

impl Ports {
    /// The addresses of the load balancer.
    pub(crate) fn look_up_load_balancer(&self, family: Family) -> Result<DnsAnswer, DnsError> {
        let (scenario, now) = (self.scenario(), self.world().now());
        let answer = scenario.answer_for_load_balancer(self.resolver(), now);
        let answer = answer.filter(|_| !scenario.refuses(Service::Dns, now));
        self.record_round(answer.iter().flat_map(|answer| answer.addresses.iter()).collect());
        match answer {
            Some(CachedAnswer { addresses, expires_in }) => {
                Ok(DnsAnswer { addresses, ttl: Duration::from_millis(expires_in) })
            }
            None => {
                let (name, servers) = (data_plane::NAME.to_owned(), "10.0.0.2:53".to_owned());
                let answer = DnsFailure::Code("SERVFAIL".to_owned());
                Err(DnsError { name, family, servers, answer })
            }
        }
    }

    /// Asks who answers in a session of its own.
    pub(crate) async fn ask_anew(&self, binding: usize, server: SocketAddr) -> Session {
        self.step().await;
        let rng = &mut self.dice_of_call(Topic::Call);
        let number = self.record_session(server);
        let session = self.reach(binding, server, rng).await;
        self.record_answer(number, session.as_ref().ok());
        self.note_answer(format_args!("Session"), &server, || match &session {
            Ok(Server { role, identity }) => format!("{role:?} at {identity}"),
            Err(obstacle) => format!("{obstacle:?}"),
        });
        self.answer(session.map_err(|obstacle| (obstacle, failure(&server, obstacle)))).await
    }

    async fn reach(
        &self,
        binding: usize,
        server: SocketAddr,
        rng: &mut Rng,
    ) -> Result<Server, Obstacle> {
        let silence = Instant::now() + Duration::from_millis(dp::SILENCE);
        let session = d::session(rng);
        let target = match are_reachable(self.scenario().dice()) {
            true => self.target(binding, server, rng),
            false => Err(Obstacle::Unreachable),
        };
        sleep(Duration::from_millis(session)).await;
        let said = target.and_then(|it| self.scenario().session(it, self.world().now()));
        // While it restarts, a database's host refuses at once, which is seen no later.
        if matches!(said, Err(Obstacle::Unreachable)) {
            sleep_until(silence).await;
        }
        said
    }

    /// The target that a session is opened with.
    fn target(
        &self,
        binding: usize,
        server: SocketAddr,
        rng: &mut Rng,
    ) -> Result<Target, Obstacle> {
        let now = self.world().now();
        let plane = self.scenario().data_plane.as_ref();
        let Some((plane, zone)) = plane.and_then(|plane| Some((plane, plane.zone(server)?))) else {
            return Ok(Target { address: server.ip(), port: server.port() });
        };
        match plane.trouble(zone, now) {
            _ if !plane.is_function_admitted => return Err(Obstacle::Unreachable),
            Some(ZoneTrouble::Silent) => return Err(Obstacle::Unreachable),
            Some(ZoneTrouble::Blocked) => return Err(Obstacle::Blocked),
            None => {}
        }
        let state = self.world().state();
        let targets = plane.targets(zone, &state.kept[binding].group.history, now);
        if targets.is_empty() {
            return Err(Obstacle::Unreachable);
        }
        Ok(targets[rng.usize(..targets.len())])
    }
}

fn failure(server: &dyn Display, obstacle: Obstacle) -> Failure {
    let kind = match obstacle {
        Obstacle::Unreachable => "ConnectionFailed",
        _ => "DatabaseRefused",
    };
    Failure { kind, message: format!("no session with {server}") }
}
