//! The questions under way. Each has a limit of its own, and ends when answered or given up.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::net::IpAddr;
use std::task::Poll;

use base::database::ClusterMember;
use base::report::Failure;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use reconcile::claim::Role;
use reconcile::evidence::DnsAnswer;
use reconcile::path::Round;
use reconcile::target::DescribedTarget;
use tokio::time::Instant;

use crate::error::{AwsError, DnsError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Dns,
    Group,
    Topology,
    Login,
    Database(IpAddr),
    Path,
}

pub(crate) enum Answer {
    Dns(Result<DnsAnswer, DnsError>),
    Group(Result<Vec<DescribedTarget>, AwsError>),
    Topology(Result<ResolvedMembers, String>),
    Login(Result<(), Failure>),
    Database(IpAddr, Result<Role, Failure>),
    /// And the load balancer's addresses that are known now.
    Path(Vec<IpAddr>, Box<Round>),
}

/// What DNS said of each member that has an endpoint, and when the RDS API named them.
pub(crate) struct ResolvedMembers {
    pub(crate) members: Vec<(ClusterMember, Option<Result<DnsAnswer, DnsError>>)>,
    pub(crate) at: DateTime<Utc>,
}

#[derive(Default)]
pub(crate) struct Questions<'a>(Vec<Question<'a>>);

struct Question<'a> {
    source: Source,
    asked: Instant,
    answer: BoxFuture<'a, Answer>,
}

impl<'a> Questions<'a> {
    pub(crate) fn ask(&mut self, source: Source, answer: impl Future<Output = Answer> + Send + 'a) {
        self.0.push(Question { source, asked: Instant::now(), answer: Box::pin(answer) });
    }

    /// Whether nothing is asked that a verdict may wait for.
    pub(crate) fn is_empty(&self) -> bool {
        self.of_verdict().next().is_none()
    }

    pub(crate) fn are_asked_of(&self, source: Source) -> bool {
        self.0.iter().any(|question| question.source == source)
    }

    pub(crate) fn last_asked(&self) -> Option<Instant> {
        self.of_verdict().map(|question| question.asked).max()
    }

    pub(crate) fn databases(&self) -> BTreeSet<IpAddr> {
        let address =
            |source| if let Source::Database(address) = source { Some(address) } else { None };
        self.0.iter().filter_map(|question| address(question.source)).collect()
    }

    /// Whatever is answered is not recorded.
    pub(crate) fn give_up(&mut self, source: Source) {
        self.0.retain(|question| question.source != source);
    }

    fn of_verdict(&self) -> impl Iterator<Item = &Question<'a>> {
        self.0.iter().filter(|question| question.source != Source::Path)
    }

    /// The next answer; none ever comes while nothing is asked.
    pub(crate) async fn next(&mut self) -> Answer {
        poll_fn(|context| {
            let ready = self.0.iter_mut().enumerate().find_map(|(index, question)| {
                if let Poll::Ready(answer) = question.answer.as_mut().poll(context) {
                    Some((index, answer))
                } else {
                    None
                }
            });
            ready.map_or(Poll::Pending, |(index, answer)| {
                drop(self.0.remove(index));
                Poll::Ready(answer)
            })
        })
        .await
    }
}
