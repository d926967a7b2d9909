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
    /// A room in a new life.
    pub(super) fn node(&mut self, room: usize) -> Node {
        let plan = &self.record.plan;
        self.lives += 1;
        let mut config = Config::default();
        config.persistent = true;
        config.whois = Whois::Anyone;
        config.change_subject = true;
        let admin = "admin@example.lit/x";
        let settings = Settings {
            admins: vec![BareJid::new("admin@example.lit").expect("it is an address")],
            defaults: config,
            limits: Limits::default(),
            secret: [7; 32],
            random: Arc::new(SeededRandom::new(Rng::new(
                self.record.seed ^ self.lives << 48,
            ))),
        };
        let address = address(plan, room);
        let mut machine = Room::new(address.clone(), Arc::new(settings));
        let owner = plan
            .people
            .iter()
            .position(|one| one.room == room && one.owner);
        let owner = owner.map(|who| jid(plan, who).to_bare().to_string());
        let now = self.now(room);
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
            machine.handle(room::Input::Stanza(stanza), now, &mut Vec::new());
        }
        let mut federation = Federation::default();
        let parent = plan.parents[room];
        federation.parents = parent
            .map(|parent| self::address(plan, parent))
            .into_iter()
            .collect();
        federation.accept = Accept::Any;
        let mut settings = fmuc::Settings::default();
        settings.local = vec![BareJid::new(&domain(plan, room)).expect("it is a domain")];
        if let Some(events) = plan.log {
            settings.log.events = events;
        }
        Node::new(machine, federation, Arc::new(settings), now)
    }
}
