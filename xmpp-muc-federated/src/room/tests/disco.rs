//! §6.4, §6.5, §7.12, §18.1.1

use super::*;
use xmpp_core::im::form;

const INFO: &str = "http://jabber.org/protocol/disco#info";
const ITEMS: &str = "http://jabber.org/protocol/disco#items";

fn ask(bench: &mut Bench, who: &str, ns: &str, node: &str) -> Element {
    let out = bench.outputs(&format!(
        "{who} <iq to='' type='get' id='1'><query xmlns='{ns}'{node}/></iq>"
    ));
    let [Output::Answer(answer)] = &out[..] else {
        panic!("{out:?}");
    };
    answer.payload().child("query", ns).unwrap().element()
}

fn kinds(info: &Element) -> Vec<&str> {
    let features = info.children().filter_map(|child| child.attr("var"));
    features.filter(|var| var.starts_with("muc_")).collect()
}

fn facts_of(info: &Element) -> Vec<String> {
    let form = info.child("x", form::NS).unwrap();
    assert_eq!(form::form_type(form).as_deref(), Some(ns::INFO_FORM));
    let fields = form::fields(form).skip(1);
    fields
        .map(|(var, field)| {
            let values: Vec<_> = form::values(field).collect();
            format!("{}={}", var.trim_start_matches("muc#"), values.join(" "))
        })
        .collect()
}

/// §6.4: "The room MUST return its identity and SHOULD return the features it supports"
#[test]
fn a_room_says_what_kind_of_room_it_is() {
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    let info = ask(&mut bench, "stranger/1", INFO, "");
    let identity = info.child("identity", INFO).unwrap();
    let attributes = ["category", "type", "name"].map(|name| identity.attr(name).unwrap());
    assert_eq!(attributes, ["conference", "text", "coven"]);
    assert_eq!(
        kinds(&info),
        [
            "muc_unsecured",
            "muc_public",
            "muc_temporary",
            "muc_open",
            "muc_unmoderated",
            "muc_semianonymous"
        ]
    );
    for var in [
        ns::MUC,
        INFO,
        ITEMS,
        ns::OCCUPANT_ID,
        ns::STANZA_ID,
        ns::REGISTER,
        "http://jabber.org/protocol/muc#stable_id",
        "http://jabber.org/protocol/muc#self-ping-optimization",
    ] {
        assert!(
            info.children().any(|child| child.attr("var") == Some(var)),
            "{var}"
        );
    }
    let mut bench = Bench::open(|config| {
        config.name = Some("A Dark Cave".into());
        config.password = Some("x".into());
        (config.public, config.persistent) = (false, true);
        (config.members_only, config.moderated) = (true, true);
        config.whois = super::super::Whois::Anyone;
    });
    let info = ask(&mut bench, "stranger/1", INFO, "");
    assert_eq!(
        info.child("identity", INFO).unwrap().attr("name"),
        Some("A Dark Cave")
    );
    assert_eq!(
        kinds(&info),
        [
            "muc_passwordprotected",
            "muc_hidden",
            "muc_persistent",
            "muc_membersonly",
            "muc_moderated",
            "muc_nonanonymous"
        ]
    );
}

/// §6.4, §16.5.4
#[test]
fn what_goes_on_in_a_room_is_told_to_those_who_could_be_there() {
    let mut bench = Bench::open(|config| {
        config.description = Some("The place for all good witches!".into());
        config.lang = Some("en".into());
        config.whois = super::super::Whois::Anyone;
    });
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens(
        "crone1/desktop <message to='' type='groupchat'><subject>Spells</subject></message>",
    );
    let public = [
        "roominfo_description=The place for all good witches!",
        "roominfo_lang=en",
        "roominfo_subject=Spells",
        "roominfo_occupants=1",
        "roominfo_subjectmod=0",
        "roomconfig_changesubject=0",
        "maxhistoryfetch=20",
        "roominfo_contactjid=crone1@shakespeare.lit",
    ];
    assert_eq!(facts_of(&ask(&mut bench, "stranger/1", INFO, "")), public);
    bench.happens("crone1/desktop configures publicroom=0, membersonly=1");
    let hidden = [public[0], public[1], public[4], public[5], public[6]];
    assert_eq!(facts_of(&ask(&mut bench, "stranger/1", INFO, "")), hidden);
    assert_eq!(
        facts_of(&ask(&mut bench, "crone1/elsewhere", INFO, "")),
        public
    );
}

/// §6.5: "If the list of occupants is private, the room MUST return an empty <query/> element"
#[test]
fn who_is_there_is_told_to_those_who_are_there() {
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("hag66/pda enters thirdwitch");
    assert_eq!(
        ask(&mut bench, "stranger/1", ITEMS, "").to_string(),
        format!("<query xmlns='{ITEMS}'/>")
    );
    assert_eq!(
        ask(&mut bench, "hag66/pda", ITEMS, "").to_string(),
        format!(
            "<query xmlns='{ITEMS}'><item jid='{ROOM}/firstwitch'/><item jid='{ROOM}/thirdwitch'/></query>"
        )
    );
}

/// §7.12: "it MUST return the nickname to the user as the value of the 'name' attribute of a Service Discovery <identity/>
/// element", or a "<query/> element that is empty"
#[test]
fn a_reserved_nick_is_told_to_whom_it_belongs() {
    let mut bench = Bench::open(|config| config.persistent = true);
    bench.reserve("hag66", Affiliation::Member, Some("thirdwitch"));
    let node = " node='x-roomuser-item'";
    assert_eq!(
        ask(&mut bench, "hag66/pda", INFO, node).to_string(),
        format!(
            "<query xmlns='{INFO}'{node}><identity category='conference' name='thirdwitch' type='text'/></query>"
        )
    );
    assert_eq!(
        ask(&mut bench, "bard/globe", INFO, node).to_string(),
        format!("<query xmlns='{INFO}'{node}/>")
    );
}

/// §18.1.1: "If the room does not support the "#traffic" node, it MUST return a <feature-not-implemented/> error"
#[test]
fn there_is_nothing_at_other_nodes() {
    Bench::open(|_| {}).play(
        "
        crone1/desktop enters firstwitch
            crone1/desktop << /firstwitch is owner/moderator jid=crone1/desktop 110
            crone1/desktop <<  says subject=\"\"
        crone1/desktop <iq to='' type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info' node='http://jabber.org/protocol/muc#traffic'/></iq>
            crone1/desktop:  iq error cancel feature-not-implemented
        crone1/desktop <iq to='' type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info' node='x'/></iq>
            crone1/desktop:  iq error cancel item-not-found
        crone1/desktop <iq to='' type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#items' node='x'/></iq>
            crone1/desktop:  iq error cancel item-not-found
        crone1/desktop <iq to='' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>
            crone1/desktop: answer  iq result 1
        ",
    );
}
