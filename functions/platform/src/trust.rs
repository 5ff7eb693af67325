//! The certificate authorities that may vouch for a server.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// The authorities in the PEM file, or the shipped ones of RDS; never the public web's.
///
/// # Errors
/// When the file cannot be read, or holds no certificate, or one that cannot be used.
pub fn ca_bundle(file: Option<&Path>) -> Result<Vec<u8>, TrustError> {
    let Some(path) = file else { return Ok(SHIPPED.to_vec()) };
    let pem = fs::read(path)
        .map_err(|source| TrustError::Unreadable { path: path.to_owned(), source })?;
    check(&pem).map_err(|problem| TrustError::Unusable { path: path.to_owned(), problem })?;
    Ok(pem)
}

/// TLS that trusts these authorities, as PEM, and no others, and that verifies the server's name.
pub fn client_config(ca_bundle: &[u8]) -> ClientConfig {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(CertificateDer::pem_slice_iter(ca_bundle).flatten());
    // Named, because rustls takes neither of two providers that something else compiles in.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider has cipher suites of TLS 1.2 and 1.3");
    builder.with_root_certificates(store).with_no_client_auth()
}

/// Why the authorities in `CA_BUNDLE` cannot be used.
#[derive(Debug, Error)]
pub enum TrustError {
    /// There is no such file, or no right to read it.
    #[error("CA_BUNDLE: {} cannot be read: put the file into the function's package or a \
             layer", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a bundle.
    #[error("CA_BUNDLE: {} {problem}: give a PEM file of certificate authorities", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// See the README beside the file.
const SHIPPED: &[u8] = include_bytes!("../certificates/rds-ca.pem");

fn check(pem: &[u8]) -> Result<usize, String> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("is not PEM ({error})"))?;
        store
            .add(certificate)
            .map_err(|error| format!("holds a certificate that cannot be used ({error})"))?;
    }
    if store.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(store.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_authority_can_be_used() {
        assert_eq!(check(SHIPPED), Ok(84));
        assert_eq!(ca_bundle(None).ok().as_deref(), Some(SHIPPED));
    }

    #[test]
    fn tls_names_its_provider_and_installs_none_for_others() {
        let config = client_config(SHIPPED);
        assert_eq!(
            config.crypto_provider().cipher_suites,
            aws_lc_rs::default_provider().cipher_suites
        );
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }

    #[test]
    fn a_bundle_without_usable_certificates_is_refused() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (pem, expected) in [
            ("", "holds no certificate"),
            ("hello", "holds no certificate"),
            (broken, "cannot be used"),
        ] {
            let problem = check(pem.as_bytes()).expect_err("a problem");
            assert!(problem.contains(expected), "{pem:?}: {problem}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = ca_bundle(Some(Path::new("/nowhere/ca.pem"))).expect_err("an error");
        assert!(error.to_string().contains("/nowhere/ca.pem cannot be read"), "{error}");
    }
}
