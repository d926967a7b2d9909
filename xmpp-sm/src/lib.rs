//! Stream management (XEP-0198): acknowledgements, and streams that outlive their connections.
//!
//! [`StreamManagement`] is the module for a [`Server`]. What it is made of can be used alone:
//!
//! * [`Managed`] is the machine, around any stream that speaks [`Input`](xmpp_core::stream::Input) and
//!   [`Output`](xmpp_core::stream::Output);
//! * [`server`] has the machines around streams between servers;
//! * [`Outbound`] and [`Inbound`] count one direction each, for a stream that is not ours, or a link that is none;
//! * [`Counter`] is `h`, with the arithmetic that its wrapping needs.

pub mod counter;
pub mod inbound;
pub mod managed;
mod nonza;
pub mod outbound;
pub mod server;

use std::fmt;
use std::sync::{Arc, OnceLock};

use xmpp_core::module::{Hooks, Module};
use xmpp_core::s2s;
use xmpp_core::server::{BuildError, Server};
use xmpp_core::stream::{BoxStream, Feature, FeatureContext, Layer};
use xmpp_core::xml::Element;

pub use counter::Counter;
pub use inbound::Inbound;
pub use managed::{Managed, Options, Surroundings};
pub use nonza::NS;
pub use outbound::{AckError, Outbound, RequestPolicy};

/// The module: manages the streams of clients that want it, and those with other servers.
///
/// Register it after all other layers, so that it counts what they send.
#[derive(Default)]
pub struct StreamManagement {
    options: Options,
    peers: server::Options,
    shared: OnceLock<Shared>,
}

struct Shared {
    clients: Arc<Surroundings>,
    peers: Arc<server::Surroundings>,
}

impl StreamManagement {
    /// With other options than the default ones.
    pub fn new(options: Options) -> StreamManagement {
        StreamManagement {
            options,
            ..StreamManagement::default()
        }
    }

    /// With other options for streams between servers than the default ones.
    #[must_use]
    pub fn peers(mut self, options: server::Options) -> StreamManagement {
        self.peers = options;
        self
    }
}

impl Module for StreamManagement {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.layer(self.clone());
        on.peer_layer(self);
    }

    fn ready(&self, server: &Server) -> Result<(), BuildError> {
        self.shared.get_or_init(|| {
            let (random, budget) = (server.random_source(), server.budget().clone());
            Shared {
                clients: Arc::new(Surroundings {
                    options: self.options.clone(),
                    random: random.clone(),
                    budget: budget.clone(),
                }),
                peers: Arc::new(server::Surroundings {
                    options: self.peers.clone(),
                    random,
                    budget,
                }),
            }
        });
        Ok(())
    }
}

impl Layer for StreamManagement {
    fn wrap(&self, inner: BoxStream) -> BoxStream {
        match self.shared.get() {
            Some(shared) => Box::new(Managed::new(inner, shared.clients.clone())),
            // Outside a server nobody can resume anything.
            None => inner,
        }
    }

    fn feature(&self) -> Option<Arc<dyn Feature>> {
        Some(Arc::new(Offer))
    }
}

impl s2s::Layer for StreamManagement {
    fn incoming(&self, inner: s2s::BoxStream) -> s2s::BoxStream {
        match self.shared.get() {
            Some(shared) => Box::new(server::Incoming::new(inner, shared.peers.clone())),
            None => inner,
        }
    }

    fn outgoing(&self, inner: s2s::BoxStream) -> s2s::BoxStream {
        match self.shared.get() {
            Some(shared) => Box::new(server::Outgoing::new(inner, shared.peers.clone())),
            None => inner,
        }
    }

    /// After dialback there are no features any more: it is offered in all in which a pair can be proven.
    fn feature(&self) -> Option<Element> {
        Some(Element::new("sm", NS))
    }
}

impl fmt::Debug for StreamManagement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamManagement")
            .field(&self.options)
            .field(&self.peers)
            .finish()
    }
}

struct Offer;

impl Feature for Offer {
    /// §3: the feature is offered where the other side may enable it or resume with it.
    fn advertise(&self, to: &FeatureContext<'_>) -> Option<Element> {
        to.account.map(|_| Element::new("sm", NS))
    }
}
