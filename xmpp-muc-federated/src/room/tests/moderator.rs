//! §8: kicks, voice and the lists of roles

use super::*;

/// crone1 owns the room, wiccarocks is an admin, hag66 a member; hecate and bard are nothing to it.
fn coven(change: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = Bench::open(change);
    bench.is("wiccarocks", Affiliation::Admin);
    bench.is("hag66", Affiliation::Member);
    for (who, nick) in [
        ("crone1/desktop", "firstwitch"),
        ("wiccarocks/laptop", "secondwitch"),
        ("hag66/pda", "thirdwitch"),
        ("hecate/broom", "hecate"),
        ("bard/globe", "bard"),
    ] {
        bench.happens(&format!("{who} enters {nick}"));
    }
    bench
}

/// §8.2: "After removing the kicked occupant(s), the service MUST then inform the moderator of success", "After informing the moderator, the service MUST then
/// inform all of the remaining occupants"
#[test]
fn a_kick_is_told_in_the_order_of_8_2() {
    coven(|_| {}).play(
        "
        wiccarocks/laptop admin <item nick='hecate' role='none'><reason>Avaunt!</reason></item>
        hecate/broom says Hello?
        ",
    );
}

/// §8.2: "the service MUST deny the request and return a <not-allowed/> error to the sender"
#[test]
fn superiors_are_not_kicked() {
    let mut bench = coven(|_| {});
    bench.has_role("thirdwitch", Role::Moderator);
    bench.play(
        "
        hag66/pda admin <item nick='secondwitch' role='none'/>
        wiccarocks/laptop admin <item nick='firstwitch' role='none'/>
        bard/globe admin <item nick='hecate' role='none'/>
        stranger/1 admin <item nick='hecate' role='none'/>
        stranger/1 admin <item nick='nobody' role='none'/>
        wiccarocks/laptop admin <item nick='nobody' role='none'/>
        ",
    );
}

/// §8.4: "along with the offending item(s)"
#[test]
fn a_refusal_shows_what_is_refused() {
    let out = coven(|_| {}).outputs(
        "wiccarocks/laptop admin <item nick='hecate' role='none'/><item nick='firstwitch' role='visitor'/>",
    );
    let [Output::Send(answer)] = &out[..] else {
        panic!("{out:?}");
    };
    assert_eq!(
        answer.to_string(),
        "<iq to='wiccarocks@shakespeare.lit/laptop' from='coven@chat.shakespeare.lit' id='1' type='error'>\
         <query xmlns='http://jabber.org/protocol/muc#admin'><item nick='firstwitch' role='visitor'/></query>\
         <error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    );
}

/// §8.3, §8.4
#[test]
fn voice_is_given_and_taken() {
    coven(|config| config.moderated = true).play(
        "
        bard/globe says Friends!
        wiccarocks/laptop admin <item nick='bard' role='participant'><reason>A worthy witch indeed!</reason></item>
        bard/globe says Friends!
        wiccarocks/laptop admin <item nick='bard' role='visitor'/>
        bard/globe says Romans!
        wiccarocks/laptop admin <item nick='bard' role='visitor'/>
        ",
    );
}

/// §8.5: "each item MUST include the 'nick' and 'role' attributes and SHOULD include the 'affiliation' and 'jid' attributes"
#[test]
fn the_voice_list_is_asked_for_and_changed() {
    coven(|config| config.moderated = true).play(
        "
        crone1/desktop lists role='participant'
        crone1/desktop lists role='visitor'
        hag66/pda lists role='visitor'
        crone1/desktop lists role='none'
        crone1/desktop lists role='king'
        crone1/desktop admin <item nick='hecate' role='participant'/><item nick='thirdwitch' role='visitor'/>
        crone1/desktop lists role='participant'
        ",
    );
}

/// §9.6–§9.8; who becomes a moderator sees who the others are
#[test]
fn moderators_are_made_and_unmade_by_admins() {
    let mut bench = coven(|_| {});
    bench.play(
        "
        wiccarocks/laptop admin <item nick='bard' role='moderator'/>
        bard/globe admin <item nick='hecate' role='moderator'/>
        bard/globe lists role='moderator'
        wiccarocks/laptop lists role='moderator'
        wiccarocks/laptop admin <item nick='bard' role='participant'/>
        wiccarocks/laptop admin <item nick='secondwitch' role='participant'/>
        ",
    );
}

/// §17.4: "the service MUST return a <bad-request/> error to the sender"
#[test]
fn an_item_is_of_a_role_or_of_an_affiliation() {
    coven(|_| {}).play(
        "
        crone1/desktop admin <item nick='bard' role='visitor' affiliation='member' jid='bard@shakespeare.lit'/>
        crone1/desktop admin <item nick='bard'/>
        crone1/desktop admin <item role='visitor'/>
        crone1/desktop admin <item affiliation='member'/>
        crone1/desktop admin <item affiliation='king' jid='bard@shakespeare.lit'/>
        crone1/desktop admin <item affiliation='member' jid='@'/>
        crone1/desktop admin <thing/>
        crone1/desktop admin
        crone1/desktop lists role='visitor' affiliation='member'
        ",
    );
}

/// §8: "the <user@host> of the 'from' address": another client of a moderator is one, too
#[test]
fn a_moderator_acts_with_any_client() {
    coven(|_| {}).play("wiccarocks/phone admin <item nick='bard' role='none'/>");
}

/// §8.2: "it is common in IRC as a way of apologizing"
#[test]
fn who_kicks_themself_is_gone() {
    coven(|_| {}).play("wiccarocks/laptop admin <item nick='secondwitch' role='none'/>");
}
