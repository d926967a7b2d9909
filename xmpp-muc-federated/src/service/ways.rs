//! What becomes of the streams to other servers, for the rooms that have to do with theirs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures::task::AtomicWaker;
use xmpp_core::BareJid;
use xmpp_core::s2s::links::{Down, LinkEvent, LinkId};

use super::lock;
use super::table::Post;
use crate::fmuc::LinkState;

/// The domains that rooms of a service have links to.
#[derive(Default)]
pub(super) struct Ways {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    domains: HashMap<BareJid, Domain>,
    /// The domains whose link has not acknowledged anything yet.
    unproven: HashMap<LinkId, BTreeSet<BareJid>>,
}

#[derive(Default)]
struct Domain {
    rooms: Vec<Arc<Post>>,
    last: Last,
    /// What our stanzas go over, and whether it acknowledges them.
    link: Option<(LinkId, bool)>,
}

/// What was heard last of the streams to a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Nothing,
    Up,
    /// The connection is lost; another one may go on with the session.
    Suspended,
    Down,
}

/// What a room has yet to hear: of each domain at most that the way there went down, and came up again.
#[derive(Default)]
pub(super) struct Signals {
    waiting: Mutex<BTreeMap<BareJid, Vec<LinkState>>>,
    reader: AtomicWaker,
}

/// The domains that one room wants to hear of, until it is dropped.
pub(super) struct Interest {
    ways: Arc<Ways>,
    post: Arc<Post>,
    domains: BTreeSet<BareJid>,
}

impl Ways {
    /// Something has happened to a link of the server. `service` is the domain whose rooms these are.
    pub(super) fn hear(&self, event: &LinkEvent, service: &BareJid) {
        match event {
            LinkEvent::Up {
                pair,
                resumed,
                link,
            } if pair.from() == service => {
                self.up(pair.to(), *resumed);
                self.goes_over(pair.to(), *link, *resumed);
            }
            LinkEvent::Acked(link, _) => _ = self.acknowledged(*link),
            LinkEvent::Down { pair, why, .. } if pair.from() == service => {
                self.down(pair.to(), why);
            }
            // If it reaches us, we may reach it.
            LinkEvent::Authenticated(_, pair) if pair.to() == service => self.seen(pair.from()),
            _ => {}
        }
    }

    fn up(&self, domain: &BareJid, resumed: bool) {
        self.change(domain, Last::Up, |last| match last {
            // There was a session that nobody has gone on with.
            Last::Suspended if !resumed => vec![LinkState::Down, LinkState::Up { resumed }],
            Last::Suspended => Vec::new(),
            _ => vec![LinkState::Up { resumed }],
        });
    }

    fn goes_over(&self, domain: &BareJid, link: LinkId, resumed: bool) {
        let mut known = lock(&self.known);
        let Some(it) = known.domains.get_mut(domain) else {
            return;
        };
        let still = resumed && it.link.is_some_and(|(_, acknowledges)| acknowledges);
        let before = it.link.replace((link, still));
        known.forget(domain, before);
        if !still {
            known
                .unproven
                .entry(link)
                .or_default()
                .insert(domain.clone());
        }
    }

    /// A peer has acknowledged something: it will all that goes over that link. Gives how many domains were looked at: it comes often, and is news once.
    fn acknowledged(&self, link: LinkId) -> usize {
        let mut known = lock(&self.known);
        let unproven = known.unproven.remove(&link).unwrap_or_default();
        for domain in &unproven {
            if let Some(it) = known.domains.get_mut(domain) {
                it.link = Some((link, true));
                it.tell(domain, &[LinkState::Acknowledged]);
            }
        }
        unproven.len()
    }

    fn down(&self, domain: &BareJid, why: &Down) {
        match why {
            Down::Suspended => self.change(domain, Last::Suspended, |_| Vec::new()),
            // It had nothing more to carry, and nothing is lost.
            Down::Ended => self.change(domain, Last::Nothing, |_| Vec::new()),
            _ => self.change(domain, Last::Down, |_| vec![LinkState::Down]),
        }
    }

    fn seen(&self, domain: &BareJid) {
        let mut known = lock(&self.known);
        if let Some(it) = known.domains.get_mut(domain)
            && it.last == Last::Down
        {
            it.last = Last::Nothing;
            it.tell(domain, &[LinkState::Up { resumed: false }]);
        }
    }

    fn change(&self, domain: &BareJid, now: Last, told: impl Fn(Last) -> Vec<LinkState>) {
        let mut known = lock(&self.known);
        if let Some(it) = known.domains.get_mut(domain) {
            let last = std::mem::replace(&mut it.last, now);
            it.tell(domain, &told(last));
        }
    }

    fn enter(&self, name: &BareJid, post: &Arc<Post>) {
        let mut known = lock(&self.known);
        let domain = known.domains.entry(name.clone()).or_default();
        domain.rooms.push(post.clone());
        if domain.link.is_some_and(|(_, acknowledges)| acknowledges) {
            post.signals.push(name, LinkState::Acknowledged);
        }
    }

    fn leave(&self, domain: &BareJid, post: &Arc<Post>) {
        let mut known = lock(&self.known);
        let Some(it) = known.domains.get_mut(domain) else {
            return;
        };
        it.rooms.retain(|other| !Arc::ptr_eq(other, post));
        if it.rooms.is_empty() {
            let gone = known.domains.remove(domain);
            known.forget(domain, gone.and_then(|gone| gone.link));
        }
    }
}

impl Known {
    /// What goes to a domain does not go over this any more.
    fn forget(&mut self, domain: &BareJid, link: Option<(LinkId, bool)>) {
        let Some((link, false)) = link else {
            return;
        };
        if let Some(unproven) = self.unproven.get_mut(&link) {
            unproven.remove(domain);
            if unproven.is_empty() {
                self.unproven.remove(&link);
            }
        }
    }
}

impl Domain {
    fn tell(&self, domain: &BareJid, states: &[LinkState]) {
        for post in &self.rooms {
            for state in states {
                post.signals.push(domain, *state);
            }
        }
    }
}

impl Signals {
    fn push(&self, domain: &BareJid, state: LinkState) {
        let mut waiting = lock(&self.waiting);
        let states = waiting.entry(domain.clone()).or_default();
        // That another stream acknowledges has nothing to do with this one.
        if matches!(state, LinkState::Up { .. }) {
            states.retain(|one| *one != LinkState::Acknowledged);
        }
        match (state, states.last_mut()) {
            (LinkState::Down, _) => *states = vec![state],
            (LinkState::Up { resumed }, Some(LinkState::Up { resumed: before })) => {
                *before &= resumed;
            }
            (LinkState::Up { .. }, _) => states.push(state),
            (LinkState::Acknowledged, Some(LinkState::Acknowledged)) => {}
            (LinkState::Acknowledged, _) => states.push(state),
        }
        drop(waiting);
        self.reader.wake();
    }

    /// What there is to hear, of each domain in its order; waits for it.
    pub(super) async fn next(&self) -> Vec<(BareJid, LinkState)> {
        let waiting = poll_fn(|cx| {
            self.reader.register(cx.waker());
            let waiting = std::mem::take(&mut *lock(&self.waiting));
            match waiting.is_empty() {
                true => Poll::Pending,
                false => Poll::Ready(waiting),
            }
        });
        let all = waiting.await.into_iter();
        all.flat_map(|(domain, states)| {
            states.into_iter().map(move |state| (domain.clone(), state))
        })
        .collect()
    }
}

impl Interest {
    pub(super) fn new(ways: Arc<Ways>, post: Arc<Post>) -> Interest {
        Interest {
            ways,
            post,
            domains: BTreeSet::new(),
        }
    }

    /// From now on it is these.
    pub(super) fn set(&mut self, domains: BTreeSet<BareJid>) {
        for gone in self.domains.difference(&domains) {
            self.ways.leave(gone, &self.post);
        }
        for new in domains.difference(&self.domains) {
            self.ways.enter(new, &self.post);
        }
        self.domains = domains;
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.set(BTreeSet::new());
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use xmpp_core::mailbox::{Budget, Queue, QueueLimits};
    use xmpp_core::s2s::Pair;
    use xmpp_core::s2s::links::LinkId;
    use xmpp_core::stream::StreamCondition;

    use super::*;

    const UP: LinkState = LinkState::Up { resumed: false };

    fn bare(text: &str) -> BareJid {
        BareJid::new(text).unwrap()
    }

    fn post() -> Arc<Post> {
        let budget = Arc::new(Budget::new(1 << 20));
        let queue = Queue::new(QueueLimits::default(), budget);
        Arc::new(Post::new(bare("r@rooms.our.example"), queue))
    }

    fn up(domain: &str, resumed: bool) -> LinkEvent {
        LinkEvent::Up {
            link: LinkId::Out(1),
            pair: Pair::new(&bare("rooms.our.example"), &bare(domain)),
            resumed,
        }
    }

    fn down(domain: &str, why: Down) -> LinkEvent {
        LinkEvent::Down {
            link: LinkId::Out(1),
            pair: Pair::new(&bare("rooms.our.example"), &bare(domain)),
            why,
        }
    }

    fn proven(domain: &str) -> LinkEvent {
        let pair = Pair::new(&bare(domain), &bare("rooms.our.example"));
        LinkEvent::Authenticated(LinkId::In(1), pair)
    }

    /// What a room with links to `a` and `b` hears of all this at once.
    fn heard(events: &[LinkEvent]) -> Vec<(String, LinkState)> {
        let (ways, post) = (Arc::new(Ways::default()), post());
        let mut interest = Interest::new(ways.clone(), post.clone());
        interest.set(["a", "b"].map(bare).into());
        for event in events {
            ways.hear(event, &bare("rooms.our.example"));
        }
        let heard = post.signals.next().now_or_never().unwrap_or_default();
        drop(interest);
        let known = lock(&ways.known);
        let left = (known.domains.len(), known.unproven.len());
        assert_eq!(left, (0, 0), "somebody still wants to hear");
        drop(known);
        heard
            .into_iter()
            .map(|(domain, state)| (domain.to_string(), state))
            .collect()
    }

    fn of_a(states: &[LinkState]) -> Vec<(String, LinkState)> {
        states
            .iter()
            .map(|state| ("a".to_owned(), *state))
            .collect()
    }

    /// XEP-0198 §4: what is acknowledged need not be asked for.
    #[test]
    fn a_room_hears_that_a_stream_acknowledges_as_long_as_it_does() {
        const ACK: LinkState = LinkState::Acknowledged;
        let acked = |link| LinkEvent::Acked(LinkId::Out(link), 3);
        let events = [up("a", false), acked(1), acked(2), acked(1)];
        assert_eq!(heard(&events), of_a(&[UP, ACK]));
        let events = [up("a", false), acked(1), up("a", false)];
        assert_eq!(heard(&events), of_a(&[UP]));
        assert_eq!(heard(&[acked(1)]), []);
    }

    #[test]
    fn an_acknowledgement_costs_what_it_is_news_for() {
        let (ways, post) = (Arc::new(Ways::default()), post());
        let mut interest = Interest::new(ways.clone(), post.clone());
        let domains = (0..1000).map(|n| bare(&format!("d{n}")));
        interest.set(domains.clone().collect());
        // Ten to a link, as one stream carries several domains.
        for (n, domain) in domains.enumerate() {
            ways.goes_over(&domain, LinkId::Out(n as u64 / 10), false);
        }
        let acknowledged = |link| ways.acknowledged(LinkId::Out(link));
        assert_eq!([7, 7, 8, 1000, 7].map(acknowledged), [10, 0, 10, 0, 0]);
        let heard = post.signals.next().now_or_never().unwrap_or_default();
        assert_eq!(heard.len(), 20);
        // Another stream has to say it anew, one that goes on with the session does not.
        ways.goes_over(&bare("d70"), LinkId::Out(2000), false);
        ways.goes_over(&bare("d71"), LinkId::Out(2001), true);
        assert_eq!([2000, 2001].map(acknowledged), [1, 0]);
        // Nor does one whose place another has taken.
        ways.goes_over(&bare("d0"), LinkId::Out(2002), false);
        assert_eq!([0, 2002].map(acknowledged), [9, 1]);
        drop(interest);
        assert!(lock(&ways.known).unproven.is_empty());
    }

    #[test]
    fn a_room_hears_of_the_domains_that_it_has_links_to_and_no_others() {
        let wanted = vec![
            ("a".to_owned(), LinkState::Down),
            ("b".to_owned(), LinkState::Up { resumed: true }),
        ];
        let events = [down("a", Down::Lost), up("b", true), up("c", true)];
        assert_eq!(heard(&events), wanted);
        let elsewhere = LinkEvent::Down {
            link: LinkId::Out(1),
            pair: Pair::new(&bare("our.example"), &bare("a")),
            why: Down::Lost,
        };
        assert_eq!(heard(&[elsewhere]), []);
    }

    #[test]
    fn a_stream_that_had_nothing_to_carry_or_goes_on_is_not_down() {
        assert_eq!(heard(&[down("a", Down::Ended)]), []);
        let suspended = down("a", Down::Suspended);
        assert_eq!(heard(std::slice::from_ref(&suspended)), []);
        assert_eq!(heard(&[suspended.clone(), up("a", true)]), []);
        // Nobody has gone on with it.
        let wanted = of_a(&[LinkState::Down, UP]);
        assert_eq!(heard(&[suspended, up("a", false)]), wanted);
    }

    #[test]
    fn what_has_not_been_heard_yet_has_bounds() {
        let lost = || down("a", Down::Lost);
        let mut events = Vec::new();
        for _ in 0..100 {
            events.extend([lost(), up("a", false)]);
        }
        assert_eq!(heard(&events), of_a(&[LinkState::Down, UP]));
        events.push(lost());
        assert_eq!(heard(&events), of_a(&[LinkState::Down]));
        // Something was lost in between, whatever the last one says.
        let ups = [up("a", false), up("a", true)];
        assert_eq!(heard(&ups), of_a(&[UP]));
    }

    #[test]
    fn who_reaches_us_is_perhaps_reached() {
        let error = down("a", Down::Error(StreamCondition::ConnectionTimeout));
        let wanted = of_a(&[LinkState::Down, UP]);
        assert_eq!(heard(&[error, proven("a"), proven("a")]), wanted);
        assert_eq!(heard(&[proven("a")]), []);
    }
}
