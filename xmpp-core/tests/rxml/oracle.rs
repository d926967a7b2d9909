//! What is seen in XML, by rxml and by us, in terms that can be compared.

use std::collections::BTreeMap;

use rxml::{Event, Options, Parse, Parser, WithOptions};
use xmpp_core::xml::{Element, Node, ns};

/// A part of a document. Adjacent texts are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Start {
        ns: String,
        name: String,
        attributes: BTreeMap<(String, String), String>,
    },
    Text(String),
    End,
}

impl Seen {
    /// What is seen of a stanza in a stream with another content namespace, which then has
    /// the name [`ns::CLIENT`]. Nothing in the stanza names it, so what is in it inherits it
    /// (a stanza may well name `jabber:server` itself).
    pub fn relayed(stanza: &str) -> Result<Vec<Seen>, String> {
        let mut content = "urn:example:content".to_owned();
        while stanza.contains(&content) {
            content.push('+');
        }
        let mut seen = seen_by_rxml(format!("<s xmlns='{content}'>{stanza}</s>").as_bytes())?;
        for seen in &mut seen {
            if let Seen::Start { ns, .. } = seen
                && *ns == content
            {
                *ns = ns::CLIENT.to_owned();
            }
        }
        Ok(seen[1..seen.len() - 1].to_vec())
    }

    /// The same without a type of the first element that means none.
    pub fn without_ignored_types(seen: &[Seen]) -> Vec<Seen> {
        let mut seen = seen.to_vec();
        if let Some(Seen::Start {
            name, attributes, ..
        }) = seen.first_mut()
        {
            let key = (String::new(), "type".to_owned());
            let known = ["chat", "groupchat", "headline", "error"];
            if name == "message"
                && attributes
                    .get(&key)
                    .is_some_and(|value| !known.contains(&&**value))
            {
                attributes.remove(&key);
            }
        }
        seen
    }
}

/// What rxml sees in a document.
pub fn seen_by_rxml(document: &[u8]) -> Result<Vec<Seen>, String> {
    // XML 1.0 §2.11; rxml refuses carriage returns within attribute values, which is its error.
    let normalised = String::from_utf8_lossy(document)
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let document = if std::str::from_utf8(document).is_ok() {
        normalised.as_bytes()
    } else {
        document
    };
    let options = Options {
        max_token_length: 1 << 20,
        ..Options::default()
    };
    let (mut parser, mut input, mut seen) = (Parser::with_options(options), document, Vec::new());
    loop {
        match parser.parse(&mut input, true) {
            Ok(None) => return Ok(seen),
            Ok(Some(Event::XmlDeclaration(..))) => {}
            Ok(Some(Event::StartElement(_, (ns, name), attributes))) => seen.push(Seen::Start {
                ns: ns.to_string(),
                name: name.to_string(),
                attributes: attributes
                    .into_iter()
                    .map(|((ns, name), value)| ((ns.to_string(), name.to_string()), value))
                    .collect(),
            }),
            Ok(Some(Event::EndElement(_))) => seen.push(Seen::End),
            Ok(Some(Event::Text(_, text))) => push_text(&mut seen, &text),
            Err(error) => return Err(format!("{error:?}")),
        }
    }
}

/// What we have made of a document.
pub fn seen_in(element: &Element) -> Vec<Seen> {
    let attributes = element.attributes().iter();
    let mut seen = vec![Seen::Start {
        ns: element.ns().to_owned(),
        name: element.name().to_owned(),
        attributes: attributes
            .map(|a| {
                (
                    (a.ns().to_owned(), a.name().to_owned()),
                    a.value().to_owned(),
                )
            })
            .collect(),
    }];
    for node in element.nodes() {
        match node {
            Node::Element(child) => seen.extend(seen_in(child)),
            Node::Text(text) => push_text(&mut seen, text),
        }
    }
    seen.push(Seen::End);
    seen
}

fn push_text(seen: &mut Vec<Seen>, text: &str) {
    match seen.last_mut() {
        _ if text.is_empty() => {}
        Some(Seen::Text(last)) => last.push_str(text),
        _ => seen.push(Seen::Text(text.to_owned())),
    }
}
