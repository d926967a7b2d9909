//! When the stream is compressed (XEP-0138): behind what proves the first pair, and before anything is sent for it.

use std::time::Duration;

use super::{Outgoing, State};
use crate::s2s::compression;
use crate::s2s::link::{Ending, is_dialback, nonza};
use crate::s2s::receiver::Receiver;
use crate::s2s::{Compression, Output};
use crate::stream::{self, StreamCondition};
use crate::time::Now;
use crate::xml::Element;

impl Outgoing {
    /// What is to be used of what the peer offers. XEP-0138 §2: "If the initiating entity did not understand any of the advertised compression
    /// methods, it SHOULD ignore the compression option".
    pub(super) fn wanted_of(&self, features: &Element) -> Option<Compression> {
        let may = self.link.tls && !self.link.compressed;
        let offered = |method: &Compression| compression::is_offered(features, *method);
        self.policy.compression.filter(|_| may).filter(offered)
    }

    /// If a pair is granted now, and the stream is to be compressed, that comes first. XEP-0170 §3.3: "If stream compression is negotiated in
    /// addition to TLS and dialback, it is RECOMMENDED to negotiate it after both TLS and dialback".
    pub(super) fn first(&mut self, before: usize, now: Now, out: &mut Vec<stream::Output>) {
        if !out[before..].iter().any(is_granted) {
            return;
        }
        // It is asked for once. A peer that waits for an answer of ours would not get it, so its stream goes on as it is.
        let method = self.compression.take();
        let receiver = self.link.receiver.as_ref();
        let method = method.filter(|_| receiver.is_none_or(Receiver::is_quiet));
        let Some(method) = method else {
            return;
        };
        self.withhold(before, out);
        nonza(&compression::request(method), out);
        self.deadline = self.deadline.max(now.instant + self.answer());
        let asked = self.asked.drain(..).map(|(pair, _)| pair);
        self.pairs.extend(asked);
        self.state = State::Compressing(method);
    }

    /// What comes when `<compress/>` is out.
    pub(super) fn compressing(
        &mut self,
        method: Compression,
        element: Element,
        now: Now,
        out: &mut Vec<stream::Output>,
    ) -> Result<(), Ending> {
        match (element.name(), element.ns()) {
            ("compressed", compression::NS) => {
                self.link.compress(method, out);
                self.crossed.clear();
                self.deadline = self.deadline.max(now.instant + self.answer());
                // XEP-0138 §2: "Therefore the initiating entity MUST initiate a new stream to the receiving entity"
                self.begin(out);
            }
            // XEP-0138 §2: "Failure of the negotiation SHOULD NOT be treated as an unrecoverable error"
            ("failure", compression::NS) => {
                self.state = State::Open;
                self.go_on(now, out);
                for element in std::mem::take(&mut self.crossed) {
                    self.link.dialback(&element, now, out)?;
                }
            }
            // An answer to what was asked before.
            _ if is_dialback(&element) && element.attr("type").is_some() => {
                self.state = State::Compressing(method);
                let before = out.len();
                self.link.dialback(&element, now, out)?;
                self.withhold(before, out);
            }
            // A key, on a stream that may be used in both directions.
            _ if is_dialback(&element) && self.link.receiver.is_some() => {
                let limits = self.link.settings.limits;
                if self.crossed.len() >= limits.pairs + limits.verifies {
                    return Err(StreamCondition::PolicyViolation.into());
                }
                self.crossed.push(element);
                self.state = State::Compressing(method);
            }
            _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
        }
        Ok(())
    }

    /// What is granted is told when it is known what the stream goes on as.
    fn withhold(&mut self, before: usize, out: &mut Vec<stream::Output>) {
        let granted = out.extract_if(before.., |output| is_granted(output));
        for output in granted {
            if let stream::Output::S2s(Output::Granted(pair)) = output {
                self.granted.push(pair);
            }
        }
    }

    fn answer(&self) -> Duration {
        self.link.settings.limits.answer
    }
}

fn is_granted(output: &stream::Output) -> bool {
    matches!(output, stream::Output::S2s(Output::Granted(_)))
}
