//! What happens in a world, as a script.

use std::time::{Duration, Instant};

use xmpp_core::machine::Machine as _;
use xmpp_core::stanza::{MessageType, PresenceType, Stanza};
use xmpp_core::xml::{Element, ns::CLIENT};
use xmpp_core::{BareJid, Jid};

use super::{Input, LinkState, ROOMS, World, address, letter, person};
use crate::ns;

impl World {
    /// Each line that is not indented happens; those below it are what comes of it, all of it and in this order.
    ///
    /// What happens: `hm enters B`, `hm enters B as Bob`, `hm leaves B`, `hm says B Hi there`, `hm subject B …`, `hm tells B Alice …`, `hm sends B <…/>`
    /// (`to=''` is the room), `hm kicks B Macbeth`, `hm bans B mb`, `al gives A Hamlet visitor`, `wait 5` (seconds), `cut A B`, `heal A B`, `resume A B`, `restart B` (with what it has stored),
    /// `hold A B`, `release A B`, `lose A B` (what is held), `B> A <…/>` (a stanza of B as it stands, whatever B's node thinks of it).
    ///
    /// What comes of it: `B>A J(hm) …` on a link (see [`World::wire`]), `al: …` at a client (see [`client`]).
    pub(super) fn play(&mut self, script: &str) {
        let lines = || script.lines().filter(|line| !line.trim().is_empty());
        let margin = |line: &str| line.len() - line.trim_start().len();
        let least = lines().map(margin).min().unwrap_or_default();
        let (mut wanted, mut got) = (Vec::new(), Vec::new());
        for line in lines() {
            if margin(line) > least {
                wanted.push(format!("    {}", line.trim()));
                continue;
            }
            wanted.push(line.trim().to_owned());
            got.push(line.trim().to_owned());
            self.act(line.trim());
            got.extend(self.seen.drain(..).map(|seen| format!("    {seen}")));
        }
        assert_eq!(wanted.join("\n"), got.join("\n"), "\n{}\n", got.join("\n"));
    }

    /// The same, where it does not matter what comes of it.
    pub(super) fn run(&mut self, script: &str) -> Vec<String> {
        for line in script.lines().filter(|line| !line.trim().is_empty()) {
            self.act(line.trim());
        }
        std::mem::take(&mut self.seen)
    }

    pub(super) fn act(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let rest = |from: usize| words.get(from..).unwrap_or_default().join(" ");
        match words[..] {
            ["wait", seconds] => self.wait(Duration::from_secs_f64(seconds.parse().unwrap())),
            ["cut", one, other] => self.link(one, other, LinkState::Down),
            ["heal", one, other] => self.link(one, other, LinkState::Up { resumed: false }),
            ["resume", one, other] => self.link(one, other, LinkState::Up { resumed: true }),
            ["restart", room] if self.openfires.contains_key(&letter(room)) => {
                self.restart_openfire(letter(room));
            }
            ["restart", room] => {
                self.restart(letter(room));
                self.wait(Duration::ZERO);
            }
            ["hold", one, other] => {
                self.held.insert((letter(one), letter(other)));
            }
            ["release", one, other] => {
                self.held.remove(&(letter(one), letter(other)));
            }
            ["lose", one, other] => {
                self.wires.remove(&(letter(one), letter(other)));
                self.held.remove(&(letter(one), letter(other)));
            }
            [who, "enters", room] => self.enter(who, letter(room), person(who).2),
            [who, "enters", room, "as", nick] => self.enter(who, letter(room), nick),
            [who, "leaves", room] => {
                let stanza = Stanza::presence(PresenceType::Unavailable);
                self.client(who, letter(room), "x", stanza);
            }
            [who, "says", room, ..] => {
                let body = Element::new("body", CLIENT).with_text(&rest(3));
                let stanza = Stanza::message(MessageType::Groupchat).with_child(&body);
                self.client(who, letter(room), "", stanza);
            }
            [who, "subject", room, ..] => {
                let subject = Element::new("subject", CLIENT).with_text(&rest(3));
                let stanza = Stanza::message(MessageType::Groupchat).with_child(&subject);
                self.client(who, letter(room), "", stanza);
            }
            [who, "tells", room, nick, ..] => {
                let body = Element::new("body", CLIENT).with_text(&rest(4));
                let stanza = Stanza::message(MessageType::Chat)
                    .with_id("pm")
                    .with_child(&body);
                self.client(who, letter(room), nick, stanza);
            }
            [who, "kicks", room, nick] => {
                let item =
                    format!("<item nick='{nick}' role='none'><reason>Avaunt</reason></item>");
                self.admin(who, letter(room), &item);
            }
            [who, "gives", room, nick, role] => {
                self.admin(
                    who,
                    letter(room),
                    &format!("<item nick='{nick}' role='{role}'/>"),
                );
            }
            [who, "bans", room, whom] => {
                let whom = person(whom).1.split('/').next().unwrap_or_default();
                self.admin(
                    who,
                    letter(room),
                    &format!("<item jid='{whom}' affiliation='outcast'/>"),
                );
            }
            [who, "sends", room, ..] => {
                let stanza = Stanza::parse(&rest(3)).unwrap();
                let nick = stanza
                    .to()
                    .and_then(Jid::resource)
                    .unwrap_or_default()
                    .to_owned();
                self.client(who, letter(room), &nick, stanza);
            }
            [from, to, ..] if from.ends_with('>') => {
                let (from, to) = (letter(from), letter(to));
                let stanza = Stanza::parse(&rest(2)).unwrap();
                self.wires.entry((from, to)).or_default().push_back(stanza);
            }
            _ => panic!("nothing happens by {line:?}"),
        }
        self.settle();
        self.acknowledge();
    }

    fn enter(&mut self, who: &str, room: char, nick: &str) {
        let x = Element::new("x", ns::MUC);
        let stanza = Stanza::presence(PresenceType::Available).with_child(&x);
        self.client(who, room, nick, stanza);
    }

    fn admin(&mut self, who: &str, room: char, item: &str) {
        let query = format!("<query xmlns='{}'>{item}</query>", ns::ADMIN);
        let iq = Stanza::parse(&format!("<iq type='set' id='admin'>{query}</iq>")).unwrap();
        self.client(who, room, "", iq);
    }

    /// Somebody sends this to a room, or to a nick in it.
    fn client(&mut self, who: &str, room: char, nick: &str, stanza: Stanza) {
        let to = match nick {
            "" => Jid::from(address(room)),
            nick => Jid::from(&address(room).with_resource(nick).unwrap()),
        };
        let stanza = stanza
            .with_from(Jid::new(person(who).1).unwrap())
            .with_to(to);
        if self.openfires.contains_key(&room) {
            return self.at_openfire(room, &stanza);
        }
        self.handle(room, Input::Stanza(stanza));
    }

    fn link(&mut self, one: &str, other: &str, state: LinkState) {
        let (one, other) = (letter(one), letter(other));
        for pair in [(one, other), (other, one)] {
            match state {
                LinkState::Down => {
                    self.cut.insert(pair);
                    self.wires.remove(&pair);
                }
                LinkState::Up { .. } => {
                    self.cut.remove(&pair);
                }
                LinkState::Acknowledged => {}
            }
        }
        for (at, peer) in [(one, other), (other, one)] {
            let domain = BareJid::new(address(peer).domain()).unwrap();
            self.handle(at, Input::Link { domain, state });
        }
    }

    /// The streams that are there have acknowledged what went over them.
    fn acknowledge(&mut self) {
        let state = LinkState::Acknowledged;
        let all: Vec<char> = self.nodes.keys().copied().collect();
        let peers = || ROOMS.iter().map(|(peer, _)| *peer);
        let pairs = all
            .iter()
            .flat_map(|at| peers().map(move |peer| (*at, peer)));
        for (at, peer) in pairs {
            if self.acknowledged && at != peer && !self.cut.contains(&(at, peer)) {
                let domain = BareJid::new(address(peer).domain()).unwrap();
                self.handle(at, Input::Link { domain, state });
            }
        }
    }

    /// Time passes; whatever is due meanwhile happens when it is.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now.instant + time;
        loop {
            self.acknowledge();
            let due = self
                .nodes
                .values()
                .filter_map(xmpp_core::machine::Machine::next_timeout)
                .min();
            let Some(due) = due.filter(|due| *due <= end) else {
                break;
            };
            self.pass(due);
            let all: Vec<char> = self.nodes.keys().copied().collect();
            for name in all {
                let mut out = Vec::new();
                if let Some(node) = self.nodes.get_mut(&name)
                    && node
                        .next_timeout()
                        .is_some_and(|due| due <= self.now.instant)
                {
                    node.handle_timeout(self.now, &mut out);
                }
                self.perform(name, out);
            }
            self.settle();
        }
        self.pass(end);
    }

    fn pass(&mut self, to: Instant) {
        let time = to.saturating_duration_since(self.now.instant);
        self.now.instant += time;
        self.now.utc = self.now.utc.plus(time);
    }
}
