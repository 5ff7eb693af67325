//! What the server knows, and how a question is turned into an answer.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;

use super::Answer;

/// The names and how often each was asked for.
#[derive(Default)]
pub(super) struct Zone(Mutex<State>);

/// Answers the questions that arrive at the server's sockets.
pub(super) struct Handler(Arc<Zone>);

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    /// How far each sequence has come, by name and record type.
    steps: HashMap<(String, RecordType), usize>,
    asked: HashMap<(String, RecordType), usize>,
}

/// An answer with its chain of aliases followed to the end.
#[derive(Debug)]
enum Reply {
    Message(ResponseCode, Vec<Record>),
    Silence,
}

impl Zone {
    pub(super) fn set(&self, name: &str, answer: Answer) {
        let name = key(name);
        let mut state = self.state();
        state.steps.retain(|(stepped, _), _| *stepped != name);
        state.answers.insert(name, answer);
    }

    pub(super) fn remove(&self, name: &str) {
        self.state().answers.remove(&key(name));
    }

    pub(super) fn queries(&self, name: &str, record_type: Option<RecordType>) -> usize {
        let name = key(name);
        let state = self.state();
        let of_name = state.asked.iter().filter(|((asked, _), _)| *asked == name);
        let of_type =
            of_name.filter(|((_, asked), _)| record_type.is_none_or(|wanted| wanted == *asked));
        of_type.map(|(_, count)| count).sum()
    }

    fn ask(&self, name: &Name, record_type: RecordType) -> Reply {
        let mut state = self.state();
        let asked = (key(&name.to_utf8()), record_type);
        *state.asked.entry(asked).or_default() += 1;
        state.reply(name.clone(), record_type)
    }

    /// A test that panicked under the lock has failed; the zone is never half written.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reply(&mut self, question: Name, record_type: RecordType) -> Reply {
        let mut records = Vec::new();
        let mut visited = HashSet::new();
        let mut name = question;
        loop {
            let known = key(&name.to_utf8());
            if !visited.insert(known.clone()) {
                return Reply::Message(ResponseCode::NoError, records);
            }
            match self.step(&known, record_type) {
                Answer::Alias { target, ttl } => {
                    let Ok(target) = Name::from_utf8(format!("{}.", key(&target))) else {
                        // A typing mistake in a test must not look healthy.
                        return Reply::Message(ResponseCode::FormErr, Vec::new());
                    };
                    records.push(Record::from_rdata(
                        name,
                        ttl,
                        RData::CNAME(CNAME(target.clone())),
                    ));
                    name = target;
                }
                Answer::Addresses { addresses, ttl } => {
                    let rdata =
                        addresses.into_iter().filter_map(|address| rdata(address, record_type));
                    records.extend(rdata.map(|rdata| Record::from_rdata(name.clone(), ttl, rdata)));
                    return Reply::Message(ResponseCode::NoError, records);
                }
                Answer::Empty | Answer::Sequence(_) | Answer::Cycle(_) => {
                    return Reply::Message(ResponseCode::NoError, records);
                }
                Answer::NxDomain => return Reply::Message(ResponseCode::NXDomain, records),
                Answer::ServFail => return Reply::Message(ResponseCode::ServFail, records),
                Answer::Refused => return Reply::Message(ResponseCode::Refused, records),
                Answer::Silent => return Reply::Silence,
            }
        }
    }

    /// What `name` answers now; a sequence moves on. An empty or nested one has no records.
    fn step(&mut self, name: &str, record_type: RecordType) -> Answer {
        let (steps, wrap) = match self.answers.get(name) {
            None => return Answer::NxDomain,
            Some(Answer::Sequence(steps)) => (steps, false),
            Some(Answer::Cycle(steps)) => (steps, true),
            Some(answer) => return answer.clone(),
        };
        let step = self.steps.entry((name.to_owned(), record_type)).or_default();
        let index = match (wrap, steps.len()) {
            (_, 0) => return Answer::Empty,
            (true, length) => *step % length,
            (false, length) => (*step).min(length - 1),
        };
        *step += 1;
        steps[index].clone()
    }
}

impl Handler {
    pub(super) fn new(zone: Arc<Zone>) -> Self {
        Self(zone)
    }
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut responses: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let nothing_sent = ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });

        let reply = match request.request_info() {
            Ok(info) => self.0.ask(&Name::from(info.query.name()), info.query.query_type()),
            Err(_) => Reply::Message(ResponseCode::FormErr, Vec::new()),
        };
        let Reply::Message(code, records) = reply else {
            return nothing_sent;
        };
        metadata.response_code = code;
        let message = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            &records,
            [],
            [],
            [],
        );
        // A client that has gone away is the client's business.
        responses.send_response(message).await.unwrap_or(nothing_sent)
    }
}

/// Names compare without case and without the dot of the root.
fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn rdata(address: IpAddr, asked: RecordType) -> Option<RData> {
    match (address, asked) {
        (IpAddr::V4(address), RecordType::A) => Some(RData::A(A(address))),
        (IpAddr::V6(address), RecordType::AAAA) => Some(RData::AAAA(AAAA(address))),
        _ => None,
    }
}
