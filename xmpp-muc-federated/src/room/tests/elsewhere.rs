//! Those who are at other nodes (XEP-0289), and what other nodes hear of those here.

use super::*;
use crate::room::elsewhere::{Actor, Event, Occupant, Parting, Refusal};

impl Bench {
    /// What other nodes have the room do: `hamlet@denmark.lit/p …`
    ///
    /// * `enters Hamlet <show>away</show>`, `enters Hamlet as member/visitor`, `becomes Claudius`, `leaves <status>…</status>`
    /// * `says …`, `late 2002-10-13T23:58:37Z …`, `once Hamlet 2002-10-13T23:58:37Z …` of one who is gone, `topic Hamlet 2002-10-13T23:58:37Z …`
    /// * `whispers thirdwitch …`
    /// * of those here: `expels hag66/pda 307`, `gives hag66/pda visitor`, `renames hag66/pda fourthwitch`
    pub(super) fn elsewhere(&mut self, line: &str) -> Vec<String> {
        let (refused, out) = self.others_do(line);
        let refused = refused.map(|why| format!("refused: {why}"));
        refused
            .into_iter()
            .chain(out.iter().flat_map(shown))
            .collect()
    }

    /// Why it was refused, and what came of it.
    pub(super) fn others_do(&mut self, line: &str) -> (Option<String>, Vec<Output>) {
        let (who, what) = line.split_once(' ').unwrap();
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
        let jid: Jid = who.parse().unwrap();
        let (room, now, mut out) = (&mut self.room, self.now, Vec::new());
        let stamp = |text: &str| text.parse::<Timestamp>().unwrap();
        let parting = |codes: Vec<u16>, farewell| Parting {
            codes,
            actor: Some(Actor {
                nick: "Gertrude".into(),
                jid: None,
            }),
            reason: None,
            farewell,
        };
        let groupchat = |content: &str| {
            Stanza::parse(&format!(
                "<message type='groupchat' id='m1'>{content}</message>"
            ))
            .unwrap()
        };
        let said = |text: &str| groupchat(&format!("<body>{text}</body>"));
        let refused = match verb {
            "enters" => {
                let (what, payload) = match more.strip_prefix("as ") {
                    Some(more) => more.split_once(' ').unwrap_or((more, "")),
                    None => ("none/participant", more),
                };
                let (affiliation, role) = what.split_once('/').unwrap();
                let occupant = Occupant {
                    jid,
                    nick: first.into(),
                    affiliation: Affiliation::named(affiliation).unwrap(),
                    role: Role::named(role).unwrap(),
                    presence: Stanza::parse(&format!("<presence>{payload}</presence>")).unwrap(),
                };
                let taken = room.take_in(&occupant, now, &mut out);
                taken.err().map(|refusal| format!("{refusal:?}"))
            }
            "becomes" => {
                let renamed = room.rename_elsewhere(&jid, first, now, &mut out);
                renamed.err().map(|refusal| format!("{refusal:?}"))
            }
            "leaves" => {
                let farewell = format!("<presence type='unavailable'>{rest}</presence>");
                let farewell = (!rest.is_empty()).then(|| Stanza::parse(&farewell).unwrap());
                let parting = Parting {
                    farewell,
                    ..Parting::default()
                };
                room.let_go(&jid, &parting, now, &mut out);
                None
            }
            "says" => {
                let heard = room.hear(&jid, &said(rest), None, now, &mut out);
                heard.is_none().then(|| "unheard".into())
            }
            "late" => {
                let heard = room.hear(&jid, &said(more), Some(stamp(first)), now, &mut out);
                heard.is_none().then(|| "unheard".into())
            }
            "once" => {
                let (at, text) = more.split_once(' ').unwrap();
                let heard = room.hear_of_old(&jid, first, &said(text), stamp(at), now, &mut out);
                heard.is_none().then(|| "unheard".into())
            }
            "topic" => {
                let (at, text) = more.split_once(' ').unwrap();
                let message = groupchat(&format!("<subject>{text}</subject>"));
                room.adopt_subject(&jid, Some(first), &message, stamp(at), now, &mut out);
                None
            }
            "whispers" => {
                let message = format!("<message type='chat' id='p1'><body>{more}</body></message>");
                let message = Stanza::parse(&message).unwrap();
                let done = room.whisper_in(&jid, first, &message, now, &mut out);
                done.err().map(|error| error.condition.name().to_owned())
            }
            "expels" => {
                let parting = parting(vec![more.parse().unwrap()], None);
                let done = room.expel(&real(first), &parting, now, &mut out);
                (!done).then(|| "not here".into())
            }
            "gives" => {
                let role = Role::named(more).unwrap();
                let done = room.give(&real(first), role, &parting(vec![], None), now, &mut out);
                (!done).then(|| "not here".into())
            }
            "renames" => {
                let done = room.rename_here(&real(first), more, now, &mut out);
                (!done).then(|| "not done".into())
            }
            _ => panic!("{verb}?"),
        };
        (refused, out)
    }
}

/// An event in a few words.
pub(super) fn event(event: &Event) -> String {
    let name = |jid: &Jid| short(jid.as_str());
    let how = |parting: &Parting| {
        let mut words: Vec<_> = parting.codes.iter().map(u16::to_string).collect();
        words.extend(parting.actor.as_ref().map(|actor| {
            let jid = actor.jid.as_ref().map(name).unwrap_or_default();
            format!("actor={}={jid}", actor.nick)
        }));
        words.extend(parting.reason.as_ref().map(|why| format!("reason={why}")));
        words.extend(parting.farewell.as_ref().map(Stanza::to_string));
        words
            .iter()
            .map(|word| format!(" {word}"))
            .collect::<String>()
    };
    match event {
        Event::Present {
            occupant,
            instead_of,
        } => {
            let instead = instead_of.as_ref().map(|old| format!(" for {}", name(old)));
            format!(
                "{}{} is {} {}/{}: {}",
                name(&occupant.jid),
                instead.unwrap_or_default(),
                occupant.nick,
                occupant.affiliation,
                occupant.role,
                occupant.presence,
            )
        }
        Event::Renamed { jid, from, to } => format!("{} {from} is {to}", name(jid)),
        Event::Left { jid, nick, parting } => {
            format!("{} {nick} left{}", name(jid), how(parting))
        }
        Event::Said(said) => format!(
            "{} {} says {}",
            name(&said.by),
            said.nick,
            words(&said.message)
        ),
        Event::Subject(said) => {
            format!(
                "{} {} sets {}",
                name(&said.by),
                said.nick,
                words(&said.message)
            )
        }
        Event::Private {
            by,
            nick,
            sender,
            to,
            message,
        } => {
            assert!(message.from().is_none() && message.to().is_none());
            let (by, sender, to) = (name(by), name(sender), name(to));
            format!("{by} {nick} by {sender} to {to}:{}", words(message))
        }
        Event::Expelled { jid, nick, parting } => {
            format!("{} {nick} expelled{}", name(jid), how(parting))
        }
        Event::Given { jid, role, parting } => {
            format!("{} given {role}{}", name(jid), how(parting))
        }
    }
}

/// crone1, who owns the room, and hag66; other nodes watch.
fn two(change: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = Bench::open(change);
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("hag66/pda enters thirdwitch");
    bench.room.watch(true);
    bench
}

/// And Hamlet, who is elsewhere.
fn three(change: impl FnOnce(&mut Config)) -> Bench {
    let mut bench = two(change);
    bench.happens("elsewhere hamlet@denmark.lit/p enters Hamlet");
    bench
}

#[test]
fn who_comes_others_do_is_shown_and_who_enters_hears_of_them() {
    two(|_| {}).play(
        "
        elsewhere hamlet@denmark.lit/p enters Hamlet <show>away</show>
            hag66/pda: /Hamlet is none/participant show=away
            crone1/desktop: /Hamlet is none/participant jid=hamlet@denmark.lit/p show=away
        elsewhere hamlet@denmark.lit/p enters Hamlet <show>away</show>
        elsewhere hamlet@denmark.lit/p enters Hamlet as member/visitor
            hag66/pda: /Hamlet is member/visitor
            crone1/desktop: /Hamlet is member/visitor jid=hamlet@denmark.lit/p
        elsewhere hamlet@denmark.lit/p leaves <status>to be</status>
            hag66/pda: /Hamlet gone member/none status=to be
            crone1/desktop: /Hamlet gone member/none jid=hamlet@denmark.lit/p status=to be
        elsewhere hamlet@denmark.lit/p leaves
        ",
    );
    three(|_| {}).play(
        "
        wiccarocks/laptop enters secondwitch
            wiccarocks/laptop << /firstwitch is owner/moderator
            wiccarocks/laptop << /thirdwitch is none/participant
            wiccarocks/laptop << /Hamlet is none/participant
            wiccarocks/laptop << /secondwitch is none/participant jid=wiccarocks/laptop 110
            wiccarocks/laptop <<  says subject=\"\"
            hag66/pda: /secondwitch is none/participant
            crone1/desktop: /secondwitch is none/participant jid=wiccarocks/laptop
            event wiccarocks/laptop is secondwitch none/participant: <presence/>
        ",
    );
}

#[test]
fn who_may_not_come_in_others_do_does_not() {
    let mut bench = Bench::limited(
        Limits {
            occupants: 3,
            nick: 10,
            ..Limits::default()
        },
        |_| {},
    );
    bench.reserve("duncan", Affiliation::Member, Some("king"));
    bench.is("macbeth", Affiliation::Outcast);
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("duncan/pda enters duncan");
    bench.play(
        "
        elsewhere macbeth@shakespeare.lit/p enters thane
            refused: Outcast
        elsewhere hamlet@denmark.lit/p enters king
            refused: Taken
        elsewhere hamlet@denmark.lit/p enters FirstWitch
            refused: Taken
        elsewhere hamlet@denmark.lit/p enters prince-of-denmark
            refused: Nick
        elsewhere hamlet@denmark.lit/p enters Hamlet
            duncan/pda: /Hamlet is none/participant
            crone1/desktop: /Hamlet is none/participant jid=hamlet@denmark.lit/p
        elsewhere ophelia@denmark.lit/p enters Ophelia
            refused: Full
        elsewhere hamlet@denmark.lit/p becomes Duncan
            refused: Taken
        hag66/pda enters hamlet
            hag66/pda: /hamlet presence error cancel conflict
        ",
    );
    bench.room.config.members_only = true;
    let refused = bench.happens("elsewhere hamlet@denmark.lit/p enters Hamlet <show>dnd</show>");
    assert_eq!(refused, [format!("refused: {:?}", Refusal::Outcast)]);
    let refused = Bench::new().happens("elsewhere hamlet@denmark.lit/p enters Hamlet");
    assert_eq!(refused, [format!("refused: {:?}", Refusal::Locked)]);
}

#[test]
fn who_is_elsewhere_has_no_rights_here() {
    let mut bench = two(|_| {});
    bench.happens("elsewhere hamlet@denmark.lit/p enters Hamlet as owner/moderator");
    let stanza = |xml: &str| {
        let xml = xml.replace("ROOM", ROOM);
        let stanza = Stanza::parse(&xml).unwrap();
        Input::Stanza(stanza.with_from("hamlet@denmark.lit/p".parse::<Jid>().unwrap()))
    };
    for (xml, refused) in [
        (
            "<message to='ROOM' type='groupchat'><body>a</body></message>",
            "hamlet@denmark.lit/p:  message error cancel not-acceptable",
        ),
        (
            "<message to='ROOM/thirdwitch' type='chat'><body>a</body></message>",
            "hamlet@denmark.lit/p: /thirdwitch message error cancel not-acceptable",
        ),
        (
            "<iq to='ROOM' type='set' id='1'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='thirdwitch' role='none'/></query></iq>",
            "hamlet@denmark.lit/p:  iq error auth forbidden",
        ),
        (
            "<iq to='ROOM/Hamlet' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
            "hamlet@denmark.lit/p: /Hamlet iq error cancel not-acceptable",
        ),
        ("<presence to='ROOM/Hamlet' type='unavailable'/>", ""),
    ] {
        let out = bench.give(stanza(xml));
        let out: Vec<_> = out.iter().flat_map(shown).collect();
        assert_eq!(out.join("\n"), refused);
    }
    // Nor does what another node says of somebody make them one when they enter here.
    bench.happens("elsewhere duncan@shakespeare.lit/p enters king as owner/moderator");
    bench.play(
        "
        duncan/pda enters king
            duncan/pda << /firstwitch is owner/moderator
            duncan/pda << /thirdwitch is none/participant
            duncan/pda << /Hamlet is owner/moderator
            duncan/pda << /king is none/participant jid=duncan/pda 110
            duncan/pda <<  says subject=\"\"
            hag66/pda: /king is none/participant
            crone1/desktop: /king is none/participant jid=duncan/pda
            event duncan/pda is king none/participant: <presence/>
        elsewhere duncan@shakespeare.lit/p enters king as owner/moderator <show>xa</show>
        duncan/pda leaves king
            duncan/pda: /king gone none/none jid=duncan/pda 110
            event duncan/pda king left <presence type='unavailable'/>
            hag66/pda: /king is owner/moderator show=xa
            crone1/desktop: /king is owner/moderator jid=duncan/p show=xa
        ",
    );
}

#[test]
fn what_is_said_elsewhere_is_said_here_and_no_event_comes_of_it() {
    let mut bench = three(|config| config.moderated = true);
    bench.now.utc = "2002-10-14T00:00:00Z".parse().unwrap();
    bench.play(
        "
        elsewhere hamlet@denmark.lit/p says To be
            crone1/desktop, hag66/pda: /Hamlet says To be
        elsewhere hamlet@denmark.lit/p late 2002-10-13T23:58:37Z Or not
            crone1/desktop, hag66/pda: /Hamlet says at 2002-10-13T23:58:37Z Or not
        elsewhere ophelia@denmark.lit/p once Ophelia 2002-10-13T22:00:00Z My lord
            crone1/desktop, hag66/pda: /Ophelia says at 2002-10-13T22:00:00Z My lord
        elsewhere ophelia@denmark.lit/p says My lord
            refused: unheard
        elsewhere hamlet@denmark.lit/p enters Hamlet as none/visitor
            hag66/pda: /Hamlet is none/visitor
            crone1/desktop: /Hamlet is none/visitor jid=hamlet@denmark.lit/p
        elsewhere hamlet@denmark.lit/p says That is
            refused: unheard
        hag66/laptop enters thirdwitch
            hag66/laptop << /firstwitch is owner/moderator
            hag66/laptop << /Hamlet is none/visitor
            hag66/laptop << /thirdwitch is none/visitor jid=hag66/laptop 110
            hag66/laptop << /Ophelia says at 2002-10-13T22:00:00Z My lord
            hag66/laptop << /Hamlet says at 2002-10-13T23:58:37Z Or not
            hag66/laptop << /Hamlet says at 2002-10-14T00:00:00Z To be
            hag66/laptop <<  says subject=\"\"
            hag66/pda: /thirdwitch is none/visitor jid=hag66/laptop 110
            crone1/desktop: /thirdwitch is none/visitor jid=hag66/laptop
        ",
    );
}

#[test]
fn other_nodes_hear_what_happens_here() {
    let mut bench = two(|_| {});
    bench.play(
        "
        hag66/pda <presence to='/thirdwitch'><show>away</show></presence>
            hag66/pda: /thirdwitch is none/participant jid=hag66/pda 110 show=away
            crone1/desktop: /thirdwitch is none/participant jid=hag66/pda show=away
            event hag66/pda is thirdwitch none/participant: <presence><show>away</show></presence>
        hag66/pda <presence to='/thirdwitch'><show>away</show></presence>
            hag66/pda: /thirdwitch is none/participant jid=hag66/pda 110 show=away
            crone1/desktop: /thirdwitch is none/participant jid=hag66/pda show=away
        hag66/pda <presence to='/crone'><show>away</show></presence>
            hag66/pda: /thirdwitch gone none/participant jid=hag66/pda nick=crone 110 303
            crone1/desktop: /thirdwitch gone none/participant jid=hag66/pda nick=crone 303
            event hag66/pda thirdwitch is crone
            hag66/pda: /crone is none/participant jid=hag66/pda 110 show=away
            crone1/desktop: /crone is none/participant jid=hag66/pda show=away
        hag66/pda says Harpier cries
            crone1/desktop, hag66/pda: /crone says Harpier cries
            event hag66/pda crone says /crone says Harpier cries
        crone1/desktop <message to='' type='groupchat'><subject>Toil</subject></message>
            crone1/desktop, hag66/pda: /firstwitch says subject=\"Toil\"
            event crone1/desktop firstwitch sets /firstwitch says subject=\"Toil\"
        crone1/desktop admin <item nick='crone' role='visitor'/>
            crone1/desktop: answer  iq result 1
            hag66/pda: /crone is none/visitor jid=hag66/pda actor=firstwitch 110 show=away
            crone1/desktop: /crone is none/visitor jid=hag66/pda actor=firstwitch show=away
            event hag66/pda is crone none/visitor: <presence><show>away</show></presence>
        crone1/desktop admin <item nick='crone' role='none'><reason>Out</reason></item>
            hag66/pda: /crone gone none/none jid=hag66/pda actor=firstwitch reason=Out 110 307
            event hag66/pda crone left 307 actor=firstwitch=crone1/desktop reason=Out
            crone1/desktop: answer  iq result 1
            crone1/desktop: /crone gone none/none jid=hag66/pda actor=firstwitch reason=Out 307
        close
            crone1/desktop: /firstwitch gone owner/none jid=crone1/desktop 110 332
            destroyed
        ",
    );
}

#[test]
fn one_client_speaks_for_all_of_an_occupant() {
    two(|_| {}).play(
        "
        hag66/laptop enters thirdwitch
            hag66/laptop << /firstwitch is owner/moderator
            hag66/laptop << /thirdwitch is none/participant jid=hag66/laptop 110
            hag66/laptop <<  says subject=\"\"
            hag66/pda: /thirdwitch is none/participant jid=hag66/laptop 110
            crone1/desktop: /thirdwitch is none/participant jid=hag66/laptop
        hag66/laptop says a
            crone1/desktop, hag66/pda, hag66/laptop: /thirdwitch says a
            event hag66/pda thirdwitch says /thirdwitch says a
        hag66/laptop <presence to='/thirdwitch'><show>xa</show></presence>
            hag66/pda, hag66/laptop: /thirdwitch is none/participant jid=hag66/laptop 110 show=xa
            crone1/desktop: /thirdwitch is none/participant jid=hag66/laptop show=xa
            event hag66/pda is thirdwitch none/participant: <presence><show>xa</show></presence>
        hag66/pda leaves thirdwitch
            hag66/pda: /thirdwitch gone none/none jid=hag66/pda 110
            event hag66/laptop for hag66/pda is thirdwitch none/participant: <presence><show>xa</show></presence>
        hag66/laptop leaves thirdwitch <status>by</status>
            hag66/laptop: /thirdwitch gone none/none jid=hag66/laptop 110 status=by
            event hag66/laptop thirdwitch left <presence type='unavailable'><status>by</status></presence>
            crone1/desktop: /thirdwitch gone none/none jid=hag66/laptop status=by
        ",
    );
}

#[test]
fn who_is_elsewhere_can_be_given_a_role_and_be_taken_out() {
    let mut bench = three(|_| {});
    bench.is("wiccarocks", Affiliation::Owner);
    bench.play(
        "
        crone1/desktop admin <item nick='Hamlet' role='visitor'><reason>Mad</reason></item>
            crone1/desktop: answer  iq result 1
            hag66/pda: /Hamlet is none/visitor actor=firstwitch reason=Mad
            crone1/desktop: /Hamlet is none/visitor jid=hamlet@denmark.lit/p actor=firstwitch reason=Mad
            event hamlet@denmark.lit/p given visitor actor=firstwitch=crone1/desktop reason=Mad
        elsewhere hamlet@denmark.lit/p enters Hamlet as none/visitor
        crone1/desktop admin <item nick='Hamlet' role='none'/>
            event hamlet@denmark.lit/p Hamlet expelled 307 actor=firstwitch=crone1/desktop
            crone1/desktop: answer  iq result 1
            hag66/pda: /Hamlet gone none/none actor=firstwitch 307
            crone1/desktop: /Hamlet gone none/none jid=hamlet@denmark.lit/p actor=firstwitch 307
        elsewhere hamlet@denmark.lit/p leaves
        elsewhere hamlet@denmark.lit/p enters Hamlet as owner/moderator
            hag66/pda: /Hamlet is owner/moderator
            crone1/desktop: /Hamlet is owner/moderator jid=hamlet@denmark.lit/p
        crone1/desktop admin <item jid='hamlet@denmark.lit' affiliation='outcast'/>
            crone1/desktop: answer  iq result 1
            event hamlet@denmark.lit/p Hamlet expelled 301 actor=firstwitch=crone1/desktop
            hag66/pda: /Hamlet gone outcast/none actor=firstwitch 301
            crone1/desktop: /Hamlet gone outcast/none jid=hamlet@denmark.lit/p actor=firstwitch 301
        elsewhere hamlet@denmark.lit/p enters Hamlet
            refused: Outcast
        ",
    );
    // What they claim to be protects them from nobody: hag66 is an admin here.
    let mut bench = three(|_| {});
    bench.happens("elsewhere hamlet@denmark.lit/p enters Hamlet as owner/moderator");
    bench.happens("crone1/desktop admin <item jid='hag66@shakespeare.lit' affiliation='admin'/>");
    let out = bench.happens("hag66/pda admin <item nick='Hamlet' role='none'/>");
    assert_eq!(
        out[0],
        "event hamlet@denmark.lit/p Hamlet expelled 307 actor=thirdwitch=hag66/pda"
    );
    // And who is no member goes when the room becomes one for members only.
    bench.happens("elsewhere hamlet@denmark.lit/p enters Hamlet as owner/moderator");
    let out = bench.happens("crone1/desktop configures membersonly=1");
    let gone = "event hamlet@denmark.lit/p Hamlet expelled 322 actor=firstwitch=crone1/desktop";
    assert!(out.iter().any(|line| line == gone), "{out:?}");
    // So does one who is a member here no more, whatever they are elsewhere.
    let item = "<item jid='hamlet@denmark.lit' affiliation=";
    bench.happens(&format!("crone1/desktop admin {item}'member'/>"));
    bench.happens("elsewhere hamlet@denmark.lit/p enters Hamlet");
    let out = bench.happens(&format!("crone1/desktop admin {item}'none'/>"));
    let gone = "event hamlet@denmark.lit/p Hamlet expelled 321 actor=firstwitch=crone1/desktop";
    assert!(out.iter().any(|line| line == gone), "{out:?}");
}

#[test]
fn who_is_here_is_taken_out_and_given_a_role_and_a_nick_others_do() {
    let mut bench = three(|_| {});
    bench.reserve("duncan", Affiliation::Member, Some("king"));
    bench.play(
        "
        elsewhere gertrude@denmark.lit/p gives hag66/pda visitor
            hag66/pda: /thirdwitch is none/visitor jid=hag66/pda actor=Gertrude 110
            crone1/desktop: /thirdwitch is none/visitor jid=hag66/pda actor=Gertrude
            event hag66/pda is thirdwitch none/visitor: <presence/>
        elsewhere gertrude@denmark.lit/p gives hag66/pda visitor
        elsewhere gertrude@denmark.lit/p renames hag66/pda hag~2
            hag66/pda: /thirdwitch gone none/visitor jid=hag66/pda nick=hag~2 110 303
            crone1/desktop: /thirdwitch gone none/visitor jid=hag66/pda nick=hag~2 303
            event hag66/pda thirdwitch is hag~2
            hag66/pda: /hag~2 is none/visitor jid=hag66/pda 110 210
            crone1/desktop: /hag~2 is none/visitor jid=hag66/pda
        elsewhere gertrude@denmark.lit/p renames hag66/pda king
            refused: not done
        elsewhere gertrude@denmark.lit/p renames hag66/pda hamlet
            refused: not done
        elsewhere gertrude@denmark.lit/p expels hag66/pda 307
            hag66/pda: /hag~2 gone none/none jid=hag66/pda actor=Gertrude 110 307
            event hag66/pda hag~2 left 307 actor=Gertrude=
            crone1/desktop: /hag~2 gone none/none jid=hag66/pda actor=Gertrude 307
        elsewhere gertrude@denmark.lit/p expels hag66/pda 307
            refused: not here
        elsewhere gertrude@denmark.lit/p gives hag66/pda visitor
            refused: not here
        elsewhere gertrude@denmark.lit/p renames hag66/pda third
            refused: not done
        ",
    );
}

#[test]
fn private_messages_go_both_ways_and_so_do_their_errors() {
    let error =
        "<error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    three(|_| {}).play(&format!(
        "
        hag66/pda <message to='/Hamlet' type='chat' id='1'><body>Hail</body></message>
            event hag66/pda thirdwitch by hag66/pda to hamlet@denmark.lit/p: whispers Hail
        elsewhere hamlet@denmark.lit/p whispers thirdwitch What news?
            hag66/pda: /Hamlet whispers What news?
        hag66/pda <message to='/Hamlet' type='error' id='p1'>{error}</message>
            event hag66/pda thirdwitch by hag66/pda to hamlet@denmark.lit/p: message error cancel not-allowed
        elsewhere hamlet@denmark.lit/p whispers nobody What news?
            refused: item-not-found
        elsewhere hamlet@denmark.lit/p whispers Hamlet What news?
            refused: item-not-found
        elsewhere ophelia@denmark.lit/p whispers thirdwitch What news?
            refused: not-acceptable
        "
    ));
    three(|config| config.allow_pm = crate::room::AllowPm::Moderators).play(
        "
        elsewhere hamlet@denmark.lit/p whispers thirdwitch What news?
            refused: forbidden
        ",
    );
    let forged = Stanza::parse("<message type='groupchat'><body>a</body></message>").unwrap();
    let hamlet = "hamlet@denmark.lit/p".parse().unwrap();
    let (mut bench, mut out) = (three(|_| {}), vec![]);
    let now = bench.now;
    let done = bench
        .room
        .whisper_in(&hamlet, "thirdwitch", &forged, now, &mut out);
    assert!(done.is_err() && out.is_empty());
    let subject =
        Stanza::parse("<message type='groupchat'><subject>a</subject></message>").unwrap();
    let heard = bench.room.hear(&hamlet, &subject, None, now, &mut out);
    assert!(heard.is_none() && out.is_empty());
}

#[test]
fn requests_do_not_go_from_node_to_node() {
    three(|_| {}).play(
        "
        hag66/pda <iq to='/Hamlet' type='get' id='1'><query xmlns='jabber:iq:version'/></iq>
            hag66/pda: /Hamlet iq error cancel service-unavailable
        hag66/pda <iq to='/Hamlet' type='get' id='2'><vCard xmlns='vcard-temp'/></iq>
            hag66/pda: /Hamlet iq error cancel service-unavailable
        hag66/pda <iq to='/thirdwitch' type='get' id='3'><ping xmlns='urn:xmpp:ping'/></iq>
            hag66/pda: /thirdwitch iq result 3
        ",
    );
}

#[test]
fn a_nick_is_shared_by_those_of_one_user_here_and_elsewhere() {
    let mut bench = three(|_| {});
    bench.play(
        "
        elsewhere hag66@shakespeare.lit/far enters thirdwitch as member/moderator
        hag66/pda says a
            crone1/desktop, hag66/pda: /thirdwitch says a
            event hag66/pda thirdwitch says /thirdwitch says a
        elsewhere hag66@shakespeare.lit/far says b
            crone1/desktop, hag66/pda: /thirdwitch says b
        crone1/desktop <message to='/thirdwitch' type='chat' id='1'><body>c</body></message>
            event crone1/desktop firstwitch by crone1/desktop to hag66/far: whispers c
            hag66/pda: /firstwitch whispers c
        hag66/pda <presence to='/crone'/>
            hag66/pda: /thirdwitch gone none/participant jid=hag66/pda nick=crone 110 303
            crone1/desktop: /thirdwitch gone none/participant jid=hag66/pda nick=crone 303
            event hag66/pda thirdwitch is crone
            hag66/pda: /thirdwitch is member/moderator
            crone1/desktop: /thirdwitch is member/moderator jid=hag66/far
            hag66/pda: /crone is none/participant jid=hag66/pda 110
            crone1/desktop: /crone is none/participant jid=hag66/pda
        elsewhere hag66@shakespeare.lit/far becomes crone
            hag66/pda: /thirdwitch gone member/moderator nick=crone 303
            crone1/desktop: /thirdwitch gone member/moderator jid=hag66/far nick=crone 303
        elsewhere hag66@shakespeare.lit/far becomes weird
            hag66/pda: /weird is member/moderator
            crone1/desktop: /weird is member/moderator jid=hag66/far
        elsewhere hag66@shakespeare.lit/far enters crone
            hag66/pda: /weird gone member/moderator nick=crone 303
            crone1/desktop: /weird gone member/moderator jid=hag66/far nick=crone 303
        hag66/pda <presence to='/Crone'/>
            hag66/pda: /crone gone none/participant jid=hag66/pda nick=Crone 110 303
            crone1/desktop: /crone gone none/participant jid=hag66/pda nick=Crone 303
            event hag66/pda crone is Crone
            hag66/pda: /Crone is none/participant jid=hag66/pda 110
            crone1/desktop: /Crone is none/participant jid=hag66/pda
        elsewhere gertrude@denmark.lit/p expels hag66/pda 307
            hag66/pda: /Crone gone none/none jid=hag66/pda actor=Gertrude 110 307
            event hag66/pda Crone left 307 actor=Gertrude=
            crone1/desktop: /Crone is none/participant jid=hag66/far
        elsewhere hag66@shakespeare.lit/far becomes hag
            crone1/desktop: /Crone gone none/participant jid=hag66/far nick=hag 303
            crone1/desktop: /hag is none/participant jid=hag66/far
        ",
    );
}

#[test]
fn who_is_here_and_elsewhere_is_kicked_at_both() {
    let mut bench = three(|_| {});
    bench.happens("elsewhere hag66@shakespeare.lit/far enters thirdwitch");
    bench.play(
        "
        crone1/desktop admin <item nick='thirdwitch' role='none'/>
            hag66/pda: /thirdwitch gone none/none jid=hag66/pda actor=firstwitch 110 307
            event hag66/pda thirdwitch left 307 actor=firstwitch=crone1/desktop
            event hag66/far thirdwitch expelled 307 actor=firstwitch=crone1/desktop
            crone1/desktop: answer  iq result 1
            crone1/desktop: /thirdwitch gone none/none jid=hag66/pda actor=firstwitch 307
        ",
    );
}

#[test]
fn a_room_stays_as_long_as_somebody_is_in_it_anywhere() {
    let mut bench = three(|_| {});
    bench.happens("hag66/pda leaves thirdwitch");
    bench.play(
        "
        crone1/desktop leaves firstwitch
            crone1/desktop: /firstwitch gone owner/none jid=crone1/desktop 110
            event crone1/desktop firstwitch left <presence type='unavailable'/>
        elsewhere hamlet@denmark.lit/p says To be
        elsewhere hamlet@denmark.lit/p leaves
            destroyed
        ",
    );
}

#[test]
fn the_subject_of_elsewhere_is_adopted_once() {
    let mut bench = three(|config| config.persistent = true);
    bench.now.utc = "2002-10-14T00:00:00Z".parse().unwrap();
    let big = "x".repeat(Limits::default().subject);
    bench.play(&format!(
        "
        elsewhere hamlet@denmark.lit/p topic Hamlet 2002-10-14T00:00:00Z Ghosts
            crone1/desktop, hag66/pda: /Hamlet says subject=\"Ghosts\"
            store state
        elsewhere hamlet@denmark.lit/p topic Hamlet 2002-10-14T00:00:00Z Ghosts
        elsewhere hamlet@denmark.lit/p topic Hamlet 2002-10-13T00:00:00Z Skulls
            crone1/desktop, hag66/pda: /Hamlet says at 2002-10-13T00:00:00Z subject=\"Skulls\"
            store state
        elsewhere hamlet@denmark.lit/p topic Hamlet 2002-10-14T00:00:00Z {big}
        "
    ));
}

#[test]
fn who_has_which_nick_and_who_is_here_is_known() {
    let mut bench = three(|_| {});
    bench.happens("elsewhere hag66@shakespeare.lit/far enters thirdwitch");
    let holder = |nick| {
        let holder = bench.room.holder(nick);
        holder.map(|(jid, user)| (short(jid.as_str()), user.to_string()))
    };
    let of = |jid: &str, user: &str| Some((jid.to_owned(), user.to_owned()));
    assert_eq!(
        holder("HAMLET"),
        of("hamlet@denmark.lit/p", "hamlet@denmark.lit")
    );
    assert_eq!(
        holder("thirdwitch"),
        of("hag66/pda", "hag66@shakespeare.lit")
    );
    assert_eq!(holder("nobody"), None);
    let here = bench.room.here();
    let here: Vec<_> = here.iter().map(|one| short(one.jid.as_str())).collect();
    assert_eq!(here, ["crone1/desktop", "hag66/pda"]);
}

/// V5, XEP-0289 §3: `<fmuc/>` MUST NOT reach clients, nor is one taken for what a node has said.
#[test]
fn what_nodes_say_to_one_another_does_not_come_from_clients_nor_go_to_them() {
    let inner = format!(
        "<fmuc xmlns='{}' from='king@denmark.lit/x'/><sync xmlns='{}'/>",
        ns::FMUC,
        ns::SYNC
    );
    let mut bench = three(|_| {});
    for line in [
        format!("hag66/pda says a</body>{inner}<body xml:lang='de'>b"),
        format!("hag66/pda <message to='' type='groupchat'><subject>a</subject>{inner}</message>"),
        format!(
            "crone1/desktop <message to='' type='groupchat'><subject>a</subject>{inner}</message>"
        ),
        format!("hag66/pda <message to='/firstwitch' type='chat'><body>a</body>{inner}</message>"),
        format!("hag66/pda <message to='/Hamlet' type='chat'><body>a</body>{inner}</message>"),
        format!("hag66/pda <presence to='/thirdwitch'><show>xa</show>{inner}</presence>"),
        format!(
            "wiccarocks/pda <presence to='/second'><x xmlns='{}'/>{inner}</presence>",
            ns::MUC
        ),
        format!("elsewhere hamlet@denmark.lit/p says a</body>{inner}<body xml:lang='de'>b"),
        format!("elsewhere hamlet@denmark.lit/p enters Hamlet <show>xa</show>{inner}"),
        format!("elsewhere hamlet@denmark.lit/p leaves {inner}"),
        format!("hag66/pda leaves thirdwitch {inner}"),
    ] {
        let out = match line.strip_prefix("elsewhere ") {
            Some(line) => bench.others_do(line).1,
            None => bench.outputs(&line),
        };
        let seen = format!("{out:?}");
        assert!(!out.is_empty() && !seen.contains("fmuc"), "{line}: {seen}");
    }
}
