use super::*;

fn fmuc(inner: &str) -> Result<Fmuc, WireError> {
    let text = format!("<fmuc xmlns='{}'>{inner}</fmuc>", ns::FMUC);
    Fmuc::read(&Element::parse(&text).unwrap())
}

fn ours(element: &str) -> Result<Fmuc, WireError> {
    let (name, rest) = element[1..].split_at(element[1..].find([' ', '/', '>']).unwrap());
    fmuc(&format!("<{name} xmlns='{}'{rest}", ns::SYNC))
}

/// XEP-0289 §4 and the golden exchanges of the design: as read, so written.
#[test]
fn everything_is_written_as_it_is_read() {
    for element in [
        "<join v='1' m='pp' s='7f3a'/>",
        "<join v='1' m='pr' s='7f3b'><h a='1' n='rabbithole@rooms.wonderland.lit' e='3' s='2f5'/><h a='2' n='elsinore@talk.denmark.lit' e='1' s='11d'/></join>",
        "<sync v='1' m='pp' s='7f3a'><h a='1' n='a@x' e='3' s='2f1'/><p>a@x b@y</p></sync>",
        "<sync reset='1' v='1' m='pp' s='7f3a'/>",
        "<synced/>",
        "<crowd d='1z141z3'/>",
        "<a a='3' n='c@z' e='k2'/>",
        "<o i='2.11d'/>",
        "<want i='2.7-7'/>",
        "<gone i='2.1-zz'/>",
        "<collision nick='Bob' from='bob@denmark.lit/r'/>",
        "<act by='alice@wonderland.lit/w' nick='Alice'/>",
        "<unreach a='3'/>",
        "<reach a='3'/>",
        "<path>a@x b@y</path>",
        "<leave/>",
        "<rejoin/>",
        "<left s='7f3a'/>",
        "<refuse cond='forbidden'/>",
    ] {
        let read = ours(element).unwrap_or_else(|error| panic!("{element}: {error}"));
        assert_eq!(read.extensions.len(), 1, "{element}");
        let written = read.to_element();
        assert_eq!(Fmuc::read(&written).unwrap(), read, "{element}");
        let inner = written.children().next().unwrap().to_string();
        assert_eq!(
            inner.replace(&format!(" xmlns='{}'", ns::SYNC), ""),
            element
        );
    }
}

#[test]
fn what_is_the_specifications_own_is_read() {
    let read = fmuc("").unwrap();
    assert_eq!(read, Fmuc::default());
    assert_eq!(
        fmuc("<reject>no peers</reject>").unwrap().reject.as_deref(),
        Some("no peers")
    );
    assert_eq!(fmuc("<reject/>").unwrap().reject.as_deref(), Some(""));
    assert!(fmuc("<left/>").unwrap().left);
    let from = Fmuc::from("hamlet@denmark.lit/p".parse().unwrap());
    let expected = "<fmuc xmlns='http://isode.com/protocol/fmuc' from='hamlet@denmark.lit/p'/>";
    assert_eq!(from.to_element().to_string(), expected);
    assert_eq!(Fmuc::read(&from.to_element()).unwrap(), from);
    let long = format!("<reject>{}</reject>", "x".repeat(1000));
    assert_eq!(fmuc(&long).unwrap().reject.unwrap().len(), TEXT_MAX);
}

/// G10: "invalid JID ⇒ drop, no panic"
#[test]
fn what_is_malformed_is_an_error() {
    let wrong = format!("<fmuc xmlns='{}' from='@'/>", ns::FMUC);
    assert_eq!(
        Fmuc::read(&Element::parse(&wrong).unwrap()),
        Err(WireError::Jid)
    );
    for element in [
        "<join m='pp' s='1'/>",
        "<join v='2' m='pp' s='1'/>",
        "<join v='1' m='xx' s='1'/>",
        "<join v='1' m='pp'/>",
        "<join v='1' m='pp' s='1'><h a='1' n='a@x' e='3'/></join>",
        "<a a='3' n='c@z' e='-1'/>",
        "<o/>",
        "<o i='2'/>",
        "<o i='2.'/>",
        "<o i='2.A'/>",
        "<want i='2.7'/>",
        "<want i='2.7-6'/>",
        "<gone i='.7-6'/>",
        "<collision nick='Bob' from='@'/>",
        "<collision from='a@b'/>",
        "<act nick='Alice'/>",
        "<unreach/>",
        "<crowd/>",
        "<crowd d='1z141z4'/>",
        "<left/>",
        "<refuse/>",
    ] {
        assert!(ours(element).is_err(), "{element}");
    }
    let many = "<h a='1' n='a@x' e='3' s='1'/>".repeat(ITEMS_MAX + 1);
    assert!(ours(&format!("<join v='1' m='pp' s='1'>{many}</join>")).is_err());
}

#[test]
fn what_is_not_known_is_passed_over() {
    assert_eq!(ours("<new x='1'/>").unwrap(), Fmuc::default());
    assert_eq!(
        fmuc("<x xmlns='urn:example:other'/>").unwrap(),
        Fmuc::default()
    );
}

/// What stands in the examples of our document is what is read and written here, and all of it stands there.
#[test]
fn the_examples_of_the_document_are_ours() {
    let document = include_str!("../../../../docs/fmuc-sync.xml");
    let mut names = std::collections::BTreeSet::new();
    for example in document.split("<example ").skip(1) {
        let text = example.split_once("<![CDATA[").unwrap().1;
        let text = text.split_once("]]>").unwrap().0;
        let text: String = text.lines().map(str::trim_start).collect();
        let stanzas = Element::parse(&format!("<s xmlns='jabber:client'>{text}</s>")).unwrap();
        for stanza in stanzas.children() {
            let element = stanza.child("fmuc", ns::FMUC).unwrap();
            let read = Fmuc::read(element).unwrap();
            let ours: Vec<_> = element
                .children()
                .filter(|one| one.ns() == ns::SYNC)
                .collect();
            let written: Vec<_> = read.extensions.iter().map(Extension::to_element).collect();
            assert_eq!(written.len(), ours.len(), "{element}");
            for (written, ours) in written.iter().zip(ours) {
                let sorted = |one: &Element| {
                    let mut all: Vec<_> = one.attributes().to_vec();
                    all.sort_by(|a, b| a.name().cmp(b.name()));
                    format!("{} {all:?} {:?}", one.name(), one.nodes().len())
                };
                assert_eq!(sorted(written), sorted(ours));
                names.insert(written.name().to_owned());
            }
        }
    }
    let all = "a act collision gone join leave left o path refuse synced sync t unreach want";
    let all: std::collections::BTreeSet<_> = all.split(' ').map(str::to_owned).collect();
    assert_eq!(names, all);
}
