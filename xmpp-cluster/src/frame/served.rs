//! Addresses that are no accounts': components, the domains of rooms, and those of other servers.

use prost::Message;
use xmpp_core::Jid;

use super::Error;

/// Addresses that a node tells that it serves, at most.
pub const SERVED: usize = 256;

/// What the sender serves itself, all of it: what was said before holds no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The addresses, [`SERVED`] at most.
    pub addresses: Vec<Jid>,
    /// Whether it has a way to other servers.
    pub outlet: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireServed {
    #[prost(string, repeated, tag = "1")]
    addresses: Vec<String>,
    #[prost(bool, tag = "2")]
    outlet: bool,
}

impl From<&Served> for WireServed {
    fn from(served: &Served) -> WireServed {
        let addresses = served.addresses.iter().take(SERVED);
        WireServed {
            addresses: addresses.map(Jid::to_string).collect(),
            outlet: served.outlet,
        }
    }
}

impl TryFrom<WireServed> for Served {
    type Error = Error;

    fn try_from(served: WireServed) -> Result<Served, Error> {
        let read = |text: String| {
            let address = text.parse::<Jid>().ok();
            let address = address.filter(|address| address.as_str() == text);
            address.ok_or(Error::Without("address"))
        };
        if served.addresses.len() > SERVED {
            return Err(Error::Without("bound"));
        }
        let addresses = served.addresses.into_iter().map(read);
        Ok(Served {
            addresses: addresses.collect::<Result<_, _>>()?,
            outlet: served.outlet,
        })
    }
}
