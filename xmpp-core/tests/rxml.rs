//! rxml, a strict parser, as the oracle of what XML we may accept: whatever we accept it accepts, and sees the same in.

#[path = "rxml/oracle.rs"]
mod oracle;

use oracle::{Seen, seen_by_rxml, seen_in};
use proptest::prelude::*;
use xmpp_core::stanza::Stanza;
use xmpp_core::xml::{Element, Error, Limits, Reader, Received};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:h='urn:h' version='1.0'>";

/// Documents, and why each is refused.
const PROBES: [(&str, Option<Error>); 77] = {
    const GOOD: Option<Error> = None;
    const BAD: Option<Error> = Some(Error::NotWellFormed);
    const RESTRICTED: Option<Error> = Some(Error::RestrictedXml);
    [
        ("<a/>", GOOD),
        ("<a></a>", GOOD),
        ("<a ></a\n>", GOOD),
        ("<a b = '1' c=\"'\"/>", GOOD),
        ("<a>x &amp;&lt;&gt;&apos;&quot;&#65;&#x42; y</a>", GOOD),
        ("<a>]] > ]>] ]]&gt;</a>", GOOD),
        ("<a><![CDATA[<b>&c;]]]]></a>", GOOD),
        ("<a><![CDATA[]]>]<![CDATA[]>]]></a>", GOOD),
        ("<a>\u{1F600}\u{FFFD}\u{10FFFF}\u{85}\u{7F}</a>", GOOD),
        ("<\u{E9}l\u{E9}ment \u{3042}.1='x'/>", GOOD),
        ("<p:a xmlns:p='urn:x' p:b='1' b='2'/>", GOOD),
        ("<a xmlns='urn:x'><b xmlns=''/></a>", GOOD),
        ("<a xml:lang='en' xml:space='preserve'/>", GOOD),
        (
            "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
            GOOD,
        ),
        ("<a xmlns='&#117;rn:x'/>", GOOD),
        ("<a b='>'/>", GOOD),
        // Prefixes that are not bound.
        ("<p:a/>", BAD),
        ("<a p:b='1'/>", BAD),
        ("<a><b xmlns:p='urn:x'/><p:c/></a>", BAD),
        ("<xmlns:a/>", BAD),
        ("<a xmlns:p=''/>", BAD),
        ("<a xmlns:xmlns='urn:x'/>", BAD),
        ("<a xmlns:xml='urn:x'/>", BAD),
        ("<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", BAD),
        ("<a xmlns='http://www.w3.org/XML/1998/namespace'/>", BAD),
        // Attributes twice.
        ("<a b='1' b='2'/>", BAD),
        ("<a xmlns:p='urn:x' xmlns:p='urn:y'/>", BAD),
        ("<a xmlns:p='urn:x' xmlns:q='urn:x' p:b='1' q:b='2'/>", BAD),
        (
            "<a xmlns:p='urn:x' xmlns:q='&#117;rn:x' p:b='1' q:b='2'/>",
            BAD,
        ),
        ("<a p:b='1' q:b='2' xmlns:p='urn:x' xmlns:q='urn:x'/>", BAD),
        // Attributes that are none.
        ("<a b='<'/>", BAD),
        ("<a b='1'c='2'/>", BAD),
        ("<a b='&'/>", BAD),
        ("<a b=1/>", BAD),
        ("<a b/>", BAD),
        ("<a b=/>", BAD),
        ("<a 'b'/>", BAD),
        ("<a b='1' =''/>", BAD),
        ("<a b='\u{1}'/>", BAD),
        ("<a b='\u{FFFF}'/>", BAD),
        // Names that are none.
        ("<1a/>", BAD),
        ("<-a/>", BAD),
        ("<a 1b='x'/>", BAD),
        ("<a:b:c xmlns:a='urn:x'/>", BAD),
        ("<:a/>", BAD),
        ("<a:/>", BAD),
        ("<a:1b xmlns:a='urn:x'/>", BAD),
        ("<a\0b/>", BAD),
        ("<\u{D7}a/>", BAD),
        ("<a\u{2028}/>", BAD),
        ("< a/>", BAD),
        ("<a/ >", BAD),
        ("<a / >", BAD),
        ("</ a>", BAD),
        // Characters and references that are none.
        ("<a>\u{1}</a>", BAD),
        ("<a>\u{B}</a>", BAD),
        ("<a>\u{FFFE}</a>", BAD),
        ("<a><![CDATA[\u{8}]]></a>", BAD),
        ("<a>&#1;</a>", BAD),
        ("<a>&#xFFFE;</a>", BAD),
        ("<a>&#xD800;</a>", BAD),
        ("<a>&#x110000;</a>", BAD),
        ("<a>&#;</a>", BAD),
        ("<a>&#+65;</a>", BAD),
        ("<a>&amp</a>", BAD),
        ("<a>& </a>", BAD),
        ("<a>]]></a>", BAD),
        // Structure.
        ("<a></b>", BAD),
        ("<a><b></a></b>", BAD),
        ("<a/><b/>", BAD),
        ("<a/>text", BAD),
        // What RFC 6120 §11.1 forbids.
        ("<a>&nbsp;</a>", RESTRICTED),
        ("<a b='&nbsp;'/>", RESTRICTED),
        ("<!DOCTYPE a><a/>", RESTRICTED),
        ("<a><?pi?></a>", RESTRICTED),
        ("<a><!-- --></a>", RESTRICTED),
        ("<?xml version='1.1'?><a/>", RESTRICTED),
    ]
};

#[test]
fn every_probe_is_decided_as_rxml_decides_it() {
    for (document, error) in PROBES {
        let ours = Element::parse(document);
        assert_eq!(ours.as_ref().err(), error.as_ref(), "{document}");
        let theirs = seen_by_rxml(document.as_bytes());
        assert_eq!(
            theirs.is_ok(),
            error.is_none(),
            "rxml on {document}: {theirs:?}"
        );
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            assert_eq!(seen_in(&ours), theirs, "{document}");
        }
    }
}

#[test]
fn every_probe_is_decided_the_same_within_a_stream() {
    for (document, error) in PROBES {
        let bytes = [HEADER, document].concat();
        let received = read(&bytes, &[]);
        // Two elements in a row are no error here, and text between them is one of its own.
        match document {
            "<a/><b/>" => assert_eq!(received.len(), 3),
            "<a/>text" => assert_eq!(received.last(), Some(&Err(Error::BadFormat))),
            "</ a>" | "< a/>" => assert_eq!(received.last(), Some(&Err(Error::NotWellFormed))),
            _ => assert_eq!(
                received.last().and_then(|r| r.as_ref().err()),
                error.as_ref(),
                "{document}"
            ),
        }
    }
}

/// What a reader makes of `bytes`, cut before each of the given positions, white space left out.
fn read(bytes: &str, cuts: &[usize]) -> Vec<Result<String, Error>> {
    let mut reader = Reader::new(Limits::default());
    let mut received = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    for piece in cuts.windows(2) {
        let mut input = &bytes.as_bytes()[piece[0]..piece[1]];
        loop {
            match reader.next(&mut input) {
                Ok(None) => {
                    assert!(input.is_empty(), "the reader takes all it is given");
                    break;
                }
                Ok(Some(Received::Whitespace)) => {}
                Ok(Some(other)) => received.push(Ok(format!("{other:?}"))),
                Err(error) => {
                    received.push(Err(error));
                    return received;
                }
            }
        }
    }
    received
}

/// Pieces that make XML, good and bad, when put together in any order.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "<a>",
        "</a>",
        "<p:b xmlns:p='urn:p'>",
        "</p:b>",
        "<c/>",
        "<c x='1'/>",
        "<h:d/>",
        "<h:e h:x='1' x='2'>",
        "</h:e>",
        "text",
        " ",
        "\n",
        "\r\n",
        "&amp;",
        "&#13;",
        "&#x1F600;",
        "&lt;b",
        "]]",
        ">",
        "]]&gt;",
        "<![CDATA[",
        "]]>",
        "é",
        "<a xmlns='urn:q' xmlns:p='urn:r'>",
        "<p:c p:x='&quot;' x=\"'\"/>",
        "<a xmlns=''>",
        "<a xml:lang='de'>",
        "<a y='\t\n&#9;'>",
        "<",
        "&",
        "'",
        "\u{FFFF}",
        "<!-- -->",
        "<a b='1' b='1'>",
        "<body>",
        "</body>",
        "<message to='a@b' xmlns:s='urn:s' s:t='1'>",
        "</message>",
        "<message xmlns='jabber:client'>",
        "<h:f xmlns:h='jabber:client'/>",
        "<body xmlns='jabber:client'>",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Well-formed content, as deep as namespaces need to get confused.
fn content() -> impl Strategy<Value = String> {
    let start = prop::sample::select(vec![
        "a",
        "body",
        "body xmlns='jabber:client'",
        "a xmlns='urn:q' x='1'",
        "a xmlns=''",
        "p:b xmlns:p='urn:p'",
        "h:c",
        "h:c h:x='1'",
        "a xmlns:h='urn:i' h:y='&#9;'",
        "p:b xmlns:p='jabber:client' xml:lang='de'",
        "a xmlns='urn:&amp;'",
        "h:c xmlns:h='jabber:client' xmlns='urn:d'",
        "stream:d",
        "a xmlns:p='urn:p' xmlns:q='urn:q' p:x='1' q:x='2'",
    ]);
    let text = prop::sample::select(vec!["", "text", "&lt;", "<![CDATA[<]]>", " ", "\r\n&#13;"]);
    text.prop_map(str::to_owned)
        .prop_recursive(4, 16, 3, move |inner| {
            let element =
                (start.clone(), prop::collection::vec(inner, 0..3)).prop_map(|(start, content)| {
                    let (name, _) = start.split_once(' ').unwrap_or((start, ""));
                    format!("<{start}>{}</{name}>", content.concat())
                });
            prop::collection::vec(element, 1..3).prop_map(|elements| elements.concat())
        })
}

/// One of `seeds` with a few characters replaced, inserted, removed or repeated.
fn mutated(seeds: &'static [&'static str]) -> impl Strategy<Value = String> {
    let junk = prop::sample::select(
        "<>/'\"&;:=! ?-[]#xa1\t\n\0\u{B}é\u{FFFE}"
            .chars()
            .collect::<Vec<_>>(),
    );
    let mutation = (any::<prop::sample::Index>(), 0..4u8, junk);
    (
        prop::sample::select(seeds),
        prop::collection::vec(mutation, 0..4),
    )
        .prop_map(|(seed, mutations)| {
            let mut chars: Vec<char> = seed.chars().collect();
            for (at, what, junk) in mutations {
                let at = at.index(chars.len());
                match what {
                    0 => chars[at] = junk,
                    1 => chars.insert(at, junk),
                    2 => drop(chars.remove(at)),
                    _ => {
                        let end = (at + 12).min(chars.len());
                        let again = chars[at..end].to_vec();
                        chars.splice(at..at, again);
                    }
                }
            }
            chars.into_iter().collect()
        })
}

const SEEDS: [&str; 5] = [
    "<message from='a@b/c' to='d@e' id='1' type='chat' xml:lang='en'><body>Hi &amp; bye</body>\
     <x xmlns='urn:x' a='1'><y/></x></message>",
    "<iq type='get' id='x'><query xmlns='jabber:iq:roster' ver=''/></iq>",
    "<presence><h:x h:y='1'><z xmlns:q='urn:q' q:w='&#65;'/></h:x><show>away</show></presence>",
    "<m:message xmlns:m='jabber:client' to='a@b'><m:body><![CDATA[]]]]></m:body></m:message>",
    "<r xmlns='urn:xmpp:sm:3'/>",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_we_accept_rxml_accepts_and_sees_the_same_in(document in prop_oneof![
        soup(),
        prop_oneof![soup(), content()]
            .prop_map(|content| format!("<m xmlns:h='urn:h' xmlns:stream='urn:s'>{content}</m>")),
        mutated(&SEEDS),
    ]) {
        if let Ok(ours) = Element::parse(&document) {
            let theirs = seen_by_rxml(document.trim().as_bytes());
            prop_assert_eq!(Ok(seen_in(&ours)), theirs, "{}", document);
        }
    }

    #[test]
    fn a_stream_reads_the_same_however_it_is_cut(
        content in prop_oneof![soup(), mutated(&SEEDS), prop::sample::subsequence(&SEEDS[..], 3).prop_map(|s| s.concat())],
        cuts in prop::collection::vec(any::<usize>(), 0..8),
        end in prop::sample::select(vec!["", "</stream:stream>", "</stream:stream >\n", "</stream:strea>"]),
    ) {
        let bytes = [HEADER, &content, end].concat();
        let (whole, cut) = (read(&bytes, &[]), read(&bytes, &cuts));
        let every: Vec<usize> = (0..bytes.len()).collect();
        let bytewise = read(&bytes, &every);
        // Broken XML may be seen as broken before its frame is whole, or not until then.
        for other in [cut, bytewise] {
            let known = whole.len().min(other.len());
            prop_assert_eq!(&whole[..known], &other[..known]);
            prop_assert!(whole.len() == other.len() || whole.last().is_some_and(|last| last.is_err()));
        }
    }

    #[test]
    fn a_stanza_means_the_same_wherever_it_is_relayed(
        content in prop_oneof![
            Just("<message><h:f xmlns:h='jabber:server' xmlns='urn:d'><a/></h:f></message>".to_owned()),
            content().prop_map(|content| format!("<message>{content}</message>")),
            content().prop_map(|content| format!("<message xmlns:p='urn:o'>{content}</message>")),
            content().prop_map(|content| format!("<m:message xmlns:m='jabber:client' xmlns='urn:d'>{content}</m:message>")),
            soup().prop_map(|content| format!("<message>{content}</message>")),
            mutated(&SEEDS),
        ],
    ) {
        let bytes = [HEADER, &content].concat();
        let (mut reader, mut input) = (Reader::new(Limits::default()), bytes.as_bytes());
        reader.next(&mut input).unwrap();
        if let Ok(Some(Received::Stanza(stanza))) = reader.next(&mut input) {
            // What rxml sees in the stream up to here, without the stream itself.
            let taken = &bytes[..bytes.len() - input.len()];
            let theirs = seen_by_rxml(format!("{taken}</stream:stream>").as_bytes()).unwrap();
            let theirs = &theirs[1..theirs.len() - 1];
            let from = theirs.iter().position(|seen| matches!(seen, Seen::Start { .. })).unwrap();
            let theirs = Seen::without_ignored_types(&theirs[from..]);
            prop_assert_eq!(&Seen::relayed(&stanza.to_string()).unwrap(), &theirs, "{}", stanza);
            prop_assert_eq!(&seen_in(&stanza.to_element()), &theirs);
            let again = Stanza::parse(&stanza.to_string());
            prop_assert_eq!(again.as_ref(), Ok(&stanza));
            for child in stanza.payload().children() {
                let element = child.element();
                prop_assert!(child.is(element.name(), element.ns()), "{:?}", child);
                for name in ["x", "y", "to"] {
                    let value = child.attr(name);
                    prop_assert_eq!(value.as_deref(), element.attr(name));
                }
            }
        }
    }
}
