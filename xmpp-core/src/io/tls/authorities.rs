//! Client certificates, for SASL EXTERNAL (XEP-0178 §2).

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};

use super::{TlsError, certificate, provider};
use crate::BareJid;

/// The authorities whose client certificates count.
#[derive(Clone)]
pub struct ClientAuthorities {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl ClientAuthorities {
    /// From PEM: one or more certificates of authorities.
    pub fn from_pem(pem: &[u8]) -> Result<ClientAuthorities, TlsError> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(pem) {
            let root = root.map_err(|_| TlsError::NoCertificate)?;
            roots
                .add(root)
                .map_err(|error| TlsError::Authority(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| TlsError::Authority(error.to_string()))?;
        Ok(ClientAuthorities { verifier })
    }

    /// Whom a chain names, if one of the authorities vouches for it now. The
    /// handshake has shown that the client has the key.
    pub(super) fn identities(&self, chain: &[CertificateDer<'_>]) -> Vec<BareJid> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Vec::new();
        };
        let now = UnixTime::now();
        match self.verifier.verify_client_cert(leaf, intermediates, now) {
            Ok(_) => certificate::xmpp_addresses(leaf),
            Err(error) => {
                tracing::debug!(%error, "client certificate not trusted");
                Vec::new()
            }
        }
    }

    /// Asks clients for a certificate, and goes on with whatever they have.
    pub(super) fn asking(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Asking(self.verifier.clone()))
    }
}

impl fmt::Debug for ClientAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAuthorities")
    }
}

/// Puts off the verdict until after the handshake: a client whose certificate means
/// nothing to us can still log in with a password. Only the proof that it has the
/// certificate's key is demanded at once.
#[derive(Debug)]
struct Asking(Arc<dyn ClientCertVerifier>);

/// A certificate that cannot be read proves nothing and is never trusted later, so it does
/// not matter who signed.
pub(super) fn or_unreadable(
    certificate: &CertificateDer<'_>,
    verified: Result<HandshakeSignatureValid, rustls::Error>,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    match ParsedCertificate::try_from(certificate) {
        Ok(_) => verified,
        Err(_) => Ok(HandshakeSignatureValid::assertion()),
    }
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let verified = self
            .0
            .verify_tls12_signature(message, certificate, signature);
        or_unreadable(certificate, verified)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let verified = self
            .0
            .verify_tls13_signature(message, certificate, signature);
        or_unreadable(certificate, verified)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
