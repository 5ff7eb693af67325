//! What the functions share of the world outside: AWS, Lambda, and the database servers that they
//! log in to.
//!
//! In the order in which a function meets them: [`telemetry`] writes its log and metrics, [`trust`]
//! reads who may vouch for a server, [`aws`] configures every client of AWS, and [`runtime`] is
//! Lambda's side of an invocation. [`rds`] asks what belongs to a database; [`response`] refuses an
//! answer that is not whole, and [`error`] says what went wrong with a call. [`login`] makes what a
//! session begins with, [`mysql`] is one with MySQL's protocol, and [`connect_error`] and
//! [`server_error`] say what kept a function out.
//!
//! **What it has not:** a rule of either function, or the name of one.

pub mod aws;
pub mod connect_error;
pub mod error;
pub mod login;
pub mod mysql;
pub mod rds;
pub mod response;
pub mod runtime;
pub mod server_error;
pub mod telemetry;
pub mod trust;
