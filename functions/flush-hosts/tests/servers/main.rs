//! The real binary against real servers: MariaDB from the distribution, MySQL where it is, and
//! things that are neither.
//!
//! Each test starts the server that it needs; that takes a fifth of a second. Only the Runtime API,
//! the RDS API and Secrets Manager are stand-ins.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod access;
mod cluster;
mod fake;
mod flushing;
mod foreign_servers;
mod mysql;
mod stage;
mod tls;
