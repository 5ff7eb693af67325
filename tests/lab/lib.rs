//! The local lab: AWS, DNS, a database pair and a load balancer on loopback, without an account.
//!
//! The end-to-end tests and `make demo` are written with it. What a piece starts dies with it.

pub mod aurora;
pub mod aws;
pub mod cli;
pub mod cloudformation;
pub mod deploy;
pub mod dns;
pub mod events;
pub mod gateway;
pub mod guarded;
pub mod health;
pub mod history;
pub mod host_cache;
pub mod lambda;
pub mod login;
pub mod mariadb;
pub mod mysql_writer;
pub mod nlb;
pub mod poll;
pub mod postgres;
pub mod process;
pub mod progress;
pub mod rds;
pub mod role;
pub mod stage;
pub mod tls;
pub mod variables;
pub mod workspace;
pub mod writer;
