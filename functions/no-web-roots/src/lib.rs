//! No certificate authorities, in place of Mozilla's.
//!
//! The functions trust RDS's authorities and those of `CA_BUNDLE`, and tell `mysql_async` so. It
//! would link the web's nevertheless, which are 70 KB of a zip that has a limit.

use rustls_pki_types::TrustAnchor;

/// Nobody.
pub const TLS_SERVER_ROOTS: &[TrustAnchor<'static>] = &[];
