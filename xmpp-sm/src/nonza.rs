//! The elements of stream management, as they are read and written.

use std::sync::Arc;

use xmpp_core::server::Random;
use xmpp_core::stanza::Condition;
use xmpp_core::stream::{Output, Resume, StreamCondition, StreamError};
use xmpp_core::xml::{Element, ns};

use crate::counter::Counter;

/// The namespace.
pub const NS: &str = "urn:xmpp:sm:3";

/// What whoever opened the stream sends, and what both sides do.
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

/// What it is answered.
pub(crate) enum Reply {
    Enabled {
        /// The name, if the stream can be resumed.
        id: Option<String>,
        max: Option<u32>,
    },
    /// None if an attribute is missing or wrong.
    Resumed(Option<(String, Counter)>),
    Failed(Option<Counter>),
}

/// The element as one of stream management, if it is one that whoever opened the stream may send.
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

/// The element as an answer.
pub(crate) fn read_reply(element: &Element) -> Option<Reply> {
    if element.ns() != NS {
        return None;
    }
    let h = || element.attr("h").and_then(Counter::parse);
    match element.name() {
        "enabled" => Some(Reply::Enabled {
            id: match element.attr("resume") {
                Some("true" | "1") => element.attr("id").map(str::to_owned),
                _ => None,
            },
            max: element.attr("max").and_then(|max| max.trim().parse().ok()),
        }),
        "resumed" => {
            let id = element.attr("previd").map(str::to_owned);
            Some(Reply::Resumed(id.zip(h())))
        }
        "failed" => Some(Reply::Failed(h())),
        _ => None,
    }
}

pub(crate) fn write(element: &Element) -> Output {
    let mut bytes = Vec::new();
    element.write(ns::CLIENT, &mut bytes);
    Output::Write(bytes)
}

/// A name for a stream: 128 random bits.
pub(crate) fn name(random: &dyn Random) -> Arc<str> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<String>().into()
}

pub(crate) fn ack(h: Counter) -> Output {
    Output::Write(format!("<a xmlns='{NS}' h='{h}'/>").into_bytes())
}

pub(crate) fn request() -> Output {
    Output::Write(format!("<r xmlns='{NS}'/>").into_bytes())
}

pub(crate) fn failed(condition: Condition, h: Option<Counter>) -> Output {
    let mut failed = Element::new("failed", NS);
    if let Some(h) = h {
        failed = failed.with_attr("h", &h.to_string());
    }
    let condition = Element::new(condition.name(), ns::STANZA_ERROR);
    write(&failed.with_child(condition))
}

/// §6: "the local entity SHOULD generate an undefined-condition stream error that includes a
/// <handled-count-too-high/> element"
pub(crate) fn too_high(h: Counter, sent: Counter) -> StreamError {
    StreamError::new(StreamCondition::UndefinedCondition).with_detail(
        Element::new("handled-count-too-high", NS)
            .with_attr("h", &h.to_string())
            .with_attr("send-count", &sent.to_string()),
    )
}
