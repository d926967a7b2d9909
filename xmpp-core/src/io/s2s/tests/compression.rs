//! Streams that are compressed (XEP-0138), between two of our servers and with peers that abuse it.

use tokio_rustls::TlsStream;

use super::*;
use crate::io::wire::BoxIo;
use crate::io::zlib::{Packer, Unpacker};
use crate::metrics::Packed;
use crate::s2s::Compression;

const ZLIB: Option<Compression> = Some(Compression::Zlib);

fn policy(compression: Option<Compression>) -> Policy {
    Policy {
        compression,
        ..Policy::default()
    }
}

/// Two servers under these policies, and somebody at each.
async fn servers(net: &Net, [a, b]: [Policy; 2]) -> (Site, Person, Site, Person) {
    let a = Site::with(net, "a.example", With::policy("a.example", a));
    let b = Site::with(net, "b.example", With::policy("b.example", b));
    let romeo = a.login("romeo@a.example/orchard").await;
    let juliet = b.login("juliet@b.example/balcony").await;
    (a, romeo, b, juliet)
}

/// Each says something to the other, so often.
async fn talk(romeo: &Person, juliet: &Person, times: usize) {
    for n in 0..times {
        let body = format!("m{n}");
        romeo
            .send(&message("juliet@b.example/balcony", &body))
            .await;
        juliet.hears(&body).await;
        juliet
            .send(&message("romeo@a.example/orchard", &body))
            .await;
        romeo.hears(&body).await;
    }
}

fn counted(packed: &Packed) -> (u64, u64) {
    (packed.xml.value(), packed.packed.value())
}

/// XEP-0138 §3: "If stream compression is negotiated, it MUST be used in both directions."
#[tokio::test]
async fn both_directions_are_compressed_whatever_has_proven_the_peers() {
    for (security, proof, bidi) in [
        (Security::StartTls, Proof::Certificate, true),
        (Security::StartTls, Proof::Certificate, false),
        (Security::Direct, Proof::Either, true),
        (Security::StartTls, Proof::Dialback, true),
        (Security::Direct, Proof::Dialback, false),
        (Security::StartTls, Proof::Both, true),
    ] {
        let net = Net::default();
        *net.0.security.lock().unwrap() = Some(security);
        let policy = Policy {
            proof,
            bidi,
            ..policy(ZLIB)
        };
        let (a, romeo, b, juliet) = servers(&net, [policy; 2]).await;
        talk(&romeo, &juliet, 10).await;
        for site in [&a, &b] {
            let links = site.federation.links();
            // One that is there for a key proves nothing.
            let mut proven = links.iter().filter(|link| link.state == State::Open);
            let all = proven.all(|link| link.compression == ZLIB && link.encrypted);
            assert!(all, "{security:?} {proof:?} {bidi}: {links:?}");
        }
        let [a, b] = [a, b].map(|site| site.server);
        let (a, b) = (&a.metrics().s2s, &b.metrics().s2s);
        for (from, to) in [(a, b), (b, a)] {
            let sent = counted(&from.compression.sent);
            // The last word of the other side may be on its way.
            let arrived = async {
                while counted(&to.compression.received) != counted(&from.compression.sent) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(PATIENCE, arrived).await.expect("all is read");
            let (xml, packed) = sent;
            assert!(0 < packed && packed * 2 < xml, "{xml} {packed}");
            assert!(from.sent.bytes.value() > xml, "there was something before");
        }
    }
}

#[tokio::test]
async fn a_server_that_does_without_is_spoken_with_as_before() {
    for compression in [[ZLIB, None], [None, ZLIB]] {
        for bidi in [true, false] {
            let net = Net::default();
            let policies = compression.map(|compression| Policy {
                bidi,
                ..policy(compression)
            });
            let (a, romeo, _b, juliet) = servers(&net, policies).await;
            talk(&romeo, &juliet, 2).await;
            let links = a.federation.links();
            assert!(
                links.iter().all(|link| link.compression.is_none()),
                "{links:?}"
            );
            let compression = &a.server.metrics().s2s.compression;
            assert_eq!(counted(&compression.sent), (0, 0));
        }
    }
}

/// XEP-0170 §4: "TLS MUST be negotiated first."
#[tokio::test]
async fn nothing_is_compressed_that_is_not_encrypted() {
    let net = Net::default();
    let with = || {
        let mut with = With::plain();
        with.rules.default.as_mut().unwrap().compression = ZLIB;
        with
    };
    let a = Site::with(&net, "a.example", with());
    let b = Site::with(&net, "b.example", with());
    let romeo = a.login("romeo@a.example/orchard").await;
    let juliet = b.login("juliet@b.example/balcony").await;
    talk(&romeo, &juliet, 1).await;
    let links = a.federation.links();
    assert!(links.iter().all(|link| link.compression.is_none()));
}

#[tokio::test]
async fn each_connection_begins_anew_and_as_the_rules_are_then() {
    let net = Net::default();
    let (a, romeo, b, juliet) = servers(&net, [policy(None), policy(ZLIB)]).await;
    for compression in [None, ZLIB, ZLIB, None] {
        a.federation.peers().replace(Rules {
            default: Some(policy(compression)),
            ..Rules::default()
        });
        talk(&romeo, &juliet, 2).await;
        let links = a.federation.links();
        assert!(links.iter().all(|link| link.compression == compression));
        net.cut();
        for site in [&a, &b] {
            site.until("the link is gone", |links| links.is_empty())
                .await;
        }
    }
    assert_eq!(net.dialled(), 4);
}

/// More than is read, written or packed at once.
#[tokio::test]
async fn what_is_large_and_what_there_is_much_of_arrives_whole() {
    let net = Net::default();
    let (_a, romeo, _b, juliet) = servers(&net, [policy(ZLIB); 2]).await;
    let mut noise = 7u32;
    let mut letters = |length: usize| -> String {
        std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + (noise >> 24) as u8 % 26)
        })
        .take(length)
        .collect()
    };
    let bodies: Vec<String> = (0..40)
        .map(|n| match n % 3 {
            0 => letters(50_000),
            1 => "x".repeat(200_000),
            _ => letters(20),
        })
        .collect();
    let sending = async {
        for body in &bodies {
            romeo
                .send(&format!(
                    "<message to='juliet@b.example/balcony' type='chat'><body>{body}</body></message>"
                ))
                .await;
        }
    };
    let receiving = async {
        for body in &bodies {
            let message = juliet.next().await.to_string();
            assert!(message.contains(&format!("<body>{body}</body>")));
        }
    };
    tokio::join!(sending, receiving);
}

/// A peer that the test plays, behind TLS, up to the stream that is compressed.
struct Peer {
    io: TlsStream<BoxIo>,
    packer: Packer,
    unpacker: Unpacker,
    read: String,
}

const HEADER: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' \
    from='evil.example' to='a.example'>";

impl Peer {
    /// Proves that it is `evil.example`.
    async fn proven(site: &Site) -> Peer {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let address = Some([192, 0, 2, 66].into());
        site.federation.connect(theirs, address, Security::Direct);
        let authorities = Authorities::from_pem(AUTHORITY.pem.as_bytes()).unwrap();
        let identity = ("evil.example".to_owned(), AUTHORITY.vouch("evil.example"));
        let tls = PeerTls::new(vec![identity], authorities).unwrap();
        let [from, to] = ["evil.example", "a.example"].map(|name| name.parse().unwrap());
        let io: BoxIo = Box::new(ours);
        let (io, _) = tls.connect(io, &from, &to, true).await.unwrap();
        let mut peer = Peer {
            io,
            packer: Packer::new(),
            unpacker: Unpacker::new(1 << 20),
            read: String::new(),
        };
        peer.send(HEADER).await;
        peer.until("</stream:features>").await;
        peer.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
            .await;
        peer.until("<success").await;
        peer.send(HEADER).await;
        let features = peer.until("</stream:features>").await;
        assert!(features.contains("<method>zlib</method>"), "{features}");
        peer
    }

    /// Asks for compression, with this behind the request.
    async fn compress(&mut self, behind: &str) {
        self.send(&format!(
            "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>{behind}"
        ))
        .await;
        self.until("<compressed xmlns='http://jabber.org/protocol/compress'/>")
            .await;
    }

    async fn compressed(site: &Site) -> Peer {
        let mut peer = Peer::proven(site).await;
        peer.compress("").await;
        peer.pack(HEADER).await;
        peer.unpack_until("</stream:features>").await;
        peer
    }

    async fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes()).await;
    }

    async fn send_bytes(&mut self, bytes: &[u8]) {
        // It may have closed the connection.
        let _ = self.io.write_all(bytes).await;
        let _ = self.io.flush().await;
    }

    async fn pack(&mut self, text: &str) {
        let mut packed = Vec::new();
        self.packer.pack(text.as_bytes(), &mut packed).unwrap();
        self.send_bytes(&packed).await;
    }

    /// Everything up to this.
    async fn until(&mut self, end: &str) -> String {
        self.read_until(end, false).await
    }

    async fn unpack_until(&mut self, end: &str) -> String {
        self.read_until(end, true).await
    }

    async fn read_until(&mut self, end: &str, packed: bool) -> String {
        let reading = async {
            loop {
                if let Some(at) = self.read.find(end) {
                    let rest = self.read.split_off(at + end.len());
                    return std::mem::replace(&mut self.read, rest);
                }
                // What stands behind the end may be packed.
                let mut chunk = vec![0; if packed { 4096 } else { 1 }];
                let length = self.io.read(&mut chunk).await.unwrap_or(0);
                assert!(length > 0, "the connection ends, not {end}: {}", self.read);
                if !packed {
                    self.read += &String::from_utf8_lossy(&chunk[..length]);
                    continue;
                }
                self.unpacker.take(&chunk[..length]);
                let mut room = vec![0; 4096];
                while self.unpacker.has_more() {
                    let unpacked = self.unpacker.unpack(&mut room).unwrap();
                    self.read += &String::from_utf8_lossy(&room[..unpacked.written]);
                }
            }
        };
        match timeout(PATIENCE, reading).await {
            Ok(read) => read,
            Err(_) => panic!("not {end}"),
        }
    }
}

/// A server that takes compression, and two people there who are not to notice anything.
async fn victim(net: &Net) -> (Site, Person, Person) {
    let a = Site::with(net, "a.example", With::policy("a.example", policy(ZLIB)));
    let juliet = a.login("juliet@a.example/balcony").await;
    let romeo = a.login("romeo@a.example/orchard").await;
    (a, juliet, romeo)
}

fn evil(text: &str) -> String {
    format!(
        "<message from='x@evil.example' to='juliet@a.example/balcony' type='chat'>{text}</message>"
    )
}

#[tokio::test]
async fn a_peer_of_another_make_is_understood() {
    let net = Net::default();
    let (a, juliet, _) = victim(&net).await;
    let mut peer = Peer::compressed(&a).await;
    // The dictionary goes on from one batch to the next.
    for n in 0..3 {
        peer.pack(&evil(&format!("<body>hark {n}</body>"))).await;
        juliet.hears(&format!("hark {n}")).await;
    }
    peer.pack("</stream:stream>").await;
    peer.unpack_until("</stream:stream>").await;
}

/// Little that stands for much: stanzas without end, and one stanza without end.
#[tokio::test]
async fn a_bomb_ends_its_stream_and_harms_nobody() {
    let net = Net::default();
    let (a, juliet, romeo) = victim(&net).await;
    let limit = Config::default().xml.stanza_bytes;
    for unit in [
        "                ",
        "<presence from='x@evil.example' to='a.example'/>",
    ] {
        let before = a.server.metrics().s2s.received.bytes.value();
        let mut peer = Peer::compressed(&a).await;
        let mut bomb = Vec::new();
        let batch = unit.repeat((1 << 20) / unit.len());
        let mut packer = std::mem::replace(&mut peer.packer, Packer::new());
        for _ in 0..64 {
            packer.pack(batch.as_bytes(), &mut bomb).unwrap();
        }
        assert!(bomb.len() < (1 << 20), "{}", bomb.len());
        peer.send_bytes(&bomb).await;
        // RFC 6120 §4.9.3.14
        let last = peer.unpack_until("</stream:stream>").await;
        assert!(
            last.contains("<policy-violation") && last.contains("expands too much"),
            "{last}"
        );
        let read = a.server.metrics().s2s.received.bytes.value() - before;
        // Of 64 MiB; a stanza that is repeated gives some 340 bytes of one, not much more than is allowed.
        assert!(read < 32 << 20, "{read}");
    }
    let mut peer = Peer::compressed(&a).await;
    peer.pack(&evil(&"y".repeat(2 * limit))).await;
    // RFC 6120 §13.12: there is a limit for one stanza, however it comes.
    let last = peer.unpack_until("</stream:stream>").await;
    assert!(last.contains("stanza too large"), "{last}");

    romeo
        .send(&message("juliet@a.example/balcony", "all is well"))
        .await;
    juliet.hears("all is well").await;
    a.until("they are gone", |links| links.is_empty()).await;
    assert_eq!(a.server.budget().used(), 0);
}

/// XEP-0138 §2: "If compression processing fails after the new (compressed) stream has been established, the entity that detects the error
/// SHOULD generate a stream error and close the stream".
#[tokio::test]
async fn what_cannot_be_unpacked_is_a_stream_error_of_its_own() {
    let net = Net::default();
    let (a, juliet, romeo) = victim(&net).await;
    let error = "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
        <failure xmlns='http://jabber.org/protocol/compress'><processing-failed/></failure></stream:error></stream:stream>";
    // In the midst of it; in place of it; and behind the request, when there is no answer yet.
    let mut peer = Peer::compressed(&a).await;
    peer.pack(&evil("<body>hark</body>")).await;
    juliet.hears("hark").await;
    peer.send_bytes(&[0xff; 64]).await;
    let last = peer.unpack_until("</stream:stream>").await;
    assert_eq!(last, error);

    let mut peer = Peer::proven(&a).await;
    peer.compress("").await;
    peer.send(HEADER).await;
    let last = peer.unpack_until("</stream:stream>").await;
    assert!(last.ends_with(error), "{last}");

    let mut peer = Peer::proven(&a).await;
    peer.compress(HEADER).await;
    let last = peer.unpack_until("</stream:stream>").await;
    assert!(last.ends_with(error), "{last}");

    romeo
        .send(&message("juliet@a.example/balcony", "all is well"))
        .await;
    juliet.hears("all is well").await;
    let errors = a.server.metrics().s2s.stream_errors();
    let errors: Vec<_> = errors.filter(|(_, count)| *count > 0).collect();
    assert_eq!(errors, [("undefined-condition", 3)]);
}
