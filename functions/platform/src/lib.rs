//! What the functions share of the world outside: AWS, Lambda, and the database servers.
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
