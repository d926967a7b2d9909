//! TLS by rustls: certificates by name, and what a handshake tells.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::wire::BoxIo;
use crate::sasl::{Channel, ChannelBinding};
use crate::time::Timestamp;

mod authorities;
mod certificate;
mod peers;
mod recording;

pub use authorities::ClientAuthorities;
pub(super) use peers::Shown;
pub use peers::{Authorities, PeerTls};

/// A certificate chain and its key.
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The PEM text holds no certificate.
    #[error("no certificate found")]
    NoCertificate,
    /// The PEM text holds no private key.
    #[error("no private key found")]
    NoKey,
    /// The key is of no use, or not the certificate's.
    #[error("key and certificate: {0}")]
    Mismatch(String),
    /// An authority's certificate is of no use.
    #[error("authority: {0}")]
    Authority(String),
    /// The cryptography is not to be had.
    #[error("TLS: {0}")]
    Provider(String),
    /// There is nothing to serve.
    #[error("no identity given")]
    Empty,
}

impl Identity {
    /// From PEM: the chain, leaf first, and the key (PKCS#8, PKCS#1 or SEC1).
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Identity, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::NoCertificate)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
        let key = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|error| TlsError::Mismatch(error.to_string()))?;
        Ok(Identity { key: Arc::new(key) })
    }

    /// Who the certificate says has signed it: the content of its `issuer`, DER (RFC 5280
    /// §4.1.2.4). One that signs itself has the same [`subject`](Identity::subject).
    pub fn issuer(&self) -> Option<&[u8]> {
        certificate::issuer(self.key.end_entity_cert().ok()?)
    }

    /// Whose certificate it is: the content of its `subject`, DER (RFC 5280 §4.1.2.6).
    pub fn subject(&self) -> Option<&[u8]> {
        certificate::subject(self.key.end_entity_cert().ok()?)
    }

    /// When the certificate expires.
    pub fn expires(&self) -> Option<Timestamp> {
        certificate::expires(self.key.end_entity_cert().ok()?)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// The server's side of TLS (1.2 and 1.3). Clone is cheap and shares the certificates.
#[derive(Clone)]
pub struct Tls {
    served: Arc<ArcSwap<Served>>,
}

/// What belongs together: a handshake sees one of these from its beginning to its end.
struct Served {
    config: Arc<ServerConfig>,
    names: Arc<Names>,
    authorities: Option<ClientAuthorities>,
}

impl Tls {
    /// Serves each domain with its identity; the first also for clients that name
    /// no domain that is known.
    pub fn new(identities: Vec<(String, Identity)>) -> Result<Tls, TlsError> {
        Tls::with(identities, None)
    }

    /// As [`new`](Tls::new), and asks clients for a certificate. One of these authorities
    /// makes them known by the addresses in it
    /// ([`Channel::identities`](crate::sasl::Channel::identities)); without one, or with
    /// one that is not trusted, they are served all the same.
    pub fn with_client_authorities(
        identities: Vec<(String, Identity)>,
        authorities: ClientAuthorities,
    ) -> Result<Tls, TlsError> {
        Tls::with(identities, Some(authorities))
    }

    fn with(
        identities: Vec<(String, Identity)>,
        authorities: Option<ClientAuthorities>,
    ) -> Result<Tls, TlsError> {
        let served = Served::new(identities, authorities)?;
        Ok(Tls {
            served: Arc::new(ArcSwap::from_pointee(served)),
        })
    }

    /// Replaces the certificates for all handshakes to come; with an error nothing
    /// changes. Clients cannot resume what they began under the old ones, so that a
    /// login is never bound to a certificate that is served no more.
    pub fn replace(&self, identities: Vec<(String, Identity)>) -> Result<(), TlsError> {
        let authorities = self.served.load().authorities.clone();
        self.replace_all(identities, authorities)
    }

    /// As [`replace`](Tls::replace), and the authorities whose client certificates count;
    /// with `None` clients are no longer asked for one. Who has logged in stays.
    pub fn replace_all(
        &self,
        identities: Vec<(String, Identity)>,
        authorities: Option<ClientAuthorities>,
    ) -> Result<(), TlsError> {
        let served = Served::new(identities, authorities)?;
        self.served.store(Arc::new(served));
        Ok(())
    }

    pub(super) async fn accept(&self, io: BoxIo) -> io::Result<(TlsStream<BoxIo>, Channel)> {
        let served = self.served.load_full();
        let mut stream = TlsAcceptor::from(served.config.clone()).accept(io).await?;
        let connection = stream.get_mut().1;
        connection.set_buffer_limit(Some(16 * 1024));
        let exporter = connection
            .export_keying_material([0; 32], ChannelBinding::EXPORTER_LABEL, Some(b""))
            .ok()
            .map(ChannelBinding::TlsExporter);
        let end_point = served
            .names
            .find(connection.server_name())
            .end_entity_cert()
            .ok()
            .and_then(|leaf| ChannelBinding::server_end_point(leaf));
        let identities = match (&served.authorities, connection.peer_certificates()) {
            (Some(authorities), Some(chain)) => authorities.identities(chain),
            _ => Vec::new(),
        };
        let channel = Channel {
            tls: true,
            bindings: exporter.into_iter().chain(end_point).collect(),
            identities,
        };
        Ok((stream, channel))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Served {
    fn new(
        identities: Vec<(String, Identity)>,
        authorities: Option<ClientAuthorities>,
    ) -> Result<Served, TlsError> {
        let failed = |error: rustls::Error| TlsError::Provider(error.to_string());
        let names = Arc::new(Names::new(identities)?);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        let builder = match &authorities {
            Some(authorities) => builder.with_client_cert_verifier(authorities.asking()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(names.clone());
        // XEP-0368 §4; a client that offers no protocol is served all the same.
        config.alpn_protocols = vec![b"xmpp-client".to_vec()];
        // RFC 9266 §4.2: tls-exporter on TLS 1.2 needs the extended master secret.
        config.require_ems = true;
        // A client that comes back saves both sides the signatures. Its ticket holds what
        // is remembered, so the server holds nothing; one is enough for one stream.
        config.ticketer = ticketer().map_err(failed)?;
        config.send_tls13_tickets = 1;
        Ok(Served {
            config: Arc::new(config),
            names,
            authorities,
        })
    }
}

/// Certificates by name.
#[derive(Debug)]
struct Names {
    named: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

impl Names {
    fn new(identities: Vec<(String, Identity)>) -> Result<Names, TlsError> {
        let default = identities.first().ok_or(TlsError::Empty)?.1.key.clone();
        let named = identities
            .into_iter()
            .map(|(name, identity)| {
                // RFC 6066 §3: the name in a handshake is ASCII.
                let name = idna::domain_to_ascii(&name).unwrap_or(name);
                (name, identity.key)
            })
            .collect();
        Ok(Names { named, default })
    }

    fn find(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        name.and_then(|name| self.named.get(name))
            .unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(hello.server_name()).clone())
    }
}

fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "ring")]
    return Arc::new(rustls::crypto::ring::default_provider());
    #[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
    return Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    compile_error!("xmpp-core's `io` needs one of the features `ring` and `aws-lc-rs`");
}

fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    #[cfg(feature = "ring")]
    return rustls::crypto::ring::Ticketer::new();
    #[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
    return rustls::crypto::aws_lc_rs::Ticketer::new();
}

#[cfg(test)]
mod tests;
