//! Last activity (XEP-0012): how long ago somebody logged out, and how long the server runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;

use crate::BareJid;
use crate::account::Account;
use crate::module::{
    Delivery, Hooks, InboundFilter, IqHandler, Module, OutboundFilter, Request, Scope,
    SessionEvent, SessionKeeper, SessionWatcher, Target, Verb, Verdict,
};
use crate::server::{BuildError, Server};
use crate::session::{Session, SessionId};
use crate::stanza::{Condition, IqType, Kind, PresenceType, Stanza, StanzaError};
use crate::time::{Now, Timestamp};
use crate::xml::{Element, ns};

/// The namespace.
pub const NS: &str = "jabber:iq:last";

/// Bytes of a last status that are kept; the rest is cut off.
const STATUS: usize = 1024;

/// How long a logout waits for others, to be stored with them: where clients come and go all
/// the time, one for one would keep the disk busy with what hardly anybody asks for.
const GATHER: Duration = Duration::from_secs(1);

/// Logouts that wait to be stored, at most; what comes then is stored at once.
const WAITING: usize = 4096;

/// Logouts that are stored at a time.
const PAGE: usize = 256;

/// The module.
#[derive(Debug, Default)]
pub struct LastActivity {
    started: OnceLock<Now>,
    /// What sessions said when they became unavailable, until they end.
    farewells: Mutex<HashMap<SessionId, String>>,
    departures: Arc<Departures>,
}

/// Logouts that are not in the store yet.
#[derive(Debug, Default)]
struct Departures(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    departures: HashMap<BareJid, Arc<Departure>>,
    /// Whether somebody sees to it that they come into the store.
    running: bool,
}

/// Whoever sees to that, as long as this has not ended by itself.
struct Running(Option<Arc<Departures>>);

/// When somebody logged out, and the last status.
#[derive(Debug)]
struct Departure {
    account: Arc<Account>,
    at: Timestamp,
    status: String,
}

impl Module for LastActivity {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        for scope in [Scope::Server, Scope::Account] {
            // §6: "If an entity supports the Last Activity protocol, it MUST advertise that
            // fact"
            on.feature(scope, NS);
            on.iq(scope, "query", NS, self.clone());
        }
        on.inbound(self.clone());
        on.outbound(self.clone());
        on.keep(NS, self.clone());
        on.watch(self);
    }

    fn ready(&self, server: &Server) -> Result<(), BuildError> {
        self.started.get_or_init(|| server.now());
        Ok(())
    }
}

#[async_trait]
impl IqHandler for LastActivity {
    async fn handle(
        &self,
        request: &Request,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        request.must_be(Verb::Get)?;
        let answer = match &request.target {
            // §5: "how long the host has been running since it was last (re-)started"
            Target::Server(_) => {
                let now = server.now();
                let started = self.started.get().copied().unwrap_or(now);
                query((now.instant - started.instant).as_secs())
            }
            Target::Account(account) => self.of_account(account, request, server).await?,
        };
        Ok(Some(answer))
    }
}

impl InboundFilter for LastActivity {
    /// §4: "if the requesting entity is not authorized to view the user's presence
    /// information …, the user's server MUST NOT deliver the IQ-get to an available resource
    /// but instead MUST return a `<forbidden/>` error"
    fn inbound(&self, delivery: &mut Delivery<'_>, _: &Server) -> Verdict {
        if delivery.stanza.kind() != Kind::Iq(IqType::Get)
            || !delivery.stanza.payload().has("query", NS)
        {
            return Verdict::Pass;
        }
        // To the account itself, the handler above answers.
        let (Some(to), Some(from)) = (delivery.to, delivery.stanza.from()) else {
            return Verdict::Pass;
        };
        let directed = |session: &Arc<Session>| {
            session.has_directed(from) || session.has_directed(from.to_bare().as_jid())
        };
        let authorized = delivery.account.shows_presence_to(from)
            || to
                .as_slice()
                .iter()
                .all(|r| r.session().is_some_and(directed));
        match authorized {
            true => Verdict::Pass,
            false => Verdict::Refuse(Condition::Forbidden.into()),
        }
    }
}

impl OutboundFilter for LastActivity {
    /// §3: "the status message of the last unavailable presence received from the user"
    fn outbound(&self, stanza: &mut Stanza, session: &Arc<Session>, server: &Server) -> Verdict {
        let Kind::Presence(kind) = stanza.kind() else {
            return Verdict::Pass;
        };
        if stanza.to().is_none() {
            let status = stanza.payload().child("status", ns::CLIENT);
            match (kind, status) {
                (PresenceType::Unavailable, Some(status)) => {
                    let mut status = status.element().text().into_owned();
                    let end = (0..=STATUS).rfind(|&at| status.is_char_boundary(at));
                    status.truncate(end.unwrap_or_default());
                    self.lock().insert(session.id(), status);
                    if server.resource(session).is_none() {
                        // It has ended meanwhile, and nothing more will be heard of it.
                        self.lock().remove(&session.id());
                    }
                }
                (PresenceType::Unavailable | PresenceType::Available, _) => {
                    self.lock().remove(&session.id());
                }
                _ => {}
            }
        }
        Verdict::Pass
    }
}

/// The last status.
impl SessionKeeper for LastActivity {
    fn write_down(&self, session: &Arc<Session>, _: &Server) -> Option<Element> {
        let farewells = self.lock();
        let status = farewells.get(&session.id())?;
        Some(Element::new("query", NS).with_text(status))
    }

    fn take_up(&self, kept: &Element, session: &Arc<Session>, _: &Server) {
        self.lock().insert(session.id(), kept.text().into_owned());
    }
}

impl SessionWatcher for LastActivity {
    fn session(&self, event: SessionEvent, session: &Arc<Session>, server: &Server) {
        match event {
            SessionEvent::Ended => {}
            SessionEvent::Moved => {
                self.lock().remove(&session.id());
                return;
            }
            _ => return,
        }
        let status = self.lock().remove(&session.id()).unwrap_or_default();
        let account = session.account().clone();
        let resources = server.directory().resources(account.jid().as_str());
        // One on another node may be ending at this moment as well, and see this one there. As long as it is there nobody asks
        // for what is stored.
        let is_last = resources
            .iter()
            .all(|resource| resource.session().is_none());
        if !account.exists() || !is_last {
            return;
        }
        let departure = Departure {
            account,
            at: server.now().utc,
            status,
        };
        self.departures.note(departure, server);
    }
}

impl LastActivity {
    async fn of_account(
        &self,
        account: &Account,
        request: &Request,
        server: &Server,
    ) -> Result<Element, StanzaError> {
        // §3: "If the requesting entity is not authorized to view the user's presence information
        // …, the user's server MUST NOT return last activity information but instead MUST return a
        // <forbidden/> error". An account that does not exist shows its presence to nobody. The
        // administrators of a domain are authorized without a subscription.
        let domain = account.jid().domain();
        let authorized =
            account.shows_presence_to(&request.from) || is_administrator(request, domain, server);
        if !authorized {
            return Err(Condition::Forbidden.into());
        }
        // §3: "If the user has at least one connected or available resource …, the response MUST …
        // contain an empty <query/> element whose 'seconds' attribute is set to a value of '0'."
        let resources = server.directory().resources(account.jid().as_str());
        if !resources.is_empty() {
            return Ok(query(0));
        }
        let ago = |at, status: &str| query(server.now().utc.since(at).as_secs()).with_text(status);
        let waiting = self.departures.of(account.jid());
        if let Some(departure) = waiting {
            return Ok(ago(departure.at, &departure.status));
        }
        match server.stores().accounts.last_activity(account.jid()).await {
            Ok(Some((at, status))) => Ok(ago(at, &status)),
            // Never logged in.
            Ok(None) => Err(Condition::ItemNotFound.into()),
            Err(error) => {
                Err(server.store_failed("last activity not loaded", account.jid(), &error))
            }
        }
    }

    /// Whether it keeps nothing of any session.
    #[cfg(test)]
    pub(crate) fn remembers_nobody(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, String>> {
        // Nothing that runs under this lock can panic half way through a change.
        self.farewells
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Departures {
    /// Enters a logout, and sees to it that it comes into the store.
    fn note(self: &Arc<Self>, departure: Departure, server: &Server) {
        let (account, held) = (departure.account.jid().clone(), server.clone());
        let mut waiting = self.lock();
        let all = &mut waiting.departures;
        if all.len() >= WAITING && !all.contains_key(&account) {
            drop(waiting);
            server.spawn(async move { store(&held, &departure).await });
            return;
        }
        all.insert(account, Arc::new(departure));
        if std::mem::replace(&mut waiting.running, true) {
            return;
        }
        drop(waiting);
        let mut running = Running(Some(self.clone()));
        server.spawn(async move {
            loop {
                held.rest(GATHER).await;
                if running.store(&held).await {
                    return;
                }
            }
        });
    }

    /// The logout of an account that waits and that has not been removed.
    fn of(&self, account: &BareJid) -> Option<Arc<Departure>> {
        let departure = self.lock().departures.get(account).cloned();
        departure.filter(|departure| departure.account.exists())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that runs under this lock can panic half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Stores what waits; `true` if nothing has come meanwhile, and whoever comes next is the first.
    async fn store(&mut self, server: &Server) -> bool {
        let Some(departures) = &self.0 else {
            return true;
        };
        let waiting: Vec<_> = departures.lock().departures.values().cloned().collect();
        for page in waiting.chunks(PAGE) {
            join_all(page.iter().map(|departure| store(server, departure))).await;
        }
        let mut left = departures.lock();
        for departure in &waiting {
            let account = departure.account.jid();
            let same = |now: &Arc<Departure>| Arc::ptr_eq(now, departure);
            if left.departures.get(account).is_some_and(same) {
                left.departures.remove(account);
            }
        }
        left.running = !left.departures.is_empty();
        let is_over = !left.running;
        drop(left);
        if is_over {
            self.0 = None;
        }
        is_over
    }
}

/// The store has panicked. What waits would perhaps have it do so again.
impl Drop for Running {
    fn drop(&mut self) {
        if let Some(departures) = &self.0 {
            *departures.lock() = Waiting::default();
        }
    }
}

/// Whether an administrator of the domain asks: of our own accounts, a session of theirs.
fn is_administrator(request: &Request, domain: &str, server: &Server) -> bool {
    let from = match &request.session {
        Some(session) => session.jid().as_jid(),
        None if server.is_local(request.from.domain()) => return false,
        None => &request.from,
    };
    server.config().is_administrator(from, domain)
}

async fn store(server: &Server, departure: &Departure) {
    let Departure {
        account,
        at,
        status,
    } = departure;
    if !account.exists() {
        return; // it has been removed meanwhile
    }
    let accounts = &server.stores().accounts;
    let stored = accounts.set_last_activity(account.jid(), *at, status);
    if let Err(error) = stored.await {
        server.store_failed("last activity not stored", account.jid(), &error);
    }
}

fn query(seconds: u64) -> Element {
    Element::new("query", NS).with_attr("seconds", &seconds.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::server::testing::{Client, World, bare};
    use crate::store::Subscription;

    fn world() -> World {
        let world = World::new(vec![Arc::new(LastActivity::default())]);
        let (juliet, romeo) = ("juliet@example.org", "romeo@example.org");
        world.contact(juliet, romeo, Subscription::From);
        world
    }

    /// Seconds and status, or the condition.
    #[track_caller]
    fn ask(client: &Client, to: &str) -> String {
        client.send(&format!(
            "<iq type='get' to='{to}' id='l'><query xmlns='jabber:iq:last'/></iq>"
        ));
        match &client.read()[..] {
            [reply] => match reply.error() {
                Some(error) => error.condition.name().to_owned(),
                None => {
                    let query = reply.payload().child("query", NS).unwrap().element();
                    format!("{}{}", query.attr("seconds").unwrap(), query.text())
                }
            },
            other => panic!("{other:?}"),
        }
    }

    /// XEP-0012 §3
    #[test]
    fn a_subscriber_hears_when_and_how_the_last_session_ended() {
        let module = Arc::new(LastActivity::default());
        let world = World::new(vec![module.clone()]);
        world.contact(
            "juliet@example.org",
            "romeo@example.org",
            Subscription::From,
        );
        let romeo = world.login("romeo@example.org/orchard");
        assert_eq!(ask(&romeo, "juliet@example.org"), "item-not-found");
        let balcony = world.login("juliet@example.org/balcony");
        let chamber = world.login("juliet@example.org/chamber");
        balcony.send("<presence type='unavailable'><status>Not this one</status></presence>");
        chamber.send("<presence type='unavailable'><status>Heading Home</status></presence>");
        balcony.end();
        assert_eq!(ask(&romeo, "juliet@example.org"), "0");
        chamber.end();
        world.settle();
        world.advance(Duration::from_millis(903_999));
        assert_eq!(ask(&romeo, "juliet@example.org"), "903Heading Home");
        let again = world.login("juliet@example.org/again");
        assert_eq!(ask(&romeo, "juliet@example.org"), "0");
        again.send("<presence type='unavailable'><status>Wait</status></presence>");
        // She comes back after those words: they are not her last.
        again.send("<presence/>");
        again.end();
        world.settle();
        assert_eq!(ask(&romeo, "juliet@example.org"), "0");
        assert!(
            module.lock().is_empty(),
            "nothing is kept of those who have gone"
        );
    }

    /// XEP-0012 §3, §8: "A server MUST NOT allow an unauthorized entity to learn a user's
    /// network availability"
    #[test]
    fn strangers_learn_nothing_not_even_whether_there_is_an_account() {
        let world = world();
        let tybalt = world.login("tybalt@example.org/1");
        let juliet = world.login("juliet@example.org/balcony");
        for to in [
            "juliet@example.org",
            "juliet@example.org/balcony",
            "nobody@example.org",
        ] {
            assert_eq!(ask(&tybalt, to), "forbidden", "{to}");
        }
        juliet.expect(&[]);
    }

    #[test]
    fn an_administrator_is_told_of_the_accounts_of_the_domain_alone() {
        let modules: Vec<Arc<dyn Module>> = vec![Arc::new(LastActivity::default())];
        let world = World::with(modules, |config| {
            config.domains[0].administrators = vec!["nurse@example.org".parse().unwrap()];
            let other = "example.net".parse().unwrap();
            let other = crate::server::Domain::new(other, [0; 32].into());
            config.domains.push(other);
        });
        let nurse = world.login("nurse@example.org/1");
        world.login("juliet@example.org/balcony").end();
        world.settle();
        world.advance(Duration::from_secs(7));
        assert_eq!(ask(&nurse, "juliet@example.org"), "7");
        assert_eq!(ask(&nurse, "nobody@example.org"), "item-not-found");
        world.account("romeo@example.net");
        assert_eq!(ask(&nurse, "romeo@example.net"), "forbidden");
        let tybalt = world.login("tybalt@example.org/1");
        assert_eq!(ask(&tybalt, "juliet@example.org"), "forbidden");
    }

    /// XEP-0012 §4
    #[test]
    fn a_client_answers_for_itself() {
        let world = world();
        let romeo = world.login("romeo@example.org/orchard");
        let tybalt = world.login("tybalt@example.org/1");
        let juliet = world.login("juliet@example.org/balcony");
        romeo.send(
            "<iq type='get' to='juliet@example.org/balcony' id='l'>\
             <query xmlns='jabber:iq:last'/></iq>",
        );
        assert_eq!(juliet.read().len(), 1);
        // Directed presence shows it to whoever got it.
        juliet
            .session
            .direct_presence(tybalt.session.jid().as_jid(), 10);
        tybalt.send(
            "<iq type='get' to='juliet@example.org/balcony' id='l'>\
             <query xmlns='jabber:iq:last'/></iq>",
        );
        assert_eq!(juliet.read().len(), 1);
    }

    /// XEP-0012 §5
    #[test]
    fn the_server_tells_its_uptime() {
        let world = world();
        let romeo = world.login("romeo@example.org/orchard");
        world.advance(Duration::from_secs(123_456));
        assert_eq!(ask(&romeo, "example.org"), "123456");
    }

    /// Who logs out a moment later waits for the same page; one who asks meanwhile hears the same.
    #[test]
    fn logouts_are_stored_together_and_at_the_end() {
        let world = world();
        let accounts = world.server.stores().accounts.clone();
        let stored = |jid| world.run(accounts.last_activity(&bare(jid))).unwrap();
        let end = |client: Client| world.finish(world.server.end(&client.session));
        end(world.login("juliet@example.org/balcony"));
        let romeo = world.login("romeo@example.org/orchard");
        world.advance(GATHER - Duration::from_millis(1));
        assert_eq!(stored("juliet@example.org"), None, "it waits for company");
        assert_eq!(ask(&romeo, "juliet@example.org"), "0");
        world.advance(Duration::from_millis(1));
        assert!(stored("juliet@example.org").is_some());
        end(romeo);
        assert_eq!(stored("romeo@example.org"), None);
        world.run(world.server.close());
        assert!(
            stored("romeo@example.org").is_some(),
            "closing waits for it"
        );
    }

    #[test]
    fn more_logouts_than_may_wait_are_stored_at_once() {
        let world = world();
        let module = LastActivity::default();
        let note = |jid: &str, at| {
            let account = world.run(world.server.account(&bare(jid))).unwrap();
            let departure = Departure {
                account,
                at: Timestamp(at),
                status: String::new(),
            };
            module.departures.note(departure, &world.server);
        };
        for jid in ["u0@example.org", "late@example.org"] {
            world.account(jid);
        }
        for n in 0..WAITING {
            note(&format!("u{n}@example.org"), 1);
        }
        note("late@example.org", 2);
        note("u0@example.org", 3);
        world.settle();
        assert_eq!(module.departures.lock().departures.len(), WAITING);
        let waiting = module.departures.of(&bare("u0@example.org"));
        assert_eq!(waiting.unwrap().at, Timestamp(3));
        let accounts = world.server.stores().accounts.clone();
        let last = |jid| world.run(accounts.last_activity(&bare(jid))).unwrap();
        assert_eq!(
            last("late@example.org"),
            Some((Timestamp(2), String::new()))
        );
        world.advance(GATHER);
        assert_eq!(last("u0@example.org"), Some((Timestamp(3), String::new())));
        assert!(module.departures.lock().departures.is_empty());
    }

    /// Whoever was at it is replaced by the next.
    #[test]
    fn logouts_are_stored_also_after_a_store_has_panicked() {
        let world = world();
        let module = LastActivity::default();
        let romeo = world.account("romeo@example.org");
        let departure = Departure {
            account: world.run(world.server.account(&romeo)).unwrap(),
            at: Timestamp(1),
            status: String::new(),
        };
        // Whoever is at it ends in the middle, as his task does then.
        module.departures.lock().running = true;
        drop(Running(Some(module.departures.clone())));
        module.departures.note(departure, &world.server);
        world.settle();
        world.advance(GATHER);
        assert!(module.departures.lock().departures.is_empty());
        let accounts = world.server.stores().accounts.clone();
        assert!(world.run(accounts.last_activity(&romeo)).unwrap().is_some());
    }

    #[test]
    fn nothing_is_told_or_stored_of_an_account_that_was_removed_meanwhile() {
        let module = Arc::new(LastActivity::default());
        let world = World::new(vec![module.clone()]);
        let juliet = bare("juliet@example.org");
        world.login("juliet@example.org/balcony").end();
        assert!(module.departures.of(&juliet).is_some());
        world.run(world.server.remove_account(&juliet)).unwrap();
        assert!(module.departures.of(&juliet).is_none());
        world.advance(GATHER);
        let accounts = world.server.stores().accounts.clone();
        assert_eq!(world.run(accounts.last_activity(&juliet)).unwrap(), None);
        assert!(module.departures.lock().departures.is_empty());
    }

    /// Who merely says that he is one is none, wherever that got in.
    #[test]
    fn an_administrator_of_ours_asks_in_a_session() {
        let modules: Vec<Arc<dyn Module>> = vec![Arc::new(LastActivity::default())];
        let world = World::with(modules, |config| {
            config.domains[0].administrators = vec![
                "nurse@example.org".parse().unwrap(),
                "nurse@example.net".parse().unwrap(),
            ];
        });
        world.login("juliet@example.org/balcony").end();
        let asked = |from: &str| {
            let from = crate::Jid::new(from).unwrap();
            let request = Request {
                from,
                verb: Verb::Get,
                payload: Element::new("query", NS),
                target: Target::Server(bare("example.org")),
                session: None,
                lang: None,
            };
            is_administrator(&request, "example.org", &world.server)
        };
        assert!(!asked("nurse@example.org/1"));
        assert!(asked("nurse@example.net/1"), "as her own server has proven");
    }
}
