//! Where a domain's servers are, and a connection to one of them (RFC 6120 §3).
//!
//! [`Dial`] is what a server is given; [`Dialer`] is ours, on a [`Resolver`]. What else carries bytes between servers (a
//! tunnel, a serial line, one end of [`tokio::io::duplex`] in a test) is another `Dial`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::Io;
use crate::BareJid;
use crate::stanza::Condition;

mod addresses;
mod dialer;
#[cfg(feature = "dns")]
mod dns;
mod order;
mod race;
mod resolver;

pub use addresses::{Addresses, Network, NotANetwork};
pub use dialer::{DialConfig, Dialer, Target};
#[cfg(feature = "dns")]
pub use dns::{Dns, DnsError};
pub use resolver::{Resolver, Srv, Unresolved};

/// Connects to a server of another domain.
///
/// It decides nothing about XMPP: who answers proves by its certificate or by dialback that it is the domain's. It ends within
/// a time that it knows itself; who called may drop it sooner, and then nothing of it stays.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// A fresh connection to a server of the domain `to`, on behalf of the domain `from`.
    ///
    /// # Errors
    /// [`DialError`] says why there is none.
    async fn dial(&self, from: &BareJid, to: &BareJid) -> Result<Dialled, DialError>;
}

/// A connection on which nothing has been said yet.
pub struct Dialled {
    /// What carries the bytes.
    pub stream: Box<dyn Io>,
    /// Whether the handshake of TLS comes first, with the ALPN protocol `xmpp-server` (XEP-0368), and not a stream header.
    pub direct_tls: bool,
    /// Where it goes, for logs: `xmpp.example.net:5269 (192.0.2.1)`.
    pub target: String,
    /// The domain's further servers, to be dialled if direct TLS turns out not to work with this one. `None`: there are none.
    pub others: Option<Arc<dyn Dial>>,
}

impl fmt::Debug for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialled")
            .field("direct_tls", &self.direct_tls)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection. Where several servers fail, each in its way, the last of these is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// There is no such domain, or its operator says that there is no server for it.
    #[error("the domain has no server")]
    NotFound,
    /// The servers have only addresses that are not dialled, by policy.
    #[error("the server's addresses are not allowed")]
    Forbidden,
    /// The domain names no server, and at its own address nobody answers on the registered port.
    #[error("the domain names no server, and its host does not answer")]
    NoAnswer,
    /// The name service does not answer, or says that it cannot.
    #[error("the name service fails")]
    Unresolved,
    /// The servers that the domain names refuse connections, or there is no route to them.
    #[error("the server is not reachable")]
    Unreachable,
    /// No connection was there in time.
    #[error("no connection was there in time")]
    TimedOut,
}

impl DialError {
    /// What the sender of a stanza is told.
    pub fn condition(self) -> Condition {
        match self {
            // RFC 6120 §8.3.3.16: "does not exist or cannot be resolved (e.g., there is no _xmpp-server._tcp DNS SRV record, the
            // A or AAAA fallback resolution fails, or A/AAAA lookups succeed but there is no response on the IANA-registered
            // port 5269)". What we do not dial is for us not there.
            DialError::NotFound | DialError::NoAnswer | DialError::Forbidden => {
                Condition::RemoteServerNotFound
            }
            // §8.3.3.17: "was resolved but communications could not be established within a reasonable amount of time". A
            // name service that fails has not said that there is no such domain: it is worth trying again, which is what the
            // type of this condition says, and not of the other.
            DialError::Unresolved | DialError::Unreachable | DialError::TimedOut => {
                Condition::RemoteServerTimeout
            }
        }
    }
}
