//! What databases say when they are asked whether they take writes, and in which sessions.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::report::Failure;
use failover_sync::ports::{BoxFuture, ProbeSessions, RoleProbe};
use reconcile::binding::Binding;
use reconcile::claim::Role;
use reconcile::path::Session;
use tokio::time::sleep;

use crate::database::{Change, Database, Host};
use crate::dice::{Dice, Moment, SECOND, Topic, chance};
use crate::distributions::database as d;
use crate::distributions::kinds as dk;
use crate::ports::Ports;

impl Database {
    /// What the database at this address says about itself, if it answers.
    pub(crate) fn role(&self, dice: Dice, address: IpAddr, at: Moment) -> Option<Role> {
        let host = self.hosts.iter().position(|(known, _)| *known == address)?;
        self.role_of(dice, host, at).filter(|_| takes_sessions(dice, host as u64, at))
    }

    /// What it would say if it let everybody in.
    pub(crate) fn role_of(&self, dice: Dice, host: Host, at: Moment) -> Option<Role> {
        let address = self.hosts[host].0;
        let is_reader = self.engine.is_cluster() && self.serving(0).contains(&address);
        let mut role = match host == self.first_writer {
            true => Some(Role::Writer),
            false => is_reader.then_some(Role::Reader),
        };
        for (number, change) in
            self.moves().enumerate().take_while(|(_, change)| change.started <= at)
        {
            let times = d::role_change(&mut dice.of(Topic::Role, [number as u64, 0, 0]));
            let is_fenced = |fenced: Moment| at < change.moved + fenced;
            if change.to == host {
                role = (at >= change.moved + times.new_answers).then_some(Role::Writer);
            } else if change.from == host {
                let takes_writes = at < change.started + times.old_stops
                    || times.old_is_fenced.is_some_and(is_fenced);
                let is_back = self.engine.is_cluster()
                    && at >= change.moved + times.old_returns
                    && change.roster.contains(&host);
                role = match (takes_writes, is_back) {
                    (true, _) => Some(Role::Writer),
                    (false, is_back) => is_back.then_some(Role::Reader),
                };
            }
        }
        role
    }

    /// How often the database of a host has come back since the world began.
    pub(crate) fn returns(&self, dice: Dice, host: Host, at: Moment) -> usize {
        let has_returned = |(number, change): &(usize, &Change)| {
            let times = d::role_change(&mut dice.of(Topic::Role, [*number as u64, 0, 0]));
            (change.to == host && at >= change.moved + times.new_answers)
                || (change.from == host && at >= change.moved + times.old_returns)
        };
        self.moves().enumerate().filter(has_returned).count()
    }
}

/// Whether the database of this number takes a session now.
pub(crate) fn takes_sessions(dice: Dice, number: u64, at: Moment) -> bool {
    !chance(&mut dice.of(Topic::Role, [u64::MAX, number, at / SECOND + 1]), d::REFUSED_SECOND)
}

/// Whether the databases of the world can be asked at all.
pub(crate) fn are_reachable(dice: Dice) -> bool {
    !chance(&mut dice.of(Topic::Role, [u64::MAX, 0, 0]), d::UNREACHABLE)
}

/// The sessions of a process with the databases of one binding.
struct Probing<'a> {
    ports: &'a Ports,
    binding: usize,
}

impl RoleProbe for Ports {
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn ProbeSessions + 'a> {
        let (binding, _) = self.keeper_of(&binding.target_group);
        Box::new(Probing { ports: self, binding })
    }
}

impl ProbeSessions for Probing<'_> {
    fn probe<'a>(
        &'a self,
        address: IpAddr,
        _name: &'a str,
    ) -> BoxFuture<'a, Result<Role, Failure>> {
        Box::pin(async move {
            let Probing { ports, binding } = *self;
            let (world, dice) = (ports.world(), ports.scenario().dice());
            ports.step().await;
            let mut rng = ports.dice_of_call(Topic::Call);
            ports.suffer(ports.scenario().troubles[binding], dk::slow_lookup).await;
            if !are_reachable(dice) {
                std::future::pending::<()>().await;
            }
            sleep(Duration::from_millis(d::session(&mut rng))).await;
            let mut role = ports.scenario().subjects[binding].role(dice, address, world.now());
            if let Some(host) = ports.scenario().host(address) {
                role = ports.scenario().faults.role(host, role, world.now());
            }
            ports.note_answer(format_args!("Database"), &address, || {
                role.map_or("silent".to_owned(), |role| format!("{role:?}"))
            });
            if let Some(role) = role {
                ports.record_role(binding, address, role);
            }
            let no_session =
                || Failure { kind: "ConnectionFailed", message: "no session".to_owned() };
            ports.answer(role.ok_or_else(no_session)).await
        })
    }

    fn ask_anew<'a>(&'a self, server: SocketAddr, _name: &'a str) -> BoxFuture<'a, Session> {
        Box::pin(self.ports.ask_anew(self.binding, server))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
