//! §18.1.2, §11.1

use super::*;

const CONDITIONS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

fn bench() -> Bench {
    let mut bench = Bench::open(|_| {});
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("hag66/pda enters thirdwitch");
    bench
}

fn error(stanza: &str, condition: &str) -> String {
    format!("{stanza}<error type='cancel'><{condition} xmlns='{CONDITIONS}'/></error>")
}

#[test]
fn errors_of_delivery_remove_a_ghost() {
    // §18.1.2: "the delivery-related errors are <gone/>, <item-not-found/>, <recipient-unavailable/>, <redirect/>,
    // <remote-server-not-found/>, and <remote-server-timeout/>"
    // §11.1: "it MUST include the 333 status code in the resulting presence", "also [...] in presences sent to other occupants"
    for condition in xmpp_core::stanza::Condition::ALL {
        let name = condition.name();
        let removes = matches!(
            name,
            "gone"
                | "item-not-found"
                | "recipient-unavailable"
                | "redirect"
                | "remote-server-not-found"
                | "remote-server-timeout"
                | "service-unavailable"
        );
        for (kind, to) in [
            ("message", ""),
            ("message", "/firstwitch"),
            ("presence", "/firstwitch"),
        ] {
            let start = format!("hag66/pda <{kind} to='{to}' type='error'>");
            let told = bench().happens(&format!("{}</{kind}>", error(&start, name)));
            // Nobody goes on without what was said.
            let is_behind = name == "resource-constraint" && kind == "message";
            let expected: &[&str] = match removes || is_behind {
                true => &[
                    "hag66/pda: /thirdwitch gone none/none jid=hag66/pda 110 333",
                    "crone1/desktop: /thirdwitch gone none/none jid=hag66/pda 333",
                ],
                false => &[],
            };
            assert_eq!(told, expected, "{name} {kind} {to}");
        }
    }
}

#[test]
fn a_ghost_that_has_other_clients_stays() {
    let mut bench = bench();
    bench.happens("hag66/tablet enters thirdwitch");
    let error = error("<message to='' type='error'>", "remote-server-not-found");
    let line = format!("hag66/tablet {error}</message>");
    assert_eq!(
        bench.happens(&line),
        [
            "hag66/tablet: /thirdwitch gone none/none jid=hag66/tablet 110 333",
            "hag66/pda: /thirdwitch is none/participant jid=hag66/pda 110",
            "crone1/desktop: /thirdwitch is none/participant jid=hag66/pda",
        ]
    );
    assert_eq!(bench.happens(&line), [""; 0]);
}

#[test]
fn who_does_not_take_a_private_message_is_not_gone() {
    let mut bench = bench();
    bench.happens(
        "crone1/desktop <message to='/thirdwitch' type='chat' id='pm1'><body>a</body></message>",
    );
    let bounce = |id: &str, condition: &str| {
        let start = format!("<message to='/firstwitch' type='error' id='{id}'>");
        format!("hag66/pda {}</message>", error(&start, condition))
    };
    let returned =
        |condition: &str| format!("crone1/desktop: /thirdwitch message error cancel {condition}");
    for condition in ["service-unavailable", "not-acceptable"] {
        assert_eq!(
            bench.happens(&bounce("pm1", condition)),
            [returned(condition)]
        );
    }
    assert_eq!(bench.happens(&bounce("pm2", "not-acceptable")), [""; 0]);
    let told = bench.happens(&bounce("pm1", "gone"));
    assert_eq!(told[0], returned("gone"));
    assert_eq!(told.len(), 3);
}

/// The error finds its way by who the recipient is, not by the nick they had.
#[test]
fn who_does_not_take_a_private_message_may_have_another_nick_by_then() {
    let mut bench = bench();
    bench.happens(
        "crone1/desktop <message to='/thirdwitch' type='chat' id='pm1'><body>a</body></message>",
    );
    bench.happens("hag66/pda <presence to='/oldhag'/>");
    bench.happens("crone1/desktop <presence to='/crone'/>");
    let start = "<message to='/firstwitch' type='error' id='pm1'>";
    let line = format!(
        "hag66/pda {}</message>",
        error(start, "service-unavailable")
    );
    assert_eq!(
        bench.happens(&line),
        ["crone1/desktop: /oldhag message error cancel service-unavailable"]
    );
}

#[test]
fn who_does_not_take_a_private_message_is_not_gone_by_the_messages_of_others() {
    let mut bench = bench();
    bench.happens(
        "crone1/desktop <message to='/thirdwitch' type='chat' id='pm1'><body>a</body></message>",
    );
    bench.happens("bard/globe enters bard");
    for n in 0..300 {
        bench.now.instant += Duration::from_secs(1);
        bench.happens(&format!(
            "bard/globe <message to='/thirdwitch' type='chat' id='{n}'><body>a</body></message>"
        ));
    }
    let start = "<message to='/firstwitch' type='error' id='pm1'>";
    let line = format!(
        "hag66/pda {}</message>",
        error(start, "service-unavailable")
    );
    assert_eq!(
        bench.happens(&line),
        ["crone1/desktop: /thirdwitch message error cancel service-unavailable"]
    );
}

#[test]
fn who_is_not_served_by_somebody_they_block_is_not_gone() {
    // XEP-0191 §3.4
    let blocked = "<message to='/firstwitch' type='error'><error type='cancel'>\
                   <not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                   <blocked xmlns='urn:xmpp:blocking:errors'/></error></message>";
    for condition in ["not-acceptable", "service-unavailable"] {
        let blocked = blocked.replace("not-acceptable", condition);
        assert_eq!(bench().happens(&format!("hag66/pda {blocked}")), [""; 0]);
    }
}
