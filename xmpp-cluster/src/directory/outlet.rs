//! Over which node what is for another domain goes out.
//!
//! What our accounts have for a domain that is not ours leaves over one node of a site, so that there is one stream to that domain, and what
//! one sender has for it keeps its order (RFC 6120 §10.1): over the one that is [first](rendezvous) for the domain among those that have a way out. What
//! another node brings goes out where it is brought, whatever that one thinks: it goes no further.
//!
//! What an entity sends that is served here (rooms, a component) goes out here: it is served at one node in any case, and may have to know of the
//! stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use xmpp_core::Jid;
use xmpp_core::mailbox::{
    Envelope, Inbox, Mailbox, Node as _, Reason, Settlement, Source, Undelivered,
};
use xmpp_core::server::Server;

use super::{ClusterDirectory, lock};
use crate::node::{Life, NodeId};
use crate::rendezvous;

/// How long nothing has gone to a domain from here when that may go over another node than before: what went before is delivered by then, written
/// down, or back with its sender.
pub const SILENCE: Duration = Duration::from_secs(60);

/// Domains of which it is remembered over which node they went last, at most. What goes to further ones meanwhile may be overtaken when nodes come.
pub const OUTLETS: usize = 4096;

/// The way out of this node, and those to the ways out of others.
#[derive(Default)]
pub(super) struct Outlets {
    here: OnceLock<Mailbox>,
    /// Over which node what is for a domain went, and when last.
    last: Mutex<HashMap<Box<str>, (NodeId, Instant)>>,
}

/// The mailbox for stanzas for other domains.
struct Outlet(Arc<ClusterDirectory>);

impl ClusterDirectory {
    /// This node has a way to other servers (for instance [`Gate::mailbox`](xmpp_core::io::s2s::Gate::mailbox)), and tells the others so. What
    /// comes back is the way for its server ([`Builder::remote`](xmpp_core::server::Builder::remote)): of what its accounts send some goes
    /// over other nodes, and some of what those of other nodes send comes here. To be called once, before the server is built.
    ///
    /// A node without that sends all over the others, if their way is given to its server: `None` as `here` does so.
    ///
    /// What another node was given is kept here until it says that the other server has it, or that it is stored; should that node go down, it goes
    /// over the next one, and may arrive twice.
    pub fn remote(self: &Arc<Self>, here: Option<Mailbox>) -> Mailbox {
        if let Some(here) = here
            && self.outlets.here.set(here).is_ok()
        {
            self.set_outlet(true);
        }
        Mailbox::new(Arc::new(Outlet(self.clone())))
    }

    /// What is for other servers is not to be brought here any more, since this node is about to go; what comes nevertheless still goes out.
    pub fn close_outlet(&self) {
        self.set_outlet(false);
    }

    /// Over which node what our accounts send to a domain goes from here, now; `None` if there is no way.
    pub fn outlet(&self, domain: &str) -> Option<NodeId> {
        let now = self.cluster.now().instant;
        self.choose(domain, now, &[]).map(|life| life.node)
    }

    /// Where a stanza goes out that another node has brought for this domain, if it does so here.
    pub(crate) fn way_out(&self, domain: &str, server: &Server) -> Option<&Mailbox> {
        let here = self.outlets.here.get()?;
        (!server.hosts(domain)).then_some(here)
    }

    fn set_outlet(&self, open: bool) {
        if let Some(served) = self.servants.set_outlet(open) {
            self.tell(&self.cluster.up(), served);
        }
    }

    /// The one that had it last, as long as that can be overtaken; or the first of our site, or of all.
    fn choose(&self, domain: &str, now: Instant, gone: &[NodeId]) -> Option<Life> {
        let me = self.cluster.me();
        let open = |node: &NodeId| match *node == me.life.node {
            _ if gone.contains(node) => None,
            true => self.servants.is_outlet().then(|| me.life.clone()),
            false => self.servants.outlet(node),
        };
        let last = self.outlets.last(domain, now);
        if let Some(life) = last.as_ref().and_then(open) {
            return Some(life);
        }
        let nodes = self.cluster.look(|node| {
            let others = node.members().map(|seen| seen.info);
            let all = others.chain([me]);
            let all = all.filter(|info| open(&info.life.node).as_ref() == Some(&info.life));
            let all = all.map(|info| (info.site == me.site, info.life.clone()));
            all.collect::<Vec<_>>()
        });
        let near = nodes.iter().any(|(near, _)| *near);
        let lives = || nodes.iter().filter(|of| of.0 == near).map(|(_, life)| life);
        let first = rendezvous::first(domain, lives().map(|life| &life.node))?;
        lives().find(|life| life.node == *first).cloned()
    }
}

impl Outlets {
    /// Over which node a domain went, unless that is long ago.
    fn last(&self, domain: &str, now: Instant) -> Option<NodeId> {
        let last = lock(&self.last);
        let (node, at) = last.get(domain)?;
        let is_long_ago = now.saturating_duration_since(*at) >= SILENCE;
        (!is_long_ago).then(|| node.clone())
    }

    /// A stanza goes over that node.
    fn goes(&self, domain: &str, node: &NodeId, now: Instant) {
        let mut last = lock(&self.last);
        if let Some(known) = last.get_mut(domain) {
            *known = (node.clone(), now);
            return;
        }
        if last.len() >= OUTLETS {
            last.retain(|_, (_, at)| now.saturating_duration_since(*at) < SILENCE);
        }
        if last.len() < OUTLETS {
            last.insert(domain.into(), (node.clone(), now));
        }
    }
}

impl Inbox for Outlet {
    fn push(&self, mut envelope: Envelope) -> Settlement {
        let directory = &self.0;
        let now = directory.cluster.now().instant;
        let here = directory.outlets.here.get();
        let mut gone = Vec::new();
        loop {
            let way = match (envelope.stanza.to(), is_ours(directory, &envelope)) {
                (Some(to), true) => directory.choose(to.domain(), now, &gone),
                _ => None,
            };
            let elsewhere = way.filter(|life| *life != directory.cluster.me().life);
            let to = envelope.stanza.to().map_or("", Jid::domain);
            let Some(life) = elsewhere else {
                let Some(here) = here else {
                    return envelope.refused(Reason::Closed);
                };
                directory
                    .outlets
                    .goes(to, &directory.cluster.me().life.node, now);
                let Envelope {
                    stanza,
                    origin,
                    share,
                    ..
                } = envelope;
                return here.push_shared(stanza, origin, share);
            };
            directory.outlets.goes(to, &life.node, now);
            match directory.gate(&life).route(envelope) {
                // It is down, and perhaps nobody has heard so yet.
                Settlement::Failed(Undelivered {
                    stanza,
                    origin,
                    reason: Reason::Closed,
                }) => {
                    gone.push(life.node);
                    envelope = Envelope::new(stanza, origin);
                }
                settlement => return settlement,
            }
        }
    }
}

/// Whether it is one of our accounts, or the server itself, that sends it.
fn is_ours(directory: &ClusterDirectory, envelope: &Envelope) -> bool {
    match (&envelope.origin.source, envelope.stanza.from()) {
        (Source::Session(_), _) => true,
        (Source::Entity, _) | (_, None) => false,
        (_, Some(from)) => !directory.servants.serves(from),
    }
}
