mod build;
mod write;

use std::borrow::Cow;
use std::sync::Arc;

use super::chars::is_ncname;
use super::{Error, Limits, ns};

pub(crate) use build::{build, build_content};
pub(crate) use write::write_attr;

/// A tree: an element with its namespace, attributes and content.
///
/// The content namespace of a stream is always spelt [`ns::CLIENT`] here, on client and server streams alike, so that
/// what handles stanzas need not ask where they came from.
///
/// ```
/// use xmpp_core::xml::Element;
///
/// let query = Element::new("query", "jabber:iq:version")
///     .with_child(Element::new("name", "jabber:iq:version").with_text("Tea & Co."));
/// assert_eq!(query.to_string(), "<query xmlns='jabber:iq:version'><name>Tea &amp; Co.</name></query>");
/// assert_eq!(query.child("name", "jabber:iq:version").unwrap().text(), "Tea & Co.");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    name: Cow<'static, str>,
    ns: Namespace,
    attributes: Vec<Attribute>,
    nodes: Vec<Node>,
}

/// A part of an element's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A child.
    Element(Element),
    /// Character data, references resolved.
    Text(String),
}

/// An attribute of an [`Element`]. Namespace declarations are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    ns: Namespace,
    name: Cow<'static, str>,
    value: String,
}

impl Element {
    /// An empty element. `name` has to be a name without a colon, and `ns` its namespace, empty for none; both are
    /// literals as a rule.
    pub fn new(name: impl Into<Cow<'static, str>>, ns: impl Into<Cow<'static, str>>) -> Element {
        let name = name.into();
        debug_assert!(is_ncname(&name), "{name:?} is no name for an element");
        Element {
            name,
            ns: ns.into().into(),
            attributes: Vec::new(),
            nodes: Vec::new(),
        }
    }

    /// Reads one element, with nothing around it but white space. Default [`Limits`](super::Limits) apply.
    pub fn parse(text: &str) -> Result<Element, Error> {
        build::parse(text, &Limits::default())
    }

    /// The same for what this server has written itself, however large it is.
    pub fn restore(text: &str) -> Result<Element, Error> {
        build::parse(text, &Limits::NONE)
    }

    /// The local name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace; empty if there is none.
    pub fn ns(&self) -> &str {
        self.ns.as_str()
    }

    /// Whether this is the element `name` of the namespace `ns`.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns() == ns
    }

    /// The value of the attribute `name` that is in no namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attr_ns(name, "")
    }

    /// The value of the attribute `name` of the namespace `ns`.
    pub fn attr_ns(&self, name: &str, ns: &str) -> Option<&str> {
        let attribute = self
            .attributes
            .iter()
            .find(|a| a.name == name && a.ns() == ns)?;
        Some(&attribute.value)
    }

    /// The value of `xml:lang` on this very element.
    pub fn lang(&self) -> Option<&str> {
        self.attr_ns("lang", ns::XML)
    }

    /// All attributes, in document order.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// Sets the attribute `name` that is in no namespace; `None` removes it.
    pub fn set_attr<'a>(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Option<&'a str>>,
    ) {
        self.set_attr_ns(name, "", value);
    }

    /// Sets the attribute `name` of the namespace `ns`; `None` removes it.
    pub fn set_attr_ns<'a>(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        ns: impl Into<Cow<'static, str>>,
        value: impl Into<Option<&'a str>>,
    ) {
        let (name, ns) = (name.into(), Namespace::from(ns.into()));
        debug_assert!(is_ncname(&name), "{name:?} is no name for an attribute");
        let place = self
            .attributes
            .iter()
            .position(|a| a.name == name && a.ns == ns);
        match (place, value.into().map(str::to_owned)) {
            (Some(at), Some(value)) => self.attributes[at].value = value,
            (Some(at), None) => drop(self.attributes.remove(at)),
            (None, Some(value)) => self.attributes.push(Attribute { ns, name, value }),
            (None, None) => {}
        }
    }

    /// This element with the attribute `name`, in no namespace.
    pub fn with_attr(mut self, name: impl Into<Cow<'static, str>>, value: &str) -> Element {
        self.set_attr(name, value);
        self
    }

    /// This element with the given `xml:lang`.
    pub fn with_lang(mut self, lang: &str) -> Element {
        self.set_attr_ns("lang", ns::XML, lang);
        self
    }

    /// This element with one more child.
    pub fn with_child(mut self, child: Element) -> Element {
        self.push(child);
        self
    }

    /// This element with more children.
    pub fn with_children(mut self, children: impl IntoIterator<Item = Element>) -> Element {
        self.nodes.extend(children.into_iter().map(Node::Element));
        self
    }

    /// This element with more text.
    pub fn with_text(mut self, text: &str) -> Element {
        self.push_text(text);
        self
    }

    /// Appends a child.
    pub fn push(&mut self, child: Element) {
        self.nodes.push(Node::Element(child));
    }

    /// Appends text, to the text that is last if there is any.
    pub fn push_text(&mut self, text: &str) {
        match self.nodes.last_mut() {
            _ if text.is_empty() => {}
            Some(Node::Text(last)) => last.push_str(text),
            _ => self.nodes.push(Node::Text(text.to_owned())),
        }
    }

    /// The children and the text, in document order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The children and the text, in document order.
    pub fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }

    /// The children, in document order.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(Node::element)
    }

    /// The children, in document order, to be changed.
    pub fn children_mut(&mut self) -> impl Iterator<Item = &mut Element> {
        self.nodes.iter_mut().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The children, in document order.
    pub fn into_children(self) -> impl Iterator<Item = Element> {
        self.nodes.into_iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first child `name` of the namespace `ns`.
    pub fn child(&self, name: &str, ns: &str) -> Option<&Element> {
        self.children().find(|child| child.is(name, ns))
    }

    /// Takes the first child `name` of the namespace `ns` out.
    pub fn remove_child(&mut self, name: &str, ns: &str) -> Option<Element> {
        let of = |node: &Node| node.element().is_some_and(|child| child.is(name, ns));
        let at = self.nodes.iter().position(of)?;
        match self.nodes.remove(at) {
            Node::Element(child) => Some(child),
            Node::Text(_) => None,
        }
    }

    /// The text directly within this element, all pieces together; empty if there is none.
    pub fn text(&self) -> Cow<'_, str> {
        let mut texts = self.nodes.iter().filter_map(Node::text);
        let first = texts.next().unwrap_or_default();
        match texts.next() {
            None => Cow::Borrowed(first),
            Some(second) => Cow::Owned([first, second].into_iter().chain(texts).collect()),
        }
    }
}

impl Node {
    /// The child, if it is one.
    pub fn element(&self) -> Option<&Element> {
        match self {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        }
    }

    /// The text, if it is some.
    pub fn text(&self) -> Option<&str> {
        match self {
            Node::Element(_) => None,
            Node::Text(text) => Some(text),
        }
    }
}

impl Attribute {
    /// The namespace; empty if there is none.
    pub fn ns(&self) -> &str {
        self.ns.as_str()
    }

    /// The local name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value, references resolved.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// A namespace name, cheap to give to children as well.
#[derive(Debug, Clone)]
enum Namespace {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Namespace {
    fn as_str(&self) -> &str {
        match self {
            Namespace::Static(ns) => ns,
            Namespace::Shared(ns) => ns,
        }
    }
}

impl From<Cow<'static, str>> for Namespace {
    fn from(ns: Cow<'static, str>) -> Namespace {
        match ns {
            Cow::Borrowed(ns) => Namespace::Static(ns),
            Cow::Owned(ns) => Namespace::Shared(ns.into()),
        }
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Namespace) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Namespace {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_set_replaced_and_removed_by_expanded_name() {
        let mut e = Element::new("e", "urn:x")
            .with_attr("lang", "plain")
            .with_lang("de");
        assert_eq!((e.attr("lang"), e.lang()), (Some("plain"), Some("de")));
        e.set_attr("lang", "again");
        e.set_attr_ns("lang", ns::XML, None);
        assert_eq!((e.attr("lang"), e.lang()), (Some("again"), None));
        e.set_attr("lang", None);
        assert!(e.attributes().is_empty());
    }

    #[test]
    fn text_is_all_text_but_that_of_children() {
        let e = Element::parse("<e>a<b>no</b>c&amp;<![CDATA[<d>]]></e>").unwrap();
        assert_eq!(e.text(), "ac&<d>");
        assert_eq!(e.nodes().len(), 3);
        assert_eq!(Element::new("e", "").text(), "");
    }

    #[test]
    fn a_child_can_be_taken_out() {
        let mut e = Element::parse("<e xmlns='urn:x'>1<a/>2<a xmlns='urn:y'/></e>").unwrap();
        assert_eq!(
            e.remove_child("a", "urn:y"),
            Some(Element::new("a", "urn:y"))
        );
        assert_eq!(e.remove_child("a", "urn:y"), None);
        assert_eq!(e.to_string(), "<e xmlns='urn:x'>1<a/>2</e>");
    }
}
