//! ELBv2 and RDS on loopback, over TLS and the Query protocol, with a clock on every call.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::tls::Files;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::http;

const REQUEST_ID: &str = "c534f810-0000-4000-8000-0123456789ab";

const CLUSTER: &str =
    include_str!("../../../functions/failover-sync/tests/xml/describe-db-clusters.xml");
const INSTANCES: &str =
    include_str!("../../../functions/failover-sync/tests/xml/describe-db-instances.xml");

/// The stand-in, on one port. It ends with this process.
pub(crate) struct Aws {
    address: SocketAddr,
    authorities: PathBuf,
    state: Arc<Mutex<State>>,
}

/// What it holds, and what it saw.
#[derive(Default)]
pub(crate) struct State {
    /// By target group, the state of each `(Id, port)`; by default one target.
    pub(crate) groups: HashMap<String, BTreeMap<(String, String), &'static str>>,
    /// The target of every other group.
    pub(crate) default_target: String,
    /// Whether the cluster's writer is `orders-b`; else it is `orders-a`.
    pub(crate) has_failed_over: bool,
    /// How long every answer takes besides.
    pub(crate) latency: Duration,
    /// TLS handshakes.
    pub(crate) connections: usize,
    /// When each call arrived and was answered.
    pub(crate) calls: Vec<(Instant, Instant)>,
}

impl Aws {
    /// Starts it. Its authority is trusted beside those of the machine, whose number costs time.
    pub(crate) fn start(scratch: &Path) -> Result<Aws> {
        let files = Files::issue(&["localhost"], scratch)?;
        let mut authorities =
            std::fs::read("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
        authorities
            .extend(std::fs::read(&files.authority).context("read the authority's certificate")?);
        std::fs::write(&files.authority, authorities).context("write the authorities")?;

        let certificate = CertificateDer::from_pem_file(&files.certificate)
            .context("the server's certificate")?;
        let key = PrivateKeyDer::from_pem_file(&files.key).context("the server's key")?;
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
        let config = Arc::new(config.context("the server's TLS")?);

        let listener = TcpListener::bind("127.0.0.1:0").context("a free port")?;
        let address = listener.local_addr().context("the port of the stand-in")?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, shared) = (Arc::clone(&config), Arc::clone(&shared));
                thread::spawn(move || serve(stream, config, &shared));
            }
        });
        Ok(Aws { address, authorities: files.authority, state })
    }

    /// What leads a function here.
    pub(crate) fn variables(&self) -> [(&'static str, String); 2] {
        let endpoint = format!("https://localhost:{}", self.address.port());
        [("AWS_ENDPOINT_URL", endpoint), ("SSL_CERT_FILE", self.authorities.display().to_string())]
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Forgets what it saw.
    pub(crate) fn forget(&mut self) {
        self.connections = 0;
        self.calls.clear();
    }

    /// The length of the longest chain of calls, each begun after the last was answered.
    pub(crate) fn round_trips(&self) -> usize {
        let mut calls = self.calls.clone();
        calls.sort_by_key(|(_, end)| *end);
        let mut last = None;
        let mut count = 0;
        for (begin, end) in calls {
            if last.is_none_or(|last| begin >= last) {
                (last, count) = (Some(end), count + 1);
            }
        }
        count
    }

    fn answer(&mut self, form: &HashMap<String, String>) -> String {
        let group = form.get("TargetGroupArn").cloned().unwrap_or_default();
        let default =
            || BTreeMap::from([((self.default_target.clone(), "5432".to_owned()), "healthy")]);
        let targets = self.groups.entry(group).or_insert_with(default);
        let action = form.get("Action").map_or("", String::as_str);
        match action {
            "DescribeTargetHealth" => describe(targets),
            "RegisterTargets" => {
                targets_of(form)
                    .for_each(|target| *targets.entry(target).or_insert("initial") = "initial");
                envelope(action, "")
            }
            "DeregisterTargets" => {
                for target in targets_of(form) {
                    targets.entry(target).and_modify(|state| *state = "draining");
                }
                envelope(action, "")
            }
            // The document's writer is `orders-b`, and its only other member is `orders-a`.
            "DescribeDBClusters" if self.has_failed_over => CLUSTER.to_owned(),
            "DescribeDBClusters" => CLUSTER
                .replace("orders-a", "orders-x")
                .replace("orders-b", "orders-a")
                .replace("orders-x", "orders-b"),
            _ => INSTANCES.to_owned(),
        }
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, state: &Mutex<State>) -> Result<()> {
    // The handshake belongs to the first call of a connection.
    let mut opened = Some(Instant::now());
    stream.set_nodelay(true).context("no delay")?;
    let session = ServerConnection::new(config).context("a TLS session")?;
    let mut reader = BufReader::new(StreamOwned::new(session, stream));
    reader.get_mut().flush().context("the TLS handshake")?;
    lock(state).connections += 1;
    while let Some(request) = http::read(&mut reader).context("a request")? {
        let arrived = opened.take().unwrap_or_else(Instant::now);
        let form = form_urlencoded::parse(&request.body).into_owned().collect();
        let (body, latency) = {
            let mut state = lock(state);
            (state.answer(&form), state.latency)
        };
        thread::sleep(latency);
        // Noted before it is sent: the function may be done with it before this thread goes on.
        lock(state).calls.push((arrived, Instant::now()));
        let headers = format!("x-amzn-requestid: {REQUEST_ID}\r\ncontent-type: text/xml\r\n");
        http::write(reader.get_mut(), "200 OK", &headers, &body).context("an answer")?;
    }
    Ok(())
}

fn describe(targets: &BTreeMap<(String, String), &'static str>) -> String {
    let member = |((id, port), state): (&(String, String), &&str)| {
        format!(
            "<member><Target><Id>{id}</Id><Port>{port}</Port></Target>\
             <TargetHealth><State>{state}</State></TargetHealth></member>"
        )
    };
    let members: String = targets.iter().map(member).collect();
    envelope(
        "DescribeTargetHealth",
        &format!("<TargetHealthDescriptions>{members}</TargetHealthDescriptions>"),
    )
}

fn envelope(action: &str, result: &str) -> String {
    format!(
        "<{action}Response xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
         <{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata>\
         </{action}Response>"
    )
}

/// `Targets.member.N.Id` and `.Port`.
fn targets_of(form: &HashMap<String, String>) -> impl Iterator<Item = (String, String)> {
    let field =
        |number: usize, name: &str| form.get(&format!("Targets.member.{number}.{name}")).cloned();
    (1..).map_while(move |number| Some((field(number, "Id")?, field(number, "Port")?)))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
