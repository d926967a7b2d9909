//! What a stream between servers asks and tells.

use super::Connection;
use crate::io::tls::PeerTls;
use crate::io::zlib::Unpacker;
use crate::s2s::links;
use crate::s2s::{self, Ask, Compression, Known, Output, Pair, Policy};
use crate::stream::Input;

impl Connection {
    pub(super) fn perform_s2s(&mut self, output: Output) {
        match output {
            Output::Ask(Ask::Pair(pair) | Ask::Stream(pair)) => {
                let known = self.known(&pair);
                self.answers
                    .push_back(Input::S2s(s2s::Input::Known(pair, known)));
            }
            Output::Accepted(pair) => self.accepted(pair),
            Output::Granted(pair) => {
                self.handle.facts().granted(&pair);
                self.tell_manager(Output::Granted(pair));
            }
            Output::PeerError(error) => {
                tracing::debug!(?error, "the peer ends the stream");
                self.tell_manager(Output::PeerError(error));
            }
            Output::Ask(Ask::Session(claim)) => {
                self.asking = true;
                self.tell_manager(Output::Ask(Ask::Session(claim)));
            }
            Output::Compress(Compression::Zlib) => self.compress(),
            other => self.tell_manager(other),
        }
    }

    pub(super) fn tell_manager(&mut self, output: Output) {
        self.news.push(links::Input::Stream(self.handle.id, output));
    }

    /// What is written from here on is packed, and so is what comes behind what was read.
    fn compress(&mut self) {
        self.reader.restart();
        self.outbound.compress();
        self.unpacker = Some(Unpacker::new(self.shared.config.xml.stanza_bytes));
        self.handle.facts().compression = Some(Compression::Zlib);
        tracing::debug!("the stream is compressed");
    }

    /// The peer has proven a pair.
    fn accepted(&mut self, pair: Pair) {
        if let Some(ticket) = &mut self.ticket {
            ticket.logged_in();
        }
        self.patience = self.patience.max(patience(self.shared.policy(pair.from())));
        self.reader.set_limits(self.shared.config.xml.clone());
        self.handle.facts().accepted(&pair);
        if !self.senders.contains(pair.from()) {
            self.senders.push(pair.from().clone());
            // The rules may have changed since it was asked who this is.
            self.rules = None;
        }
        tracing::debug!(from = %pair.from(), to = %pair.to(), "pair proven");
        self.tell_manager(Output::Accepted(pair));
    }

    /// What is known of these two: the domain on the peer's side comes first.
    fn known(&mut self, pair: &Pair) -> Known {
        let (shared, shown) = (&self.shared, &mut self.shown);
        let policy = shared.policy(pair.from());
        let certifies = |tls: &PeerTls| tls.certifies(shown, pair.from());
        let certified = policy.is_some() && shared.tls.as_ref().is_some_and(certifies);
        self.handle.facts().certified |= certified;
        let patience = patience(policy);
        let ticket = self.ticket.as_mut();
        let patient = certified || ticket.is_none_or(|ticket| ticket.may_stay(patience as usize));
        if patient {
            self.patience = self.patience.max(patience);
        }
        Known {
            ours: shared.server.hosts(pair.to().as_str()),
            certified,
            policy,
            patient,
        }
    }
}

fn patience(policy: Option<Policy>) -> u32 {
    policy.map_or(1, |policy| policy.patience)
}
