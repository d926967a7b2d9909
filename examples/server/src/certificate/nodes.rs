//! Certificates by which the nodes of a cluster know each other: an authority that vouches for them and nobody else, and one for each node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use xmpp_cluster::node::NodeId;

use super::own::Pair;
use super::{Files, Name, read};
use crate::folder;

/// Days that the authority is valid: as long as a cluster may be expected to be there.
const AUTHORITY_DAYS: u32 = 3650;
const AUTHORITY: &str = "authority";
const DAY: Duration = Duration::from_secs(86_400);

/// A node, and where others connect to it: `a`, or `a@a.example.org`.
#[derive(Clone, Debug)]
pub struct Node {
    name: NodeId,
    host: Option<Name>,
}

impl FromStr for Node {
    type Err = String;

    fn from_str(text: &str) -> Result<Node, String> {
        let (name, host) = match text.split_once('@') {
            Some((name, host)) => (name, Some(host.parse()?)),
            None => (text, None),
        };
        let name: NodeId = name.parse().map_err(|error| format!("{name:?}: {error}"))?;
        match name.as_str() {
            AUTHORITY => Err(format!("{AUTHORITY} is no node")),
            _ => Ok(Node { name, host }),
        }
    }
}

/// `cluster certificates`: makes one for each of these nodes, signed by the authority of the folder, which is made if it is not there.
pub fn generate(nodes: &[Node], out: &Path, days: u32, force: bool) -> anyhow::Result<()> {
    for node in nodes {
        let files = Files::own(out, node.name.as_str());
        for path in [&files.certificate, &files.key] {
            ensure!(
                force || !path.exists(),
                "{} is there already; --force replaces it",
                path.display()
            );
        }
    }
    folder::prepare(out)?;
    let now = SystemTime::now();
    let authority = authority(out, now)?;
    for node in nodes {
        let files = Files::own(out, node.name.as_str());
        node.pair(days, now, &authority)?.write(&files)?;
        println!("{}\n{}", files.certificate.display(), files.key.display());
    }
    Ok(())
}

/// The authority of a folder.
fn authority(folder: &Path, now: SystemTime) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let files = Files::own(folder, AUTHORITY);
    let Files { certificate, key } = &files;
    ensure!(
        certificate.exists() == key.exists(),
        "of {} and {} only one is there",
        certificate.display(),
        key.display()
    );
    if !certificate.exists() {
        new_authority(now)?.write(&files)?;
        println!("{}\n{}", certificate.display(), key.display());
    }
    let text = String::from_utf8(read(key)?).map_err(anyhow::Error::from);
    let key = text.and_then(|text| Ok(KeyPair::from_pem(&text)?));
    let key = key.with_context(|| files.key.display().to_string())?;
    Ok(Issuer::new(authority_parameters(now), key))
}

/// All that certificates repeat of their issuer is its name and what follows from its key.
fn authority_parameters(now: SystemTime) -> CertificateParams {
    let mut parameters = parameters("nodes of a cluster", AUTHORITY_DAYS, now);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters
}

fn new_authority(now: SystemTime) -> anyhow::Result<Pair> {
    let key = new_key()?;
    let certificate = authority_parameters(now)
        .self_signed(&key)
        .context("not signed")?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

impl Node {
    fn pair(
        &self,
        days: u32,
        now: SystemTime,
        authority: &Issuer<'static, KeyPair>,
    ) -> anyhow::Result<Pair> {
        let name = self.name.as_str();
        let mut parameters = parameters(name, days, now);
        // Either of two nodes may have connected to the other.
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let host = self.host.as_ref().map(Name::host);
        let hosts = [name.to_owned()].into_iter().chain(host.clone());
        let named = CertificateParams::new(hosts.collect::<Vec<_>>()).context("not a host")?;
        parameters.subject_alt_names = named.subject_alt_names;
        if host.is_none() {
            let dns = "localhost".try_into().context("not a host")?;
            parameters.subject_alt_names.extend([
                SanType::DnsName(dns),
                SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            ]);
        }
        let key = new_key()?;
        let certificate = parameters.signed_by(&key, authority);
        Ok(Pair {
            certificate: certificate.context("not signed")?.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn new_key() -> anyhow::Result<KeyPair> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).context("no key")
}

fn parameters(name: &str, days: u32, now: SystemTime) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    let mut subject = rcgen::DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    parameters.distinguished_name = subject;
    parameters.use_authority_key_identifier_extension = true;
    // Another node's clock may be slow.
    parameters.not_before = (now - Duration::from_secs(3600)).into();
    parameters.not_after = (now + DAY * days).into();
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::server::WebPkiClientVerifier;
    use std::sync::Arc;

    fn node(text: &str) -> Node {
        text.parse().unwrap()
    }

    fn certificate(folder: &Path, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&Files::own(folder, name).certificate).unwrap()
    }

    /// What both sides of a connection verify, with the authority of a folder.
    fn trusts(folder: &Path, of: &CertificateDer<'_>, host: &str) -> (bool, bool) {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate(folder, AUTHORITY)).unwrap();
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::client::WebPkiServerVerifier::builder_with_provider(
            roots.clone(),
            provider.clone(),
        );
        let server = server.build().unwrap();
        let client = WebPkiClientVerifier::builder_with_provider(roots, provider);
        let client = client.build().unwrap();
        let now = UnixTime::now();
        let name = ServerName::try_from(host).unwrap();
        let as_server = {
            use rustls::client::danger::ServerCertVerifier as _;
            server.verify_server_cert(of, &[], &name, &[], now)
        };
        let as_client = client.verify_client_cert(of, &[], now);
        (as_server.is_ok(), as_client.is_ok())
    }

    #[test]
    fn both_ends_of_a_connection_know_a_node_by_its_authority_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let (here, elsewhere) = (folder.path().join("here"), folder.path().join("elsewhere"));
        let nodes = [node("a"), node("b@b.example.org")];
        generate(&nodes, &here, 30, false).unwrap();
        generate(&nodes, &elsewhere, 30, false).unwrap();
        let (a, b) = (certificate(&here, "a"), certificate(&here, "b"));
        assert_eq!(trusts(&here, &a, "127.0.0.1"), (true, true));
        assert_eq!(trusts(&here, &a, "a"), (true, true));
        assert_eq!(trusts(&here, &b, "b.example.org"), (true, true));
        assert_eq!(trusts(&here, &b, "localhost"), (false, true));
        assert_eq!(trusts(&elsewhere, &a, "127.0.0.1"), (false, false));
    }

    #[test]
    fn a_node_that_comes_later_is_signed_by_the_same_authority() {
        let folder = tempfile::tempdir().unwrap();
        generate(&[node("a")], folder.path(), 30, false).unwrap();
        let before = certificate(folder.path(), AUTHORITY);
        generate(&[node("b")], folder.path(), 30, false).unwrap();
        assert_eq!(certificate(folder.path(), AUTHORITY), before);
        let a = certificate(folder.path(), "a");
        assert!(generate(&[node("c"), node("a")], folder.path(), 30, false).is_err());
        assert!(!Files::own(folder.path(), "c").are_there());
        assert_eq!(certificate(folder.path(), "a"), a);
        generate(&[node("a")], folder.path(), 30, true).unwrap();
        assert_ne!(certificate(folder.path(), "a"), a);
        std::fs::remove_file(Files::own(folder.path(), AUTHORITY).key).unwrap();
        assert!(generate(&[node("c")], folder.path(), 30, false).is_err());
    }

    #[test]
    fn what_is_no_node_is_refused() {
        for bad in ["", "A", "authority", "a@", "@b", "a@b c"] {
            assert!(bad.parse::<Node>().is_err(), "{bad}");
        }
    }
}
