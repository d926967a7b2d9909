use std::time::Duration;

use super::super::testing::{now, pair};
use super::*;
use crate::s2s::Sent;
use crate::stanza::Stanza;
use crate::time::Timestamp;

const MAX: Duration = Duration::from_secs(60);

fn sessions() -> Sessions<u32> {
    let limits = SessionLimits {
        waiting: 3,
        ended: 3,
        domain: 2,
    };
    Sessions::new(limits, Arc::new(Budget::new(1 << 20)))
}

/// One that `domain` has with us; it has sent something, and we have sent a stanza with the name of the session as its `id`.
fn session(id: &str, domain: &str) -> Box<Session> {
    let theirs = pair(domain, "capulet.example");
    let text = format!("<message from='juliet@capulet.example' to='romeo@{domain}' id='{id}'/>");
    let sent = Sent {
        envelope: Stanza::parse(&text).unwrap().into(),
        at: Timestamp(0),
    };
    Box::new(Session {
        id: id.into(),
        granted: vec![theirs.inverse()],
        accepted: vec![theirs],
        encrypted: true,
        max: MAX,
        handled: 7,
        acked: 0,
        queue: [sent].into(),
    })
}

fn claim(id: &str, domain: &str) -> Claim {
    Claim {
        id: id.into(),
        accepted: vec![pair(domain, "capulet.example")],
        encrypted: true,
    }
}

fn word(it: &Do<u32>) -> String {
    match it {
        Do::Tell(link, Input::Session(Found::Session(session))) => {
            format!("{link} gets {}", session.id)
        }
        Do::Tell(link, Input::Session(Found::Ended(h))) => format!("{link} hears {h}"),
        Do::Tell(link, Input::Session(Found::Unknown)) => format!("{link} hears nothing"),
        Do::Tell(link, Input::Claimed(claim)) => format!("{link} is asked for {}", claim.id),
        Do::Late(envelope) => format!("{} is late", envelope.stanza.id().unwrap()),
        Do::Over(..) => "over".into(),
        other => panic!("{other:?}"),
    }
}

/// What comes of it, in words.
fn of(change: impl FnOnce(&mut Vec<Do<u32>>)) -> Vec<String> {
    let mut out = Vec::new();
    change(&mut out);
    out.iter().map(word).collect()
}

fn at(now: Now, after: Duration) -> Now {
    Now {
        instant: now.instant + after,
        ..now
    }
}

#[test]
fn only_who_speaks_for_a_session_learns_of_it() {
    let mut stranger = claim("one", "montague.example");
    stranger.accepted = vec![pair("verona.example", "capulet.example")];
    // The pair has to be proven in the same direction.
    let mut inverse = claim("one", "montague.example");
    inverse.accepted = vec![pair("capulet.example", "montague.example")];
    let mut plain = claim("one", "montague.example");
    plain.encrypted = false;
    let nobody = Claim {
        accepted: Vec::new(),
        ..claim("one", "montague.example")
    };
    for bad in [stranger, inverse, plain, nobody] {
        let mut sessions = sessions();
        let _ = of(|out| sessions.keep(session("one", "montague.example"), now(), out));
        assert_eq!(
            of(|out| sessions.claim(5, bad.clone(), out)),
            ["5 hears nothing"]
        );
        // It has changed nothing.
        let good = claim("one", "montague.example");
        assert_eq!(of(|out| sessions.claim(6, good, out)), ["6 gets one"]);

        let mut sessions = self::sessions();
        let (_, ended) = session("one", "montague.example").end();
        let _ = of(|out| sessions.ended(ended, out));
        assert_eq!(of(|out| sessions.claim(5, bad, out)), ["5 hears nothing"]);
        let good = claim("one", "montague.example");
        assert_eq!(of(|out| sessions.claim(6, good, out)), ["6 hears 7"]);
    }
    let mut sessions = sessions();
    let good = claim("one", "montague.example");
    assert_eq!(of(|out| sessions.claim(6, good, out)), ["6 hears nothing"]);
}

#[test]
fn a_session_is_taken_from_the_connection_that_has_it() {
    let mut sessions = sessions();
    let good = claim("one", "montague.example");
    assert!(of(|out| sessions.running(1, "one".into(), out)).is_empty());
    assert_eq!(
        of(|out| sessions.claim(2, good.clone(), out)),
        ["1 is asked for one"]
    );
    let kept = session("one", "montague.example");
    assert_eq!(of(|out| sessions.keep(kept, now(), out)), ["2 gets one"]);
    // The end of the old connection is not that of the session.
    assert!(of(|out| sessions.gone(1, out)).is_empty());
    assert!(of(|out| sessions.running(2, "one".into(), out)).is_empty());
    assert_eq!(
        of(|out| sessions.claim(3, good, out)),
        ["2 is asked for one"]
    );
}

#[test]
fn of_several_each_takes_it_from_the_one_before() {
    let mut sessions = sessions();
    let good = claim("one", "montague.example");
    let bad = claim("one", "verona.example");
    let _ = of(|out| sessions.running(1, "one".into(), out));
    assert_eq!(
        of(|out| sessions.claim(2, bad.clone(), out)),
        ["1 is asked for one"]
    );
    assert!(
        of(|out| sessions.claim(3, good.clone(), out)).is_empty(),
        "one at a time"
    );
    assert!(of(|out| sessions.claim(4, bad.clone(), out)).is_empty());
    assert!(of(|out| sessions.claim(5, good, out)).is_empty());
    assert_eq!(
        of(|out| sessions.denied(1, &bad, out)),
        ["2 hears nothing", "1 is asked for one"]
    );
    let kept = session("one", "montague.example");
    assert_eq!(of(|out| sessions.keep(kept, now(), out)), ["3 gets one"]);
    assert_eq!(
        of(|out| sessions.running(3, "one".into(), out)),
        ["3 is asked for one"]
    );
    let kept = session("one", "montague.example");
    assert_eq!(
        of(|out| sessions.keep(kept, now(), out)),
        ["4 hears nothing", "5 gets one"]
    );
    // It has not reached it.
    let kept = session("one", "montague.example");
    assert!(of(|out| sessions.keep(kept, now(), out)).is_empty());
    assert_eq!(sessions.waiting().count(), 1);
    assert_eq!(sessions.len(), 1);
}

#[test]
fn who_waits_for_a_connection_that_has_nothing_to_give_is_told() {
    let mut sessions = sessions();
    let good = claim("one", "montague.example");
    let _ = of(|out| sessions.running(1, "one".into(), out));
    let _ = of(|out| sessions.claim(2, good.clone(), out));
    let _ = of(|out| sessions.claim(3, good.clone(), out));
    assert_eq!(
        of(|out| sessions.gone(1, out)),
        ["2 hears nothing", "3 hears nothing"]
    );
    // Or it is over, and they hear how far it came.
    let _ = of(|out| sessions.running(1, "one".into(), out));
    let _ = of(|out| sessions.claim(2, good, out));
    let (_, ended) = session("one", "montague.example").end();
    assert_eq!(of(|out| sessions.ended(ended, out)), ["2 hears 7"]);
}

#[test]
fn what_waits_too_long_is_over_and_its_count_is_remembered() {
    let mut sessions = sessions();
    let start = now();
    let _ = of(|out| sessions.keep(session("one", "montague.example"), start, out));
    assert_eq!(sessions.next_timeout(), Some(start.instant + MAX));
    assert!(sessions.waits_for(&pair("capulet.example", "montague.example")));
    let early = at(start, MAX - Duration::from_millis(1));
    assert!(of(|out| sessions.handle_timeout(early, out)).is_empty());
    let end = at(start, MAX);
    assert_eq!(
        of(|out| sessions.handle_timeout(end, out)),
        ["one is late", "over"]
    );
    assert_eq!(sessions.next_timeout(), None);
    assert!(!sessions.waits_for(&pair("capulet.example", "montague.example")));
    let good = claim("one", "montague.example");
    assert_eq!(of(|out| sessions.claim(2, good, out)), ["2 hears 7"]);
}

#[test]
fn a_session_that_the_peer_goes_on_without_is_over() {
    let mut sessions = sessions();
    let _ = of(|out| sessions.keep(session("one", "montague.example"), now(), out));
    let _ = of(|out| sessions.keep(session("two", "verona.example"), now(), out));
    assert_eq!(
        of(|out| sessions.give_up(&"one".into(), out)),
        ["one is late", "over"]
    );
    assert!(!sessions.is_waiting("one") && sessions.is_waiting("two"));
    assert!(of(|out| sessions.give_up(&"one".into(), out)).is_empty());
}

#[test]
fn one_domain_has_no_more_than_its_part() {
    let mut sessions = sessions();
    let start = now();
    let mut keep = |n: u64, id: &str, domain: &str| {
        let now = at(start, Duration::from_secs(n));
        of(|out| sessions.keep(session(id, domain), now, out))
    };
    assert!(keep(0, "one", "verona.example").is_empty());
    assert!(keep(1, "two", "montague.example").is_empty());
    assert!(keep(2, "three", "montague.example").is_empty());
    // Its own goes, not the one of another which would end first.
    assert_eq!(keep(3, "four", "montague.example"), ["two is late", "over"]);
    // Or whichever would end first, if there are too many.
    assert_eq!(keep(4, "five", "mantua.example"), ["one is late", "over"]);

    let mut end = |id: &str, domain: &str| {
        let (_, ended) = session(id, domain).end();
        of(|out| sessions.ended(ended, out))
    };
    for id in ["six", "seven", "eight"] {
        assert!(end(id, "montague.example").is_empty());
    }
    let mut asked = |id: &str, domain: &str| of(|out| sessions.claim(9, claim(id, domain), out));
    assert_eq!(asked("one", "verona.example"), ["9 hears 7"]);
    assert_eq!(asked("six", "montague.example"), ["9 hears nothing"]);
    assert_eq!(asked("seven", "montague.example"), ["9 hears 7"]);
    assert_eq!(asked("eight", "montague.example"), ["9 hears 7"]);
}

/// The number of sessions is bounded; what waits in them is the memory of all.
#[test]
fn what_waits_in_sessions_counts_as_memory_for_as_long_as_they_wait() {
    let mut sessions = sessions();
    let budget = sessions.budget.clone();
    let now = now();
    let mut out = Vec::new();
    let names = ["one", "two", "three", "four"];
    let bytes = |names: &[&str]| -> usize {
        let sizes = names.iter().map(|name| session(name, name).bytes());
        sizes.sum()
    };
    for name in names {
        sessions.running(1, name.into(), &mut out);
        assert_eq!(budget.used(), 0, "its stream counts that");
    }
    for name in names {
        sessions.keep(session(name, name), now, &mut out);
    }
    assert_eq!(budget.used(), bytes(&names[1..]), "one had to go");
    sessions.claim(2, claim("two", "verona"), &mut out);
    assert_eq!(budget.used(), bytes(&names[1..]));
    sessions.claim(2, claim("two", "two"), &mut out);
    assert_eq!(budget.used(), bytes(&names[2..]));
    sessions.give_up(&"three".into(), &mut out);
    assert_eq!(budget.used(), bytes(&names[3..]));
    sessions.handle_timeout(at(now, MAX), &mut out);
    assert_eq!(budget.used(), 0);
}
