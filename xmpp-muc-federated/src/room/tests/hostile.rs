//! Floods of occupants, history that would fill a memory, and nicks at the limits of what is one (XEP-0045 §14.6, §17.1).

use super::*;

const LONGEST: usize = 1023;

/// The condition of the error that somebody gets for this, if they get one.
fn refused(bench: &mut Bench, line: &str) -> Option<String> {
    let told = bench.happens(line);
    let error = told.iter().find_map(|line| line.split_once(" error "))?;
    Some(error.1.to_owned())
}

#[test]
fn a_flood_of_occupants_ends_at_the_bound_and_nobody_who_is_there_is_lost() {
    let limits = Limits {
        occupants: 100,
        ..Limits::default()
    };
    let mut bench = Bench::limited(limits, |config| config.max_users = None);
    let mut told = Vec::new();
    for n in 0..300 {
        told.push(refused(&mut bench, &format!("bot{n}/x enters bot{n}")));
        bench.happens("wait 0.1");
    }
    let full = Some("wait service-unavailable".to_owned());
    assert!(told[..100].iter().all(Option::is_none));
    let other = told[100..].iter().position(|told| *told != full);
    assert_eq!(other.map(|at| &told[100 + at]), None, "{other:?}");
    assert_eq!(bench.room.occupants.everybody().len(), 100);
    // Nobody else heard of those who were refused, and a place that is given up is one.
    let late = bench.happens("bot299/x enters late");
    assert_eq!(
        late,
        ["bot299/x: /late presence error wait service-unavailable"]
    );
    bench.happens("bot7/x leaves bot7");
    assert_eq!(
        refused(&mut bench, "crone1/desktop enters firstwitch"),
        None
    );
    assert_eq!(bench.room.occupants.everybody().len(), 100);
}

/// §14.6: whoever is let in may not come and go as fast as they please: all others hear of it each time.
#[test]
fn who_comes_and_goes_without_end_is_held_to_a_rate() {
    let limits = Limits {
        burst: 50,
        rate: 1,
        ..Limits::default()
    };
    let mut bench = Bench::limited(limits, |_| {});
    bench.happens("crone1/desktop enters firstwitch");
    let mut entered = 0;
    for _ in 0..100 {
        let told = bench.happens("hag66/pda enters thirdwitch");
        match told.as_slice() {
            [one] => assert_eq!(
                one,
                "hag66/pda: /thirdwitch presence error wait policy-violation"
            ),
            _ => {
                entered += 1;
                bench.happens("hag66/pda leaves thirdwitch");
            }
        }
    }
    assert!((1..=10).contains(&entered), "{entered}");
    // The room goes on.
    assert_eq!(
        bench.happens("crone1/desktop says Peace"),
        ["crone1/desktop: /firstwitch says Peace"]
    );
}

/// §7.2.13 lets whoever enters ask for as much as they please: there is no more than the room has.
#[test]
fn history_is_bounded_whatever_is_said_and_whatever_is_asked() {
    let limits = Limits {
        history: 20,
        history_bytes: 40_000,
        burst: 1_000_000,
        ..Limits::default()
    };
    let mut bench = Bench::limited(limits, |_| {});
    bench.happens("crone1/desktop enters firstwitch");
    bench.happens("crone1/desktop configures muc#maxhistoryfetch=1000000000");
    assert_eq!(bench.room.config.history, 20);
    for n in 0..100 {
        bench.happens(&format!("crone1/desktop says {n}"));
    }
    let mut of_history = |wanted: &str| {
        let told = bench.happens(&format!("hag66/pda enters thirdwitch {wanted}"));
        bench.happens("hag66/pda leaves thirdwitch");
        bench.happens("wait 10");
        told.iter()
            .filter(|line| line.contains(" says at "))
            .count()
    };
    for (wanted, most) in [
        ("", 20),
        ("<history maxstanzas='1000000000'/>", 20),
        ("<history maxstanzas='99999999999999999999999999'/>", 20),
        ("<history maxchars='1000000000'/>", 20),
        ("<history maxchars='99999999999999999999999999'/>", 20),
        ("<history maxchars='-5' maxstanzas='1e9'/>", 20),
        ("<history seconds='18446744073709551615'/>", 20),
        ("<history since='0001-01-01T00:00:00Z'/>", 20),
        ("<history since='-271821-04-20T00:00:00Z'/>", 20),
        ("<history since='9999-12-31T23:59:59Z'/>", 0),
        ("<history since='now'/>", 20),
        ("<history maxstanzas=''/><history maxstanzas='5'/>", 20),
    ] {
        assert_eq!(of_history(wanted), most, "{wanted}");
    }
    // Few that are long: as many as fit, and one that does not is in none.
    let long = "x".repeat(9000);
    for _ in 0..20 {
        bench.happens(&format!("crone1/desktop says {long}"));
    }
    assert!(bench.room.history.bytes() <= 40_000);
    let told = bench.happens("hag66/pda enters thirdwitch <history maxstanzas='1000000000'/>");
    let told = told.iter().filter(|line| line.contains(" says at "));
    assert_eq!(told.count(), 4);
    bench.happens(
        "crone1/desktop says {}"
            .replace("{}", &"x".repeat(50_000))
            .as_str(),
    );
    assert!(bench.room.history.bytes() <= 40_000);
}

/// §17.1, RFC 7622 §3.4, RFC 8266.
#[test]
fn a_nick_is_as_long_as_it_may_be_and_of_what_may_be_in_one() {
    let cases = |limit: usize| {
        let limits = Limits {
            nick: limit,
            burst: 1_000_000,
            ..Limits::default()
        };
        Bench::limited(limits, |_| {})
    };
    let mut widest = cases(LONGEST);
    for nick in [
        "x".repeat(LONGEST),
        "あ".repeat(LONGEST / 3),
        "😀".repeat(LONGEST / 4),
    ] {
        let entered = widest.happens(&format!("hag66/pda enters {nick}"));
        assert!(
            entered
                .iter()
                .any(|line| line.contains(&format!("/{nick} is"))),
            "{nick:.40}"
        );
        widest.happens(&format!("hag66/pda leaves {nick}"));
    }
    // RFC 5892 A.2: a joiner stands behind a virama, so a family is no resource, and the room does not hear of it; nor is what is empty or a control.
    for nick in ["👩\u{200d}👩\u{200d}👧", "\u{7f}", "\u{e000}", ""] {
        let to = format!("<presence to='{ROOM}/{nick}'/>");
        assert!(Stanza::parse(&to).is_err(), "{nick:?}");
    }
    let mut room = cases(Limits::default().nick);
    let too_long = Some("modify policy-violation".to_owned());
    for (nick, error) in [
        ("😀".repeat(32), None),
        ("😀".repeat(33), too_long.clone()),
        ("あ".repeat(43), too_long.clone()),
        ("x".repeat(LONGEST), too_long),
        // Nothing that can be seen, and what only looks empty.
        (
            "\u{a0}\u{3000}".into(),
            Some("modify jid-malformed".to_owned()),
        ),
    ] {
        let told = refused(&mut room, &format!("hag66/pda enters {nick}"));
        assert_eq!(told, error, "{nick:.40}");
        room.happens(&format!("hag66/pda leaves {nick}"));
    }
    assert_eq!(room.room.occupants.everybody().len(), 0);
}
