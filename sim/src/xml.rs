//! XML as a client sees it: read by rxml, a strict parser that has nothing in
//! common with the server's, so that what the server writes is judged by another.

use std::collections::BTreeMap;
use std::fmt;

use rxml::error::EndOrError;
use rxml::{Event, Options, Parse as _, Parser, WithOptions as _};

/// The namespace of stanzas on a client's stream.
pub const CLIENT: &str = "jabber:client";
/// The namespace of the stream.
pub const STREAM: &str = "http://etherx.jabber.org/streams";
const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// More than any server sends at once.
const MOST_TEXT: usize = 1 << 20;

/// An element.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tree {
    /// Its namespace.
    pub ns: String,
    /// Its local name.
    pub name: String,
    /// Its attributes, by namespace and name.
    pub attributes: BTreeMap<(String, String), String>,
    /// What is in it, in order. There are no two texts in a row.
    pub nodes: Vec<Node>,
}

/// A part of an element's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A child.
    Element(Tree),
    /// Character data.
    Text(String),
}

/// What comes over a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The stream header, as an element without content.
    Header(Tree),
    /// A first-level element.
    Element(Tree),
    /// The end of the stream.
    Footer,
    /// What no server may send.
    Garbage(String),
}

/// Reads one XML stream.
#[derive(Debug)]
pub struct StreamReader {
    parser: Parser,
    /// The first-level element that is being read, and its open descendants.
    open: Vec<Tree>,
    in_stream: bool,
}

impl Tree {
    /// Reads an element as if it stood in a stream: `jabber:client` is the default
    /// namespace, and the prefix `stream` is bound.
    pub fn parse(text: &str) -> Result<Tree, String> {
        match &Tree::parse_all(text)?[..] {
            [tree] => Ok(tree.clone()),
            other => Err(format!(
                "one element is expected, not {}: {text}",
                other.len()
            )),
        }
    }

    /// Reads any number of elements like [`parse`](Tree::parse).
    pub fn parse_all(text: &str) -> Result<Vec<Tree>, String> {
        let mut reader = StreamReader::new();
        let header = format!(
            "<?xml version='1.0'?><stream:stream xmlns='{CLIENT}' xmlns:stream='{STREAM}'>"
        );
        let mut trees = Vec::new();
        for heard in reader.feed(format!("{header}{text}</stream:stream>").as_bytes()) {
            match heard {
                Heard::Header(_) => {}
                Heard::Element(tree) => trees.push(tree),
                Heard::Footer => return Ok(trees),
                Heard::Garbage(why) => return Err(format!("{why}: {text}")),
            }
        }
        Err(format!("the XML is not whole: {text}"))
    }

    /// Whether it is the element `name` of the namespace `ns`.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// An attribute that is in no namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        let key = (String::new(), name.to_owned());
        self.attributes.get(&key).map(String::as_str)
    }

    /// Its children.
    pub fn children(&self) -> impl Iterator<Item = &Tree> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(child) => Some(child),
            Node::Text(_) => None,
        })
    }

    /// The first child with this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<&Tree> {
        self.children().find(|child| child.is(name, ns))
    }

    /// All its own text.
    pub fn text(&self) -> String {
        let texts = self.nodes.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        texts.collect()
    }

    fn push_text(&mut self, text: &str) {
        match self.nodes.last_mut() {
            Some(Node::Text(before)) => before.push_str(text),
            _ => self.nodes.push(Node::Text(text.to_owned())),
        }
    }

    fn write(&self, inherited: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}", self.name)?;
        if self.ns != inherited {
            write!(f, " xmlns='{}'", escaped(&self.ns))?;
        }
        for ((ns, name), value) in &self.attributes {
            match ns.as_str() {
                "" => write!(f, " {name}='{}'", escaped(value))?,
                XML => write!(f, " xml:{name}='{}'", escaped(value))?,
                ns => write!(f, " {{{ns}}}{name}='{}'", escaped(value))?,
            }
        }
        if self.nodes.is_empty() {
            return f.write_str("/>");
        }
        f.write_str(">")?;
        for node in &self.nodes {
            match node {
                Node::Element(child) => child.write(&self.ns, f)?,
                Node::Text(text) => f.write_str(&escaped(text))?,
            }
        }
        write!(f, "</{}>", self.name)
    }
}

/// For people: attributes in foreign namespaces are not XML.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(CLIENT, f)
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Heard::Header(tree) => write!(f, "a stream header: {tree}"),
            Heard::Element(tree) => write!(f, "{tree}"),
            Heard::Footer => f.write_str("</stream:stream>"),
            Heard::Garbage(why) => write!(f, "garbage: {why}"),
        }
    }
}

impl Default for StreamReader {
    fn default() -> StreamReader {
        StreamReader::new()
    }
}

impl StreamReader {
    /// A reader that expects a header.
    pub fn new() -> StreamReader {
        let options = Options {
            max_token_length: MOST_TEXT,
            ..Options::default()
        };
        StreamReader {
            parser: Parser::with_options(options),
            open: Vec::new(),
            in_stream: false,
        }
    }

    /// What these bytes complete.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        loop {
            match self.parser.parse(&mut bytes, false) {
                Ok(Some(event)) => heard.extend(self.take(event)),
                Ok(None) | Err(EndOrError::NeedMoreData) => return heard,
                Err(EndOrError::Error(error)) => {
                    heard.push(Heard::Garbage(error.to_string()));
                    return heard;
                }
            }
        }
    }

    fn take(&mut self, event: Event) -> Option<Heard> {
        match event {
            Event::XmlDeclaration(..) => None,
            Event::StartElement(_, (ns, name), attributes) => {
                let attributes = attributes
                    .into_iter()
                    .map(|((ns, name), value)| ((ns.to_string(), name.to_string()), value));
                let tree = Tree {
                    ns: ns.to_string(),
                    name: name.to_string(),
                    attributes: attributes.collect(),
                    nodes: Vec::new(),
                };
                if self.in_stream {
                    self.open.push(tree);
                    return None;
                }
                self.in_stream = true;
                Some(Heard::Header(tree))
            }
            Event::EndElement(_) => match (self.open.pop(), self.open.last_mut()) {
                (None, _) => Some(Heard::Footer),
                (Some(tree), None) => Some(Heard::Element(tree)),
                (Some(tree), Some(parent)) => {
                    parent.nodes.push(Node::Element(tree));
                    None
                }
            },
            Event::Text(_, text) => match self.open.last_mut() {
                Some(open) => {
                    open.push_text(&text);
                    None
                }
                None if text.trim_ascii().is_empty() => None,
                None => Some(Heard::Garbage(format!("text between elements: {text}"))),
            },
        }
    }
}

/// As it stands in text and in attributes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_in_pieces_of_any_size() {
        let text = format!(
            "<?xml version='1.0'?><stream:stream id='1' xmlns='{CLIENT}' xmlns:stream='{STREAM}'> \
             <message xml:lang='en'><body>a &lt; b</body><x xmlns='urn:x'/></message></stream:stream>"
        );
        for size in [1, 7, 1000] {
            let mut reader = StreamReader::new();
            let heard: Vec<String> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| reader.feed(piece))
                .map(|heard| heard.to_string())
                .collect();
            assert_eq!(
                heard[1..],
                [
                    "<message xml:lang='en'><body>a &lt; b</body><x xmlns='urn:x'/></message>",
                    "</stream:stream>"
                ]
            );
            assert!(
                heard[0].starts_with("a stream header: <stream"),
                "{heard:?}"
            );
        }
    }

    #[test]
    fn what_no_server_may_send_is_garbage() {
        let header = format!("<stream:stream xmlns='{CLIENT}' xmlns:stream='{STREAM}'>");
        for text in ["words", "<a></b>", "<a:b/>", "<!-- -->"] {
            let heard = StreamReader::new().feed(format!("{header}{text}<a/>").as_bytes());
            assert!(matches!(heard[1], Heard::Garbage(_)), "{text}: {heard:?}");
        }
    }
}
