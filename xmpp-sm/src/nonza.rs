//! The elements of stream management, as they are read.

use xmpp_core::stream::{Output, Resume};
use xmpp_core::xml::{Element, ns};

use crate::counter::Counter;

/// The namespace.
pub const NS: &str = "urn:xmpp:sm:3";

/// What a client sends.
pub(crate) enum Nonza {
    Enable {
        resume: bool,
        max: Option<u32>,
    },
    /// None if an attribute is missing or wrong.
    Resume(Option<Resume>),
    Request,
    Ack(Option<Counter>),
}

/// The element as one of stream management, if it is one that a client may send.
pub(crate) fn read(element: &Element) -> Option<Nonza> {
    if element.ns() != NS {
        return None;
    }
    let h = || element.attr("h").and_then(Counter::parse);
    match element.name() {
        "enable" => Some(Nonza::Enable {
            // §3: "a value of 'true' or '1'"
            resume: matches!(element.attr("resume"), Some("true" | "1")),
            max: element.attr("max").and_then(|max| max.trim().parse().ok()),
        }),
        "resume" => Some(Nonza::Resume(element.attr("previd").zip(h()).map(
            |(id, h)| Resume {
                id: id.to_owned(),
                h: h.0,
                lang: None,
            },
        ))),
        "r" => Some(Nonza::Request),
        "a" => Some(Nonza::Ack(h())),
        _ => None,
    }
}

pub(crate) fn write(element: &Element) -> Output {
    let mut bytes = Vec::new();
    element.write(ns::CLIENT, &mut bytes);
    Output::Write(bytes)
}
