//! Certificates for a bench, and a client that accepts any of them.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};

/// A self-signed certificate on P-256, and its key.
pub struct Identity {
    key: rcgen::CertifiedKey<rcgen::KeyPair>,
}

/// Whether a client remembers sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshakes {
    /// Every connection pays a full handshake.
    Full,
    /// Tickets are used where the server gives them.
    Resumed,
}

impl Identity {
    /// A fresh identity for `domain`.
    pub fn generate(domain: &str) -> io::Result<Identity> {
        let make = || {
            let mut params = rcgen::CertificateParams::new([domain.to_owned()])?;
            // rcgen's default, the year 4096, overflows the timer that ejabberd sets on it.
            params.not_after = rcgen::date_time_ymd(2049, 12, 31);
            let signing_key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
            let cert = params.self_signed(&signing_key)?;
            Ok(rcgen::CertifiedKey { cert, signing_key })
        };
        make()
            .map(|key| Identity { key })
            .map_err(|e: rcgen::Error| io::Error::other(e))
    }

    /// The certificate, PEM.
    pub fn certificate(&self) -> String {
        self.key.cert.pem()
    }

    /// The private key, PKCS#8 PEM.
    pub fn key(&self) -> String {
        self.key.signing_key.serialize_pem()
    }

    /// A server that shows this identity.
    pub fn server(&self) -> io::Result<Arc<ServerConfig>> {
        let key = PrivateKeyDer::try_from(self.key.signing_key.serialize_der())
            .map_err(io::Error::other)?;
        ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(vec![self.key.cert.der().clone()], key)
            })
            .map(Arc::new)
            .map_err(io::Error::other)
    }
}

/// A client that accepts **any** certificate: for benches on loopback, and nothing else.
pub fn client(handshakes: Handshakes) -> Arc<ClientConfig> {
    let provider = provider();
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    if handshakes == Handshakes::Full {
        config.resumption = Resumption::disabled();
    }
    Arc::new(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Checks that the server holds the key of its certificate, not whose certificate it is.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
