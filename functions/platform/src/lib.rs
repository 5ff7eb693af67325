//! What the functions stand on: AWS, Lambda, and the database servers that they log in to.
//!
//! [`aws`] configures every client of AWS, [`response`] refuses one that is not complete, and
//! [`error`] says what went wrong with a call; [`runtime`] speaks with Lambda, and [`telemetry`] to
//! those who watch; [`rds`] is the one API that both functions read. [`login`] makes what a
//! function logs in to a database with, [`trust`] knows who may vouch for the server, [`mysql`]
//! connects to one that speaks MySQL's protocol, and [`session`] and [`refusal`] say what kept it
//! out. Nothing here decides what a function does.

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
