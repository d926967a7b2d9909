//! A router of one's own: several tenants on one server, each with a domain, who do not
//! reach each other.
//!
//! A [`Router`] says where a stanza goes and does nothing else, so it is easily put around
//! another: this one refuses what crosses from one tenant to another, and leaves the rest
//! to the [`Rules`] of the RFCs.

use std::collections::HashSet;
use std::sync::Arc;

use xmpp_core::Jid;
use xmpp_core::directory::Directory;
use xmpp_core::mailbox::Origin;
use xmpp_core::router::{Route, Router, Rules};
use xmpp_core::server::Config;
use xmpp_core::stanza::{Condition, Stanza};

/// Keeps the domains of a server apart.
///
/// ```
/// use router::Tenants;
/// use xmpp_core::server::Server;
///
/// let builder = Server::builder().router(Tenants::around_rules);
/// # drop(builder);
/// ```
pub struct Tenants {
    rules: Rules,
    domains: HashSet<String>,
}

impl Tenants {
    /// The rules of the RFCs, within each domain. For
    /// [`Builder::router`](xmpp_core::server::Builder::router).
    pub fn around_rules(directory: Arc<dyn Directory>, config: &Config) -> Arc<dyn Router> {
        let domains = || config.domains.iter().map(|domain| domain.name.clone());
        Arc::new(Tenants {
            rules: Rules::new(directory, domains()),
            domains: domains().map(|domain| domain.to_string()).collect(),
        })
    }

    fn crosses(&self, from: &Jid, to: &Jid) -> bool {
        from.domain() != to.domain()
            && self.domains.contains(from.domain())
            && self.domains.contains(to.domain())
    }
}

impl Router for Tenants {
    fn route(&self, stanza: &Stanza, to: &Jid, origin: &Origin) -> Route {
        // The refusal itself comes back across the wall, from the server.
        let refusal = *origin == Origin::SERVER && stanza.kind().is_error();
        match stanza.from() {
            // The same whether the account exists or not.
            Some(from) if self.crosses(from, to) && !refusal => Route::Refuse(Condition::Forbidden),
            _ => self.rules.route(stanza, to, origin),
        }
    }
}
