//! What the databases of a world say when they are asked whether they take writes, and the sessions in which they are.

use std::net::IpAddr;
use std::time::Duration;

use failover_sync::ports::{BoxFuture, Databases, Sessions};
use reconcile::binding::Binding;
use reconcile::claim::Voice;
use reconcile::report::Failure;
use tokio::time::sleep;

use crate::database::Database;
use crate::dice::{Dice, Moment, SECOND, Topic, chance};
use crate::distributions::database as d;
use crate::distributions::kinds as dk;
use crate::ports::Ports;

impl Database {
    /// What the database at this address says about itself, if it answers.
    pub(crate) fn voice(&self, dice: Dice, address: IpAddr, at: Moment) -> Option<Voice> {
        let host = self.hosts.iter().position(|(known, _)| *known == address)?;
        let is_reader = self.engine.is_cluster() && self.serving(0).contains(&address);
        let mut voice = match host == self.first_writer {
            true => Some(Voice::TakesWrites),
            false => is_reader.then_some(Voice::ReadOnly),
        };
        for (number, change) in self.moves().enumerate().take_while(|(_, change)| change.started <= at) {
            let speech = d::speech(&mut dice.of(Topic::Speech, [number as u64, 0, 0]));
            let is_fenced = |fenced: Moment| at < change.moved + fenced;
            if change.to == host {
                voice = (at >= change.moved + speech.new_answers).then_some(Voice::TakesWrites);
            } else if change.from == host {
                let takes_writes =
                    at < change.started + speech.old_stops || speech.old_is_fenced.is_some_and(is_fenced);
                let is_back = self.engine.is_cluster()
                    && at >= change.moved + speech.old_returns
                    && change.roster.contains(&host);
                voice = match (takes_writes, is_back) {
                    (true, _) => Some(Voice::TakesWrites),
                    (false, is_back) => is_back.then_some(Voice::ReadOnly),
                };
            }
        }
        voice.filter(|_| takes_sessions(dice, host as u64, at))
    }
}

/// Whether the database of this number takes a session now.
pub(crate) fn takes_sessions(dice: Dice, number: u64, at: Moment) -> bool {
    !chance(&mut dice.of(Topic::Speech, [u64::MAX, number, at / SECOND + 1]), d::REFUSED_SECOND)
}

/// Whether the databases of the world can be asked at all.
fn are_reachable(dice: Dice) -> bool {
    !chance(&mut dice.of(Topic::Speech, [u64::MAX, 0, 0]), d::UNREACHABLE)
}

/// The sessions of a process with the databases of one binding.
struct Asking<'a> {
    ports: &'a Ports,
    binding: usize,
}

impl Databases for Ports {
    fn sessions<'a>(&'a self, binding: &'a Binding) -> Box<dyn Sessions + 'a> {
        let (binding, _) = self.keeper_of(&binding.target_group);
        Box::new(Asking { ports: self, binding })
    }
}

impl Sessions for Asking<'_> {
    fn ask<'a>(&'a self, address: IpAddr, _name: &'a str) -> BoxFuture<'a, Result<Voice, Failure>> {
        Box::pin(async move {
            let Asking { ports, binding } = *self;
            let (world, dice) = (ports.world(), ports.scenario().dice());
            ports.step().await;
            let mut rng = ports.dice_of_call(Topic::Call);
            ports.suffer(ports.scenario().troubles[binding], dk::slow_lookup).await;
            if !are_reachable(dice) {
                std::future::pending::<()>().await;
            }
            sleep(Duration::from_millis(d::session(&mut rng))).await;
            let mut voice = ports.scenario().subjects[binding].voice(dice, address, world.now());
            if let Some(host) = ports.scenario().host(address) {
                voice = ports.scenario().faults.word(host, voice, world.now());
            }
            ports.note_answer(format_args!("Database"), &address, || {
                voice.map_or("silent".to_owned(), |voice| format!("{voice:?}"))
            });
            if let Some(voice) = voice {
                ports.hear_voice(binding, address, voice);
            }
            let silence = || Failure { kind: "ConnectionFailed", message: "no session".to_owned() };
            ports.answer(voice.ok_or_else(silence)).await
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
