//! What one who enters hears (XEP-0045 §7.1).

use std::sync::Arc;

use xmpp_core::Jid;
use xmpp_core::xml::Element;

use super::history::Wanted;
use super::occupants::Seat;
use super::presence::{Notice, Sight};
use super::{Room, Turn};
use crate::ns;

impl Room {
    /// §7.1: "the MUC service MUST send it events in the following order": the others' presence, its own with these codes, the
    /// history, the subject.
    pub(super) fn welcome(
        &self,
        seat: Seat,
        to: &Jid,
        codes: Vec<u16>,
        id: Option<&str>,
        x: &Element,
        turn: &mut Turn<'_>,
    ) {
        let Some(occupant) = self.occupants.get(seat) else {
            return;
        };
        let mut all = self.others(seat);
        let notice = Notice {
            codes,
            ..Notice::default()
        };
        // §7.2.2: "MUST NOT be sent to the new occupant until the room has sent the presence of all other occupants"
        let own = self.available(occupant, &notice, Sight::Own);
        all.push(Arc::new(own.with_id(id)));
        let wanted = x.child("history", ns::MUC);
        let wanted = wanted.map(|history| Wanted::read(history, turn.now.utc));
        let most = self.config.history;
        all.extend(self.history.recall(wanted.unwrap_or_default(), most, to));
        all.push(Arc::new(self.subject_now()));
        turn.burst(to.clone(), all);
    }
}
