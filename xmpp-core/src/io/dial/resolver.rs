//! What has to be known of the name service, whoever asks it.

use std::net::IpAddr;

use async_trait::async_trait;

/// Asks the name service.
///
/// That there is no such name and that it has no such record is one answer: none. A name service that fails is another,
/// [`Unresolved`]; it may be asked again. An implementation bounds the time that it takes for a question.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// The SRV records (RFC 2782) of a name, in any order: `_xmpp-server._tcp.example.net.`, of A-labels and with the root's dot.
    ///
    /// # Errors
    /// [`Unresolved`] if that cannot be told now.
    async fn srv(&self, name: &str) -> Result<Vec<Srv>, Unresolved>;

    /// The addresses of a host, A and AAAA, in any order; the name as for [`srv`](Resolver::srv).
    ///
    /// # Errors
    /// [`Unresolved`] if that cannot be told now. If only those of one family can be told, those are the answer.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved>;
}

/// A SRV record: where a service of a domain is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Srv {
    /// Lower ones come first.
    pub priority: u16,
    /// The share among those of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host, of A-labels. `.`: the service is decidedly not available at this domain.
    pub target: String,
}

/// The name service does not answer, or says that it cannot (SERVFAIL and the like).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name service fails")]
pub struct Unresolved;
