//! What a stanza costs from the socket's bytes to the stanza, and back.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot read its samples has to stop"
)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use xmpp_core::stanza::Stanza;
use xmpp_core::xml::{Element, Limits, Reader, Received};

const HEADER: &[u8] =
    b"<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xml:lang='en' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

const CHAT: &str = "<message xml:lang='en' to='juliet@capulet.example/balcony-7f3a' from='romeo@montague.example/orchard' \
    id='b4c9d1e2-5f60-4a7b-8c3d-9e0f1a2b3c4d' type='chat'><body>Art thou not Romeo, and a Montague? Neither, fair \
    saint, if either thee dislike.</body><active xmlns='http://jabber.org/protocol/chatstates'/><request \
    xmlns='urn:xmpp:receipts'/><origin-id xmlns='urn:xmpp:sid:0' id='b4c9d1e2-5f60-4a7b-8c3d-9e0f1a2b3c4d'/></message>";

const PRESENCE: &str = "<presence from='romeo@montague.example/orchard' xml:lang='en'><show>away</show><status>I have \
    night's cloak to hide me from their sight</status><priority>5</priority><c \
    xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example/' \
    ver='QgayPKawpkPSDYmwT/WM94uAlu0='/><x xmlns='vcard-temp:x:update'>\
    <photo>sha1-hash-of-image-0123456789abcdef0123</photo></x></presence>";

const ACK: &str = "<a xmlns='urn:xmpp:sm:3' h='12345'/>";

fn samples() -> Vec<(&'static str, String)> {
    let key = "MwohBd5SHr9TxD3Oy7GWcFLZ1pBeU4EiZ8AqN2nVYjXkR0tKEAAYACIwc2Fm".repeat(3);
    let keys: String = (0..8)
        .map(|rid| format!("<key rid='{}'>{key}</key>", 1_000_003 + rid))
        .collect();
    let omemo = format!(
        "<message to='juliet@capulet.example' from='romeo@montague.example/orchard' id='omemo-1' type='chat'>\
         <encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='27183'>{keys}<iv>3Oy7GWcFLZ1pBeU4</iv></header>\
         <payload>{}</payload></encrypted><store xmlns='urn:xmpp:hints'/><encryption xmlns='urn:xmpp:eme:0' \
         name='OMEMO' namespace='eu.siacs.conversations.axolotl'/></message>",
        &key[..120]
    );
    vec![
        ("chat", CHAT.to_owned()),
        ("presence", PRESENCE.to_owned()),
        ("ack", ACK.to_owned()),
        ("omemo", omemo),
    ]
}

fn opened() -> Reader {
    let mut reader = Reader::new(Limits::default());
    assert!(matches!(
        reader.next(&mut &*HEADER),
        Ok(Some(Received::Header(_)))
    ));
    reader
}

fn benches(c: &mut Criterion) {
    let mut read = c.benchmark_group("read");
    for (name, text) in samples() {
        read.throughput(Throughput::Bytes(text.len() as u64));
        // All of a stanza at once: framing, the checked pass, header, index, copy.
        read.bench_with_input(BenchmarkId::new("whole", name), &text, |b, text| {
            let mut reader = opened();
            b.iter(|| reader.next(&mut text.as_bytes()).unwrap().unwrap());
        });
        // In two segments, so that the resumable framer is at work as well.
        read.bench_with_input(BenchmarkId::new("halves", name), &text, |b, text| {
            let mut reader = opened();
            let halves = text.as_bytes().split_at(text.len() / 2);
            b.iter(|| {
                let (mut first, mut second) = black_box(halves);
                assert!(reader.next(&mut first).unwrap().is_none());
                reader.next(&mut second).unwrap().unwrap()
            });
        });
    }
    read.finish();

    let mut tree = c.benchmark_group("tree");
    for (name, text) in samples() {
        tree.throughput(Throughput::Bytes(text.len() as u64));
        tree.bench_with_input(BenchmarkId::new("parse", name), &text, |b, text| {
            b.iter(|| Element::parse(text).unwrap());
        });
        let element = Element::parse(&text).unwrap();
        tree.bench_with_input(BenchmarkId::new("write", name), &element, |b, element| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                element.write("jabber:client", &mut out);
            });
        });
    }
    tree.finish();

    let mut write = c.benchmark_group("write");
    for (name, text) in samples() {
        let Ok(stanza) = Stanza::parse(&text) else {
            continue;
        };
        write.throughput(Throughput::Bytes(stanza.size() as u64));
        write.bench_with_input(BenchmarkId::new("stanza", name), &stanza, |b, stanza| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                stanza.write(&mut out);
            });
        });
    }
    write.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
