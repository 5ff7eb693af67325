//! The way through the load balancer: `PROBE_PATH`.

use base::config::ErrorCollector;
use base::database::HostPort;
use serde_json::Value;

use super::has_engine;
use crate::binding::Endpoint;

/// A load balancer leads to one database, and only a login tells whether it is the writer: nothing
/// for none or a mistake.
pub(super) fn parse(
    text: Option<&str>,
    bindings: &[Value],
    has_login: bool,
    mistakes: &mut ErrorCollector,
) -> Option<HostPort> {
    let text = text?;
    let path = mistakes.collect("PROBE_PATH", parse_host_port(text));
    if !has_login {
        let problem = "is given, but there is no login to ask with: give PROBE_USER or \
                       PROBE_SECRET_ARN, or leave it out";
        mistakes.add("PROBE_PATH", problem);
    }
    let is_endpoint = |binding: &Value| {
        let endpoint = binding.get("endpoint").and_then(Value::as_str).map(Endpoint::parse);
        let host = path.as_ref().map(|path| path.host.as_str());
        matches!(&endpoint, Some(Ok(Endpoint::Name(name))) if Some(name.as_str()) == host)
    };
    if bindings.iter().any(is_endpoint) {
        let problem = "is the endpoint of a database, which leads around the load balancer: give \
                       the load balancer's DNS name";
        mistakes.add("PROBE_PATH", problem);
    }
    let asked = bindings.iter().filter(|binding| has_engine(binding)).count();
    if asked > 1 {
        let problem = format!(
            "leads to one database, and {asked} bindings have an \"engine\": give each database a \
             function of its own, or leave it out"
        );
        mistakes.add("PROBE_PATH", problem);
    }
    path
}

fn parse_host_port(text: &str) -> Result<HostPort, String> {
    let example = "give the load balancer's DNS name and its listener's port, such as \
                   link-0a1b.elb.eu-west-1.amazonaws.com:5432";
    let (host, port) =
        text.rsplit_once(':').ok_or_else(|| format!("{text:?} has no port: {example}"))?;
    let port = port.parse().ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| format!("{text:?} does not end in a port: {example}"))?;
    match Endpoint::parse(host) {
        Ok(Endpoint::Name(host)) => Ok(HostPort { host, port }),
        Ok(Endpoint::Address(_)) => {
            Err(format!("{host:?} is an address, and each zone has another: {example}"))
        }
        Err(_) => Err(format!("{host:?} is not a host name: {example}")),
    }
}
