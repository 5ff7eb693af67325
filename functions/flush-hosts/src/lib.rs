//! The Lambda function flush-hosts: it keeps MySQL and MariaDB from blocking the load balancer.
//!
//! A server counts every health check as a failed handshake of the load balancer's address, and at
//! `max_connect_errors` blocks it: error 1129 for every client behind it, while the target stays
//! healthy. In time this function empties that count, the host cache, and says how full it was.
//!
//! [`flush`] is the loop; the world is behind [`ports`]. **What it has not:** a state.

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
