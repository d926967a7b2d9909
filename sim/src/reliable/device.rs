//! How a device spends the day.
#![allow(clippy::disallowed_methods)] // every device is a task

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::mpsc::{self, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::plan::{Deed, Leave, Mode, Visit};
use super::record::{Said, What, asked, question};
use super::{SETTLES, Town};
use crate::chat::person::{GOODBYE, LOGIN, VISIT, next, speak};
use crate::chat::{Message, Phase, REST};
use crate::client::{Client, Heard, Ledger, LoginError, SM};
use crate::link::{End, Switch};
use crate::rng::Rng;
use crate::world::DOMAIN;
use crate::xml::{self, CLIENT, Tree, escaped};

/// How long a device waits before it makes its last connection once more.
const RETRY: Duration = Duration::from_secs(1);

/// The day of all.
pub(super) async fn live(town: &Arc<Town>) {
    let (done, mut all_done) = mpsc::channel::<()>(1);
    let mut devices = JoinSet::new();
    for number in 0..town.plan.devices.len() {
        let device = Device {
            town: town.clone(),
            number,
            mind: Mutex::default(),
            old: Mutex::default(),
        };
        devices.spawn(device.day(done.clone()));
    }
    drop(done);
    // Nobody sends: it ends when all have dropped their ends.
    let _ = all_done.recv().await;
    sleep(REST).await;
    town.clock.strike(Phase::Peace);
    sleep(REST).await;
    town.clock.strike(Phase::Curtain);
    while let Some(device) = devices.join_next().await {
        device.expect("devices do not panic");
    }
}

struct Device {
    town: Arc<Town>,
    number: usize,
    mind: Mutex<Mind>,
    /// A connection that was left as it was.
    old: Mutex<Option<(ReadHalf<End>, WriteHalf<End>)>>,
}

/// What a device remembers.
#[derive(Default)]
struct Mind {
    ledger: Ledger<Said>,
    /// What was said in a session that has ended, perhaps in vain.
    again: VecDeque<(Said, String)>,
    session: u32,
    messages: BTreeMap<usize, u32>,
    questions: u32,
}

/// A connection on which a session goes on or begins.
struct Entered {
    client: Client<End>,
    /// Stanzas that came before the stream was managed.
    early: Vec<Tree>,
    resumed: bool,
}

impl Device {
    async fn day(self, done: mpsc::Sender<()>) {
        let mut done = Some(done);
        let visits = self.town.plan.devices[self.number].visits.clone();
        let Some((last, visits)) = visits.split_last() else {
            return;
        };
        for (i, visit) in visits.iter().enumerate() {
            sleep(visit.after).await;
            // Whoever is stuck gives up, and his connection closes.
            let _ = timeout(VISIT, self.visit(i, visit, None)).await;
        }
        sleep(last.after).await;
        let mut last = last.clone();
        while !self.visit(visits.len(), &last, Some(&mut done)).await {
            if done.is_none() {
                last.deeds.clear();
            }
            last.twice = false;
            sleep(RETRY).await;
        }
    }

    /// A connection; the last one lasts, if there is somebody to be told that all is done.
    /// Whether it has come to its planned end.
    async fn visit(
        &self,
        i: usize,
        visit: &Visit,
        last: Option<&mut Option<mpsc::Sender<()>>>,
    ) -> bool {
        let _old = lock(&self.old).take();
        let _coming = self.town.comes(self.number);
        let mut rng = self.town.world().rng();
        let login = timeout(LOGIN, self.enter(i, visit, last.is_some(), &mut rng)).await;
        let entered = match login {
            Ok(Ok(entered)) => entered,
            Ok(Err(error)) => {
                self.note(i, What::Failed(error.to_string()));
                return false;
            }
            Err(_) => {
                self.note(i, What::Failed("it takes too long".to_owned()));
                return false;
            }
        };
        let (io, mut ears) = entered.client.into_parts();
        let switch = io.switch();
        let (mut reading, mut writing) = tokio::io::split(io);
        let (say, words) = unbounded_channel();
        self.begin(i, entered.resumed, &say);
        for tree in entered.early {
            self.stanza(i, tree, &say);
        }
        let left = AtomicBool::new(false);
        {
            let mut listening = pin!(async {
                loop {
                    match ears.hear(&mut reading).await {
                        Heard::Xml(xml::Heard::Element(tree)) => self.hear(i, tree, &say),
                        heard => {
                            let over = !matches!(heard, Heard::Xml(_));
                            let footer = matches!(heard, Heard::Xml(xml::Heard::Footer));
                            self.note(i, What::Ended(heard));
                            if footer && left.load(Ordering::Relaxed) {
                                self.close();
                            }
                            if over {
                                return;
                            }
                        }
                    }
                }
            });
            let mut speaking = pin!(speak(&mut writing, words));
            let mut doing = pin!(async {
                self.act(i, visit, &say).await;
                let leave = match last {
                    None => visit.leave,
                    Some(done) => {
                        drop(done.take());
                        self.stay(i, &say).await;
                        Leave::Goodbye
                    }
                };
                left.store(true, Ordering::Relaxed);
                self.leave(i, leave, &say, &switch).await;
            });
            let mut spoken = false;
            loop {
                tokio::select! {
                    biased;
                    () = &mut listening => break,
                    () = &mut speaking, if !spoken => spoken = true,
                    () = &mut doing => break,
                }
            }
        }
        let left = left.into_inner();
        if left && visit.leave == Leave::Stays {
            *lock(&self.old) = Some((reading, writing));
        }
        left
    }

    // --- the beginning ---

    /// Logs in and goes on with the session, or begins a new one.
    async fn enter(
        &self,
        i: usize,
        visit: &Visit,
        last: bool,
        rng: &mut Rng,
    ) -> Result<Entered, LoginError> {
        let mut client = self.login(visit, last, rng).await?;
        let resume = self.mind().ledger.resume();
        if let Some(resume) = resume {
            let mut other = match visit.twice {
                true => Some(self.login(visit, last, rng).await?),
                false => None,
            };
            client.send(&resume).await?;
            if let Some(other) = &mut other {
                other.send(&resume).await?;
                // Whichever it listens to.
                if rng.one_in(2) {
                    std::mem::swap(other, &mut client);
                }
            }
            let mut resumed = self.resumed(i, &mut client).await;
            if let (Some(mut other), Err(_) | Ok(false)) = (other, &resumed) {
                resumed = self.resumed(i, &mut other).await;
                client = other;
            }
            if resumed? {
                return Ok(Entered {
                    client,
                    early: Vec::new(),
                    resumed: true,
                });
            }
        }
        self.close();
        self.note(i, What::Binds);
        client.bind(Some(&format!("d{}", self.number))).await?;
        self.mind().session += 1;
        self.note(i, What::Bound);
        let early = self.enable(&mut client).await?;
        self.note(i, What::Enabled);
        Ok(Entered {
            client,
            early,
            resumed: false,
        })
    }

    async fn login(
        &self,
        visit: &Visit,
        last: bool,
        rng: &mut Rng,
    ) -> Result<Client<End>, LoginError> {
        let town = &self.town;
        let end = town.world().connect(visit.up.clone(), visit.down.clone());
        town.can_be_cut(self.number, (!last).then(|| end.switch()));
        let mut client = Client::new(end);
        let account = &town.accounts[town.plan.person(self.number)];
        client.authenticate(account, rng).await?;
        Ok(client)
    }

    /// Whether the session goes on, after `<resume/>`.
    async fn resumed(&self, i: usize, client: &mut Client<End>) -> Result<bool, LoginError> {
        let answer = client.element().await.map_err(LoginError::Unexpected)?;
        if answer.is("resumed", SM) {
            self.told(i, &answer);
            self.note(i, What::Resumed);
            return Ok(true);
        }
        if !answer.is("failed", SM) {
            return Err(unexpected(answer));
        }
        let h = answer.attr("h").map(str::to_owned);
        if h.is_some() {
            self.told(i, &answer);
        }
        self.note(i, What::Refused(h));
        Ok(false)
    }

    /// There is nothing to go on with.
    fn close(&self) {
        let mut mind = self.mind();
        let unacked = mind.ledger.close();
        mind.again.extend(unacked);
    }

    /// Has the stream managed. Gives what came before it was.
    async fn enable(&self, client: &mut Client<End>) -> Result<Vec<Tree>, LoginError> {
        let mut early = Vec::new();
        let wanted = match self.town.plan.devices[self.number].mode {
            Mode::Plain => return Ok(early),
            Mode::Acks => String::new(),
            Mode::Resumes(max) => format!("resume='true' max='{}'", max.as_secs()),
        };
        client
            .send(format!("<enable xmlns='{SM}' {wanted}/>"))
            .await?;
        loop {
            let element = client.element().await.map_err(LoginError::Unexpected)?;
            if element.is("enabled", SM) {
                self.mind().ledger.enabled(&element);
                return Ok(early);
            }
            if element.ns != CLIENT {
                return Err(unexpected(element));
            }
            early.push(element);
        }
    }

    /// Says what comes first.
    fn begin(&self, i: usize, resumed: bool, say: &UnboundedSender<String>) {
        if resumed {
            for (_, stanza) in self.mind().ledger.unacked() {
                let _ = say.send(stanza.clone());
            }
            return;
        }
        self.say(i, Said::Presence, "<presence/>".to_owned(), say);
        if self.town.plan.devices[self.number].carbons {
            let enable = "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>";
            self.say(i, Said::Other, enable.to_owned(), say);
        }
        let again = std::mem::take(&mut self.mind().again);
        for (said, stanza) in again {
            let said = match said {
                Said::Message(message, _) => Said::Message(message, false),
                Said::Question(..) | Said::Answer(..) => said,
                Said::Presence | Said::Other => continue,
            };
            self.say(i, said, stanza, say);
        }
        self.request(say);
    }

    // --- what it does ---

    async fn act(&self, i: usize, visit: &Visit, say: &UnboundedSender<String>) {
        for deed in &visit.deeds {
            while self.mind().ledger.is_full() {
                self.request(say);
                sleep(Duration::from_secs(1)).await;
            }
            match *deed {
                Deed::Write(to) => self.write(i, to, say),
                Deed::Ask(whom) => self.ask(i, whom, say),
                Deed::Show => {
                    let show = "<presence><show>chat</show></presence>";
                    self.say(i, Said::Other, show.to_owned(), say);
                }
                Deed::Request => self.request(say),
                Deed::Rest(time) => sleep(time).await,
            }
        }
    }

    fn write(&self, i: usize, to: usize, say: &UnboundedSender<String>) {
        let n = next(self.mind().messages.entry(to).or_default());
        let from = self.number;
        let message = Message { from, to, n };
        let body = escaped(&message.body());
        let jid = self.town.jid(to);
        let nobody = self.town.expects_nobody(message);
        let stanza =
            format!("<message to='{jid}' type='chat' id='{message}'><body>{body}</body></message>");
        self.say(i, Said::Message(message, nobody), stanza, say);
    }

    fn ask(&self, i: usize, whom: usize, say: &UnboundedSender<String>) {
        let n = next(&mut self.mind().questions);
        let id = question(self.number, n);
        let jid = match whom < self.town.plan.devices.len() {
            true => self.town.jid(whom),
            false => DOMAIN.to_owned(),
        };
        let stanza =
            format!("<iq type='get' id='{id}' to='{jid}'><query xmlns='urn:example:none'/></iq>");
        self.say(i, Said::Question(n, whom), stanza, say);
    }

    fn request(&self, say: &UnboundedSender<String>) {
        if self.mind().ledger.is_enabled() {
            let _ = say.send(format!("<r xmlns='{SM}'/>"));
        }
    }

    /// Says a stanza, and remembers it.
    fn say(&self, i: usize, said: Said, stanza: String, say: &UnboundedSender<String>) {
        self.note(i, What::Says(said));
        self.mind().ledger.says(said, &stanza);
        let _ = say.send(stanza);
    }

    // --- the end ---

    /// Until everybody leaves.
    async fn stay(&self, i: usize, say: &UnboundedSender<String>) {
        self.town.clock.wait_for(Phase::Peace).await;
        for to in 0..self.town.plan.devices.len() + self.town.plan.people {
            self.write(i, to, say);
        }
        self.request(say);
        self.town.clock.wait_for(Phase::Curtain).await;
        // Everything is said and heard; the counts are compared once more.
        self.request(say);
        sleep(SETTLES).await;
    }

    async fn leave(&self, i: usize, leave: Leave, say: &UnboundedSender<String>, switch: &Switch) {
        self.note(i, What::Leaves);
        match leave {
            Leave::Silently | Leave::Stays => {}
            Leave::Reset => switch.reset(),
            Leave::Away => switch.vanish(),
            Leave::Goodbye => {
                // XEP-0198 §4: "send an <a/> element right before they gracefully close the
                // stream"
                if let Some(answer) = self.mind().ledger.answer() {
                    let _ = say.send(answer);
                }
                let _ = say.send("</stream:stream>".to_owned());
                // The one who listens hears the end.
                sleep(GOODBYE).await;
            }
        }
    }

    // --- what it hears ---

    fn hear(&self, i: usize, tree: Tree, say: &UnboundedSender<String>) {
        if tree.is("r", SM) {
            if let Some(answer) = self.mind().ledger.answer() {
                let _ = say.send(answer);
            }
        } else if tree.is("a", SM) {
            self.told(i, &tree);
        } else if tree.ns == CLIENT {
            self.mind().ledger.heard();
            self.stanza(i, tree, say);
        } else {
            self.note(i, What::Told(tree));
        }
    }

    fn stanza(&self, i: usize, tree: Tree, say: &UnboundedSender<String>) {
        let is_question = tree.name == "iq" && matches!(tree.attr("type"), Some("get" | "set"));
        let question = is_question
            .then(|| tree.attr("id").zip(tree.attr("from")))
            .flatten()
            .map(|(id, from)| (asked(id), escaped(id), escaped(from)));
        self.note(i, What::Heard(tree));
        if let Some((asked, id, from)) = question {
            let said = asked.map_or(Said::Other, |(who, n)| Said::Answer(who, n));
            let stanza = format!("<iq type='result' id='{id}' to='{from}'/>");
            self.say(i, said, stanza, say);
        }
    }

    /// The server says what it has handled.
    fn told(&self, i: usize, element: &Tree) {
        let told = self.mind().ledger.told(element);
        match told {
            Ok(covered) => {
                for said in covered {
                    self.note(i, What::Acked(said, self.town.proof(said)));
                    self.town.spite(said, self.number);
                }
            }
            Err(why) => self.note(i, What::Lied(why)),
        }
    }

    fn note(&self, visit: usize, what: What) {
        let session = self.mind().session;
        self.town.note(self.number, visit, session, what);
    }

    fn mind(&self) -> MutexGuard<'_, Mind> {
        lock(&self.mind)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unexpected(element: Tree) -> LoginError {
    LoginError::Unexpected(Heard::Xml(xml::Heard::Element(element)))
}
