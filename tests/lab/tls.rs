//! A certificate authority of one's own, for servers that are to be verified.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// An authority that nobody trusts who was not given its certificate.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// It was valid until some years ago.
    Expired,
}

/// The files that a server needs to prove who it is, and its clients to believe it.
#[derive(Clone, Debug)]
pub struct Files {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's private key.
    pub key: PathBuf,
}

impl Files {
    /// For a server with these host names, by an authority of its own.
    pub fn issue(names: &[&str], directory: &Path) -> Result<Files> {
        Authority::new()?.issue(names, Flaw::None, directory)
    }
}

impl Authority {
    /// Makes an authority.
    pub fn new() -> Result<Self> {
        let mut params =
            CertificateParams::new(Vec::new()).context("the parameters of an authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "the lab's authority");
        let key = KeyPair::generate().context("make the authority's key")?;
        let issuer = CertifiedIssuer::self_signed(params, key)
            .context("make the authority's certificate")?;
        Ok(Self { issuer })
    }

    /// Its certificate, as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for these host names into a directory, with what belongs to it.
    pub fn issue(&self, names: &[&str], flaw: Flaw, directory: &Path) -> Result<Files> {
        let all: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params =
            CertificateParams::new(all).with_context(|| format!("a certificate for {names:?}"))?;
        params
            .distinguished_name
            .push(DnType::CommonName, names.first().copied().unwrap_or_default());
        if flaw == Flaw::Expired {
            params.not_before = date_time_ymd(2019, 9, 19);
            params.not_after = date_time_ymd(2024, 8, 22);
        }
        let key = KeyPair::generate().context("make a server's key")?;
        let certificate =
            params.signed_by(&key, &self.issuer).context("make a server's certificate")?;
        let write = |file: &str, text: &str| -> Result<PathBuf> {
            let path = directory.join(file);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            Ok(path)
        };
        Ok(Files {
            authority: write("authority.pem", &self.pem())?,
            certificate: write("certificate.pem", &certificate.pem())?,
            key: write("key.pem", &key.serialize_pem())?,
        })
    }
}
