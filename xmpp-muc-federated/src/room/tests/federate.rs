//! How a room is federated, as its owners say.

use std::sync::Arc;

use super::*;
use crate::fmuc::{Accept, Federation, LinkProfile, Mode};
use crate::room::FederatedBy;

fn owned(by: FederatedBy) -> Bench {
    let mut bench = Bench::open(|config| config.persistent = true);
    bench.happens("crone1/desktop enters firstwitch");
    bench.room.federate(by);
    bench
}

/// What is asked, and what stands there: of our own fields alone.
fn asked(bench: &mut Bench) -> Vec<String> {
    let out = bench.outputs(
        "crone1/desktop <iq to='' type='get' id='1'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>",
    );
    let [Output::Answer(answer)] = &out[..] else {
        panic!("{out:?}");
    };
    let query = answer.payload().child("query", ns::OWNER).unwrap();
    let query = query.element();
    let form = query.child("x", "jabber:x:data").unwrap();
    let fields = xmpp_core::im::form::fields(form).filter_map(|(var, field)| {
        let values: Vec<_> = xmpp_core::im::form::values(field).collect();
        let name = var.strip_prefix("x-fmuc#")?;
        Some(format!("{name}={}", values.join(" ")))
    });
    fields.collect()
}

fn submit(bench: &mut Bench, fields: &[(&str, &[&str])]) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, values)| {
            let values: String = values
                .iter()
                .map(|value| format!("<value>{value}</value>"))
                .collect();
            format!("<field var='{var}'>{values}</field>")
        })
        .collect();
    let told = bench.happens(&format!(
        "crone1/desktop owner <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{}</value></field>{fields}</x>",
        ns::CONFIG_FORM
    ));
    told.join("\n")
}

#[test]
fn owners_say_how_their_room_is_federated() {
    let mut bench = owned(FederatedBy::Owners);
    let untold = [
        "parent=",
        "mode=primary",
        "accept=none",
        "accepted=",
        "link=lan",
    ];
    assert_eq!(asked(&mut bench), untold);
    assert_eq!(bench.room.federation(), None);
    submit(
        &mut bench,
        &[
            (
                "x-fmuc#accepted",
                &["a@rooms.one.example", "rooms.two.example"],
            ),
            ("x-fmuc#accept", &["listed"]),
            (
                "x-fmuc#parent",
                &["b@rooms.one.example", "b@rooms.two.example", ""],
            ),
            ("x-fmuc#mode", &["replica"]),
            ("x-fmuc#link", &["sat"]),
        ],
    );
    let wanted = [
        "parent=b@rooms.one.example b@rooms.two.example",
        "mode=replica",
        "accept=listed",
        "accepted=a@rooms.one.example rooms.two.example",
        "link=sat",
    ];
    assert_eq!(asked(&mut bench), wanted);
    let federation = bench.room.federation().unwrap().clone();
    let jid = |text: &str| xmpp_core::Jid::new(text).unwrap();
    let accepted = vec![jid("a@rooms.one.example"), jid("rooms.two.example")];
    assert_eq!(federation.accept, Accept::Only(accepted));
    assert_eq!(federation.mode, Mode::Replica);
    assert_eq!(federation.profile, LinkProfile::Sat);
    // What is not in the form stays, and so does the list while all are accepted or none is asked for.
    submit(&mut bench, &[("muc#roomconfig_roomname", &["x"])]);
    assert!(Arc::ptr_eq(bench.room.federation().unwrap(), &federation));
    submit(&mut bench, &[("x-fmuc#mode", &["primary"])]);
    assert_eq!(bench.room.federation().unwrap().accept, federation.accept);
    submit(
        &mut bench,
        &[("x-fmuc#accept", &["none"]), ("x-fmuc#parent", &[])],
    );
    assert_eq!(bench.room.federation(), None);
}

#[test]
fn what_cannot_be_is_not_acceptable() {
    for fields in [
        &[("x-fmuc#parent", &["rooms.one.example"][..])][..],
        &[("x-fmuc#parent", &["@"])],
        &[("x-fmuc#parent", &[ROOM])],
        &[("x-fmuc#mode", &["both"])],
        &[("x-fmuc#accept", &["some"])],
        &[("x-fmuc#accepted", &["@"])],
        &[("x-fmuc#link", &["wet string"])],
        // What others know of it would be lost.
        &[
            ("x-fmuc#accept", &["any"]),
            ("muc#roomconfig_persistentroom", &["0"]),
        ],
    ] {
        let mut bench = owned(FederatedBy::Owners);
        let told = submit(&mut bench, fields);
        assert!(told.contains("not-acceptable"), "{fields:?}: {told}");
        assert_eq!(bench.room.federation(), None);
    }
}

#[test]
fn what_is_not_for_owners_to_say_they_do_not_see_and_cannot_change() {
    let by = Federation {
        accept: Accept::Any,
        ..Federation::default()
    };
    for by in [FederatedBy::Nobody, FederatedBy::Operator(Arc::new(by))] {
        let mut bench = owned(by);
        assert!(asked(&mut bench).is_empty());
        let before = bench.room.federation().cloned();
        submit(&mut bench, &[("x-fmuc#parent", &["b@rooms.one.example"])]);
        assert_eq!(bench.room.federation().cloned(), before);
        assert_eq!(*bench.room.config.federation, Federation::default());
    }
}

#[test]
fn owners_do_not_take_a_room_away_that_whoever_runs_the_service_federates() {
    let by = Federation {
        accept: Accept::Any,
        ..Federation::default()
    };
    let mut bench = owned(FederatedBy::Operator(Arc::new(by)));
    let told = submit(&mut bench, &[("muc#roomconfig_persistentroom", &["0"])]);
    assert!(told.contains("not-acceptable"), "{told}");
    assert!(bench.room.federation().is_some());
}

#[test]
fn a_room_that_is_not_persistent_is_not_federated() {
    let by = Federation {
        accept: Accept::Any,
        ..Federation::default()
    };
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    bench.room.federate(FederatedBy::Operator(Arc::new(by)));
    assert_eq!(bench.room.federation(), None);
    bench.happens("crone1/desktop configures persistentroom=1");
    assert!(bench.room.federation().is_some());
}
