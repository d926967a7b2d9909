//! Parties in the middle, and clients that try to do without TLS.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sim::client::{Client, Heard, header};
use sim::link::{End, Line, Pieces};
use sim::world::{DOMAIN, PASSWORD};
use sim::{World, run, xml};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use xmpp_core::io::{Identity, Security, Tls};
use xmpp_core::sasl::client::{self as sasl, Binding, Scram};
use xmpp_core::sasl::{Hash, NONCE_LEN, Nonce};

use super::login::SASL;

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// A world whose clients have to use TLS, and who trusts it.
fn world() -> (World, TlsConnector) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![DOMAIN.to_owned()])
        .and_then(|parameters| parameters.self_signed(&key))
        .unwrap();
    let identity = Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes());
    let tls = Tls::new(vec![(DOMAIN.to_owned(), identity.unwrap())]).unwrap();
    let world = World::builder(0)
        .tls(tls)
        .configure(|config| config.domains[0].plaintext = None)
        .build();
    (world, connector(certificate.der().clone()))
}

fn connector(certificate: CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

fn connect(world: &World, security: Security, line: &Line) -> End {
    world.connect_as(None, security, line.clone(), line.clone())
}

async fn secure(connector: &TlsConnector, io: End) -> Client<TlsStream<End>> {
    let name = ServerName::try_from(DOMAIN).unwrap();
    Client::new(connector.connect(name, io).await.unwrap())
}

fn mechanisms(features: &xml::Tree) -> Vec<String> {
    let mechanisms = features.child("mechanisms", SASL);
    let all = mechanisms
        .into_iter()
        .flat_map(|mechanisms| mechanisms.children());
    all.map(|mechanism| mechanism.text()).collect()
}

/// RFC 6120 §5.3.1, §13.8.3, RFC 7590 §3.1: nothing is offered before TLS.
#[test]
fn nobody_logs_in_before_tls() {
    run(async {
        let (world, _) = world();
        world.account("romeo").await;
        let mut client = Client::new(connect(&world, Security::StartTls, &Line::perfect()));
        let features = client.greet(DOMAIN).await.unwrap();
        assert_eq!(mechanisms(&features), [""; 0]);
        let tls = features
            .child("starttls", "urn:ietf:params:xml:ns:xmpp-tls")
            .unwrap();
        assert_eq!(tls.children().next().unwrap().name, "required");
        let message = BASE64.encode(format!("\0romeo\0{PASSWORD}"));
        client
            .send(format!(
                "<auth xmlns='{SASL}' mechanism='PLAIN'>{message}</auth>"
            ))
            .await
            .unwrap();
        let reply = client.element().await.unwrap();
        // RFC 6120 §6.5.4
        assert_eq!(reply.children().next().unwrap().name, "encryption-required");
    });
}

/// RFC 6120 §5.3.4, §13.14.1; CVE-2021-32055 and its kin: what stands behind
/// `<starttls/>` in the clear is never taken for what is said under TLS.
#[test]
fn nothing_is_injected_behind_starttls() {
    let injected = format!("{STARTTLS}{}", header(DOMAIN));
    for (text, pieces) in [
        (injected.clone(), Pieces::AsWritten),
        (
            format!("{STARTTLS} <auth xmlns='{SASL}' mechanism='PLAIN'/>"),
            Pieces::AsWritten,
        ),
        (format!("{STARTTLS}<"), Pieces::AsWritten),
    ] {
        run(async {
            let (world, _) = world();
            let line = Line::perfect().pieces(pieces);
            let mut client = Client::new(connect(&world, Security::StartTls, &line));
            client.greet(DOMAIN).await.unwrap();
            client.send(&text).await.unwrap();
            let rest = client.rest().await;
            let proceeded = rest
                .iter()
                .any(|heard| heard.to_string().contains("proceed"));
            assert!(!proceeded, "{rest:?}");
            assert!(
                rest[0].to_string().contains("<policy-violation"),
                "{rest:?}"
            );
        });
    }
    // In pieces the rest comes later, as the handshake, which it is not.
    run(async {
        let (world, _) = world();
        let line = Line::perfect().pieces(Pieces::Of(1));
        let mut client = Client::new(connect(&world, Security::StartTls, &line));
        client.greet(DOMAIN).await.unwrap();
        client.send(&injected).await.unwrap();
        let heard = client.element().await.unwrap();
        assert!(heard.is("proceed", "urn:ietf:params:xml:ns:xmpp-tls"));
        let rest = client.rest().await;
        let fooled = rest
            .iter()
            .any(|heard| heard.to_string().contains("features"));
        assert!(!fooled, "{rest:?}");
    });
}

/// RFC 6120 §5.4.3.3: everything said before TLS is forgotten; over links that cut at
/// every byte.
#[test]
fn clients_log_in_under_tls_however_the_bytes_are_cut() {
    for pieces in [Pieces::AsWritten, Pieces::Of(1), Pieces::UpTo(700)] {
        run(async {
            let (world, connector) = world();
            let account = world.account("romeo").await;
            let line = Line::perfect().pieces(pieces);
            let mut plain = Client::new(connect(&world, Security::StartTls, &line));
            plain.greet(DOMAIN).await.unwrap();
            plain.send(STARTTLS).await.unwrap();
            let proceed = plain.element().await.unwrap();
            assert_eq!(proceed.name, "proceed");
            let mut by_starttls = secure(&connector, plain.into_parts().0).await;
            by_starttls
                .login(&account, None, &mut world.rng())
                .await
                .unwrap();

            let io = connect(&world, Security::Direct, &line);
            let mut direct = secure(&connector, io).await;
            direct
                .login(&account, None, &mut world.rng())
                .await
                .unwrap();
        });
    }
}

/// RFC 5802 §6: "If the flag is set to "y" and the server supports channel binding, the
/// server MUST fail authentication": somebody in the middle has removed the offer.
#[test]
fn a_removed_offer_of_channel_binding_is_noticed() {
    run(async {
        let (world, connector) = world();
        world.account("romeo").await;
        let io = connect(&world, Security::Direct, &Line::perfect());
        let mut client = secure(&connector, io).await;
        let features = client.greet(DOMAIN).await.unwrap();
        let plus = "SCRAM-SHA-256-PLUS".to_owned();
        assert!(mechanisms(&features).contains(&plus), "{features}");

        let nonce = Nonce::from([7; NONCE_LEN]);
        let scram = Scram::new(Hash::Sha256, "romeo", PASSWORD, nonce);
        let mut deceived = sasl::Client::scram(scram.binding(Binding::NotOffered));
        let mut message = format!(
            "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{}</auth>",
            BASE64.encode(deceived.initial())
        );
        let outcome = loop {
            client.send(&message).await.unwrap();
            let reply = client.element().await.unwrap();
            if !reply.is("challenge", SASL) {
                break reply;
            }
            let challenge = BASE64.decode(reply.text()).unwrap();
            let response = BASE64.encode(deceived.challenge(&challenge).unwrap());
            message = format!("<response xmlns='{SASL}'>{response}</response>");
        };
        assert!(outcome.is("failure", SASL), "{outcome}");
        assert_eq!(outcome.children().next().unwrap().name, "not-authorized");
    });
}

/// A client that speaks XMPP where TLS is expected, and one that speaks TLS where it is
/// not, are shown out.
#[test]
fn tls_is_not_taken_for_xmpp_nor_xmpp_for_tls() {
    run(async {
        let (world, connector) = world();
        let mut plain = Client::new(connect(&world, Security::Direct, &Line::perfect()));
        plain.send(header(DOMAIN)).await.unwrap();
        let over = |heard: &Heard| !matches!(heard, Heard::Xml(xml::Heard::Header(_)));
        assert!(plain.rest().await.iter().all(over));

        let io = connect(&world, Security::StartTls, &Line::perfect());
        let name = ServerName::try_from(DOMAIN).unwrap();
        assert!(connector.connect(name, io).await.is_err());
        sim::world::quiet(std::time::Duration::from_secs(70)).await;
        assert_eq!(world.driver.connections(), 0);
    });
}
