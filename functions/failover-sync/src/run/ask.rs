//! Whom a run asks: each question has a limit of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base::report::Failure;
use futures_util::future::{OptionFuture, join_all};
use platform::connect_error::ConnectError;
use tokio::time::timeout;

use super::Run;
use crate::databases::{Login, PROBE_LIMIT};
use crate::error::chain;
use crate::ports::Ports;
use crate::questions::{Answer, ResolvedMembers, Source};

const TOPOLOGY_LIMIT: Duration = Duration::from_secs(3);

/// If it is asked only to make sure and gave no answer the last time.
const REPEATED_CHECK_LIMIT: Duration = Duration::from_secs(1);

pub(super) const MEMBER_LIMIT: Duration = Duration::from_secs(2);

const LOGIN_LIMIT: Duration = Duration::from_secs(5);

impl<P: Ports> Run<'_, P> {
    /// Once a round everybody may be asked again who answered.
    pub(super) fn begin_round(&mut self) {
        self.is_dns_due = !self.questions.are_asked_of(Source::Dns);
        if let Some(databases) = &mut self.databases {
            databases.begin_round(self.questions.databases());
        }
        self.ask_path();
    }

    pub(super) fn ask(&mut self) {
        self.ask_witnesses();
        let is_due = self.describe_error.is_none()
            && self.poll_policy.should_describe(&self.evidence, self.now());
        if is_due && !self.questions.are_asked_of(Source::Group) {
            let (context, binding) = (self.context, self.binding);
            self.questions.ask(Source::Group, async move {
                Answer::Group(context.describe(&binding.target_group).await)
            });
        }
        self.probe_roles(self.poll_policy.databases_to_probe(&self.evidence));
    }

    pub(super) fn ask_witnesses(&mut self) {
        if std::mem::take(&mut self.is_dns_due) {
            let (context, binding) = (self.context, self.binding);
            self.questions
                .ask(Source::Dns, async move { Answer::Dns(context.resolve(binding).await) });
        }
        if self.poll_policy.should_ask_topology(&self.evidence, self.now()) {
            self.ask_topology();
        }
    }

    pub(super) fn ask_topology(&mut self) {
        if self.questions.are_asked_of(Source::Topology) {
            return;
        }
        let (context, binding, start) = (self.context, self.binding, self.start);
        let without_address = self.members_without_address.clone();
        let is_repeated = self.poll_policy.is_check_repeated();
        let limit = if is_repeated { REPEATED_CHECK_LIMIT } else { TOPOLOGY_LIMIT };
        let resolved = async move {
            let cluster = binding.cluster().unwrap_or_default();
            let named = match timeout(limit, context.members(cluster, start)).await {
                Ok(answer) => answer.map_err(|error| chain(&error)),
                Err(_) => Err("no answer in time".to_owned()),
            };
            let (members, at) = named.or_else(|problem| without_address.ok_or(problem))?;
            let resolve = members.into_iter().map(|member| async move {
                let lookup = { member.endpoint.as_ref() }
                    .map(|name| context.lookup(name, binding.family, MEMBER_LIMIT));
                let answer = OptionFuture::from(lookup).await;
                (member, answer)
            });
            Ok(ResolvedMembers { members: join_all(resolve).await, at })
        };
        self.questions.ask(Source::Topology, async move { Answer::Topology(resolved.await) });
    }

    /// Side by side, each once a round. Only those that may be registered are sent a login.
    pub(super) fn probe_roles(&mut self, mut addresses: BTreeSet<IpAddr>) {
        let now = self.now();
        let Some(databases) = &mut self.databases else { return };
        addresses.retain(|address| !databases.was_asked_this_round(*address));
        if addresses.is_empty() {
            return;
        }
        if let Some(failure) = databases.missing_login().cloned() {
            addresses.iter().for_each(|address| databases.record_turn(*address));
            for address in addresses {
                self.record_probe(address, Err(failure.clone()), now);
            }
            return;
        }
        if !matches!(databases.login, Login::Ready) {
            return self.fetch_login();
        }
        for address in addresses {
            databases.record_turn(address);
            let is_registered = self.evidence.group.registered().any(|it| it == address);
            if self.context.config.allowed.refusal(address).is_some()
                || databases.is_backing_off(address, is_registered)
            {
                continue;
            }
            let limit = databases.begin_probe(address);
            let name = self.members.tls_name(address).or(self.binding.endpoint.name());
            let name = name.unwrap_or_default().to_owned();
            let sessions = Arc::clone(&databases.sessions);
            self.questions.ask(Source::Database(address), async move {
                let role = match timeout(limit, sessions.probe(address, &name)).await {
                    Ok(role) => role,
                    Err(_) => {
                        let seconds = PROBE_LIMIT.as_secs();
                        Err(ConnectError::Timeout { seconds }.failure())
                    }
                };
                Answer::Database(address, role)
            });
        }
    }

    fn fetch_login(&mut self) {
        let Some(databases) = &self.databases else { return };
        if self.questions.are_asked_of(Source::Login) {
            return;
        }
        let sessions = Arc::clone(&databases.sessions);
        self.questions.ask(Source::Login, async move {
            let prepared = timeout(LOGIN_LIMIT, sessions.prepare()).await;
            Answer::Login(prepared.unwrap_or_else(|_| {
                let seconds = LOGIN_LIMIT.as_secs();
                let message = format!("what to log in with was not fetched within {seconds} s");
                Err(Failure { kind: "SecretNotFetched", message })
            }))
        });
    }
}
