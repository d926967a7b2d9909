//! Channel binding: what ties a login to the TLS connection it runs in (RFC 5056).

use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::der::{self, OBJECT_IDENTIFIER, SEQUENCE, context};

/// The binding of one type for one connection; the TLS layer provides it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelBinding {
    /// `tls-exporter` (RFC 9266): 32 bytes of keying material exported with the label
    /// [`ChannelBinding::EXPORTER_LABEL`] and an empty context. Only with TLS 1.3, or with TLS 1.2 and the extended
    /// master secret.
    TlsExporter([u8; 32]),
    /// `tls-server-end-point` (RFC 5929 §4): a hash of the server's certificate. Works behind a TLS terminator that
    /// has the same certificate.
    TlsServerEndPoint(Vec<u8>),
}

impl ChannelBinding {
    /// The exporter label of RFC 9266 §4.
    pub const EXPORTER_LABEL: &'static [u8] = b"EXPORTER-Channel-Binding";

    /// `tls-server-end-point` of a server certificate in DER.
    ///
    /// The hash is the one of the certificate's signature, or SHA-256 where that is MD5 or SHA-1 (RFC 5929 §4.1).
    /// `None` when the bytes are not a certificate or its signature has no single hash function (Ed25519), for which
    /// the RFC defines no binding.
    pub fn server_end_point(certificate: &[u8]) -> Option<Self> {
        let hash = match signature_hash(certificate)? {
            SignatureHash::Sha256 => Sha256::digest(certificate).to_vec(),
            SignatureHash::Sha384 => Sha384::digest(certificate).to_vec(),
            SignatureHash::Sha512 => Sha512::digest(certificate).to_vec(),
        };
        Some(Self::TlsServerEndPoint(hash))
    }

    /// The registered unique prefix, as `p=` and XEP-0440 have it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TlsExporter(_) => "tls-exporter",
            Self::TlsServerEndPoint(_) => "tls-server-end-point",
        }
    }

    /// The binding data.
    pub fn data(&self) -> &[u8] {
        match self {
            Self::TlsExporter(data) => data,
            Self::TlsServerEndPoint(data) => data,
        }
    }
}

#[derive(Clone, Copy)]
enum SignatureHash {
    Sha256,
    Sha384,
    Sha512,
}

/// `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OID, … }, … }` (RFC 5280 §4.1).
fn signature_hash(certificate: &[u8]) -> Option<SignatureHash> {
    let (body, _) = der::take(certificate, SEQUENCE)?;
    let (_, after_tbs) = der::take(body, SEQUENCE)?;
    let (algorithm, _) = der::take(after_tbs, SEQUENCE)?;
    let (oid, parameters) = der::take(algorithm, OBJECT_IDENTIFIER)?;
    if oid == RSASSA_PSS {
        return pss_hash(parameters);
    }
    SIGNATURES
        .iter()
        .find(|(known, _)| *known == oid)
        .map(|(_, hash)| *hash)
}

/// `RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] AlgorithmIdentifier DEFAULT sha1, … }` (RFC 4055 §3.1).
fn pss_hash(parameters: &[u8]) -> Option<SignatureHash> {
    let (fields, _) = der::take(parameters, SEQUENCE)?;
    let Some((hash, _)) = der::take(fields, context(0)) else {
        return Some(SignatureHash::Sha256);
    };
    let (algorithm, _) = der::take(hash, SEQUENCE)?;
    let (oid, _) = der::take(algorithm, OBJECT_IDENTIFIER)?;
    HASHES
        .iter()
        .find(|(known, _)| *known == oid)
        .map(|(_, hash)| *hash)
}

/// 1.2.840.113549.1.1.10
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];

const SIGNATURES: &[(&[u8], SignatureHash)] = {
    use SignatureHash::{Sha256, Sha384, Sha512};
    &[
        // PKCS #1 v1.5, 1.2.840.113549.1.1: with MD5, SHA-1, SHA-256, SHA-384, SHA-512.
        // RFC 5929 §4.1: "if the certificate's signatureAlgorithm uses a single hash function, and that hash function
        // is either MD5 or SHA-1, then use SHA-256".
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4], Sha256),
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5], Sha256),
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], Sha256),
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12], Sha384),
        (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13], Sha512),
        // ECDSA, 1.2.840.10045.4: with SHA-1, and .3 with SHA-256, SHA-384, SHA-512.
        (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1], Sha256),
        (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], Sha256),
        (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], Sha384),
        (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4], Sha512),
    ]
};

const HASHES: &[(&[u8], SignatureHash)] = {
    use SignatureHash::{Sha256, Sha384, Sha512};
    &[
        // SHA-1, 1.3.14.3.2.26; SHA-2, 2.16.840.1.101.3.4.2.
        (&[0x2b, 0x0e, 3, 2, 26], Sha256),
        (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], Sha256),
        (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2], Sha384),
        (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3], Sha512),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::decode;

    // Self-signed certificates made with `openssl req -x509`, and what `sha384sum` and `sha512sum` say of them.
    const ECDSA_SHA384: &str = "MIIBfTCCASOgAwIBAgIUHhc4dYG51aRr/cWbyzgD19gGcSUwCgYIKoZIzj0EAwMwFDESMBAGA1UEAwwJbG9jYWxob3N0MB4XDTI2\
        MTEyMzA0NTg1M1oXDTM2MTEyMDA0NTg1M1owFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\
        BQVahVOK9/dGU0x5+PHEgXT0PGFACKNAIL8vcEFrTIhBmwU91Lrn1TwWhMICmh1aiaYSNzeN+44iKDMRB5UgKqNTMFEwHQYDVR0O\
        BBYEFIc5E4dfBUNfJ7aQyJCJ/eZWqmYEMB8GA1UdIwQYMBaAFIc5E4dfBUNfJ7aQyJCJ/eZWqmYEMA8GA1UdEwEB/wQFMAMBAf8w\
        CgYIKoZIzj0EAwMDSAAwRQIhANXuMe7EBMo2yil9KDD5SCAKSCgrkPgFb9xgg80jrHdEAiBEN2AvfjyyJJoxwfFb0/Lu/9vqTgkv\
        1KdWzYFgV3k5XQ==";
    const PSS_SHA512: &str = "MIICbDCCAaGgAwIBAgIUbxeBB1W3ZXm4W9iy67GO0UVh+t8wQQYJKoZIhvcNAQEKMDSgDzANBglghkgBZQMEAgMFAKEcMBoGCSqG\
        SIb3DQEBCDANBglghkgBZQMEAgMFAKIDAgE+MBQxEjAQBgNVBAMMCWxvY2FsaG9zdDAeFw0yNjExMjMwNDU4NTNaFw0yNjEyMjMw\
        NDU4NTNaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEAtBUumbh7TLVw4tXrhHLkqalv\
        NqhVFuwB5/yzpNBZ+h3fmygqFQPWZrwkbYNp1mOLjHemqu42bD3uYayOjQ4p/kkj5P0i+rZKV4evM85onK/GVW4/pHL6Kyc97nK/\
        wfrns++GFRsf/hjtVy0tZPrfbMPWNoidkQt1cgMazJFnIBMCAwEAAaNTMFEwHQYDVR0OBBYEFBEc6rDYhSvWNsBGrt26xNNvW73N\
        MB8GA1UdIwQYMBaAFBEc6rDYhSvWNsBGrt26xNNvW73NMA8GA1UdEwEB/wQFMAMBAf8wQQYJKoZIhvcNAQEKMDSgDzANBglghkgB\
        ZQMEAgMFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgMFAKIDAgE+A4GBAJiKO5ZsRnJNjGPE0U6BCW/6Tc1wsfW9Ja8BdSWx\
        6gcLA5vE+W2/6d1gAcYEnDslAMHVOr8rj6G8WokU4OJeEUbLEbCfI+xuHs1vJ6SCug0VMreTReN3jA0rKN4Q06okYOCjuuMKlBpY\
        9yj+a0LnlBb+eYvSbFAlQFAMjqzOGHg1";
    const ED25519: &str = "MIIBPDCB76ADAgECAhQksdok8++comdwFYJrj4x3l/kdcDAFBgMrZXAwFDESMBAGA1UEAwwJbG9jYWxob3N0MB4XDTI2MTEyMzA0\
        NTg1M1oXDTI2MTIyMzA0NTg1M1owFDESMBAGA1UEAwwJbG9jYWxob3N0MCowBQYDK2VwAyEA5q9ujiLJmFpFnDxAIyVPedSXYnTX\
        fuQjowUhqdeFor+jUzBRMB0GA1UdDgQWBBQA2KIS5/2v/omHRsfWrP6ZvjwLrTAfBgNVHSMEGDAWgBQA2KIS5/2v/omHRsfWrP6Z\
        vjwLrTAPBgNVHRMBAf8EBTADAQH/MAUGAytlcANBAG/4x8USiMvPoElBbKz7WM1wswXfInnd+m4ONKAocrBrOTtUrYRIvR5VzaIx\
        pwIo81ZRHugpE/X+44ofuHDWGwA=";

    #[test]
    fn the_end_point_is_hashed_with_the_hash_of_the_signature() {
        for (certificate, sum) in [
            (
                ECDSA_SHA384,
                "b4f3a0043e24cb59adef7339688c9c4535d200ad3fdd100a36975c30b076f53af68d62e5ed5e867a2a9497ffb17976cb",
            ),
            (
                PSS_SHA512,
                "d7f0c11837e6e8fc3137c59148bc0bc76b19f877ee5557f4cf08728c4520ef9aea289200846fe5506a679489d57b827acb67672fccbe3c7f13dac2402240f853",
            ),
        ] {
            let binding = ChannelBinding::server_end_point(&decode(certificate).unwrap()).unwrap();
            let hex: String = binding.data().iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, sum);
            assert_eq!(binding.name(), "tls-server-end-point");
        }
    }

    #[test]
    fn every_signature_has_the_hash_of_its_name_and_old_ones_sha_256() {
        let sha1_pss = [
            0x30, 13, 0xa0, 11, 0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 26, 5, 0,
        ];
        for (oid, parameters, length) in [
            (
                &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4][..],
                &[][..],
                32,
            ),
            (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5], &[5, 0], 32),
            (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], &[5, 0], 32),
            (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12], &[5, 0], 48),
            (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13], &[5, 0], 64),
            (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1], &[], 32),
            (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], &[], 32),
            (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4], &[], 64),
            (RSASSA_PSS, &[0x30, 0], 32),
            (RSASSA_PSS, &sha1_pss, 32),
        ] {
            let algorithm = [&[6, oid.len() as u8], oid, parameters].concat();
            let body = [&[0x30, 0, 0x30, algorithm.len() as u8], &algorithm[..]].concat();
            let certificate = [&[0x30, body.len() as u8], &body[..]].concat();
            let binding = ChannelBinding::server_end_point(&certificate).unwrap();
            assert_eq!(binding.data().len(), length, "{oid:x?}");
        }
    }

    #[test]
    fn a_signature_without_a_hash_has_no_binding() {
        // RFC 5929 §4.1: "if the certificate's signatureAlgorithm uses no hash functions or uses multiple hash functions,
        // then this channel binding type's channel bindings are undefined at this time".
        assert_eq!(
            ChannelBinding::server_end_point(&decode(ED25519).unwrap()),
            None
        );
    }

    #[test]
    fn no_part_of_a_certificate_is_taken_for_a_whole_one() {
        let certificate = decode(ECDSA_SHA384).unwrap();
        for length in 0..certificate.len() {
            assert_eq!(
                ChannelBinding::server_end_point(&certificate[..length]),
                None
            );
        }
    }
}
