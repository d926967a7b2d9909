//! Certificates: those of the operator, and those that the server makes itself.

mod name;
pub mod nodes;
mod own;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use xmpp_core::io::{ClientAuthorities, Identity, Tls};

use crate::config::{Config, Domain};
use crate::folder;

pub use name::Name;
use own::Pair;
pub use own::{DAYS, MAX_DAYS, make_missing, renew, renew_daily};

/// The certificates of all domains, by their names.
pub type Identities = Vec<(String, Identity)>;

/// Reads the certificates of all domains.
pub fn load(config: &Config) -> anyhow::Result<Identities> {
    let load = |domain: &Domain| {
        let name = domain.name.0.to_string();
        let identity = Files::of(config, domain).read();
        Ok((name.clone(), identity.context(name)?))
    };
    config.domains.iter().map(load).collect()
}

/// As [`load`]; those that a start would make are made, and not written.
pub fn load_or_make(config: &Config, now: SystemTime) -> anyhow::Result<Identities> {
    let load = |domain: &Domain| {
        let name = domain.name.0.to_string();
        let files = Files::of(config, domain);
        let made = || {
            let pair = Pair::for_domain(config, domain, &files, now)?;
            Ok(Identity::from_pem(
                pair.certificate.as_bytes(),
                pair.key.as_bytes(),
            )?)
        };
        let identity = match domain.certificate.is_some() || files.are_there() {
            true => files.read(),
            false => made(),
        };
        Ok((name.clone(), identity.context(name)?))
    };
    config.domains.iter().map(load).collect()
}

/// TLS as the settings have it.
pub fn tls(config: &Config, identities: Identities) -> anyhow::Result<Tls> {
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
pub fn generate(domains: &[Name], out: &Path, days: u32, force: bool) -> anyhow::Result<()> {
    let first = domains.first().context("no domain")?;
    let files = Files::own(out, first.as_str());
    for path in [&files.certificate, &files.key] {
        ensure!(
            force || !path.exists(),
            "{} is there already; --force replaces it",
            path.display()
        );
    }
    folder::prepare(out)?;
    Pair::new(domains, days, SystemTime::now())?.write(&files)?;
    println!("{}\n{}", files.certificate.display(), files.key.display());
    Ok(())
}

/// Where a certificate is, and its key.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    /// Those of a domain: of the operator, or else our own.
    fn of(config: &Config, domain: &Domain) -> Files {
        match (&domain.certificate, &domain.key) {
            (Some(certificate), Some(key)) => Files {
                certificate: certificate.clone(),
                key: key.clone(),
            },
            _ => Files::own(&config.data, domain.name.0.as_str()),
        }
    }

    /// Where those of our own are.
    fn own(folder: &Path, domain: &str) -> Files {
        Files {
            certificate: folder.join(format!("{domain}.crt.pem")),
            key: folder.join(format!("{domain}.key.pem")),
        }
    }

    fn are_there(&self) -> bool {
        self.certificate.exists() && self.key.exists()
    }

    fn read(&self) -> anyhow::Result<Identity> {
        let Files { certificate, key } = self;
        Identity::from_pem(&read(certificate)?, &read(key)?)
            .with_context(|| format!("{} and {}", certificate.display(), key.display()))
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
