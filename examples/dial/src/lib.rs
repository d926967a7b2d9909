//! A way between servers of one's own: those of one process reach each other by pairs of
//! [`tokio::io::duplex`]. A tunnel, a serial line or a private network would look the same.
//!
//! [`Dial`] knows nothing of XMPP: it says where the server of a domain is, and brings a
//! connection. Who answers there proves that it speaks for the domain, here by dialback,
//! since there is no TLS on what never leaves the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use tokio::io::duplex;
use xmpp_core::BareJid;
use xmpp_core::io::Security;
use xmpp_core::io::dial::{Dial, DialError, Dialled};
use xmpp_core::io::s2s::{Config, Federation, Gate, Peers, Rules, Setup};
use xmpp_core::s2s::{Policy, Proof};
use xmpp_core::server::Server;

/// Bytes that a connection takes before its other end has read any.
const PIPE: usize = 16 * 1024;

/// Servers that know each other, for as long as it is there.
#[derive(Default)]
pub struct Village {
    houses: Arc<Houses>,
}

type Houses = Mutex<HashMap<BareJid, Federation>>;

impl Village {
    /// From now on this server is found as `domain`, and finds the others. It was built with
    /// the gate ([`Builder::remote`](xmpp_core::server::Builder::remote)).
    pub fn join(&self, domain: BareJid, server: &Server, gate: Gate) {
        let federation = Federation::start(
            server.clone(),
            Setup {
                gate,
                dial: Arc::new(Road(Arc::downgrade(&self.houses))),
                tls: None,
                peers: Arc::new(Peers::new(rules())),
                config: Config::default(),
            },
        );
        let mut houses = self.houses.lock().unwrap_or_else(PoisonError::into_inner);
        houses.insert(domain, federation);
    }
}

/// Weak, or the village would keep the servers, and they the village.
struct Road(Weak<Houses>);

#[async_trait]
impl Dial for Road {
    async fn dial(&self, _from: &BareJid, to: &BareJid) -> Result<Dialled, DialError> {
        let houses = self.0.upgrade().ok_or(DialError::NotFound)?;
        let houses = houses.lock().unwrap_or_else(PoisonError::into_inner);
        let house = houses.get(to).ok_or(DialError::NotFound)?;
        let (ours, theirs) = duplex(PIPE);
        house.connect(theirs, None, Security::Plain);
        Ok(Dialled {
            stream: Box::new(ours),
            direct_tls: false,
            target: format!("the house of {to}"),
            others: None,
        })
    }
}

fn rules() -> Rules {
    let policy = Policy {
        tls: false,
        proof: Proof::Dialback,
        ..Policy::default()
    };
    Rules {
        default: Some(policy),
        ..Rules::default()
    }
}
