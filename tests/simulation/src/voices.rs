//! What the databases of a world say when they are asked whether they take writes.

use std::net::IpAddr;

use reconcile::claim::Voice;

use crate::database::Database;
use crate::dice::{Dice, Moment, SECOND, Topic, chance};
use crate::distributions::database as d;

impl Database {
    /// What the database at this address says about itself, if it answers.
    pub fn voice(&self, dice: Dice, address: IpAddr, at: Moment) -> Option<Voice> {
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
        voice
    }
}

/// Whether the databases of the world can be asked at all.
pub fn are_reachable(dice: Dice) -> bool {
    !chance(&mut dice.of(Topic::Speech, [u64::MAX, 0, 0]), d::UNREACHABLE)
}

/// Whether the database of this host takes no session now.
pub(crate) fn refuses_session(dice: Dice, host: u64, at: Moment) -> bool {
    chance(&mut dice.of(Topic::Speech, [u64::MAX, host, at / SECOND + 1]), d::REFUSED_SECOND)
}
