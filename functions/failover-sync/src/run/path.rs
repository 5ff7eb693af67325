//! How a run asks through the load balancer: what consumers see. It decides nothing about targets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base::database::HostPort;
use futures_util::future::{OptionFuture, join, join_all};
use reconcile::binding::{Binding, Family};
use reconcile::claim::Role;
use reconcile::path::{Followed, PathHistory, Registration, Round, Server, Session};
use reconcile::report::path_text;
use reconcile::target::Target;
use tokio::time::sleep;
use tracing::{info, warn};

use super::Run;
use crate::context::Context;
use crate::dns;
use crate::error::{Phase, chain};
use crate::ports::{Ports, ProbeSessions};
use crate::questions::{Answer, Source};

impl<P: Ports> Run<'_, P> {
    /// Beside everything else, after a switch by this run.
    pub(super) fn ask_path(&mut self) {
        let now = self.now();
        if self.path.as_ref().is_some_and(|path| path.should_ask(now)) {
            self.begin_path_round();
        }
    }

    /// Once all else is done. What is under way is waited for, so that it ends properly.
    pub(super) async fn finish_path(&mut self) {
        if self.path.is_none() {
            return;
        }
        self.phase = Phase::AskingPath;
        loop {
            while self.questions.are_asked_of(Source::Path) {
                let answer = self.questions.next().await;
                self.record(answer);
            }
            let now = self.now();
            let next = self.path.as_ref().and_then(|path| path.next_at_end(now));
            let Some(pause) = next else { break };
            sleep(pause).await;
            self.begin_path_round();
        }
        self.tell_path();
    }

    /// What is to be known about the path when the run ends.
    pub(super) fn tell_path(&mut self) {
        let now = self.now();
        let note = self.path.as_ref().and_then(|path| path.note(now));
        let notes = self.report.path_note.take().into_iter().chain(note);
        self.report.path_note = notes.reduce(|first, second| format!("{first}; {second}"));
    }

    pub(super) fn record_path_registration(&mut self, targets: &[Target]) {
        let (at, event_at) = (self.now(), self.event_at);
        if let Some(path) = &mut self.path {
            let targets = targets.to_vec();
            path.record_registration(Registration { targets, at, event_at });
            self.remember_path();
        }
    }

    pub(super) fn record_path(&mut self, addresses: Vec<IpAddr>, round: &Round) {
        let Some(path) = &mut self.path else { return };
        let was_down = path.history.is_down;
        path.history.addresses = addresses;
        let is_awaited = path.history.registration.is_some();
        let verdict = path.record(round);
        let is_down = path.history.is_down;
        self.report.record_path(round, verdict);
        self.remember_path();
        let (binding, path) = (&self.binding.name, path_text(&round.states()));
        if let Some(Followed { registration, event }) = verdict.followed {
            info!(
                binding,
                path,
                register_to_path_ms = registration.as_millis() as u64,
                event_to_path_ms = event.map(|event| event.as_millis() as u64),
                "the load balancer leads to the writer"
            );
        } else if is_down && !was_down && is_awaited {
            info!(binding, path, "the load balancer does not lead to the writer yet");
        } else if is_down && !was_down {
            let note = round.note();
            warn!(binding, path, note, "the load balancer does not lead to the writer");
        } else if was_down && !is_down {
            info!(binding, path, "the load balancer leads to the writer again");
        }
    }

    fn remember_path(&self) {
        if let Some(path) = &self.path {
            self.remember(|state, _| state.path = path.history.clone());
        }
    }

    fn begin_path_round(&mut self) {
        let now = self.now();
        let (Some(path), Some(databases)) = (&mut self.path, &self.databases) else { return };
        let Some(listener) = &self.context.config.path else { return };
        if self.questions.are_asked_of(Source::Path) {
            return;
        }
        path.begin_round(now);
        let allowed = &self.context.config.allowed;
        let registered: Vec<IpAddr> = self.evidence.group.registered().collect();
        let endpoint = self.binding.endpoint.name().unwrap_or_default();
        let named = |address| (address, self.members.tls_name(address).unwrap_or(endpoint).into());
        let asked = PathQuestion {
            context: self.context,
            binding: self.binding,
            sessions: Arc::clone(&databases.sessions),
            listener,
            registered_count: registered.len(),
            registered: { registered.into_iter() }
                .filter(|address| allowed.refusal(*address).is_none())
                .map(named)
                .collect(),
            history: path.history.clone(),
        };
        self.questions.ask(Source::Path, asked.answer());
    }
}

struct PathQuestion<'a, P: Ports> {
    context: &'a Context<P>,
    binding: &'a Binding,
    sessions: Arc<dyn ProbeSessions + 'a>,
    listener: &'a HostPort,
    registered_count: usize,
    /// Those that may be sent a login, with the name in each one's certificate.
    registered: Vec<(IpAddr, String)>,
    history: PathHistory,
}

impl<P: Ports> PathQuestion<'_, P> {
    async fn answer(mut self) -> Answer {
        let began = self.context.now();
        let lookup = self.context.lookup(&self.listener.host, Family::Ipv4, dns::LIMIT);
        let (writer, named) = join(self.writer(), lookup).await;
        let unresolved = named.as_ref().err().map(|error| chain(error));
        self.history.record_addresses(named.iter().flat_map(|answer| answer.addresses.iter()));
        let through = self.through(writer.is_ok()).await;
        let mut round = Round {
            began,
            answered: self.context.now(),
            registered: self.registered_count,
            writer: writer.clone(),
            through,
            is_confirmed: false,
            unresolved,
        };
        if let Ok((address, server)) = &writer
            && !round.is_good_so_far()
        {
            let again = self.registered.iter().find(|(registered, _)| registered == address);
            let again = OptionFuture::from(again.map(|it| self.directly(it))).await;
            round.is_confirmed = again == Some(Ok(server.clone()));
        }
        Answer::Path(self.history.addresses, Box::new(round))
    }

    /// The one registered target that takes writes.
    async fn writer(&self) -> Result<(IpAddr, Server), String> {
        let answers = join_all(self.registered.iter().map(|it| self.directly(it))).await;
        let asked = || self.registered.iter().map(|(address, _)| *address).zip(&answers);
        let takes_writes = |server: &&Server| server.role == Role::Writer;
        let mut writers = asked().filter_map(|(address, answer)| {
            Some((address, answer.as_ref().ok().filter(takes_writes)?.clone()))
        });
        match (writers.next(), writers.next()) {
            (Some(writer), None) => Ok(writer),
            (Some(_), Some(_)) => Err("several registered targets take writes".to_owned()),
            (None, _) => {
                let said = asked().map(|(address, answer)| match answer {
                    Ok(server) => {
                        format!("{address}, asked directly, has the role {}", server.role)
                    }
                    Err((_, failure)) => format!("{address}, asked directly: {}", failure.message),
                });
                let said: Vec<String> = said.collect();
                let none = "no registered target takes writes".to_owned();
                Err([none].into_iter().chain(said).collect::<Vec<_>>().join("; "))
            }
        }
    }

    async fn directly(&self, (address, name): &(IpAddr, String)) -> Session {
        self.sessions.ask_anew(SocketAddr::new(*address, self.binding.port), name).await
    }

    async fn through(&self, is_judged: bool) -> BTreeMap<IpAddr, Option<Session>> {
        let name = self.binding.endpoint.name().unwrap_or_default();
        // A target is not reached through itself, whatever the load balancer's name leads to.
        let is_target = |address| self.registered.iter().any(|(target, _)| *target == address);
        let ask = self.history.addresses.iter().map(|&address| {
            let server = SocketAddr::new(address, self.listener.port);
            let is_asked = is_judged && !is_target(address);
            let session = is_asked.then(|| self.sessions.ask_anew(server, name));
            async move { (address, OptionFuture::from(session).await) }
        });
        join_all(ask).await.into_iter().collect()
    }
}
