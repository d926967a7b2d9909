//! Certificates: those of the operator, and those that the server makes itself.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use xmpp_core::io::{ClientAuthorities, Identity, Tls};

use crate::config::{Config, Domain};
use crate::folder;

/// Days that a certificate of our own is valid.
pub const DAYS: u32 = 365;

/// Makes the certificates that the settings do not name and that are not there yet.
pub fn make_missing(config: &Config) -> anyhow::Result<()> {
    for domain in config.domains.iter().filter(|d| d.certificate.is_none()) {
        let name = domain.name.0.as_str();
        let (certificate, key) = own(&config.data, name);
        if certificate.exists() && key.exists() {
            continue;
        }
        make(&[name.to_owned()], &certificate, &key, DAYS)?;
        tracing::info!(
            domain = name,
            path = %certificate.display(),
            "made a certificate; clients will not trust it unless they are told to"
        );
    }
    Ok(())
}

/// Reads the certificates of all domains.
pub fn load(config: &Config) -> anyhow::Result<Vec<(String, Identity)>> {
    let load = |domain: &Domain| {
        let name = domain.name.0.to_string();
        let identity = identity(config, domain).with_context(|| name.clone())?;
        Ok((name, identity))
    };
    config.domains.iter().map(load).collect()
}

/// TLS as the settings have it.
pub fn tls(config: &Config, identities: Vec<(String, Identity)>) -> anyhow::Result<Tls> {
    Ok(match authorities(config)? {
        Some(authorities) => Tls::with_client_authorities(identities, authorities)?,
        None => Tls::new(identities)?,
    })
}

/// Reads the authorities whose client certificates count.
pub fn authorities(config: &Config) -> anyhow::Result<Option<ClientAuthorities>> {
    let Some(path) = &config.tls.client_authorities else {
        return Ok(None);
    };
    let authorities = ClientAuthorities::from_pem(&read(path)?);
    authorities
        .with_context(|| path.display().to_string())
        .map(Some)
}

/// `gen-cert`
pub fn generate(domains: &[String], out: &Path, days: u32) -> anyhow::Result<()> {
    let first = domains.first().context("no domain")?;
    let (certificate, key) = own(out, first);
    for path in [&certificate, &key] {
        ensure!(!path.exists(), "{} is there already", path.display());
    }
    folder::prepare(out)?;
    make(domains, &certificate, &key, days)?;
    println!("{}\n{}", certificate.display(), key.display());
    Ok(())
}

fn identity(config: &Config, domain: &Domain) -> anyhow::Result<Identity> {
    let (certificate, key) = match (&domain.certificate, &domain.key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => own(&config.data, domain.name.0.as_str()),
    };
    Identity::from_pem(&read(&certificate)?, &read(&key)?)
        .with_context(|| format!("{} and {}", certificate.display(), key.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Where a certificate of our own is, and its key.
fn own(folder: &Path, domain: &str) -> (PathBuf, PathBuf) {
    (
        folder.join(format!("{domain}.crt.pem")),
        folder.join(format!("{domain}.key.pem")),
    )
}

/// A certificate that signs itself, with a P-256 key: what clients verify fastest.
fn make(names: &[String], certificate: &Path, key: &Path, days: u32) -> anyhow::Result<()> {
    let mut parameters = CertificateParams::new(names.to_vec()).context("not a domain")?;
    let name = names.first().context("no domain")?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    if name == "localhost" {
        let loopback = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        let names = &mut parameters.subject_alt_names;
        names.extend(loopback.map(SanType::IpAddress));
    }
    let now = SystemTime::now();
    // A client's clock may be slow.
    parameters.not_before = (now - Duration::from_secs(3600)).into();
    parameters.not_after = (now + Duration::from_secs(86_400) * days).into();
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).context("no key")?;
    let signed = parameters.self_signed(&pair).context("not signed")?;
    folder::write_new(key, pair.serialize_pem().as_bytes(), 0o600)?;
    folder::write_new(certificate, signed.pem().as_bytes(), 0o644)
}
