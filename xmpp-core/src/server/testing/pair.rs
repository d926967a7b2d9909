//! Two servers of one domain in one thread, over the same stores: each shows the other's sessions in its
//! directory, and what they hand over to each other goes through a queue, in order, until the way is cut.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::stream::StreamExt as _;

use super::{Counted, World};
use crate::account::{AccountChange, AccountEvents};
use crate::directory::{Directory, LocalDirectory, Resources, find};
use crate::mailbox::{Envelope, Inbox, Mailbox, Node, Origin, Outcome, Reason, Settlement, Share};
use crate::module::Module;
use crate::server::{Config, Server};
use crate::session::{Change, Resource, Session, SessionId};
use crate::stanza::Stanza;
use crate::store::Stores;
use crate::{BareJid, FullJid, Jid};

/// Two nodes of one domain.
pub(crate) struct Pair {
    pub(crate) a: World,
    pub(crate) b: World,
    ways: [Arc<Way>; 2],
}

impl Pair {
    /// Two servers on these stores; `modules` are made for each.
    pub(crate) fn on(
        stores: [Stores; 2],
        modules: impl Fn() -> Vec<Arc<dyn Module>>,
        configure: impl Fn(&mut Config),
    ) -> Pair {
        let (tasks, clock) = (Arc::default(), Arc::default());
        let (to_b, from_a) = Way::new();
        let (to_a, from_b) = Way::new();
        let halves = [Half::new(to_b.clone()), Half::new(to_a.clone())];
        let [here, there] = halves.each_ref();
        let _ = here.there.set(Arc::downgrade(there));
        let _ = there.there.set(Arc::downgrade(here));
        let mut n = 0;
        let worlds = stores.map(|stores| {
            let half = halves[n].clone();
            let builder = World::builder()
                .configure(&configure)
                .stores(stores)
                .directory(half.clone())
                .account_events(half.way.clone())
                .modules(modules());
            let random = Counted::from((n as u64) << 32);
            n += 1;
            World::run_by(builder, random, Arc::clone(&tasks), Arc::clone(&clock)).unwrap()
        });
        let [a, b] = worlds;
        let [half_a, half_b] = halves;
        let receive_b = receive(b.server.clone(), half_b, to_b.clone(), from_a);
        b.server.spawn(receive_b);
        let receive_a = receive(a.server.clone(), half_a, to_a.clone(), from_b);
        a.server.spawn(receive_a);
        Pair {
            a,
            b,
            ways: [to_b, to_a],
        }
    }

    /// Nothing gets from one to the other any more, and both know it: what was not answered goes another way. What has been
    /// handed over and answered stays where it is.
    pub(crate) fn cut(&self) {
        for (world, way) in [(&self.a, &self.ways[0]), (&self.b, &self.ways[1])] {
            let open = {
                let mut state = way.state.lock().unwrap();
                state.cut = true;
                std::mem::take(&mut state.open)
            };
            for (_, (parcel, envelope)) in open {
                let again = match parcel {
                    Kind::Route => world.server.route(envelope.stanza, envelope.origin),
                    Kind::Push => world.server.given_back(envelope),
                };
                world.finish(again);
            }
        }
    }

    /// From now on parcels wait, until it is [let go](Pair::let_go).
    pub(crate) fn hold(&self) {
        for way in &self.ways {
            way.state.lock().unwrap().held = Some(VecDeque::new());
        }
    }

    /// What waits arrives.
    pub(crate) fn let_go(&self) {
        for way in &self.ways {
            let held = way.state.lock().unwrap().held.take();
            for parcel in held.into_iter().flatten() {
                let _ = way.sender.unbounded_send(parcel);
            }
        }
        self.a.settle();
    }

    /// What `a` has handed over to `b`, and back: how many parcels of all kinds.
    pub(crate) fn sent(&self) -> [usize; 2] {
        [0, 1].map(|way| self.ways[way].state.lock().unwrap().sent)
    }

    /// How many stanzas have not been answered.
    pub(crate) fn open(&self) -> usize {
        self.a.settle();
        let open = |way: &Arc<Way>| way.state.lock().unwrap().open.len();
        self.ways.iter().map(open).sum()
    }
}

/// From one to the other.
pub(crate) struct Way {
    state: Mutex<State>,
    sender: UnboundedSender<Parcel>,
}

#[derive(Default)]
struct State {
    cut: bool,
    held: Option<VecDeque<Parcel>>,
    sent: usize,
    number: u64,
    /// What has been handed over, until it is known what has become of it.
    open: BTreeMap<u64, (Kind, Envelope)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Route,
    Push,
}

enum Parcel {
    Route(u64, Stanza, Origin),
    Push {
        n: u64,
        to: FullJid,
        id: SessionId,
        stanza: Stanza,
        origin: Origin,
        shared: bool,
    },
    /// What the other has handed over.
    Settled(u64),
    /// Nobody can lose it any more.
    Done(u64),
    /// It has to take another way from there.
    Lost(u64),
    Bound(FullJid, SessionId),
    Changed(FullJid, SessionId, Change),
    Unbound(FullJid, SessionId),
    End(FullJid, SessionId),
    Account(BareJid, AccountChange),
}

impl Way {
    fn new() -> (Arc<Way>, UnboundedReceiver<Parcel>) {
        let (sender, receiver) = unbounded();
        let state = Mutex::default();
        (Arc::new(Way { state, sender }), receiver)
    }

    fn send(&self, parcel: Parcel) {
        let mut state = self.state.lock().unwrap();
        if state.cut {
            return;
        }
        state.sent += 1;
        match &mut state.held {
            Some(held) => held.push_back(parcel),
            None => drop(self.sender.unbounded_send(parcel)),
        }
    }

    fn hand_over(
        &self,
        kind: Kind,
        mut envelope: Envelope,
        parcel: impl FnOnce(u64, &Envelope) -> Parcel,
    ) -> Settlement {
        let mut state = self.state.lock().unwrap();
        if state.cut {
            return envelope.refused(Reason::Closed);
        }
        let settlement = envelope.pledged();
        state.number += 1;
        let n = state.number;
        let parcel = parcel(n, &envelope);
        state.open.insert(n, (kind, envelope));
        drop(state);
        self.send(parcel);
        settlement
    }

    /// What the other says of what was handed over.
    fn answered(&self, n: u64, outcome: Outcome, is_over: bool) -> Option<Envelope> {
        let mut state = self.state.lock().unwrap();
        let (_, envelope) = state.open.get_mut(&n)?;
        if outcome == Outcome::Settled {
            envelope.settled();
        }
        let (_, envelope) = is_over.then(|| state.open.remove(&n)).flatten()?;
        (outcome == Outcome::Returned).then_some(envelope)
    }
}

impl AccountEvents for Way {
    fn changed(&self, account: &BareJid, change: AccountChange) {
        self.send(Parcel::Account(account.clone(), change));
    }
}

/// Does what has come on the way `from`.
async fn receive(
    server: Server,
    half: Arc<Half>,
    from: Arc<Way>,
    mut parcels: UnboundedReceiver<Parcel>,
) {
    let back = &half.way;
    while let Some(parcel) = parcels.next().await {
        if from.state.lock().unwrap().cut {
            continue;
        }
        match parcel {
            Parcel::Route(n, stanza, origin) => {
                let dispatch = server.accept(stanza, origin);
                let (held, back) = (server.clone(), back.clone());
                server.spawn(async move {
                    // It has been dealt with here, whatever became of it.
                    let _ = held.outcome(dispatch).await;
                    back.send(Parcel::Settled(n));
                    back.send(Parcel::Done(n));
                });
            }
            Parcel::Push {
                n,
                to,
                id,
                stanza,
                origin,
                shared,
            } => {
                let told = back.clone();
                let share = shared.then(|| {
                    Share::elsewhere(move |outcome| match outcome {
                        Outcome::Settled => told.send(Parcel::Done(n)),
                        Outcome::Returned => told.send(Parcel::Lost(n)),
                    })
                });
                let dispatch = server.accept_for(&to, id, stanza, origin, share);
                let (held, back) = (server.clone(), back.clone());
                server.spawn(async move {
                    let outcome = held.outcome(dispatch).await;
                    if outcome == Outcome::Settled || !shared {
                        back.send(Parcel::Settled(n));
                    }
                    if !shared {
                        back.send(Parcel::Done(n));
                    }
                });
            }
            Parcel::Settled(n) => drop(back.answered(n, Outcome::Settled, false)),
            Parcel::Done(n) => drop(back.answered(n, Outcome::Settled, true)),
            Parcel::Lost(n) => {
                if let Some(envelope) = back.answered(n, Outcome::Returned, true) {
                    let _ = server.given_back(envelope).finish().await;
                }
            }
            Parcel::Bound(jid, id) => {
                let far = Far {
                    jid: jid.clone(),
                    id,
                    way: back.clone(),
                };
                let image = Resource::remote(jid, id, Mailbox::new(Arc::new(far)));
                half.here.bind(Arc::new(image)).unwrap();
            }
            Parcel::Changed(jid, id, change) => {
                if let Some(image) = half.entry(&jid, id) {
                    half.here.update(&image, change);
                }
            }
            Parcel::Unbound(jid, id) => drop(half.here.unbind(&jid, id)),
            Parcel::End(jid, id) => {
                server.replaced(&jid, id);
            }
            Parcel::Account(account, change) => server.account_changed(&account, change),
        }
    }
}

/// The directory of one of them.
struct Half {
    here: LocalDirectory,
    there: OnceLock<Weak<Half>>,
    /// To the other.
    way: Arc<Way>,
}

/// The mailbox of a session over there.
struct Far {
    jid: FullJid,
    id: SessionId,
    way: Arc<Way>,
}

impl Inbox for Far {
    fn push(&self, envelope: Envelope) -> Settlement {
        self.way
            .hand_over(Kind::Push, envelope, |n, envelope| Parcel::Push {
                n,
                to: self.jid.clone(),
                id: self.id,
                stanza: envelope.stanza.clone(),
                origin: envelope.origin.clone(),
                shared: envelope.share.is_some(),
            })
    }

    fn node(&self) -> Option<&dyn Node> {
        Some(&*self.way)
    }
}

impl Node for Way {
    fn route(&self, envelope: Envelope) -> Settlement {
        self.hand_over(Kind::Route, envelope, |n, envelope| {
            Parcel::Route(n, envelope.stanza.clone(), envelope.origin.clone())
        })
    }
}

impl Half {
    fn new(way: Arc<Way>) -> Arc<Half> {
        Arc::new(Half {
            here: LocalDirectory::new(),
            there: OnceLock::new(),
            way,
        })
    }

    fn there(&self) -> Arc<Half> {
        self.there.get().unwrap().upgrade().unwrap()
    }

    fn entry(&self, jid: &FullJid, id: SessionId) -> Option<Arc<Resource>> {
        let entry = find(&self.here.resources(jid.bare_str()), jid.as_str())?;
        (entry.id() == id).then_some(entry)
    }
}

impl Directory for Half {
    fn bind(&self, resource: Arc<Resource>) -> Result<(), Arc<Resource>> {
        let bound = Parcel::Bound(resource.jid().clone(), resource.id());
        self.here.bind(resource)?;
        self.way.send(bound);
        Ok(())
    }

    fn update(&self, resource: &Resource, change: Change) {
        let (jid, id) = (resource.jid().clone(), resource.id());
        self.way.send(Parcel::Changed(jid, id, change.clone()));
        self.here.update(resource, change);
    }

    fn unbind(&self, jid: &FullJid, id: SessionId) -> Option<Arc<Resource>> {
        let gone = self.here.unbind(jid, id)?;
        self.way.send(match gone.session() {
            Some(_) => Parcel::Unbound(jid.clone(), id),
            None => Parcel::End(jid.clone(), id),
        });
        Some(gone)
    }

    fn resources(&self, account: &str) -> Resources {
        self.here.resources(account)
    }

    fn serve(&self, address: &Jid, mailbox: Mailbox) -> bool {
        self.here.serve(address, mailbox.clone()) && self.there().here.serve(address, mailbox)
    }

    fn withdraw(&self, address: &Jid) {
        self.here.withdraw(address);
        self.there().here.withdraw(address);
    }

    fn entity(&self, addresses: &[&str]) -> Option<Mailbox> {
        self.here.entity(addresses)
    }

    fn sessions(&self, show: &mut dyn FnMut(&Arc<Session>)) {
        self.here.sessions(show);
    }

    fn len(&self) -> usize {
        self.here.len()
    }
}
