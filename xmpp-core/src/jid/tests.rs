use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn jid(text: &str) -> Jid {
    Jid::new(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn the_legal_examples_of_rfc_7622_are_addresses() {
    // RFC 7622 §3.5, table 1
    for (text, local, domain, resource) in [
        ("juliet@example.com", Some("juliet"), "example.com", None),
        (
            "juliet@example.com/foo",
            Some("juliet"),
            "example.com",
            Some("foo"),
        ),
        (
            "juliet@example.com/foo bar",
            Some("juliet"),
            "example.com",
            Some("foo bar"),
        ),
        (
            "juliet@example.com/foo@bar",
            Some("juliet"),
            "example.com",
            Some("foo@bar"),
        ),
        (
            "foo\\20bar@example.com",
            Some("foo\\20bar"),
            "example.com",
            None,
        ),
        (
            "fussball@example.com",
            Some("fussball"),
            "example.com",
            None,
        ),
        (
            "fu\u{df}ball@example.com",
            Some("fußball"),
            "example.com",
            None,
        ),
        ("\u{3c0}@example.com", Some("π"), "example.com", None),
        (
            "\u{3a3}@example.com/foo",
            Some("σ"),
            "example.com",
            Some("foo"),
        ),
        (
            "\u{3c3}@example.com/foo",
            Some("σ"),
            "example.com",
            Some("foo"),
        ),
        (
            "\u{3c2}@example.com/foo",
            Some("ς"),
            "example.com",
            Some("foo"),
        ),
        (
            "king@example.com/\u{265a}",
            Some("king"),
            "example.com",
            Some("♚"),
        ),
        ("example.com", None, "example.com", None),
        ("example.com/foobar", None, "example.com", Some("foobar")),
        (
            "a.example.com/b@example.net",
            None,
            "a.example.com",
            Some("b@example.net"),
        ),
    ] {
        let jid = jid(text);
        assert_eq!(
            (jid.local(), jid.domain(), jid.resource()),
            (local, domain, resource)
        );
        assert_eq!(Jid::from_parts(local, domain, resource).as_ref(), Ok(&jid));
    }
}

#[test]
fn the_notes_of_rfc_7622_on_equality_hold() {
    // RFC 7622 §3.5: "case-mapping of GREEK CAPITAL LETTER SIGMA [...] would result in matching the JIDs in
    // examples 9 and 10; however, [...] examples 9 and 11 or examples 10 and 11 would not be matched"
    assert_eq!(jid("Σ@example.com/foo"), jid("σ@example.com/foo"));
    assert_ne!(jid("Σ@example.com/foo"), jid("ς@example.com/foo"));
    assert_ne!(jid("σ@example.com/foo"), jid("ς@example.com/foo"));
    assert_ne!(jid("fussball@example.com"), jid("fußball@example.com"));
}

#[test]
fn the_illegal_examples_of_rfc_7622_are_none() {
    // RFC 7622 §3.5, table 2
    for (text, error) in [
        ("\"juliet\"@example.com", JidError::Disallowed(Part::Local)),
        ("foo bar@example.com", JidError::Disallowed(Part::Local)),
        ("@example.com/", JidError::Empty(Part::Local)),
        (
            "henry\u{2163}@example.com",
            JidError::Disallowed(Part::Local),
        ),
        ("\u{265a}@example.com", JidError::Disallowed(Part::Local)),
        ("juliet@", JidError::Empty(Part::Domain)),
        ("/foobar", JidError::Empty(Part::Domain)),
    ] {
        assert_eq!(Jid::new(text), Err(error), "{text}");
    }
    // Example 18 was withdrawn by erratum 4560: OpaqueString does not disallow a leading space.
    assert_eq!(jid("juliet@example.com/ foo").resource(), Some(" foo"));
}

#[test]
fn separators_are_matched_before_preparation() {
    // RFC 7622 §3.1
    assert_eq!(jid("a@b/c/d@e").resource(), Some("c/d@e"));
    for (text, error) in [
        ("", JidError::Empty(Part::Domain)),
        ("@", JidError::Empty(Part::Local)),
        ("/", JidError::Empty(Part::Domain)),
        ("@b", JidError::Empty(Part::Local)),
        ("b/", JidError::Empty(Part::Resource)),
        ("a@b/", JidError::Empty(Part::Resource)),
        ("a@/b", JidError::Empty(Part::Domain)),
        ("a@b@c", JidError::Disallowed(Part::Domain)),
        ("a＠b", JidError::Disallowed(Part::Domain)),
        ("a＠b@c", JidError::Disallowed(Part::Local)),
        ("b／c", JidError::Disallowed(Part::Domain)),
        ("a@b\n", JidError::Disallowed(Part::Domain)),
        ("a@b/\n", JidError::Disallowed(Part::Resource)),
    ] {
        assert_eq!(Jid::new(text), Err(error), "{text}");
    }
    assert_eq!(
        Jid::from_parts(Some(""), "b", None),
        Err(JidError::Empty(Part::Local))
    );
    assert_eq!(
        Jid::from_parts(Some("a/b"), "c", None),
        Err(JidError::Disallowed(Part::Local))
    );
}

#[test]
fn the_longest_address_fits() {
    // RFC 7622 §3.1: "1 to 1023 octets in length"
    let part = "a".repeat(PART_LEN_MAX);
    let longest = format!("{part}@example.com/{part}");
    assert_eq!(jid(&longest), longest.as_str());
    assert_eq!(jid(&longest).resource(), Some(part.as_str()));
    assert_eq!(
        Jid::new(&format!("{longest}a")),
        Err(JidError::TooLong(Part::Resource))
    );
    assert_eq!(
        Jid::new(&format!("a{longest}")),
        Err(JidError::TooLong(Part::Local))
    );
}

#[test]
fn a_bare_address_shares_its_text() {
    let bare = jid("juliet@example.com");
    assert!(Arc::ptr_eq(&bare.text, &bare.to_bare().0.text));
    let domain = BareJid::new("example.com").unwrap();
    assert!(Arc::ptr_eq(&domain.0.text, &domain.domain_jid().0.text));
    let full = jid("juliet@example.com/balcony");
    assert!(Arc::ptr_eq(&full.text, &full.as_full().unwrap().0.text));
}

#[test]
fn the_kinds_convert_into_each_other() {
    let full = FullJid::new("Juliet@Example.com/Balcony").unwrap();
    assert_eq!(full, "juliet@example.com/Balcony");
    assert_eq!(full.bare_str(), "juliet@example.com");
    assert_eq!(full.resource(), "Balcony");
    let bare = full.to_bare();
    assert_eq!(bare, "juliet@example.com");
    assert_eq!(
        (bare.local(), bare.domain()),
        (Some("juliet"), "example.com")
    );
    assert_eq!(bare.with_resource("Balcony"), Ok(full.clone()));
    assert_eq!(bare.with_resource(""), Err(JidError::Empty(Part::Resource)));
    assert_eq!(bare.domain_jid(), "example.com");
    assert!(bare.domain_jid().is_domain() && !bare.is_domain());
    assert!(!jid("example.com/a").is_domain());

    assert_eq!(BareJid::new("a@b/c"), Err(JidError::NotBare));
    assert_eq!(FullJid::new("a@b"), Err(JidError::NotFull));
    assert_eq!(jid("a@b").as_full(), None);
    assert_eq!(jid("a@b").try_into_full(), Err(jid("a@b")));
    assert_eq!(Jid::from(&full).try_into_full(), Ok(full.clone()));
    assert_eq!(Jid::from(bare.clone()), *bare.as_jid());
    assert_eq!(Jid::from(full.clone()), *full.as_jid());
}

#[test]
fn a_map_is_searched_with_a_string() {
    let bare = HashMap::from([(BareJid::new("Juliet@example.com").unwrap(), 1)]);
    assert_eq!(bare.get("juliet@example.com"), Some(&1));
    let full = HashMap::from([(FullJid::new("juliet@example.com/a").unwrap(), 2)]);
    assert_eq!(full.get("juliet@example.com/a"), Some(&2));
    let any = HashMap::from([(jid("example.com"), 3)]);
    assert_eq!(any.get("example.com"), Some(&3));
}

#[test]
fn a_final_dot_makes_no_other_address() {
    // RFC 7622 §3.2
    for text in ["a@example.com./r", "a@EXAMPLE.com/r"] {
        let jid = jid(text);
        assert_eq!(jid, "a@example.com/r");
        assert_eq!(
            (jid.local(), jid.domain(), jid.resource()),
            (Some("a"), "example.com", Some("r"))
        );
    }
}

#[test]
fn an_address_is_three_words() {
    assert_eq!(size_of::<Option<FullJid>>(), 3 * size_of::<usize>());
}

/// Text that is likely to be an address, and to be changed by preparation.
const ADDRESS: &str = concat!(
    "([a-zA-Z0-9._\\\\Ａ-ＺäÖßΣςİа-яא-ת中\u{301}\u{307}]{1,6}@)?",
    "([a-zA-Z0-9-]{1,5}\\.){0,2}([a-zA-Z]{1,5}|[äÖßΣς中א-ת]{1,3})\\.?",
    "(/.{1,8})?"
);

/// Text of what preparation and the separators make interesting.
const TRAPS: &str = "[a@./\\[\\]:%İΣﬀ\u{338}<－。Ａ①℀ß-]{0,12}";

proptest! {
    #[test]
    fn parsing_again_changes_nothing(text in prop_oneof![ADDRESS, TRAPS, "\\PC{0,20}"]) {
        if let Ok(jid) = Jid::new(&text) {
            prop_assert_eq!(Jid::new(jid.as_str()), Ok(jid.clone()));
            let again = Jid::from_parts(jid.local(), jid.domain(), jid.resource()).unwrap();
            prop_assert_eq!(
                (again.local(), again.domain(), again.resource()),
                (jid.local(), jid.domain(), jid.resource())
            );
            prop_assert_eq!(again, jid.clone());
            prop_assert_eq!(&jid.to_bare(), jid.bare_str());
            for part in [jid.local(), Some(jid.domain()), jid.resource()].into_iter().flatten() {
                prop_assert!((1..=PART_LEN_MAX).contains(&part.len()));
            }
        }
    }

    #[test]
    fn no_string_makes_it_panic(text in any::<String>(), parts in any::<(Option<String>, String, Option<String>)>()) {
        let _ = Jid::new(&text);
        let _ = prepare_password(&text);
        let (local, domain, resource) = parts;
        let _ = Jid::from_parts(local.as_deref(), &domain, resource.as_deref());
    }
}
