//! A consumer that connects by the database's own name, as `infra/consumer.yaml` lets it: what it
//! resolves to, who is believed, and what becomes of a function that sees the consumer's zone.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use failover_sync::dns::Resolver;
use failover_sync::elbv2::Elbv2;
use failover_sync::error::RunError;
use failover_sync::ports::{Dns, SystemClock};
use failover_sync::rds::Rds;
use failover_sync::sync::Synchronizer;
use lab::aurora::Cluster;
use lab::aws::{Aws, members, target_group};
use lab::dns::{Answer, DnsServer};
use lab::nlb::Nlb;
use lab::postgres::{ADDRESSES, Pair, USER};
use lab::tls::{Authority, Flaw};
use lab::workspace::Run;
use reconcile::binding::Family;
use reconcile::config::Config;
use reconcile::reason::Reason;
use reconcile::report::BindingReport;
use reconcile::target::strings;
use reconcile::trigger::Trigger;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// What an endpoint calls itself.
const ENDPOINT_NAME: &str =
    "vpce-0a1b2c3d-4e5f.vpce-svc-0123456789abcdef0.us-east-1.vpce.amazonaws.com";

/// One look, and what follows from it.
const ONCE: &str = r#"{"watchSeconds": 0}"#;

/// One look takes milliseconds here; the rest is for a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// Both database servers are in here, and the endpoint is not.
const DATABASE_SUBNETS: &str = "127.0.0.8/29";

/// Where an endpoint would be in a second zone.
const OTHER_ZONE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

type Function = Synchronizer<(Resolver, Elbv2, Rds, SystemClock)>;

/// The provider's side: databases with a certificate, target group, load balancer, and DNS.
struct Provider<'a> {
    aws: &'a Aws,
    cluster: Cluster,
    databases: Pair,
    authority: Authority,
    dns: DnsServer,
    group: String,
    nlb: Nlb,
}

impl<'a> Provider<'a> {
    async fn start(run: &Run, aws: &'a Aws) -> Result<Self> {
        let cluster = Cluster::create(aws.rds(), "orders").await?;
        let authority = Authority::new()?;
        let certificate =
            authority.issue(&[&cluster.endpoint], Flaw::None, &run.scratch("certificate")?)?;
        let databases = Pair::start_with_tls(run, &certificate).await?;
        let dns = DnsServer::start().await?;
        for (member, address) in cluster.members.iter().zip(ADDRESSES) {
            dns.set(&member.endpoint, Answer::addresses([address]));
        }
        let group = target_group(&aws.elbv2(), "link", databases.port()).await?;
        let nlb = Nlb::start(aws.elbv2(), &group, Duration::from_secs(2)).await?;
        let provider = Self { aws, cluster, databases, authority, dns, group, nlb };
        provider.name_writer(0);
        Ok(provider)
    }

    fn name_writer(&self, member: usize) {
        self.dns.set(&self.cluster.endpoint, Answer::alias(&self.cluster.members[member].endpoint));
    }

    /// Lets the function look once, until the load balancer leads to a server.
    async fn follow(&self, server: usize) -> Result<()> {
        let report = look(&self.function(&self.dns, &self.group, DATABASE_SUBNETS)?).await?;
        let wanted = SocketAddr::new(ADDRESSES[server], self.databases.port());
        ensure!(
            strings(&report.registered) == [wanted.to_string()],
            "the function did not register {wanted}: {report:?}"
        );
        self.nlb.wait_for_targets(&BTreeSet::from([wanted]), DEADLINE).await
    }

    /// Kills the primary. RDS and DNS name the other, and the function follows.
    async fn fail_over(&mut self) -> Result<usize> {
        self.databases.crash_primary().await?;
        self.databases.promote_standby().await?;
        let writer = self.databases.primary();
        self.name_writer(writer);
        self.cluster.fail_over(&self.cluster.members[writer]).await?;
        self.follow(writer).await?;
        Ok(writer)
    }

    /// The function as the template configures it, with these servers, group and ranges.
    fn function(&self, dns: &DnsServer, group: &str, allowed: &str) -> Result<Arc<Function>> {
        let bindings = json!([{
            "name": "writer",
            "endpoint": self.cluster.endpoint,
            "port": self.databases.port(),
            "targetGroupArn": group,
            "kind": "cluster",
            "id": self.cluster.id,
        }]);
        let config = Config::parse(|variable| match variable {
            "BINDINGS" => Some(bindings.to_string()),
            "ALLOWED_CIDRS" => Some(allowed.to_owned()),
            _ => None,
        })?;
        let (groups, topology) = (Elbv2(self.aws.elbv2()), Rds(self.aws.rds()));
        Ok(Arc::new(Synchronizer::new(
            config,
            Resolver::new(&[dns.addr()])?,
            groups,
            topology,
            SystemClock,
        )))
    }
}

/// One run of the function.
async fn look(function: &Arc<Function>) -> Result<BindingReport> {
    let trigger = Trigger::parse(&serde_json::from_str(ONCE)?)?;
    match function.run(&trigger, Instant::now() + DEADLINE).await {
        Ok(report) | Err(RunError::Bindings(report)) => {
            report.bindings.into_iter().next().context("no binding")
        }
        Err(error) => bail!(error),
    }
}

/// A program in the consumer's VPC, which knows the database's own name and one authority.
struct Consumer {
    resolver: Resolver,
    authority: String,
    /// The port of the endpoint.
    port: u16,
}

impl Consumer {
    fn new(zone: &DnsServer, authority: &Authority, port: u16) -> Result<Self> {
        Ok(Self { resolver: Resolver::new(&[zone.addr()])?, authority: authority.pem(), port })
    }

    /// `sslmode=verify-full`: the certificate is for the name, and from the authority.
    async fn connect(&self, name: &str) -> Result<Client> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes())?)?;
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let tls = tls
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut config = tokio_postgres::Config::new();
        config.host(name).port(self.port).user(USER).dbname("postgres").ssl_mode(SslMode::Require);
        for address in self.resolver.lookup(name, Family::Ipv4).await?.addresses.iter() {
            config.hostaddr(address);
        }
        let (client, connection) = config.connect(MakeRustlsConnect::new(tls)).await?;
        // An error of the connection is also the error of whatever the client asks next.
        tokio::spawn(connection);
        Ok(client)
    }

    /// Which server a connection by this name ends at, and whether that takes writes.
    async fn reach(&self, name: &str) -> Result<(IpAddr, bool)> {
        let client = self.connect(name).await?;
        let row =
            client.query_one("SELECT inet_server_addr(), NOT pg_is_in_recovery()", &[]).await?;
        let tls = client
            .query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[])
            .await?;
        ensure!(
            tls.get::<_, bool>(0),
            "the server itself speaks no TLS, so the certificate was someone else's"
        );
        Ok((row.get(0), row.get(1)))
    }

    async fn refusal(&self, name: &str) -> Result<String> {
        match self.connect(name).await {
            Ok(_) => bail!("{name} was believed"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }
}

/// The consumer's zone and what it leads to, before a failover and after it.
pub(crate) async fn by_the_databases_own_name(run: &Run, aws: &Aws) -> Result<()> {
    let mut provider = Provider::start(run, aws).await?;
    let name = provider.cluster.endpoint.clone();
    provider.follow(0).await?;

    // Both resolve to the endpoint, here the load balancer; an alias answers with addresses.
    let zone = DnsServer::start().await?;
    for record in [name.as_str(), ENDPOINT_NAME] {
        zone.set(record, Answer::addresses([provider.nlb.addr().ip()]));
    }
    let consumer = Consumer::new(&zone, &provider.authority, provider.nlb.addr().port())?;

    ensure!(
        consumer.reach(&name).await? == (ADDRESSES[0], true),
        "{name} does not lead to the writer"
    );
    let refusal = consumer.refusal(ENDPOINT_NAME).await?;
    ensure!(refusal.contains("not valid for name"), "by the endpoint's own name: {refusal}");
    // Another authority of the same name, so that only its key tells.
    let stranger = Consumer::new(&zone, &Authority::new()?, consumer.port)?;
    let refusal = stranger.refusal(&name).await?;
    ensure!(refusal.contains("BadSignature"), "with another authority: {refusal}");

    let writer = provider.fail_over().await?;
    ensure!(writer == 1, "the writer did not move");
    ensure!(
        consumer.reach(&name).await? == (ADDRESSES[1], true),
        "{name} does not lead to the new writer"
    );

    in_the_functions_vpc(&provider).await
}

/// The trap: the function sees the consumer's zone, so that the name leads to the endpoint.
async fn in_the_functions_vpc(provider: &Provider<'_>) -> Result<()> {
    let endpoint = provider.nlb.addr().ip();
    let name = &provider.cluster.endpoint;
    let zone = DnsServer::start().await?;
    for (member, address) in provider.cluster.members.iter().zip(ADDRESSES) {
        zone.set(&member.endpoint, Answer::addresses([address]));
    }
    zone.set(name, Answer::addresses([endpoint]));
    let resolved = Resolver::new(&[zone.addr()])?.lookup(name, Family::Ipv4).await?;
    ensure!(resolved.addresses == endpoint.into(), "the name does not resolve to the endpoint");

    // With AllowedCidrs that hold the database's subnets and nothing else, the endpoint is refused.
    let narrow = provider.function(&zone, &provider.group, DATABASE_SUBNETS)?;
    let error = look(&narrow).await?.error.context("the endpoint was not refused")?;
    ensure!(error.kind == "AddressRefused", "{error:?}");
    ensure!(error.message.starts_with(&format!("{endpoint} is ")), "{error:?}");

    // With wide ones, an endpoint in two zones is two addresses.
    let wide = provider.function(&zone, &provider.group, "127.0.0.0/8")?;
    zone.set(name, Answer::addresses([endpoint, OTHER_ZONE]));
    let error = look(&wide).await?.error.context("two addresses were not refused")?;
    ensure!(error.kind == "SeveralWriters", "{error:?}");

    // In one zone it is held back by what the RDS API says, as long as that can be read.
    zone.set(name, Answer::addresses([endpoint]));
    let report = look(&wide).await?;
    let reason = report.reason.as_ref().map(Reason::to_string).unwrap_or_default();
    ensure!(
        reason.starts_with("contradiction: ") && reason.contains("the RDS API names"),
        "{report:?}"
    );
    ensure!(report.registered.is_empty() && report.deregistered.is_empty(), "{report:?}");
    let writer =
        SocketAddr::new(ADDRESSES[provider.databases.primary()], provider.databases.port());
    let held = members(&provider.aws.elbv2(), &provider.group).await?;
    ensure!(held == BTreeSet::from([writer]), "the group holds {held:?}");

    // An empty group waits for the RDS API; after half a minute only AllowedCidrs would help.
    let empty = target_group(&provider.aws.elbv2(), "empty", provider.databases.port()).await?;
    let narrow = look(&provider.function(&zone, &empty, DATABASE_SUBNETS)?).await?;
    ensure!(
        narrow.error.is_some_and(|error| error.kind == "AddressRefused"),
        "the endpoint was not refused"
    );
    let wide = provider.function(&zone, &empty, "127.0.0.0/8")?;
    let report = look(&wide).await?;
    let reason = report.reason.as_ref().map(Reason::to_string).unwrap_or_default();
    ensure!(reason.starts_with("empty: ") && report.registered.is_empty(), "{report:?}");
    Ok(())
}
