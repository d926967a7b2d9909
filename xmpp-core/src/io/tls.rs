//! TLS by rustls: certificates by name, and what a handshake tells.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::wire::BoxIo;
use crate::sasl::{Channel, ChannelBinding};

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
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// The server's side of TLS. Clone is cheap and shares the certificates.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    names: Arc<Names>,
}

impl Tls {
    /// Serves each domain with its identity; the first also for clients that name
    /// no domain that is known.
    pub fn new(identities: Vec<(String, Identity)>) -> Result<Tls, TlsError> {
        let names = Arc::new(Names(ArcSwap::new(Arc::new(Table::new(identities)?))));
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Mismatch(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(names.clone());
        let mut config = config;
        // XEP-0368 §4; a client that offers no protocol is served all the same.
        config.alpn_protocols = vec![b"xmpp-client".to_vec()];
        // RFC 9266 §4.2: tls-exporter on TLS 1.2 needs the extended master secret.
        config.require_ems = true;
        Ok(Tls {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            names,
        })
    }

    /// Replaces the certificates for all handshakes to come; with an error nothing changes.
    pub fn replace(&self, identities: Vec<(String, Identity)>) -> Result<(), TlsError> {
        self.names.0.store(Arc::new(Table::new(identities)?));
        Ok(())
    }

    pub(super) async fn accept(&self, io: BoxIo) -> io::Result<(TlsStream<BoxIo>, Channel)> {
        let mut stream = self.acceptor.accept(io).await?;
        let connection = stream.get_mut().1;
        connection.set_buffer_limit(Some(16 * 1024));
        let mut channel = Channel::default();
        channel.tls = true;
        if let Ok(exporter) =
            connection.export_keying_material([0; 32], ChannelBinding::EXPORTER_LABEL, Some(b""))
        {
            channel.bindings.push(ChannelBinding::TlsExporter(exporter));
        }
        let name = connection.server_name();
        let served = self.names.0.load().find(name);
        if let Some(end_point) = served
            .end_entity_cert()
            .ok()
            .and_then(|leaf| ChannelBinding::server_end_point(leaf))
        {
            channel.bindings.push(end_point);
        }
        Ok((stream, channel))
    }
}

#[derive(Debug)]
struct Names(ArcSwap<Table>);

#[derive(Debug)]
struct Table {
    named: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

impl Table {
    fn new(identities: Vec<(String, Identity)>) -> Result<Table, TlsError> {
        let default = identities.first().ok_or(TlsError::Empty)?.1.key.clone();
        let named = identities
            .into_iter()
            .map(|(name, identity)| (name, identity.key))
            .collect();
        Ok(Table { named, default })
    }

    fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        name.and_then(|name| self.named.get(name))
            .unwrap_or(&self.default)
            .clone()
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().find(hello.server_name()))
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
