//! The mechanisms of one message: PLAIN, EXTERNAL, ANONYMOUS.

use super::*;

// PLAIN

#[test]
fn plain_takes_exactly_its_three_parts() {
    // RFC 4616 §2
    for (message, expected) in [
        (&b"\0juliet\0r0m30myr0m30"[..], None),
        (b"juliet@example.com\0juliet\0r0m30myr0m30", None),
        (b"JULIET@Example.COM\0Juliet\0r0m30myr0m30", None),
        (b"\0juliet\0wrong", Some(Condition::NotAuthorized)),
        (b"\0romeo\0r0m30myr0m30", Some(Condition::NotAuthorized)),
        (b"\0jul iet\0r0m30myr0m30", Some(Condition::NotAuthorized)),
        (
            b"\0juliet@example.com\0r0m30myr0m30",
            Some(Condition::NotAuthorized),
        ),
        (
            b"juliet\0juliet\0r0m30myr0m30",
            Some(Condition::InvalidAuthzid),
        ),
        (
            b"romeo@example.com\0juliet\0r0m30myr0m30",
            Some(Condition::InvalidAuthzid),
        ),
        (
            b"juliet@example.net\0juliet\0r0m30myr0m30",
            Some(Condition::InvalidAuthzid),
        ),
        (
            b"juliet@example.com/balcony\0juliet\0r0m30myr0m30",
            Some(Condition::InvalidAuthzid),
        ),
        (b"@\0juliet\0r0m30myr0m30", Some(Condition::InvalidAuthzid)),
        (b"juliet\0r0m30myr0m30", Some(Condition::MalformedRequest)),
        (
            b"\0juliet\0r0m30myr0m30\0",
            Some(Condition::MalformedRequest),
        ),
        (b"\0\0r0m30myr0m30", Some(Condition::MalformedRequest)),
        (b"\0juliet\0", Some(Condition::MalformedRequest)),
        (b"\0juliet\0\xff", Some(Condition::MalformedRequest)),
        (b"", Some(Condition::MalformedRequest)),
    ] {
        let text = String::from_utf8_lossy(message).replace('\0', "|");
        match auth(&mut server(&unbound()), "PLAIN", message) {
            Step::Success {
                identity,
                data: None,
            } => assert_eq!((Ok(identity), None), (juliet(), expected), "{text}"),
            step => assert_eq!(Some(failure(step).condition), expected, "{text}"),
        }
    }
}

#[test]
fn plain_takes_parts_of_255_octets() {
    // RFC 4616 §2, of each of the three: "MUST accept up to 255 octets".
    let [user, password] = ["u".repeat(255), "p".repeat(255)];
    let message = format!("{user}@example.com\0{user}\0{password}");
    let initial = Some(message.as_bytes());
    let step = server(&unbound()).handle(Input::Auth {
        mechanism: "PLAIN",
        initial,
    });
    assert!(matches!(step, Step::Ask(Ask::Credentials(jid)) if jid.local() == Some(&user)));
}

// EXTERNAL

fn certificate(identities: &[&str]) -> Channel {
    Channel {
        identities: identities.iter().map(|jid| jid.parse().unwrap()).collect(),
        ..channel()
    }
}

#[test]
fn a_certificate_lets_in_whom_it_names() {
    // XEP-0178 §2
    let invalid = || Err("invalid-authzid".to_owned());
    let one = offer_on(&certificate(&["juliet@example.com", "Juliet@example.com"]));
    assert_eq!(login(&one, Client::external("")), juliet());
    assert_eq!(
        login(&one, Client::external("juliet@example.com")),
        juliet()
    );
    assert_eq!(
        login(&one, Client::external("romeo@example.com")),
        invalid()
    );
    assert_eq!(login(&one, Client::external("not a jid@")), invalid());

    let two = offer_on(&certificate(&["romeo@example.com", "juliet@example.com"]));
    assert_eq!(
        login(&two, Client::external("juliet@example.com")),
        juliet()
    );
    // §2: "If no authorization identity is included, then the server SHOULD return a SASL failure case of
    // <invalid-authzid/>".
    assert_eq!(login(&two, Client::external("")), invalid());
    // There is no such account any more.
    let gone = Err("not-authorized".to_owned());
    assert_eq!(login(&two, Client::external("romeo@example.com")), gone);
}

#[test]
fn a_certificate_for_others_is_no_ground_to_offer_external() {
    for identities in [
        &[][..],
        &["juliet@example.net"],
        &["example.com"],
        &["other.example"],
    ] {
        let offer = offer_on(&certificate(identities));
        assert!(
            !offer.mechanisms().contains(&Mechanism::External),
            "{identities:?}"
        );
    }
    let offer = offer_on(&certificate(&["juliet@example.net", "juliet@example.com"]));
    assert_eq!(login(&offer, Client::external("")), juliet());
}

#[test]
fn a_server_is_known_by_its_domain() {
    // XEP-0178 §3
    let channel = certificate(&["example.net", "juliet@example.net"]);
    let offer = Offer::to_server(&policy(), &domain(), &channel);
    assert_eq!(offer.mechanisms(), [Mechanism::External]);
    let expected = Ok(Identity::Jid("example.net".parse().unwrap()));
    assert_eq!(login(&offer, Client::external("")), expected);
    assert_eq!(login(&offer, Client::external("example.net")), expected);
    let invalid = Err("invalid-authzid".to_owned());
    assert_eq!(login(&offer, Client::external("example.org")), invalid);
    let none = Offer::to_server(&policy(), &domain(), &certificate(&["juliet@example.net"]));
    assert!(none.mechanisms().is_empty());
}

// ANONYMOUS

#[test]
fn anybody_may_be_nobody_where_that_is_on() {
    // RFC 4505 §2
    assert_eq!(
        login(&unbound(), Client::anonymous()),
        Ok(Identity::Anonymous)
    );
    let anonymous = |trace: &str| auth(&mut server(&unbound()), "ANONYMOUS", trace.as_bytes());
    assert!(matches!(anonymous(&"é".repeat(255)), Step::Success { .. }));
    for trace in ["e".repeat(256), "a\0b".to_owned(), "a\n".to_owned()] {
        assert_eq!(
            failure(anonymous(&trace)).condition,
            Condition::MalformedRequest
        );
    }
}
