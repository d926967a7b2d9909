//! From a tree to bytes.

use std::fmt;

use super::{Attribute, Element, Node};
use crate::xml::{escape_attr, escape_text, ns};

impl Element {
    /// Appends this element to `out`, to stand where `inherited` is the default namespace. Elements never get a prefix,
    /// but those of [`ns::XML`].
    pub fn write(&self, inherited: &str, out: &mut Vec<u8>) {
        // Namespaces in XML 1.0 §3: "Other prefixes MUST NOT be bound to this namespace name, and it MUST NOT be declared
        // as the default namespace."
        let prefix = if self.ns() == ns::XML { "xml:" } else { "" };
        self.write_named(prefix, inherited, out);
    }

    /// Appends this element to `out`, to stand at the first level of a stream whose content namespace is `content` and
    /// whose header declares the prefix `stream`, which elements of [`ns::STREAM`] get.
    pub fn write_first_level(&self, content: &str, out: &mut Vec<u8>) {
        let prefix = if self.ns() == ns::STREAM {
            "stream:"
        } else {
            ""
        };
        self.write_named(prefix, content, out);
    }

    fn write_named(&self, prefix: &str, inherited: &str, out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(self.name.as_bytes());
        // Where a prefix stands for the namespace, the default namespace stays what it was. Yet what is in an element of
        // another namespace says its own, lest it change with the stream that it is relayed to.
        let default = match prefix {
            "stream:" => inherited,
            _ => self.ns(),
        };
        if prefix.is_empty() && default != inherited {
            write_attr("xmlns", default, out);
        }
        for (i, attribute) in self.attributes.iter().enumerate() {
            attribute.write(i, out);
        }
        if self.nodes.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        for node in &self.nodes {
            match node {
                Node::Element(child) => child.write(default, out),
                Node::Text(text) => escape_text(text, out),
            }
        }
        out.extend_from_slice(b"</");
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'>');
    }
}

impl Attribute {
    /// Writes ` name='value'`; a namespace gets a prefix that is `unique` within the tag and is declared beside it.
    pub(crate) fn write(&self, unique: usize, out: &mut Vec<u8>) {
        match self.ns() {
            "" => write_attr(&self.name, &self.value, out),
            ns::XML => write_attr(&format!("xml:{}", self.name), &self.value, out),
            ns => {
                write_attr(&format!("xmlns:ns{unique}"), ns, out);
                write_attr(&format!("ns{unique}:{}", self.name), &self.value, out);
            }
        }
    }
}

/// Writes ` name='value'`.
pub(crate) fn write_attr(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    escape_attr(value, out);
    out.push(b'\'');
}

impl fmt::Display for Element {
    /// As a document of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write("", &mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_declared_only_where_they_change() {
        let e = Element::new("a", "urn:x")
            .with_child(Element::new("b", "urn:x").with_child(Element::new("c", "urn:y")))
            .with_child(Element::new("d", ""));
        assert_eq!(
            e.to_string(),
            "<a xmlns='urn:x'><b><c xmlns='urn:y'/></b><d xmlns=''/></a>"
        );
        let mut out = Vec::new();
        e.write("urn:x", &mut out);
        assert_eq!(out, b"<a><b><c xmlns='urn:y'/></b><d xmlns=''/></a>");
    }

    #[test]
    fn attributes_of_other_namespaces_survive_a_round_trip() {
        let mut e = Element::new("a", "urn:x")
            .with_lang("de")
            .with_attr("n", "'\"<&>\n");
        e.set_attr_ns("n", "urn:y", "1");
        e.set_attr_ns("n", "urn:z", "2");
        assert_eq!(Element::parse(&e.to_string()).unwrap(), e);
    }

    #[test]
    fn elements_of_the_xml_namespace_are_written_by_its_prefix() {
        let e = Element::new("a", "urn:x")
            .with_child(Element::new("b", ns::XML).with_child(Element::new("c", "urn:x")));
        assert_eq!(
            e.to_string(),
            "<a xmlns='urn:x'><xml:b><c xmlns='urn:x'/></xml:b></a>"
        );
        assert_eq!(Element::parse(&e.to_string()), Ok(e));
    }

    #[test]
    fn elements_of_the_stream_get_its_prefix_and_their_children_the_content_namespace() {
        let e = Element::new("features", ns::STREAM)
            .with_child(Element::new("bind", "urn:b"))
            .with_child(Element::new("x", ns::CLIENT));
        let mut out = Vec::new();
        e.write_first_level(ns::CLIENT, &mut out);
        assert_eq!(
            out,
            b"<stream:features><bind xmlns='urn:b'/><x/></stream:features>"
        );
    }
}
