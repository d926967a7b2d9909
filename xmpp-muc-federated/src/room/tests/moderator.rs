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

/// §8.2: "After removing the kicked occupant(s), the service MUST then inform the moderator of success", "After informing the
/// moderator, the service MUST then inform all of the remaining occupants"
#[test]
fn a_kick_is_told_in_the_order_of_8_2() {
    coven(|_| {}).play(
        "
        wiccarocks/laptop admin <item nick='hecate' role='none'><reason>Avaunt!</reason></item>
            hecate/broom: /hecate gone none/none jid=hecate/broom actor=secondwitch reason=Avaunt! 110 307
            wiccarocks/laptop: answer  iq result 1
            hag66/pda, bard/globe: /hecate gone none/none actor=secondwitch reason=Avaunt! 307
            crone1/desktop, wiccarocks/laptop: /hecate gone none/none jid=hecate/broom actor=secondwitch reason=Avaunt! 307
        hecate/broom says Hello?
            hecate/broom:  message error cancel not-acceptable
        ",
    );
}

/// §5.1.3, §9.6: who is a moderator is for admins to say, in one item or in two.
#[test]
fn nobody_becomes_a_moderator_by_way_of_a_kick() {
    let mut bench = coven(|_| {});
    bench.has_role("bard", Role::Moderator);
    bench.play(
        "
        bard/globe admin <item nick='hecate' role='none'/><item nick='hecate' role='moderator'/>
            bard/globe:  iq error modify bad-request
        wiccarocks/laptop admin <item nick='firstwitch' role='none'/><item nick='firstwitch' role='visitor'/>
            wiccarocks/laptop:  iq error cancel not-allowed
        wiccarocks/laptop admin <item nick='secondwitch' role='none'/><item nick='secondwitch' role='visitor'/>
            wiccarocks/laptop:  iq error modify bad-request
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
            hag66/pda:  iq error cancel not-allowed
        wiccarocks/laptop admin <item nick='firstwitch' role='none'/>
            wiccarocks/laptop:  iq error cancel not-allowed
        bard/globe admin <item nick='hecate' role='none'/>
            bard/globe:  iq error auth forbidden
        stranger/1 admin <item nick='hecate' role='none'/>
            stranger/1:  iq error auth forbidden
        stranger/1 admin <item nick='nobody' role='none'/>
            stranger/1:  iq error auth forbidden
        wiccarocks/laptop admin <item nick='nobody' role='none'/>
            wiccarocks/laptop:  iq error cancel item-not-found
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
            bard/globe:  message error auth forbidden
        wiccarocks/laptop admin <item nick='bard' role='participant'><reason>A worthy witch indeed!</reason></item>
            wiccarocks/laptop: answer  iq result 1
            bard/globe: /bard is none/participant jid=bard/globe actor=secondwitch reason=A worthy witch indeed! 110
            hag66/pda, hecate/broom: /bard is none/participant actor=secondwitch reason=A worthy witch indeed!
            crone1/desktop, wiccarocks/laptop: /bard is none/participant jid=bard/globe actor=secondwitch reason=A worthy witch indeed!
        bard/globe says Friends!
            crone1/desktop, wiccarocks/laptop, hag66/pda, hecate/broom, bard/globe: /bard says Friends!
        wiccarocks/laptop admin <item nick='bard' role='visitor'/>
            wiccarocks/laptop: answer  iq result 1
            bard/globe: /bard is none/visitor jid=bard/globe actor=secondwitch 110
            hag66/pda, hecate/broom: /bard is none/visitor actor=secondwitch
            crone1/desktop, wiccarocks/laptop: /bard is none/visitor jid=bard/globe actor=secondwitch
        bard/globe says Romans!
            bard/globe:  message error auth forbidden
        wiccarocks/laptop admin <item nick='bard' role='visitor'/>
            wiccarocks/laptop: answer  iq result 1
        ",
    );
}

/// §8.5: "each item MUST include the 'nick' and 'role' attributes and SHOULD include the 'affiliation' and 'jid' attributes"
#[test]
fn the_voice_list_is_asked_for_and_changed() {
    coven(|config| config.moderated = true).play(
        "
        crone1/desktop lists role='participant'
            crone1/desktop: answer  iq result 1 query [affiliation=member jid=hag66/pda nick=thirdwitch role=participant]
        crone1/desktop lists role='visitor'
            crone1/desktop: answer  iq result 1 query [affiliation=none jid=bard/globe nick=bard role=visitor] [affiliation=none jid=hecate/broom nick=hecate role=visitor]
        hag66/pda lists role='visitor'
            hag66/pda:  iq error auth forbidden
        crone1/desktop lists role='none'
            crone1/desktop:  iq error modify bad-request
        crone1/desktop lists role='king'
            crone1/desktop:  iq error modify bad-request
        crone1/desktop admin <item nick='hecate' role='participant'/><item nick='thirdwitch' role='visitor'/>
            crone1/desktop: answer  iq result 1
            hag66/pda: /thirdwitch is member/visitor jid=hag66/pda actor=firstwitch 110
            hecate/broom, bard/globe: /thirdwitch is member/visitor actor=firstwitch
            crone1/desktop, wiccarocks/laptop: /thirdwitch is member/visitor jid=hag66/pda actor=firstwitch
            hecate/broom: /hecate is none/participant jid=hecate/broom actor=firstwitch 110
            hag66/pda, bard/globe: /hecate is none/participant actor=firstwitch
            crone1/desktop, wiccarocks/laptop: /hecate is none/participant jid=hecate/broom actor=firstwitch
        crone1/desktop lists role='participant'
            crone1/desktop: answer  iq result 1 query [affiliation=none jid=hecate/broom nick=hecate role=participant]
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
            wiccarocks/laptop: answer  iq result 1
            bard/globe: /bard is none/moderator jid=bard/globe actor=secondwitch 110
            hag66/pda, hecate/broom: /bard is none/moderator actor=secondwitch
            crone1/desktop, wiccarocks/laptop: /bard is none/moderator jid=bard/globe actor=secondwitch
            bard/globe << /firstwitch is owner/moderator jid=crone1/desktop
            bard/globe << /secondwitch is admin/moderator jid=wiccarocks/laptop
            bard/globe << /thirdwitch is member/participant jid=hag66/pda
            bard/globe << /hecate is none/participant jid=hecate/broom
        bard/globe admin <item nick='hecate' role='moderator'/>
            bard/globe:  iq error auth forbidden
        bard/globe lists role='moderator'
            bard/globe:  iq error auth forbidden
        wiccarocks/laptop lists role='moderator'
            wiccarocks/laptop: answer  iq result 1 query [affiliation=none jid=bard/globe nick=bard role=moderator] [affiliation=owner jid=crone1/desktop nick=firstwitch role=moderator] [affiliation=admin jid=wiccarocks/laptop nick=secondwitch role=moderator]
        wiccarocks/laptop admin <item nick='bard' role='participant'/>
            wiccarocks/laptop: answer  iq result 1
            bard/globe: /bard is none/participant jid=bard/globe actor=secondwitch 110
            hag66/pda, hecate/broom: /bard is none/participant actor=secondwitch
            crone1/desktop, wiccarocks/laptop: /bard is none/participant jid=bard/globe actor=secondwitch
        wiccarocks/laptop admin <item nick='secondwitch' role='participant'/>
            wiccarocks/laptop:  iq error cancel not-allowed
        ",
    );
}

/// §17.4: "the service MUST return a <bad-request/> error to the sender"
#[test]
fn an_item_is_of_a_role_or_of_an_affiliation() {
    coven(|_| {}).play(
        "
        crone1/desktop admin <item nick='bard' role='visitor' affiliation='member' jid='bard@shakespeare.lit'/>
            crone1/desktop:  iq error modify bad-request
        crone1/desktop admin <item nick='bard'/>
            crone1/desktop:  iq error modify bad-request
        crone1/desktop admin <item role='visitor'/>
            crone1/desktop:  iq error modify bad-request
        crone1/desktop admin <item affiliation='member'/>
            crone1/desktop:  iq error modify bad-request
        crone1/desktop admin <item affiliation='king' jid='bard@shakespeare.lit'/>
            crone1/desktop:  iq error modify bad-request
        crone1/desktop admin <item affiliation='member' jid='@'/>
            crone1/desktop:  iq error modify jid-malformed
        crone1/desktop admin <thing/>
            crone1/desktop:  iq error modify bad-request
        crone1/desktop admin
            crone1/desktop:  iq error modify bad-request
        crone1/desktop lists role='visitor' affiliation='member'
            crone1/desktop:  iq error modify bad-request
        ",
    );
}

/// §8: "the <user@host> of the 'from' address": another client of a moderator is one, too
#[test]
fn a_moderator_acts_with_any_client() {
    coven(|_| {}).play("
        wiccarocks/phone admin <item nick='bard' role='none'/>
            bard/globe: /bard gone none/none jid=bard/globe actor=secondwitch 110 307
            wiccarocks/phone: answer  iq result 1
            hag66/pda, hecate/broom: /bard gone none/none actor=secondwitch 307
            crone1/desktop, wiccarocks/laptop: /bard gone none/none jid=bard/globe actor=secondwitch 307
        ");
}

/// §8.2: "it is common in IRC as a way of apologizing"
#[test]
fn who_kicks_themself_is_gone() {
    coven(|_| {}).play("
        wiccarocks/laptop admin <item nick='secondwitch' role='none'/>
            wiccarocks/laptop: /secondwitch gone admin/none jid=wiccarocks/laptop actor=secondwitch 110 307
            wiccarocks/laptop: answer  iq result 1
            hag66/pda, hecate/broom, bard/globe: /secondwitch gone admin/none actor=secondwitch 307
            crone1/desktop: /secondwitch gone admin/none jid=wiccarocks/laptop actor=secondwitch 307
        ");
}

/// §5.1: "SHOULD do so for moderated rooms"
#[test]
fn voice_that_a_moderator_has_given_or_taken_outlasts_a_visit() {
    let mut bench = coven(|config| config.moderated = true);
    for (line, own) in [
        (
            "crone1/desktop admin <item nick='bard' role='participant'/><item nick='thirdwitch' role='visitor'/>",
            "",
        ),
        ("bard/globe leaves bard", "none/none"),
        ("hag66/pda leaves thirdwitch", "member/none"),
        ("hecate/broom leaves hecate", "none/none"),
        ("bard/globe enters bard", "none/participant"),
        ("hag66/pda enters thirdwitch", "member/visitor"),
        ("hecate/broom enters hecate", "none/visitor"),
        // To register a nick is no way around it,
        ("hag66/pda registers roomnick=thirdwitch", ""),
        ("hag66/pda leaves thirdwitch", "member/none"),
        ("hag66/pda enters thirdwitch", "member/visitor"),
        // but with another affiliation they begin anew,
        (
            "crone1/desktop admin <item affiliation='member' jid='bard@shakespeare.lit'/>",
            "",
        ),
        (
            "crone1/desktop admin <item affiliation='none' jid='bard@shakespeare.lit'/>",
            "",
        ),
        ("bard/globe leaves bard", "none/none"),
        ("bard/globe enters bard", "none/visitor"),
        // and so does everybody when the room has not been moderated for a while.
        ("crone1/desktop configures moderatedroom=0", ""),
        ("crone1/desktop configures moderatedroom=1", ""),
        ("hag66/pda leaves thirdwitch", "member/none"),
        ("hag66/pda enters thirdwitch", "member/participant"),
    ] {
        let (who, _) = line.split_once(' ').unwrap();
        let told = bench.happens(line);
        let of = |line: &&String| line.starts_with(who) && line.contains(" 110");
        let word = |line: &String| {
            line.split_whitespace()
                .find(|word| word.contains("/") && !word.starts_with('/') && !word.contains(who))
                .unwrap_or_default()
                .to_owned()
        };
        let got = told.iter().find(of).map(word).unwrap_or_default();
        assert_eq!(got, own, "{line}: {told:#?}");
    }
}
