//! A release: all of one version, and deployed by whoever unpacks it with sam alone.

// In a test a failed unwrap is the failure that it reports.
#![allow(clippy::unwrap_used)]

mod deployed;
mod version;
