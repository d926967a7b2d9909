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

/// Who may not enter does not hear what goes on.
#[test]
fn outcasts_do_not_hear_what_a_room_is_about() {
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens(
        "crone1/desktop <message to='' type='groupchat'><subject>Spells</subject></message>",
    );
    let hears = |bench: &mut Bench, who: &str| {
        let facts = facts_of(&ask(bench, who, INFO, ""));
        facts.contains(&"roominfo_subject=Spells".to_owned())
    };
    assert!(hears(&mut bench, "macbeth/castle"));
    bench.is("macbeth", Affiliation::Outcast);
    assert!(!hears(&mut bench, "macbeth/castle"));
}

/// XEP-0059
#[test]
fn occupants_are_listed_page_by_page() {
    let mut bench = Bench::open(|_| {});
    for nick in ["e", "d", "c", "b", "a"] {
        bench.happens(&format!("{nick}/1 enters {nick}"));
    }
    let mut list = |set: &str| {
        let query = format!(
            "<query xmlns='{ITEMS}'><set xmlns='{}'>{set}</set></query>",
            ns::RSM
        );
        let out = bench.outputs(&format!("a/1 <iq to='' type='get' id='1'>{query}</iq>"));
        let [Output::Answer(answer)] = &out[..] else {
            panic!("{out:?}");
        };
        let list = answer.payload().child("query", ITEMS).unwrap().element();
        pages(&list).replace(&format!("{ROOM}/"), "")
    };
    for (set, wanted) in [
        ("", "a b c d e; a at 0 to e of 5"),
        ("<max>2</max>", "a b; a at 0 to b of 5"),
        (
            "<max>2</max><after>coven@chat.shakespeare.lit/b</after>",
            "c d; c at 2 to d of 5",
        ),
        ("<max>2</max><before/>", "d e; d at 3 to e of 5"),
        ("<max>2</max><index>3</index>", "d e; d at 3 to e of 5"),
        ("<max>0</max>", "; of 5"),
    ] {
        assert_eq!(list(set), wanted, "{set}");
    }
}

/// One stanza has to find its way through other servers: what does not fit is on further pages, asked for or not.
#[test]
fn a_list_that_is_large_is_answered_with_its_first_page() {
    let limits = Limits {
        page: 4000,
        burst: 1_000,
        ..Limits::default()
    };
    let mut bench = Bench::limited(limits, |_| {});
    for n in 0..300 {
        bench.happens(&format!("u{n}/1 enters n{n:03}"));
        bench.is(&format!("m{n:03}"), Affiliation::Member);
    }
    bench.happens("crone1/desktop enters firstwitch");
    let list = |bench: &mut Bench, query: &str| {
        let out = bench.outputs(&format!(
            "crone1/desktop <iq to='' type='get' id='1'>{query}</iq>"
        ));
        let [Output::Answer(answer)] = &out[..] else {
            panic!("{out:?}");
        };
        assert!(answer.to_string().len() < 5000);
        let list = answer.payload().children().next().unwrap().element();
        pages(&list).replace(&format!("{ROOM}/"), "")
    };
    let mut all = |query: &str, item: &str| {
        let (mut found, mut set) = (Vec::new(), String::new());
        loop {
            bench.now.instant += Duration::from_secs(1);
            let query = format!("{query}{item}{set}</query>");
            let page = list(&mut bench, &query);
            let (items, about) = page.split_once(';').unwrap();
            if items.is_empty() {
                return found;
            }
            found.extend(items.split(' ').map(str::to_owned));
            assert!(about.contains(" of 30"), "{about}");
            let last = about.split(' ').nth_back(2).unwrap();
            let last = match item {
                "" => format!("{ROOM}/{last}"),
                _ => last.to_owned(),
            };
            set = format!("<set xmlns='{}'><after>{last}</after></set>", ns::RSM);
        }
    };
    let occupants = all(&format!("<query xmlns='{ITEMS}'>"), "");
    assert_eq!(occupants.len(), 301);
    let admin = format!("<query xmlns='{}'>", ns::ADMIN);
    let members = all(&admin, "<item affiliation='member'/>");
    assert_eq!(members.len(), 300);
    assert!(members.is_sorted() && members[7] == "m007@shakespeare.lit");
    let participants = all(&admin, "<item role='participant'/>");
    assert_eq!(participants.len(), 300);
}

/// The items of a list by their ids, and what is said of the page.
fn pages(list: &Element) -> String {
    let mut items = Vec::new();
    let mut about = String::new();
    for child in list.children() {
        let attr = |name| child.attr(name).map(str::to_owned);
        if child.is("set", ns::RSM) {
            if let Some(first) = child.child("first", ns::RSM) {
                let last = child.child("last", ns::RSM).unwrap();
                let index = first.attr("index").unwrap();
                about = format!(" {} at {index} to {}", first.text(), last.text());
            }
            let count = child.child("count", ns::RSM).unwrap();
            about.push_str(&format!(" of {}", count.text()));
        } else {
            items.extend(attr("nick").or(attr("jid")));
        }
    }
    format!("{};{about}", items.join(" "))
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
