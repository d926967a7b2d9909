//! Rooms of a service that federates them, and what other servers send it.

use super::*;
use crate::fmuc;

/// XEP-0289 §3. An answer that is answered by a room that does not exist either would go to and fro for ever.
#[test]
fn a_room_that_does_not_exist_answers_requests_and_no_answers() {
    let world = federating(Vec::new());
    let other = world.outside("room@rooms.example.net", 100);
    let told = |kind: &str, fmuc: &str| {
        world.inject(&format!(
            "<presence {kind} from='room@rooms.example.net/hag' to='{COVEN}/hag'>\
             <fmuc xmlns='http://isode.com/protocol/fmuc' {fmuc}</fmuc></presence>"
        ));
        other.read()
    };
    let from = "from='hag@example.net/pda'>";
    for (kind, fmuc, answer) in [
        ("", from, "<reject"),
        ("type='unavailable'", from, "<left"),
        ("type='unavailable'", ">", "<left"),
    ] {
        let answers = told(kind, fmuc);
        assert_eq!(answers.len(), 1, "{kind} {fmuc}");
        assert!(answers[0].contains(answer), "{answers:?}");
    }
    for fmuc in ["><reject>no</reject>", "><reject/>", "><left/>", ">"] {
        assert_eq!(told("", fmuc), [""; 0], "{fmuc}");
    }
    assert_eq!(world.rooms(), [""; 0]);
}

fn federating(rooms: Vec<(xmpp_core::BareJid, Arc<fmuc::Federation>)>) -> World {
    World::with(|options| {
        options.federation = Some(Federating {
            rooms,
            by_owners: true,
            ..Federating::default()
        });
    })
}
