//! TLS with other servers: both sides show a certificate if they have one, and whom it names is judged when it matters
//! (RFC 6120 §13.7.2, XEP-0178 §3).

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::{ResolvesClientCert, Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::recording::Recording;
use super::{Identity, Names, TlsError, certificate, provider};
use crate::BareJid;
use crate::io::wire::BoxIo;

/// XEP-0368 §4
const ALPN: &[u8] = b"xmpp-server";

/// The authorities that vouch for other servers.
#[derive(Clone)]
pub struct Authorities {
    roots: Arc<RootCertStore>,
    /// For peers that show a certificate which is for clients of TLS alone; none if there are no roots.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl Authorities {
    /// From PEM: one or more certificates of authorities.
    ///
    /// # Errors
    /// If there is none in it, or one that is of no use.
    pub fn from_pem(pem: &[u8]) -> Result<Authorities, TlsError> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(pem) {
            let root = root.map_err(|_| TlsError::NoCertificate)?;
            roots
                .add(root)
                .map_err(|error| TlsError::Authority(error.to_string()))?;
        }
        match roots.is_empty() {
            true => Err(TlsError::NoCertificate),
            false => Authorities::new(roots),
        }
    }

    /// Those that the operating system trusts; there may be none. It reads files.
    ///
    /// # Errors
    /// If the cryptography is not to be had.
    pub fn native() -> Result<Authorities, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "authorities of the operating system");
        }
        let mut roots = RootCertStore::empty();
        // Such stores hold certificates of every age, and some that nobody can read.
        roots.add_parsable_certificates(found.certs);
        Authorities::new(roots)
    }

    fn new(roots: RootCertStore) -> Result<Authorities, TlsError> {
        let roots = Arc::new(roots);
        let clients = match roots.is_empty() {
            true => None,
            false => Some(
                WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
                    .build()
                    .map_err(|error| TlsError::Authority(error.to_string()))?,
            ),
        };
        Ok(Authorities { roots, clients })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// Whether nobody vouches for anybody.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Whether one of them vouches for the first of these certificates now, by way of the others.
    fn vouch_for(&self, shown: &Shown, now: UnixTime) -> Result<(), rustls::Error> {
        let Some((leaf, intermediates)) = shown.chain.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = provider().signature_verification_algorithms.all;
        let roots = &self.roots;
        // Servers' certificates are often for servers of TLS alone, also where they open the connection.
        let verified = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            roots,
            intermediates,
            now,
            algorithms,
        );
        match (verified, &self.clients) {
            (Err(_), Some(clients)) if shown.opened => {
                let verified = clients.verify_client_cert(leaf, intermediates, now);
                verified.map(drop)
            }
            (verified, _) => verified,
        }
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities")
            .field("len", &self.len())
            .finish()
    }
}

/// What the peer has shown in the handshake, in which it has proven that it has the first one's key.
#[derive(Debug, Default)]
pub(in crate::io) struct Shown {
    chain: Vec<CertificateDer<'static>>,
    /// The peer is the side that opened the connection.
    opened: bool,
    judged: Option<Judged>,
}

/// For how many seconds it holds what was found of a chain.
const JUDGED_FOR: u64 = 30;

/// What was found of a chain.
#[derive(Debug)]
struct Judged {
    /// In the eyes of these authorities.
    by: Arc<RootCertStore>,
    /// In seconds.
    at: u64,
    trusted: bool,
}

impl Shown {
    /// `opened`: by the side that opened the connection.
    fn new(chain: Option<&[CertificateDer<'_>]>, opened: bool) -> Shown {
        let chain = chain.unwrap_or_default();
        Shown {
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            opened,
            judged: None,
        }
    }

    /// What `judge` says of it. A peer can ask with each element that it sends, and can show a chain that takes a hundred signatures
    /// to see through: so that is done anew only when some time has passed, or the authorities have changed.
    fn is_trusted(
        &mut self,
        by: &Authorities,
        now: UnixTime,
        judge: impl FnOnce(&Shown) -> bool,
    ) -> bool {
        let now = now.as_secs();
        if let Some(judged) = &self.judged
            && Arc::ptr_eq(&judged.by, &by.roots)
            && (judged.at..judged.at + JUDGED_FOR).contains(&now)
        {
            return judged.trusted;
        }
        let trusted = judge(self);
        let by = by.roots.clone();
        self.judged = Some(Judged {
            by,
            at: now,
            trusted,
        });
        trusted
    }
}

/// Our side of TLS with other servers (1.2 and 1.3), whoever opens the connection. Clone is cheap and shares the certificates.
///
/// Nothing is resumed: each connection shows its certificates anew.
#[derive(Clone)]
pub struct PeerTls {
    ours: Arc<ArcSwap<Ours>>,
}

/// What belongs together.
struct Ours {
    accepting: Arc<ServerConfig>,
    opening: HashMap<String, Arc<ClientConfig>>,
    /// The first of them.
    default: Arc<ClientConfig>,
    authorities: Authorities,
}

impl PeerTls {
    /// Shows each domain's identity; the first also to peers that name no domain that is known.
    ///
    /// # Errors
    /// If there is no identity, or the cryptography is not to be had.
    pub fn new(
        identities: Vec<(String, Identity)>,
        authorities: Authorities,
    ) -> Result<PeerTls, TlsError> {
        let ours = Ours::new(identities, authorities)?;
        Ok(PeerTls {
            ours: Arc::new(ArcSwap::from_pointee(ours)),
        })
    }

    /// Replaces the identities for all handshakes to come, and the authorities for all that is judged from now on, on
    /// connections that are there as well. With an error nothing changes.
    ///
    /// # Errors
    /// As for [`new`](PeerTls::new).
    pub fn replace(
        &self,
        identities: Vec<(String, Identity)>,
        authorities: Authorities,
    ) -> Result<(), TlsError> {
        self.ours
            .store(Arc::new(Ours::new(identities, authorities)?));
        Ok(())
    }

    /// The handshake on a connection that was accepted.
    pub(in crate::io) async fn accept(&self, io: BoxIo) -> io::Result<(TlsStream<BoxIo>, Shown)> {
        let config = self.ours.load().accepting.clone();
        let mut stream = TlsAcceptor::from(config).accept(io).await?;
        let connection = stream.get_mut().1;
        connection.set_buffer_limit(Some(BUFFER));
        let shown = Shown::new(connection.peer_certificates(), true);
        Ok((stream.into(), shown))
    }

    /// The handshake on a connection that we have opened from one domain to another; `direct` if it is the first thing
    /// that happens there (XEP-0368).
    pub(in crate::io) async fn connect(
        &self,
        io: BoxIo,
        from: &BareJid,
        to: &BareJid,
        direct: bool,
    ) -> io::Result<(TlsStream<BoxIo>, Shown)> {
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let ascii = idna::domain_to_ascii(to.as_str()).map_err(|_| invalid(()))?;
        let name = ascii.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned()).map_err(|_| invalid(()))?;
        let connector = TlsConnector::from(self.ours.load().opening(from).clone());
        let protocols = if direct {
            vec![ALPN.to_vec()]
        } else {
            Vec::new()
        };
        let mut stream = connector.with_alpn(protocols).connect(name, io).await?;
        let connection = stream.get_mut().1;
        connection.set_buffer_limit(Some(BUFFER));
        let shown = Shown::new(connection.peer_certificates(), false);
        Ok((stream.into(), shown))
    }

    /// Whether what the peer has shown is right for a domain: an authority vouches for it now, and it names the domain.
    pub(in crate::io) fn certifies(&self, shown: &mut Shown, domain: &BareJid) -> bool {
        let Some(leaf) = shown.chain.first() else {
            return false;
        };
        if !certificate::is_of_server(leaf, domain) {
            tracing::debug!(%domain, "the certificate does not name the domain");
            return false;
        }
        let authorities = &self.ours.load().authorities;
        let now = UnixTime::now();
        shown.is_trusted(authorities, now, |shown| {
            let vouched = authorities.vouch_for(shown, now);
            if let Err(error) = &vouched {
                tracing::debug!(%domain, %error, "the certificate is not trusted");
            }
            vouched.is_ok()
        })
    }
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerTls")
    }
}

/// Bytes that a connection buffers before encryption: one record.
const BUFFER: usize = 16 * 1024;

impl Ours {
    fn new(
        identities: Vec<(String, Identity)>,
        authorities: Authorities,
    ) -> Result<Ours, TlsError> {
        let failed = |error: rustls::Error| TlsError::Provider(error.to_string());
        let (mut opening, mut default) = (HashMap::new(), None);
        for (domain, identity) in &identities {
            let mut config = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .map_err(failed)?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Recording::new(provider())))
                .with_client_cert_resolver(Arc::new(Shows(identity.key.clone())));
            config.resumption = Resumption::disabled();
            let config = Arc::new(config);
            default.get_or_insert_with(|| config.clone());
            opening.insert(domain.clone(), config);
        }
        let default = default.ok_or(TlsError::Empty)?;
        let names = Arc::new(Names::new(identities)?);
        let mut accepting = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_client_cert_verifier(Arc::new(Recording::new(provider())))
            .with_cert_resolver(names);
        // A peer that offers no protocol is served all the same.
        accepting.alpn_protocols = vec![ALPN.to_vec()];
        accepting.session_storage = Arc::new(NoServerSessionStorage {});
        accepting.send_tls13_tickets = 0;
        Ok(Ours {
            accepting: Arc::new(accepting),
            opening,
            default,
            authorities,
        })
    }

    fn opening(&self, from: &BareJid) -> &Arc<ClientConfig> {
        self.opening.get(from.as_str()).unwrap_or(&self.default)
    }
}

/// Shows this certificate, whoever is asked for.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(
        &self,
        _authorities: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_chain_is_judged_once_in_a_while_and_anew_by_other_authorities() {
        let authorities = || Authorities::new(RootCertStore::empty()).unwrap();
        let (some, others) = (authorities(), authorities());
        let mut shown = Shown::default();
        let mut judge = |by: &Authorities, at: u64, trusted: bool| {
            let mut asked = false;
            let now = UnixTime::since_unix_epoch(Duration::from_secs(at));
            let found = shown.is_trusted(by, now, |_| {
                asked = true;
                trusted
            });
            (asked, found)
        };
        assert_eq!(judge(&some, 1000, true), (true, true));
        assert_eq!(judge(&some, 1000, false), (false, true));
        assert_eq!(judge(&some, 1029, false), (false, true));
        assert_eq!(judge(&others, 1029, false), (true, false));
        assert_eq!(judge(&others, 1030, true), (false, false));
        // It has expired meanwhile, or begun to count; or the clock was set back.
        assert_eq!(judge(&others, 1059, true), (true, true));
        assert_eq!(judge(&others, 1058, false), (true, false));
    }
}
