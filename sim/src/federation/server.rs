//! A server with a room.

use std::sync::Arc;

use xmpp_core::BareJid;
use xmpp_core::machine::Machine as _;
use xmpp_core::stanza::Stanza;
use xmpp_muc_federated::fmuc::{self, Accept, Federation, Node};
use xmpp_muc_federated::room::{self, Config, Room, Whois};
use xmpp_muc_federated::{Limits, Settings, ns};

use super::{World, address, domain, jid};
use crate::rng::{Rng, SeededRandom};

impl World {
    /// A server begins: with what its room has stored, or with a new one.
    pub(super) fn begin(&mut self, room: usize) -> Node {
        let address = address(&self.record.plan, room);
        let stored = self.store.as_mut().and_then(|store| store.load(&address));
        let settings = Arc::new(self.settings());
        let (federation, common) = (self.federation(room), Arc::new(self.common(room)));
        let now = self.now(room);
        match stored {
            Some((stored, history, links)) => {
                let machine = Room::restore(address, stored, &history, settings);
                let machine = machine.expect("it is what a room has stored");
                Node::restore(machine, federation, common, &links, now)
            }
            None => {
                let machine = self.create(room, settings);
                Node::new(machine, federation, common, now)
            }
        }
    }

    fn settings(&mut self) -> Settings {
        self.lives += 1;
        let mut config = Config::default();
        config.persistent = true;
        config.whois = Whois::Anyone;
        config.change_subject = true;
        Settings {
            admins: vec![BareJid::new("admin@example.lit").expect("it is an address")],
            defaults: config,
            limits: Limits::default(),
            secret: [7; 32],
            random: Arc::new(SeededRandom::new(Rng::new(
                self.record.seed ^ self.lives << 48,
            ))),
        }
    }

    /// A room as its owner would have it.
    fn create(&mut self, room: usize, settings: Arc<Settings>) -> Room {
        let plan = &self.record.plan;
        let admin = "admin@example.lit/x";
        let address = address(plan, room);
        let mut machine = Room::new(address.clone(), settings);
        let owner = plan
            .people
            .iter()
            .position(|one| one.room == room && one.owner);
        let owner = owner.map(|who| jid(plan, who).to_bare().to_string());
        let now = self.now(room);
        let mut out = Vec::new();
        for said in [
            format!(
                "<presence from='{admin}' to='{address}/admin'><x xmlns='{}'/></presence>",
                ns::MUC
            ),
            format!(
                "<iq type='set' id='1' from='{admin}' to='{address}'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'/></query></iq>",
                ns::OWNER
            ),
            format!(
                "<iq type='set' id='2' from='{admin}' to='{address}'><query xmlns='{}'><item affiliation='owner' jid='{}'/></query></iq>",
                ns::ADMIN,
                owner.unwrap_or_default()
            ),
            format!("<presence type='unavailable' from='{admin}' to='{address}/admin'/>"),
        ] {
            let stanza = Stanza::parse(&said).expect("it is a stanza");
            machine.handle(room::Input::Stanza(stanza), now, &mut out);
        }
        for output in out {
            if let (room::Output::Store(change), Some(store)) = (output, &mut self.store) {
                store.apply(&address, change);
            }
        }
        machine
    }

    fn federation(&self, room: usize) -> Federation {
        let plan = &self.record.plan;
        let mut federation = Federation::default();
        let parent = plan.parents[room];
        federation.parents = parent
            .map(|parent| self::address(plan, parent))
            .into_iter()
            .collect();
        federation.accept = Accept::Any;
        federation
    }

    fn common(&self, room: usize) -> fmuc::Settings {
        let plan = &self.record.plan;
        let mut settings = fmuc::Settings::default();
        settings.local = vec![BareJid::new(&domain(plan, room)).expect("it is a domain")];
        if let Some(events) = plan.log {
            settings.log.events = events;
        }
        settings
    }
}
