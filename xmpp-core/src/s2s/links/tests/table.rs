//! Every input in every state of a link, as a table.

use super::*;

type Event = (&'static str, fn(&mut Bench) -> Vec<String>);

fn states() -> Vec<(&'static str, Bench)> {
    let dialling = || {
        let mut bench = Bench::new(limits());
        bench.send("a", "x", "1");
        bench
    };
    let asked = || {
        let mut bench = dialling();
        bench.give(Input::Connected(OUT_1));
        bench
    };
    let closing = || {
        let mut bench = Bench::up();
        bench.told(OUT_1, s2s::Output::Unsent(message("a", "x", "1")));
        bench
    };
    let paused = || {
        let mut bench = dialling();
        bench.give(Input::NotConnected(OUT_1, Condition::RemoteServerTimeout));
        bench
    };
    let incoming = || {
        let mut bench = Bench::new(limits());
        bench.give(Input::Accepted(IN_1));
        bench.accepted(IN_1, "x", "a");
        bench.granted(IN_1, "a", "x");
        bench.send("a", "x", "1");
        bench
    };
    let closed = || {
        let mut bench = Bench::up();
        bench.give(Input::Close);
        bench
    };
    vec![
        ("nothing", Bench::new(limits())),
        ("dialling", dialling()),
        ("connected", asked()),
        ("up", Bench::up()),
        ("closing", closing()),
        ("pause", paused()),
        ("incoming, both ways", incoming()),
        ("server closed", closed()),
    ]
}

const EVENTS: &[Event] = &[
    ("stanza", |bench| bench.send("a", "x", "2")),
    ("stanza of another pair", |bench| bench.send("b", "x", "2")),
    ("stanza of an earlier run", |bench| {
        bench.give(Input::Again(message("a", "x", "2")))
    }),
    ("connected", |bench| bench.give(Input::Connected(OUT_1))),
    ("no server", |bench| {
        bench.give(Input::NotConnected(OUT_1, Condition::RemoteServerNotFound))
    }),
    ("no connection", |bench| {
        bench.give(Input::NotConnected(OUT_1, Condition::RemoteServerTimeout))
    }),
    ("accepted", |bench| bench.give(Input::Accepted(IN_2))),
    ("granted", |bench| bench.granted(OUT_1, "a", "x")),
    ("granted on the incoming one", |bench| {
        bench.granted(IN_1, "a", "x")
    }),
    ("refused", |bench| {
        bench.refused(OUT_1, "a", "x", Refusal::Error(Condition::Forbidden))
    }),
    ("refused: full", |bench| {
        bench.refused(OUT_1, "a", "x", Refusal::Full)
    }),
    ("refused: time-out", |bench| {
        bench.refused(OUT_1, "a", "x", Refusal::Timeout)
    }),
    ("unsent", |bench| {
        bench.told(OUT_1, s2s::Output::Unsent(message("a", "x", "0")))
    }),
    ("bounce", |bench| {
        let Envelope { stanza, .. } = message("a", "x", "bounced");
        bench.told(IN_1, s2s::Output::Bounce(stanza))
    }),
    ("lost", |bench| {
        bench.give(Input::Lost(OUT_1, message("a", "x", "0")))
    }),
    ("written", |bench| bench.give(Input::Written(OUT_1, 1000))),
    ("hold, stanza", |bench| {
        let mut words = bench.give(Input::Hold(OUT_1, true));
        words.extend(bench.send("a", "x", "2"));
        words
    }),
    ("ended", |bench| bench.ended(OUT_1, Vec::new())),
    ("ended with a stanza", |bench| {
        bench.ended(OUT_1, vec![message("a", "x", "0")])
    }),
    ("incoming one ended with a stanza", |bench| {
        bench.ended(IN_1, vec![message("a", "x", "0")])
    }),
    ("time", |bench| bench.wait(60.0)),
    ("close", |bench| bench.give(Input::Close)),
];

#[test]
fn every_input_in_every_state() {
    let mut table = String::new();
    for at in 0..states().len() {
        table += &format!("== {}\n", states()[at].0);
        for (event, happens) in EVENTS {
            let (_, mut bench) = states().swap_remove(at);
            let words = happens(&mut bench).join(", ");
            let words = if words.is_empty() { "-" } else { &words };
            table += &format!("{event}: {words}\n");
        }
    }
    crate::s2s::testing::hold(&table, include_str!("../table.txt"), "links");
}
