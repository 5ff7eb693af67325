//! A release: that all of it is of one version, and that a person who unpacks it deploys it with
//! sam alone.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

mod deployed;
mod version;
