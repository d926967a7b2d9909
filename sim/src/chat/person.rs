//! How somebody spends the day.
#![allow(clippy::disallowed_methods)] // everybody is a task

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, WriteHalf};
use tokio::sync::mpsc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::record::RESOURCE;
use super::{Deed, LOOK, Leave, Message, Nature, Phase, REST, Town, Visit, What};
use crate::client::{Client, Heard};
use crate::link::{End, Switch};
use crate::xml::{self, Tree};

/// How long anybody tries to log in.
pub(crate) const LOGIN: Duration = Duration::from_secs(120);
/// How long a troubled person's visit lasts at most.
pub(crate) const VISIT: Duration = Duration::from_secs(20 * 60);
/// How long anybody waits for the server's goodbye.
pub(crate) const GOODBYE: Duration = Duration::from_secs(300);

/// The day of all.
pub(super) async fn live(town: &Arc<Town>) {
    let (done, mut all_done) = mpsc::channel::<()>(1);
    let mut people = JoinSet::new();
    for who in 0..town.plan.people.len() {
        let person = Someone {
            town: town.clone(),
            who,
            numbers: Arc::default(),
        };
        people.spawn(person.day(done.clone()));
    }
    drop(done);
    let looker = tokio::spawn({
        let town = town.clone();
        async move {
            loop {
                town.look();
                sleep(LOOK).await;
            }
        }
    });
    // Nobody sends: it ends when all have dropped their ends.
    let _ = all_done.recv().await;
    looker.abort();
    sleep(REST).await;
    town.phase.strike(Phase::Peace);
    sleep(REST).await;
    town.phase.strike(Phase::Curtain);
    while let Some(person) = people.join_next().await {
        person.expect("people do not panic");
    }
}

#[derive(Clone)]
struct Someone {
    town: Arc<Town>,
    who: usize,
    numbers: Arc<Mutex<Numbers>>,
}

#[derive(Default)]
struct Numbers {
    messages: BTreeMap<usize, u32>,
    questions: u32,
}

impl Someone {
    async fn day(self, done: mpsc::Sender<()>) {
        let mut done = Some(done);
        let person = self.town.plan.people[self.who].clone();
        for (i, visit) in person.visits.iter().enumerate() {
            sleep(visit.after).await;
            if person.is_undisturbed() {
                self.visit(i, visit, &mut done).await;
            } else {
                // Whoever is stuck gives up, and his connection closes.
                let _ = timeout(VISIT, self.visit(i, visit, &mut done)).await;
            }
        }
    }

    async fn visit(&self, i: usize, visit: &Visit, done: &mut Option<mpsc::Sender<()>>) {
        let end = self
            .town
            .world
            .connect(visit.up.clone(), visit.down.clone());
        let mut client = Client::new(end);
        let mut rng = self.town.world.rng();
        let account = &self.town.accounts[self.who];
        let login = timeout(LOGIN, client.login(account, Some(RESOURCE), &mut rng)).await;
        match login {
            Ok(Ok(_)) => self.note(i, What::Bound),
            Ok(Err(error)) => return self.note(i, What::Failed(error.to_string())),
            Err(_) => return self.note(i, What::Failed("it takes too long".to_owned())),
        }
        let (io, mut ears) = client.into_parts();
        let switch = io.switch();
        let (mut reading, mut writing) = tokio::io::split(io);
        let (say, words) = unbounded_channel();
        let mut listening = pin!(async {
            loop {
                match ears.hear(&mut reading).await {
                    Heard::Xml(xml::Heard::Element(tree)) => self.hear(i, tree, &say),
                    heard => {
                        let over = !matches!(heard, Heard::Xml(_));
                        self.note(i, What::Ended(heard));
                        if over {
                            return;
                        }
                    }
                }
                if !ears.have_heard() {
                    sleep(visit.reads).await;
                }
            }
        });
        let mut speaking = pin!(speak(&mut writing, words));
        let mut doing = pin!(async {
            let _ = say.send("<presence/>".to_owned());
            self.act(i, visit, &say).await;
            drop(done.take());
            self.leave(i, visit, &say, &switch).await;
        });
        let mut spoken = false;
        loop {
            tokio::select! {
                biased;
                () = &mut listening => return,
                () = &mut speaking, if !spoken => spoken = true,
                () = &mut doing => return,
            }
        }
    }

    async fn act(&self, visit: usize, plan: &Visit, say: &UnboundedSender<String>) {
        for deed in &plan.deeds {
            match *deed {
                Deed::Write(to) => self.write(visit, to, say),
                Deed::Rest(time) => sleep(time).await,
                Deed::Ask => {
                    let n = self.numbers(|numbers| next(&mut numbers.questions));
                    self.note(visit, What::Asked(n));
                    let _ = say.send(format!(
                        "<iq type='get' id='q{n}' to='{}'><query xmlns='urn:example:none'/></iq>",
                        self.town.world.server.config().domains[0].name
                    ));
                }
            }
        }
    }

    fn write(&self, visit: usize, to: usize, say: &UnboundedSender<String>) {
        let n = self.numbers(|numbers| next(numbers.messages.entry(to).or_default()));
        let message = Message {
            from: self.who,
            to,
            n,
        };
        self.note(visit, What::Wrote(message));
        let body = xml::escaped(&message.body());
        let jid = &self.town.accounts[to].jid;
        let _ = say.send(format!(
            "<message to='{jid}/{RESOURCE}' type='chat' id='{message}'><body>{body}</body></message>"
        ));
    }

    async fn leave(
        &self,
        visit: usize,
        plan: &Visit,
        say: &UnboundedSender<String>,
        switch: &Switch,
    ) {
        if plan.leave == Leave::Last {
            self.town.phase.wait_for(Phase::Peace).await;
            for (to, person) in self.town.plan.people.iter().enumerate() {
                if person.nature == Nature::Calm {
                    self.write(visit, to, say);
                }
            }
            self.town.phase.wait_for(Phase::Curtain).await;
        }
        self.note(visit, What::Leaves);
        match plan.leave {
            Leave::Silently => {}
            Leave::Reset => switch.reset(),
            Leave::Away => switch.vanish(),
            Leave::Last | Leave::Goodbye => {
                let _ = say.send("</stream:stream>".to_owned());
                // The one who listens hears the end.
                sleep(GOODBYE).await;
            }
        }
    }

    fn hear(&self, visit: usize, tree: Tree, say: &UnboundedSender<String>) {
        let is_question = tree.name == "iq" && matches!(tree.attr("type"), Some("get" | "set"));
        if is_question && let (Some(id), Some(from)) = (tree.attr("id"), tree.attr("from")) {
            let (id, from) = (xml::escaped(id), xml::escaped(from));
            let _ = say.send(format!("<iq type='result' id='{id}' to='{from}'/>"));
        }
        self.note(visit, What::Heard(tree));
    }

    fn note(&self, visit: usize, what: What) {
        self.town.note(self.who, visit, what);
    }

    fn numbers<T>(&self, take: impl FnOnce(&mut Numbers) -> T) -> T {
        take(&mut self.numbers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Says one thing after another, however long it takes; ends when nobody listens.
pub(crate) async fn speak(writing: &mut WriteHalf<End>, mut words: UnboundedReceiver<String>) {
    while let Some(text) = words.recv().await {
        if writing.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

pub(crate) fn next(number: &mut u32) -> u32 {
    *number += 1;
    *number - 1
}
