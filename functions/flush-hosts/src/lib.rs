//! The Lambda function flush-hosts: it keeps MySQL and MariaDB servers from blocking the load
//! balancer.
//!
//! A server counts every health check as a failed handshake of the load balancer's address, and at
//! `max_connect_errors` it blocks the address: error 1129, for every client behind it, while the
//! target stays healthy. This function empties that count, the host cache, on each instance before
//! it is full, and says how full it was.
//!
//! [`flush`] is the loop over the instances. It sees the world through the traits of [`ports`]:
//! [`instances`] asks the RDS API what there is, [`server`] speaks to one server, with what the
//! crate `platform` gives it to log in with and to trust. What follows from what was read is
//! decided without I/O: [`version`] chooses the statement, [`cache`] reads the counts, [`report`]
//! tells.

pub mod cache;
pub mod config;
pub mod error;
pub mod flush;
pub mod handler;
pub mod instances;
pub mod ports;
pub mod report;
pub mod server;
pub mod telemetry;
pub mod version;
