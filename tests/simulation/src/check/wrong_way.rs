//! Wrong-way switches: to an address that was not the writer, and who could have prevented them.

use std::net::IpAddr;

use reconcile::target::Target;

use crate::check::Write;
use crate::dice::{Moment, SECOND};
use crate::ports::Ports;
use crate::scenario::{PORT, Service};
use crate::world::WrongWay;

/// A witness, asked every two seconds at most, is honest if it was when it could last be asked.
const ASKED_EVERY: Moment = 2_500;

/// An event that is older than this is no witness.
const EVENT_LIFETIME: Moment = 600 * SECOND;

impl Ports {
    /// A registration of a non-writer or the writer's deregistration; a switch's halves count once.
    pub(super) fn is_wrong_way(
        &self,
        binding: usize,
        write: Write,
        targets: &[Target],
        before: &[Target],
        writer: IpAddr,
    ) -> bool {
        let now = self.world().now();
        let audit = &mut self.audit().bindings[binding];
        match write {
            Write::Register => {
                let is_wrong =
                    |target: &Target| target.address != writer && !before.contains(target);
                let is_wrong = targets.iter().any(is_wrong);
                if is_wrong {
                    audit.wronged = Some(now);
                }
                is_wrong
            }
            Write::Deregister => {
                let is_writer = |target: &Target| target.address == writer && target.port == PORT;
                let was_counted = audit.wronged.take().is_some_and(|at| now < at + 10 * SECOND);
                !was_counted
                    && targets.iter().any(|target| is_writer(target) && before.contains(target))
            }
        }
    }

    /// Which witnesses could be read, and were honest. An event is readable if the process got it
    /// and the cluster's members, among whom it selects.
    pub(super) fn wrong_way(&self, now: Moment) -> WrongWay {
        let (names, api_writer, dns_named) = {
            let audit = self.audit();
            (audit.names, audit.api_writer, audit.dns_named)
        };
        let (scenario, resolver) = (self.scenario(), self.resolver());
        let database = &scenario.database;
        let is_honest_at = |at: Moment| {
            let writer = database.writer(at);
            let answered_moments: Vec<Moment> =
                scenario.faults.answered_moments(scenario.dice(), at).collect();
            let dns = !scenario.refuses(Service::Dns, at) && !answered_moments.is_empty();
            let dns = dns.then(|| {
                answered_moments
                    .iter()
                    .all(|moment| database.writer_by_dns(resolver, *moment).0 == writer)
            });
            let is_readable = !scenario.refuses(Service::Rds, at) && !database.is_being_renamed(at);
            let is_clear = scenario.faults.names_writer(database, at);
            let topology = database.engine.is_cluster() && is_readable && is_clear;
            // A member is where the name servers say.
            let flagged = database.writer_by_topology(at);
            let leads_to_writer =
                |moment: &Moment| database.member_by_dns(flagged, resolver, *moment).0 == writer;
            let topology = topology
                .then(|| leads_to_writer(&at) && answered_moments.iter().all(leads_to_writer));
            let event =
                names.filter(|(_, time)| api_writer.is_some() && at < time + EVENT_LIFETIME);
            [dns, topology, event.map(|(host, _)| host == writer)]
        };
        let then = is_honest_at(now.saturating_sub(ASKED_EVERY));
        // The process goes by what it was told a moment ago.
        let is_current = |at: Moment| now < at + 2 * ASKED_EVERY;
        let writer = database.writer(now);
        let misled = [
            dns_named.is_some_and(|(told, at)| is_current(at) && told != database.hosts[writer].0),
            api_writer.is_some_and(|(told, at)| is_current(at) && told != database.hosts[writer].1),
            false,
        ];
        // Who misled at any of these moments misleads; who is honest was readable at both.
        let is_honest =
            |((then, now), misled): ((Option<bool>, Option<bool>), bool)| match (then, now) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(!misled),
                _ => misled.then_some(false),
            };
        let readable: Vec<bool> =
            then.into_iter().zip(is_honest_at(now)).zip(misled).filter_map(is_honest).collect();
        let honest = readable.iter().filter(|is_honest| **is_honest).count();
        let is_by_role = self.audit().has_writer_role(|address| {
            let host = scenario.host(address);
            host.is_some_and(|host| host != writer && scenario.faults.insists(host, now))
        });
        WrongWay { at: now, honest, misleading: readable.len() - honest, is_by_role }
    }
}
