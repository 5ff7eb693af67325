//! The Lambda function flush-hosts: it keeps MySQL and MariaDB servers from blocking the load
//! balancer.
//!
//! A server counts every health check as a failed handshake of the load balancer's address, and at
//! `max_connect_errors` it blocks the address: error 1129, for every client behind it, while the
//! target stays healthy. This function empties that count, the host cache, on each instance before
//! it is full, and says how full it was.
//!
//! The way of an invocation, and in it the modules: [`handler`] takes it from Lambda; [`flush`] is
//! the loop over the instances that [`instances`] lists; [`server`] is a session with one;
//! [`version`] chooses the statement and [`cache`] reads the counts; [`report`] is what is told, as
//! [`telemetry`] writes it. [`config`] is what to flush, and the world is behind the traits of
//! [`ports`].
//!
//! **What it has not:** a state. Each run looks anew.

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
