//! What we accept of a stream, rxml accepts, and sees the same in; and it means the same
//! wherever it is relayed.
#![no_main]

#[path = "../../xmpp-core/tests/rxml/oracle.rs"]
mod oracle;

use libfuzzer_sys::fuzz_target;
use oracle::{Seen, seen_by_rxml, seen_in};
use xmpp_core::Jid;
use xmpp_core::stanza::Stanza;
use xmpp_core::xml::{Element, Limits, Reader, Received};

const HEADER: &[u8] = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:h='urn:h' version='1.0'>";

fuzz_target!(|input: &[u8]| {
    // XML 1.0 §2.3 has these in names; rxml leaves them out, which is its error.
    let unknown = |text: &str| text.contains(|c| ('\u{FDF0}'..='\u{FFFD}').contains(&c));
    if unknown(&String::from_utf8_lossy(input)) {
        return;
    }

    if let Ok(text) = str::from_utf8(input)
        && let Ok(element) = Element::parse(text)
    {
        let theirs = seen_by_rxml(text.trim().as_bytes());
        assert_eq!(theirs, Ok(seen_in(&element)));
        assert_eq!(Element::parse(&element.to_string()), Ok(element));
    }

    let stream = [HEADER, input].concat();
    let (mut reader, mut rest) = (Reader::new(Limits::default()), &stream[..]);
    let Ok(Some(Received::Header(_))) = reader.next(&mut rest) else {
        panic!("the header is sound");
    };
    let received = reader.next(&mut rest);
    let taken = &stream[..stream.len() - rest.len()];
    let whole = [taken, b"</stream:stream>"].concat();
    match received {
        Ok(Some(Received::Stanza(stanza))) => check(&stanza, &first_child(&whole)),
        Ok(Some(Received::Element(element))) => assert_eq!(seen_in(&element), first_child(&whole)),
        _ => {}
    }
});

/// What rxml sees of the first element within a stream.
fn first_child(stream: &[u8]) -> Vec<Seen> {
    let seen = seen_by_rxml(stream).expect("rxml accepts what we accept");
    let inner = &seen[1..seen.len() - 1];
    let start = inner.iter().position(|s| matches!(s, Seen::Start { .. }));
    inner[start.expect("there is an element")..].to_vec()
}

fn check(stanza: &Stanza, theirs: &[Seen]) {
    let theirs = with_prepared_addresses(Seen::without_ignored_types(theirs));
    assert_eq!(seen_in(&stanza.to_element()), theirs);
    assert_eq!(Stanza::parse(&stanza.to_string()).as_ref(), Ok(stanza));
    assert_eq!(Seen::relayed(&stanza.to_string()), Ok(theirs));
    for child in stanza.payload().children() {
        let element = child.element();
        assert!(child.is(element.name(), element.ns()));
    }
}

/// The same with the addresses of the stanza as they are once they have been prepared.
fn with_prepared_addresses(mut seen: Vec<Seen>) -> Vec<Seen> {
    if let Some(Seen::Start { attributes, .. }) = seen.first_mut() {
        for name in ["to", "from"] {
            if let Some(value) = attributes.get_mut(&(String::new(), name.to_owned())) {
                let jid = Jid::new(value).expect("a stanza has sound addresses");
                *value = jid.as_str().to_owned();
            }
        }
    }
    seen
}
