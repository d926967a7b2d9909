//! Stream compression (XEP-0138): its elements. When a stream is compressed is the machines' to say.

use super::Compression;
use crate::xml::Element;

/// The namespace of the stream feature.
pub const FEATURE_NS: &str = "http://jabber.org/features/compress";
/// The namespace of the negotiation.
pub const NS: &str = "http://jabber.org/protocol/compress";

/// Why a stream is not compressed, or not any longer (XEP-0138 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// "the requested method unacceptable or unworkable for any other reason"
    Setup,
    /// A method that is not known.
    Method,
    /// What came cannot be inflated; this one stands in a stream error.
    Processing,
}

impl Failure {
    /// `<failure/>`
    pub fn element(self) -> Element {
        let name = match self {
            Failure::Setup => "setup-failed",
            Failure::Method => "unsupported-method",
            Failure::Processing => "processing-failed",
        };
        Element::new("failure", NS).with_child(Element::new(name, NS))
    }
}

/// Whether this is `<compress/>`, by which the side that opened the stream asks for compression.
pub fn is_request(element: &Element) -> bool {
    element.is("compress", NS)
}

/// `<compress/>`
pub(super) fn request(method: Compression) -> Element {
    Element::new("compress", NS).with_child(named(method, NS))
}

/// `<compressed/>`
pub(super) fn accepted() -> Element {
    Element::new("compressed", NS)
}

/// What stands in the features.
pub(super) fn feature(method: Compression) -> Element {
    Element::new("compression", FEATURE_NS).with_child(named(method, FEATURE_NS))
}

/// Whether the features offer the method.
pub(super) fn is_offered(features: &Element, method: Compression) -> bool {
    let feature = features.child("compression", FEATURE_NS);
    feature.is_some_and(|feature| names(feature, method))
}

/// Whether one of the methods of a feature or a request is this.
pub(super) fn names(element: &Element, method: Compression) -> bool {
    let mut children = element.children();
    children.any(|child| child.is("method", element.ns()) && child.text().trim() == method.name())
}

fn named(method: Compression, ns: &'static str) -> Element {
    Element::new("method", ns).with_text(method.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::ns;

    fn written(element: &Element) -> String {
        let mut bytes = Vec::new();
        element.write(ns::CLIENT, &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    /// XEP-0138 §2, its examples but for the method that nobody has.
    #[test]
    fn the_elements_are_those_of_the_specification() {
        let zlib = Compression::Zlib;
        for (element, expected) in [
            (
                feature(zlib),
                "<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>",
            ),
            (
                request(zlib),
                "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
            ),
            (
                accepted(),
                "<compressed xmlns='http://jabber.org/protocol/compress'/>",
            ),
            (
                Failure::Method.element(),
                "<failure xmlns='http://jabber.org/protocol/compress'><unsupported-method/></failure>",
            ),
            (
                Failure::Setup.element(),
                "<failure xmlns='http://jabber.org/protocol/compress'><setup-failed/></failure>",
            ),
            (
                Failure::Processing.element(),
                "<failure xmlns='http://jabber.org/protocol/compress'><processing-failed/></failure>",
            ),
        ] {
            assert_eq!(written(&element), expected);
        }
        assert!(is_request(&request(zlib)));
        assert!(!is_request(&accepted()));
    }

    /// XEP-0138 §2: "The methods SHOULD be provided in order of preference", so there may be others beside it.
    #[test]
    fn a_method_is_found_among_others_and_only_in_its_namespace() {
        let method = |name: &str, ns: &'static str| Element::new("method", ns).with_text(name);
        let offer = |methods: Vec<Element>| {
            let feature = Element::new("compression", FEATURE_NS);
            let feature = methods.into_iter().fold(feature, Element::with_child);
            Element::new("features", ns::STREAM).with_child(feature)
        };
        for (methods, expected) in [
            (vec![], false),
            (vec![method("lzw", FEATURE_NS)], false),
            (vec![method("zlib", NS)], false),
            (
                vec![method("lzw", FEATURE_NS), method(" zlib\n", FEATURE_NS)],
                true,
            ),
        ] {
            let features = offer(methods);
            assert_eq!(
                is_offered(&features, Compression::Zlib),
                expected,
                "{features:?}"
            );
        }
        let none = Element::new("features", ns::STREAM);
        assert!(!is_offered(&none, Compression::Zlib));
    }
}
