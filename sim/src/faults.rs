//! Planted faults: servers that do one thing wrong, to prove that the
//! [invariants](crate::invariants) would notice. They come in through the doors that
//! every integrator has: the router, the directory, modules, the configuration.

mod directory;
mod modules;
mod router;
mod streams;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use xmpp_core::directory::LocalDirectory;
use xmpp_core::router::Rules;

use crate::world::WorldBuilder;

/// Something that a server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every so many messages one is lost.
    Drop,
    /// Every so many messages one is delivered twice.
    Double,
    /// Every so many messages one is overtaken by the next.
    Reorder,
    /// Every so many messages one goes to somebody else.
    Misdirect,
    /// Messages for who is away are neither kept nor returned.
    Swallow,
    /// Every so many requests one is not answered.
    Ignore,
    /// Every so many messages one is changed.
    Alter,
    /// When a session ends, another one does as well.
    Topple,
    /// A session that has ended stays in the directory.
    Linger,
    /// When a session ends, some memory is not given back.
    Hoard,
    /// Silent clients are believed to be there for ever.
    Trust,
    /// Queues are larger than they should be.
    Swell,
    /// A managed stream counts what it receives before it is handled.
    Boast,
    /// When a stream is resumed, the first stanza that the client has not received is not
    /// sent again.
    Skip,
    /// When a stream is resumed, what the client says that it has received is sent again.
    Repeat,
    /// When a stream ends, what its client has not acknowledged is forgotten.
    Abandon,
    /// After a restart, what a client had not acknowledged is forgotten.
    Forget,
    /// A stream is resumed before what its client has sent is handled, as if that had never
    /// been received.
    Hurry,
}

impl Fault {
    /// Every fault, with the invariant that it breaks, where people chat.
    pub const CHAT: [(Fault, &'static str); 12] = [
        (Fault::Drop, "complete"),
        (Fault::Double, "once"),
        (Fault::Reorder, "ordered"),
        (Fault::Misdirect, "addressed"),
        (Fault::Swallow, "accounted"),
        (Fault::Ignore, "answered"),
        (Fault::Alter, "untouched"),
        (Fault::Topple, "isolated"),
        (Fault::Linger, "sessions"),
        (Fault::Hoard, "memory"),
        (Fault::Trust, "connections"),
        (Fault::Swell, "bounded"),
    ];

    /// The faults of managed streams, with the invariants that they break where these are
    /// tried.
    pub const STREAMS: [(Fault, &'static str); 6] = [
        (Fault::Boast, "settled"),
        (Fault::Skip, "complete"),
        (Fault::Repeat, "once"),
        (Fault::Abandon, "accounted"),
        (Fault::Hurry, "once"),
        (Fault::Forget, "accounted"),
    ];

    /// Plants it in a server.
    pub fn plant(self, world: WorldBuilder) -> WorldBuilder {
        match self {
            Fault::Drop
            | Fault::Double
            | Fault::Reorder
            | Fault::Misdirect
            | Fault::Swallow
            | Fault::Ignore => world.router(move |directory, config| {
                let domains = config.domains.iter().map(|domain| domain.name.clone());
                let rules = Rules::new(directory.clone(), domains);
                Arc::new(router::Faulty::new(self, rules, directory))
            }),
            Fault::Linger => world.directory(Arc::new(directory::Lingering(LocalDirectory::new()))),
            Fault::Alter => world.module(modules::Alter::default()),
            Fault::Topple => world.module(modules::Topple::default()),
            Fault::Hoard => world.module(modules::Hoard),
            Fault::Boast
            | Fault::Skip
            | Fault::Repeat
            | Fault::Abandon
            | Fault::Hurry
            | Fault::Forget => world.module(streams::Streams(self)),
            Fault::Trust => world.configure(|config| {
                config.timeouts.keepalive = Duration::from_secs(365 * 24 * 3600);
            }),
            Fault::Swell => world.configure(|config| {
                config.session_queue.stanzas *= 100;
                config.session_queue.bytes *= 100;
            }),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Fault, String> {
        let all = Fault::CHAT.iter().chain(&Fault::STREAMS);
        let all = all.map(|(fault, _)| *fault);
        all.clone()
            .find(|fault| fault.to_string() == name)
            .ok_or_else(|| {
                let names: Vec<_> = all.map(|fault| fault.to_string()).collect();
                format!("the faults are {}", names.join(", "))
            })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}
