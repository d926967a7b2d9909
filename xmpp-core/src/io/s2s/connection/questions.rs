//! What a stream between servers asks and tells.

use super::{Connection, Input, StreamCondition, StreamError};
use crate::io::limits::Ticket;
use crate::s2s::{self, Ask, Known, Output, Pair, links};
use crate::time::Now;
use crate::mailbox::Origin;

impl Connection {
    pub(super) fn perform_s2s(&mut self, output: Output, _now: Now) {
        match output {
            Output::Ask(Ask::Pair(pair) | Ask::Stream(pair)) => {
                let known = self.known(&pair);
                self.answers.push_back(Input::S2s(s2s::Input::Known(pair, known)));
            }
            Output::Accepted(pair) => self.accepted(pair),
            Output::Granted(pair) => {
                self.handle.facts().granted(&pair);
                self.tell_manager(Output::Granted(pair));
            }
            // Not on the stream on which it came, but on whichever there is.
            Output::Bounce(stanza) => {
                let server = &self.shared.server;
                server.leave_to_itself(server.route(stanza, Origin::SERVER));
            }
            Output::PeerError(error) => {
                tracing::debug!(peer = %self.handle.peer, error = ?error, "the peer ends the stream");
                self.tell_manager(Output::PeerError(error));
            }
            other => self.tell_manager(other),
        }
    }

    fn tell_manager(&mut self, output: Output) {
        self.news.push(links::Input::Stream(self.handle.id, output));
    }

    /// The peer has proven a pair.
    fn accepted(&mut self, pair: Pair) {
        if let Some(ticket) = &mut self.ticket {
            ticket.logged_in();
        }
        self.reader.set_limits(self.shared.config.xml.clone());
        self.handle.facts().accepted(&pair);
        let domain = pair.from();
        if !self.senders.iter().any(|(sender, _)| sender == domain) {
            let place = match self.opened {
                // It is one of ours, and counted as such.
                Some(_) => None,
                None => match self.shared.domains.enter(domain) {
                    Some(place) => Some(place),
                    None => {
                        let full = StreamError::new(StreamCondition::ResourceConstraint);
                        let full = full.with_text("too many connections from this domain");
                        self.answers.push_back(Input::Close(Some(full)));
                        return;
                    }
                },
            };
            self.senders.push((domain.clone(), place));
        }
        tracing::debug!(from = %pair.from(), to = %pair.to(), "pair proven");
        self.tell_manager(Output::Accepted(pair));
    }

    /// What is known of these two: the domain on the peer's side comes first.
    fn known(&self, pair: &Pair) -> Known {
        let Shared {
            server, config, tls, ..
        } = &*self.shared;
        // Nobody else speaks for what is ours.
        let policy = match server.hosts(pair.from().as_str()) {
            true => None,
            false => self.shared.peers.policy(pair.from()),
        };
        let certified = policy.is_some()
            && tls.as_ref().is_some_and(|tls| tls.certifies(&self.shown, pair.from()));
        self.handle.facts().certified |= certified;
        Known {
            ours: server.hosts(pair.to().as_str()),
            certified,
            policy,
        }
    }
}
