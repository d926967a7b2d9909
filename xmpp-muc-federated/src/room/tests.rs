//! Dialogues with a room: who sends what, and who hears what of it.

mod admin;
mod disco;
mod elsewhere;
mod enter;
mod exit;
mod federate;
mod ghost;
mod history;
mod hostile;
mod invite;
mod live;
mod message;
mod moderator;
mod nick;
mod owner;
mod private;
mod record;
mod register;
mod relay;
mod table;
mod voice;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use xmpp_core::machine::Machine;
use xmpp_core::server::Random;
use xmpp_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use xmpp_core::time::{Now, Timestamp};
use xmpp_core::xml::{Element, ns::CLIENT};
use xmpp_core::{BareJid, Jid};

use super::{Affiliation, Config, Input, Output, Role, Room};
use crate::ns;
use crate::settings::{Limits, Settings};
use crate::store::{Change, Entry};

pub(super) const ROOM: &str = "coven@chat.shakespeare.lit";

/// A room by itself; its driver is the test.
pub(super) struct Bench {
    pub(super) room: Room,
    pub(super) now: Now,
}

/// A different one each time.
#[derive(Default)]
struct Counted(AtomicU8);

impl Random for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

impl Bench {
    /// A room that nobody has entered yet.
    pub(super) fn new() -> Bench {
        Bench::with(Config::default(), Limits::default())
    }

    pub(super) fn with(defaults: Config, limits: Limits) -> Bench {
        let settings = Settings {
            admins: vec!["admin@shakespeare.lit".parse().unwrap()],
            defaults,
            limits,
            secret: [7; 32],
            random: Arc::new(Counted::default()),
        };
        Bench {
            room: Room::new(ROOM.parse().unwrap(), Arc::new(settings)),
            now: now(),
        }
    }

    /// A room that is open, and nobody is in it: crone1 owns it.
    pub(super) fn open(change: impl FnOnce(&mut Config)) -> Bench {
        Bench::limited(Limits::default(), change)
    }

    pub(super) fn limited(limits: Limits, change: impl FnOnce(&mut Config)) -> Bench {
        let mut bench = Bench::with(Config::default(), limits);
        bench.room.locked = false;
        change(&mut bench.room.config);
        bench.is("crone1", Affiliation::Owner);
        bench
    }

    /// A user is this to the room.
    pub(super) fn is(&mut self, user: &str, affiliation: Affiliation) {
        self.reserve(user, affiliation, None);
    }

    pub(super) fn reserve(&mut self, user: &str, affiliation: Affiliation, nick: Option<&str>) {
        self.room.affiliations.set(Entry {
            jid: format!("{user}@shakespeare.lit").parse().unwrap(),
            affiliation,
            nick: nick.map(str::to_owned),
            reason: None,
        });
    }

    /// An occupant has this role from now on, and nobody is told.
    pub(super) fn has_role(&mut self, nick: &str, role: Role) {
        let seat = self.room.occupants.named(nick).unwrap();
        self.room.occupants.get_mut(seat).unwrap().role = role;
    }

    /// Each line that is not indented happens; those below it are what comes of it, all of it and in this order.
    ///
    /// * `hag66/pda enters thirdwitch <password>…</password>`, `hag66/pda leaves thirdwitch`, `hag66/pda says …`
    /// * `hag66/pda <iq …/>`: with `to=''` for the room and `to='/thirdwitch'` for an occupant
    /// * `crone1/desktop admin <item …/>` changes lists, `crone1/desktop lists affiliation='member'` asks for one, `crone1/desktop owner …` is an
    ///   owner's request; `configures`, `registers` and `submits form-type` fill in a form: `name=value`, parted by commas
    /// * `wait 3.5` (seconds), `close`
    /// * `elsewhere hamlet@denmark.lit/p …`: see [`elsewhere`]
    pub(super) fn play(&mut self, script: &str) {
        let lines = || script.lines().filter(|line| !line.trim().is_empty());
        let margin = |line: &str| line.len() - line.trim_start().len();
        let least = lines().map(margin).min().unwrap_or_default();
        let (mut wanted, mut got) = (Vec::new(), Vec::new());
        for line in lines() {
            wanted.push(line[least..].trim_end().to_owned());
            if margin(line) == least {
                got.push(line.trim().to_owned());
                let all = self.happens(line.trim());
                got.extend(all.into_iter().map(|line| format!("    {line}")));
            }
        }
        let (wanted, got) = (wanted.join("\n"), got.join("\n"));
        assert!(wanted == got, "wanted:\n{wanted}\n\ngot:\n{got}\n");
    }

    pub(super) fn happens(&mut self, line: &str) -> Vec<String> {
        if let Some(line) = line.strip_prefix("elsewhere ") {
            return self.elsewhere(line);
        }
        let out = self.outputs(line);
        out.iter().flat_map(shown).collect()
    }

    /// The same, as it is.
    pub(super) fn outputs(&mut self, line: &str) -> Vec<Output> {
        let (who, what) = line.split_once(' ').unwrap_or((line, ""));
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        let (nick, payload) = rest.split_once(' ').unwrap_or((rest, ""));
        let xml = match (who, verb) {
            ("close", _) => return self.give(Input::Close),
            ("wait", seconds) => {
                let time = Duration::from_secs_f64(seconds.parse().unwrap());
                self.now.instant += time;
                self.now.utc = self.now.utc.plus(time);
                let mut out = Vec::new();
                self.room.handle_timeout(self.now, &mut out);
                return out;
            }
            (_, "enters") => format!(
                "<presence to='/{nick}'><x xmlns='{}'>{payload}</x></presence>",
                ns::MUC
            ),
            (_, "leaves") => {
                format!("<presence to='/{nick}' type='unavailable'>{payload}</presence>")
            }
            (_, "admin") => request("set", ns::ADMIN, rest),
            (_, "lists") => request("get", ns::ADMIN, &format!("<item {rest}/>")),
            (_, "owner") => request("set", ns::OWNER, rest),
            (_, "configures") => request("set", ns::OWNER, &form(ns::CONFIG_FORM, rest)),
            (_, "registers") => request("set", ns::REGISTER, &form(ns::REGISTER_FORM, rest)),
            (_, "submits") => format!("<message to=''>{}</message>", form(nick, payload)),
            (_, "says") => format!("<message to='' type='groupchat'><body>{rest}</body></message>"),
            _ => what.to_owned(),
        };
        let xml = xml.replacen("to=''", &format!("to='{ROOM}'"), 1);
        let xml = xml.replacen("to='/", &format!("to='{ROOM}/"), 1);
        let stanza = Stanza::parse(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
        self.give(Input::Stanza(stanza.with_from(real(who))))
    }

    fn give(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.room.handle(input, self.now, &mut out);
        out
    }
}

pub(super) fn now() -> Now {
    #[allow(clippy::disallowed_methods)] // an instant cannot be made of nothing
    let instant = std::time::Instant::now();
    Now {
        instant,
        utc: Timestamp(0),
    }
}

/// `hag66/pda`, who is all of `hag66@shakespeare.lit/pda`.
pub(super) fn real(short: &str) -> Jid {
    match short.split_once('/') {
        Some((user, client)) => format!("{user}@shakespeare.lit/{client}"),
        None => format!("{short}@shakespeare.lit"),
    }
    .parse()
    .unwrap()
}

fn short(text: &str) -> String {
    text.replace("@shakespeare.lit", "").replace(ROOM, "")
}

fn shown(output: &Output) -> Vec<String> {
    let list = |all: &[Jid]| {
        all.iter()
            .map(|jid| short(jid.as_str()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match output {
        Output::Send(stanza) => vec![format!(
            "{}: {}",
            short(stanza.to().unwrap().as_str()),
            words(stanza)
        )],
        Output::Answer(stanza) => vec![format!(
            "{}: answer {}",
            short(stanza.to().unwrap().as_str()),
            words(stanza)
        )],
        Output::Broadcast(stanza, to) => {
            assert!(stanza.to().is_none());
            vec![format!("{}: {}", list(to), words(stanza))]
        }
        Output::Burst(to, stanzas) => {
            let of = |stanza: &Arc<Stanza>| format!("{} << {}", short(to.as_str()), words(stanza));
            stanzas.iter().map(of).collect()
        }
        Output::Store(Change::Message(message)) => vec![format!("store message {}", message.id)],
        Output::Store(Change::State { .. }) => vec!["store state".into()],
        Output::Store(Change::Entry(entry)) => {
            let mut words = vec![short(entry.jid.as_str()), entry.affiliation.to_string()];
            words.extend(entry.nick.as_ref().map(|nick| format!("nick={nick}")));
            words.extend(
                entry
                    .reason
                    .as_ref()
                    .map(|reason| format!("reason={reason}")),
            );
            vec![format!("store entry {}", words.join(" "))]
        }
        Output::Store(Change::NoEntry(jid)) => {
            vec![format!("store no entry {}", short(jid.as_str()))]
        }
        Output::Store(change) => vec![format!("store {}", short(&format!("{change:?}")))],
        Output::Event(event) => vec![format!("event {}", elsewhere::event(event))],
        Output::Destroyed => vec!["destroyed".into()],
    }
}

/// A stanza in a few words.
fn words(stanza: &Stanza) -> String {
    let tree = stanza.to_element();
    let from = short(stanza.from().map_or("", |from| from.as_str()));
    let mut words = vec![from];
    if let Some(error) = stanza.error() {
        words.push(format!(
            "{} error {} {}",
            stanza.kind().name(),
            error.kind.name(),
            error.condition.name()
        ));
        return words.join(" ");
    }
    let text = |name: &str| Some(tree.child(name, CLIENT)?.text().into_owned());
    match stanza.kind() {
        Kind::Presence(kind) => {
            words.push(match kind {
                PresenceType::Available => "is".into(),
                _ => "gone".into(),
            });
            words.extend(tree.child("x", ns::USER).map(facts));
            words.extend(
                ["show", "status"]
                    .map(|name| Some(format!("{name}={}", text(name)?)))
                    .into_iter()
                    .flatten(),
            );
        }
        Kind::Message(kind) => {
            words.push(match kind {
                MessageType::Groupchat => "says".into(),
                MessageType::Chat => "whispers".into(),
                _ => "tells".into(),
            });
            if let Some(delay) = tree.child("delay", ns::DELAY) {
                words.push(format!("at {}", delay.attr("stamp").unwrap()));
            }
            words.extend(text("subject").map(|subject| format!("subject={subject:?}")));
            words.extend(text("body"));
            if let Some(x) = tree.child("x", ns::USER) {
                words.extend(x.children().map(|child| {
                    short(&child.to_string()).replace(&format!(" xmlns='{}'", ns::USER), "")
                }));
            }
        }
        Kind::Iq(_) => {
            words.push(format!("iq {}", stanza.kind().type_name().unwrap()));
            words.extend(stanza.id().map(str::to_owned));
            words.extend(tree.children().map(|child| child.name().to_owned()));
            let list = tree.child("query", ns::ADMIN);
            let items = list.into_iter().flat_map(Element::children);
            words.extend(items.map(item));
        }
    }
    words.join(" ")
}

/// `[affiliation=member jid=hag66]`
fn item(item: &Element) -> String {
    let attributes = item.attributes().iter();
    let words = attributes.map(|one| format!("{}={}", one.name(), short(one.value())));
    let words: Vec<_> = words
        .chain(item.children().map(|child| child.text().into()))
        .collect();
    format!("[{}]", words.join(" "))
}

fn request(kind: &str, ns: &str, content: &str) -> String {
    format!("<iq to='' type='{kind}' id='1'><query xmlns='{ns}'>{content}</query></iq>")
}

/// A form that is filled in: `roomname=Cave, roomowners=a@x.example b@x.example`. Names are those of the type of the form, values
/// are parted by spaces, but for a text in quotes.
fn form(form_type: &str, fields: &str) -> String {
    let prefix = match form_type {
        ns::CONFIG_FORM => "muc#roomconfig_",
        ns::REGISTER_FORM => "muc#register_",
        _ => "muc#",
    };
    let field = |field: &str| {
        let (name, values) = field.split_once('=').unwrap();
        let name = match name {
            "maxhistoryfetch" => "muc#maxhistoryfetch".to_owned(),
            name => format!("{prefix}{name}"),
        };
        let values: Vec<_> = match values.strip_prefix('"') {
            Some(text) => vec![text.trim_end_matches('"')],
            None => values.split_whitespace().collect(),
        };
        let values = values.iter().map(|value| format!("<value>{value}</value>"));
        format!("<field var='{name}'>{}</field>", values.collect::<String>())
    };
    let fields = fields
        .split(", ")
        .filter(|field| !field.is_empty())
        .map(field);
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{form_type}</value></field>{}</x>",
        fields.collect::<String>()
    )
}

/// `member/participant jid=hag66/pda 110`
fn facts(x: &Element) -> String {
    let item = x.child("item", ns::USER).unwrap();
    let attr = |name| item.attr(name);
    let mut words = vec![format!(
        "{}/{}",
        attr("affiliation").unwrap(),
        attr("role").unwrap()
    )];
    words.extend(
        ["jid", "nick"]
            .map(|name| Some(format!("{name}={}", short(attr(name)?))))
            .into_iter()
            .flatten(),
    );
    words.extend(item.children().map(|child| match child.name() {
        "actor" => format!("actor={}", child.attr("nick").unwrap()),
        name => format!("{name}={}", child.text()),
    }));
    words.extend(
        x.children()
            .filter_map(|child| child.attr("code").map(str::to_owned)),
    );
    words.join(" ")
}

#[test]
fn the_bench_shows_what_is_wrong() {
    let wrong = "crone1/desktop enters firstwitch\n    nothing";
    let play = std::panic::AssertUnwindSafe(|| Bench::new().play(wrong));
    assert!(std::panic::catch_unwind(play).is_err());
    let _: BareJid = ROOM.parse().unwrap();
}
