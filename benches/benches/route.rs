//! What a stanza costs from the sender's stream to the recipient's queue: filters, routing,
//! the rules of RFC 6121 §8, and the push.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot be set up has to stop"
)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures::executor::block_on;
use xmpp_core::jid::BareJid;
use xmpp_core::mailbox::{Origin, Settlement};
use xmpp_core::module::Dispatch;
use xmpp_core::sasl::{Credentials, Secret};
use xmpp_core::server::{Bound, Domain, Server};
use xmpp_core::stanza::Stanza;
use xmpp_core::{Jid, im, io};

/// Accounts that are online beside the two that talk.
const CROWD: usize = 10_000;

fn server() -> Server {
    let domain = Domain::new(BareJid::new("example.org").unwrap(), Secret::from([0; 32]));
    let builder = Server::builder().domain(domain).modules(im::all());
    builder.build(io::surroundings()).unwrap()
}

/// A bound and available resource.
fn login(server: &Server, account: &str) -> Bound {
    let account = BareJid::new(account).unwrap();
    let password = Credentials::derive("r0m30myr0m30", 4096, || [0; 16]).unwrap();
    block_on(server.stores().accounts.create(&account, &password)).unwrap();
    let account = block_on(server.account(&account)).unwrap();
    let bound = server.bind(account, Some("orchard")).unwrap();
    submit(server, "<presence/>", &bound);
    bound
}

fn submit(server: &Server, stanza: &str, bound: &Bound) {
    let stanza = Stanza::parse(stanza)
        .unwrap()
        .with_from(Jid::from(bound.session.jid().clone()));
    let origin = Origin::session(bound.session.id());
    let _: Settlement = block_on(server.submit(stanza, &bound.session, origin).finish());
}

fn benches(c: &mut Criterion) {
    let runtime = io_runtime();
    let _inside = runtime.enter();
    let server = server();
    let crowd: Vec<_> = (0..CROWD)
        .map(|n| login(&server, &format!("u{n}@example.org")))
        .collect();
    let (romeo, juliet) = (
        login(&server, "romeo@example.org"),
        login(&server, "juliet@example.org"),
    );
    let mut route = c.benchmark_group("route");
    route.throughput(Throughput::Elements(1));
    for (name, text) in [
        (
            "chat to a full address",
            "<message to='juliet@example.org/orchard' type='chat' id='1'><body>Ay me!</body></message>",
        ),
        (
            "chat to a bare address",
            "<message to='juliet@example.org' type='chat' id='1'><body>Ay me!</body></message>",
        ),
        (
            "ping",
            "<iq to='example.org' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        ),
        (
            "directed presence",
            "<presence to='juliet@example.org/orchard'/>",
        ),
    ] {
        let stanza = Stanza::parse(text)
            .unwrap()
            .with_from(Jid::from(romeo.session.jid().clone()));
        route.bench_function(name, |b| {
            b.iter_batched(
                || stanza.clone(),
                |stanza| {
                    let origin = Origin::session(romeo.session.id());
                    let dispatch = server.submit(stanza, &romeo.session, origin);
                    if let Dispatch::Pending(rest) = dispatch {
                        let _ = block_on(rest);
                    }
                    // What the recipients' connections would do.
                    for bound in [&romeo, &juliet] {
                        black_box(bound.session.queue().take(usize::MAX));
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    route.finish();
    drop(crowd);
}

/// Modules may spawn.
fn io_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
}

criterion_group!(all, benches);
criterion_main!(all);
