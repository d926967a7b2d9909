use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, RootCertStore, SupportedProtocolVersion};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::client;

/// A certificate of the server, as it stands in a file and as a client sees it.
struct Served {
    chain: String,
    key: String,
    der: CertificateDer<'static>,
}

fn served(domain: &str) -> Served {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(vec![domain.into()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    Served {
        chain: certificate.pem(),
        key: key.serialize_pem(),
        der: certificate.der().clone(),
    }
}

impl Served {
    fn identity(&self) -> Identity {
        Identity::from_pem(self.chain.as_bytes(), self.key.as_bytes()).unwrap()
    }
}

/// Who vouches for clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority() -> Authority {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = parameters.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(parameters, key);
    Authority { issuer, pem }
}

impl Authority {
    fn read(&self) -> ClientAuthorities {
        ClientAuthorities::from_pem(self.pem.as_bytes()).unwrap()
    }

    fn vouch(&self, address: &str, configure: impl FnOnce(&mut CertificateParams)) -> CertifiedKey {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        let id = vec![1, 3, 6, 1, 5, 5, 7, 8, 5];
        let name = SanType::OtherName((id, address.into()));
        parameters.subject_alt_names.push(name);
        configure(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        CertifiedKey::from_der(vec![certificate.der().clone()], key, &provider()).unwrap()
    }
}

/// Sends this certificate, whoever is asked for.
#[derive(Debug)]
struct Sends(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Sends {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

fn client(
    trusted: &[&Served],
    version: &'static SupportedProtocolVersion,
    certificate: Option<CertifiedKey>,
) -> Arc<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    for served in trusted {
        roots.add(served.der.clone()).unwrap();
    }
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(Sends(certificate.map(Arc::new))));
    Arc::new(config)
}

type Client = client::TlsStream<tokio::io::DuplexStream>;

/// A handshake; some bytes go each way, so that tickets arrive.
async fn connect(
    tls: &Tls,
    config: &Arc<rustls::ClientConfig>,
    name: &str,
) -> io::Result<(Client, Channel)> {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(config.clone());
    let client = async {
        let mut client = connector.connect(name, theirs).await?;
        client.write_all(b"?").await?;
        client.read_exact(&mut [0]).await?;
        io::Result::Ok(client)
    };
    let server = async {
        let (mut stream, channel) = tls.accept(Box::new(ours)).await?;
        stream.read_exact(&mut [0]).await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        io::Result::Ok(channel)
    };
    let (client, server) = tokio::join!(client, server);
    match server {
        Ok(channel) => Ok((client?, channel)),
        Err(error) => Err(error),
    }
}

fn leaf(client: &Client) -> CertificateDer<'static> {
    let chain = client.get_ref().1.peer_certificates().unwrap();
    chain[0].clone().into_owned()
}

fn names(identities: &[(&str, &Served)]) -> Vec<(String, Identity)> {
    let named = identities.iter();
    named
        .map(|(name, served)| ((*name).to_owned(), served.identity()))
        .collect()
}

#[tokio::test]
async fn the_name_in_the_handshake_chooses_the_certificate() {
    let (one, two, three) = (
        served("one.example"),
        served("two.example"),
        served("xn--fa-hia.example"),
    );
    let identities = names(&[
        ("one.example", &one),
        ("two.example", &two),
        ("faß.example", &three),
    ]);
    let tls = Tls::new(identities).unwrap();
    let config = client(&[&one, &two, &three], &TLS13, None);
    for (name, expected) in [
        ("one.example", &one),
        ("two.example", &two),
        // RFC 6066 §3: "HostName … is represented as a byte string using ASCII encoding"
        ("xn--fa-hia.example", &three),
    ] {
        let (client, _) = connect(&tls, &config, name).await.unwrap();
        assert_eq!(leaf(&client), expected.der, "{name}");
    }
    // A name that nobody has gets the first, which this client then refuses.
    assert!(connect(&tls, &config, "three.example").await.is_err());
}

#[tokio::test]
async fn a_replaced_certificate_is_served_and_a_bad_one_is_not() {
    let (old, new) = (served("one.example"), served("one.example"));
    let tls = Tls::new(names(&[("one.example", &old)])).unwrap();
    let clone = tls.clone();
    let config = client(&[&old, &new], &TLS13, None);

    let mixed = Identity::from_pem(new.chain.as_bytes(), old.key.as_bytes());
    assert!(matches!(mixed, Err(TlsError::Mismatch(_))));
    let keyless = Identity::from_pem(new.chain.as_bytes(), b"");
    assert!(matches!(keyless, Err(TlsError::NoKey)));
    let empty = Identity::from_pem(b"no PEM at all", new.key.as_bytes());
    assert!(matches!(empty, Err(TlsError::NoCertificate)));
    assert!(matches!(tls.replace(Vec::new()), Err(TlsError::Empty)));
    let (stream, _) = connect(&clone, &config, "one.example").await.unwrap();
    assert_eq!(leaf(&stream), old.der);

    tls.replace(names(&[("one.example", &new)])).unwrap();
    let (stream, channel) = connect(&clone, &config, "one.example").await.unwrap();
    assert_eq!(leaf(&stream), new.der);
    assert!(channel.bindings.contains(&end_point(&new)));
}

fn end_point(served: &Served) -> ChannelBinding {
    // rcgen signs by ECDSA with SHA-256, so that is the hash (RFC 5929 §4.1).
    ChannelBinding::TlsServerEndPoint(Sha256::digest(&served.der).to_vec())
}

#[tokio::test]
async fn both_sides_have_the_same_channel_bindings() {
    let one = served("one.example");
    let tls = Tls::new(names(&[("one.example", &one)])).unwrap();
    for version in [&TLS12, &TLS13] {
        let config = client(&[&one], version, None);
        let (client, channel) = connect(&tls, &config, "one.example").await.unwrap();
        // RFC 9266 §4.1: label, empty context, 32 bytes.
        let exporter = client
            .get_ref()
            .1
            .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))
            .unwrap();
        let expected = [ChannelBinding::TlsExporter(exporter), end_point(&one)];
        assert!(channel.tls);
        assert_eq!(channel.bindings, expected, "{version:?}");
        assert!(channel.identities.is_empty());
    }
}

#[tokio::test]
async fn a_client_resumes_until_the_certificate_changes() {
    let one = served("one.example");
    let tls = Tls::new(names(&[("one.example", &one)])).unwrap();
    for version in [&TLS12, &TLS13] {
        let config = client(&[&one], version, None);
        let mut kinds = Vec::new();
        for replace in [false, false, true] {
            if replace {
                tls.replace(names(&[("one.example", &one)])).unwrap();
            }
            let (client, channel) = connect(&tls, &config, "one.example").await.unwrap();
            kinds.push(client.get_ref().1.handshake_kind().unwrap());
            assert!(channel.bindings.contains(&end_point(&one)));
        }
        use HandshakeKind::{Full, Resumed};
        assert_eq!(kinds, [Full, Resumed, Full], "{version:?}");
    }
}

#[tokio::test]
async fn a_trusted_client_certificate_names_an_account() {
    let (one, authority) = (served("one.example"), authority());
    let identities = names(&[("one.example", &one)]);
    let tls = Tls::with_client_authorities(identities, authority.read()).unwrap();
    for version in [&TLS12, &TLS13] {
        let certificate = authority.vouch("juliet@one.example", |_| {});
        let config = client(&[&one], version, Some(certificate));
        // The second time it resumes, and is still the same person.
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (client, channel) = connect(&tls, &config, "one.example").await.unwrap();
            assert_eq!(client.get_ref().1.handshake_kind(), Some(kind));
            assert_eq!(channel.identities, ["juliet@one.example"]);
        }
    }
}

#[tokio::test]
async fn authorities_are_replaced_with_the_certificates_or_kept() {
    let (one, old, new) = (served("one.example"), authority(), authority());
    let identities = || names(&[("one.example", &one)]);
    let tls = Tls::with_client_authorities(identities(), old.read()).unwrap();
    for version in [&TLS12, &TLS13] {
        let config = |by: &Authority| {
            let certificate = by.vouch("juliet@one.example", |_| {});
            client(&[&one], version, Some(certificate))
        };
        let (of_old, of_new) = (config(&old), config(&new));
        let known = async |config| {
            let (_, channel) = connect(&tls, config, "one.example").await.unwrap();
            !channel.identities.is_empty()
        };
        tls.replace_all(identities(), Some(old.read())).unwrap();
        assert!(known(&of_old).await && !known(&of_new).await);
        // What changes nothing leaves them, and so does what is refused.
        tls.replace(identities()).unwrap();
        assert!(tls.replace_all(Vec::new(), Some(new.read())).is_err());
        assert!(known(&of_old).await && !known(&of_new).await);
        // Nobody gets in on a ticket of before.
        tls.replace_all(identities(), Some(new.read())).unwrap();
        assert!(!known(&of_old).await && known(&of_new).await);
        tls.replace_all(identities(), None).unwrap();
        assert!(!known(&of_old).await && !known(&of_new).await);
    }
}

#[tokio::test]
async fn a_client_certificate_that_is_not_trusted_means_nothing() {
    let (one, authority, stranger) = (served("one.example"), authority(), self::authority());
    let identities = names(&[("one.example", &one)]);
    let tls = Tls::with_client_authorities(identities, authority.read()).unwrap();
    let juliet = "juliet@one.example";
    for certificate in [
        None,
        Some(stranger.vouch(juliet, |_| {})),
        Some(authority.vouch(juliet, |it| it.not_after = rcgen::date_time_ymd(2020, 1, 1))),
        Some(authority.vouch(juliet, |it| {
            it.not_before = rcgen::date_time_ymd(4000, 1, 1)
        })),
        Some(authority.vouch(juliet, |it| {
            // Not for clients.
            it.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        })),
        Some(authority.vouch("not an address@", |_| {})),
    ] {
        for version in [&TLS12, &TLS13] {
            let config = client(&[&one], version, certificate.clone());
            let (_, channel) = connect(&tls, &config, "one.example").await.unwrap();
            assert!(channel.tls && channel.identities.is_empty());
            assert_eq!(channel.bindings.len(), 2);
        }
    }
}

#[tokio::test]
async fn somebody_elses_client_certificate_is_of_no_use() {
    let (one, authority) = (served("one.example"), authority());
    let identities = names(&[("one.example", &one)]);
    let tls = Tls::with_client_authorities(identities, authority.read()).unwrap();
    let juliet = authority.vouch("juliet@one.example", |_| {});
    let thief = authority.vouch("thief@one.example", |_| {});
    let stolen = CertifiedKey::new(juliet.cert, thief.key);
    for version in [&TLS12, &TLS13] {
        let config = client(&[&one], version, Some(stolen.clone()));
        assert!(connect(&tls, &config, "one.example").await.is_err());
    }
}

#[tokio::test]
async fn a_client_certificate_without_authorities_is_not_asked_for() {
    let (one, authority) = (served("one.example"), authority());
    let tls = Tls::new(names(&[("one.example", &one)])).unwrap();
    let certificate = authority.vouch("juliet@one.example", |_| {});
    let config = client(&[&one], &TLS13, Some(certificate));
    let (_, channel) = connect(&tls, &config, "one.example").await.unwrap();
    assert!(channel.identities.is_empty());
}

#[tokio::test]
async fn tls_before_1_2_is_refused() {
    let one = served("one.example");
    let tls = Tls::new(names(&[("one.example", &one)])).unwrap();
    for version in [1, 2] {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        // A ClientHello of TLS 1.0 or 1.1 with one cipher suite. What kinds of signatures
        // it takes it says too, or it would be refused for not saying.
        let mut hello = vec![3, version];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
        hello.extend([0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
        let mut record = vec![
            22,
            3,
            1,
            0,
            hello.len() as u8 + 4,
            1,
            0,
            0,
            hello.len() as u8,
        ];
        record.append(&mut hello);
        theirs.write_all(&record).await.unwrap();
        assert!(tls.accept(Box::new(ours)).await.is_err());
        let mut alert = Vec::new();
        theirs.read_to_end(&mut alert).await.unwrap();
        // RFC 8446 §6.2: protocol_version(70), fatal.
        assert_eq!(alert[0], 21);
        assert_eq!(alert[5..], [2, 70]);
    }
}

#[test]
fn an_authority_has_to_be_a_certificate() {
    for bad in [
        "",
        "no PEM",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        assert!(
            ClientAuthorities::from_pem(bad.as_bytes()).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn an_identity_knows_when_it_expires_and_does_not_show_its_key() {
    let mut parameters = CertificateParams::new(vec!["one.example".into()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let key = KeyPair::generate().unwrap();
    let chain = parameters.self_signed(&key).unwrap().pem();
    let identity = Identity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    assert_eq!(identity.expires(), Some(Timestamp(1_893_456_000_000)));
    assert_eq!(format!("{identity:?}"), "Identity");
}
