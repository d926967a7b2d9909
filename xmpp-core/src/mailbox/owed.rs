//! What must not be lost, since nobody would hear of it.

use super::{Origin, Source};
use crate::stanza::{IqType, Kind, MessageType, Stanza};

/// An answer, or what the server itself says by IQ: nobody would hear that it is lost, though its recipient waits for it or
/// has to know it. The error for presence is none: nobody waits for it, and one broadcast may cause hundreds.
pub(crate) fn is_owed(stanza: &Stanza, origin: &Origin) -> bool {
    match stanza.kind() {
        Kind::Iq(IqType::Get | IqType::Set) => origin.source == Source::Server,
        Kind::Iq(_) | Kind::Message(MessageType::Error) => true,
        _ => false,
    }
}

/// How many IQ requests the reader of a queue has sent that nobody has answered. It tells answers that may have been asked for
/// from those that have not, without a table of which are awaited.
#[derive(Debug, Default)]
pub(super) struct Asked(u32);

impl Asked {
    /// Of a reader of which that is not known. No answer lessens it.
    #[cfg_attr(not(feature = "io"), allow(dead_code))]
    pub(super) const UNKNOWN: Asked = Asked(u32::MAX);

    /// The reader has sent this.
    pub(super) fn sent(&mut self, stanza: &Stanza) {
        if matches!(stanza.kind(), Kind::Iq(IqType::Get | IqType::Set)) {
            self.0 = self.0.saturating_add(1);
        }
    }

    /// The reader is given this.
    pub(super) fn given(&mut self, stanza: &Stanza) {
        if is_answer(stanza) && self.0 < u32::MAX {
            self.0 = self.0.saturating_sub(1);
        }
    }

    /// Whether something that is [owed](is_owed) may have been asked for. The server's own always counts as such: it speaks of
    /// itself only where it must. The error for a message of somebody else never does, since a count could not tell: most
    /// messages have no answer.
    pub(super) fn may_include(&self, stanza: &Stanza, origin: &Origin) -> bool {
        origin.source == Source::Server || is_answer(stanza) && self.0 > 0
    }
}

fn is_answer(stanza: &Stanza) -> bool {
    matches!(stanza.kind(), Kind::Iq(IqType::Result | IqType::Error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::Condition;

    #[test]
    fn each_request_has_one_answer() {
        let request = Stanza::iq(IqType::Get, "1");
        let result = request.reply();
        let error = request.error_reply(&Condition::ItemNotFound.into());
        let mut asked = Asked::default();
        let includes = |asked: &Asked| asked.may_include(&result, &Origin::ENTITY);
        assert!(!includes(&asked));
        asked.sent(&result);
        assert!(!includes(&asked), "it answers itself");
        asked.sent(&request);
        asked.sent(&request);
        asked.given(&request);
        asked.given(&result);
        assert!(includes(&asked));
        asked.given(&error.unwrap());
        assert!(!includes(&asked));
        asked.given(&result);
        asked.sent(&request);
        assert!(includes(&asked), "one too many leaves no debt");
    }

    #[test]
    fn of_what_is_not_known_everything_may_have_been_asked() {
        let result = Stanza::iq(IqType::Result, "1");
        let mut asked = Asked::UNKNOWN;
        asked.given(&result);
        asked.sent(&Stanza::iq(IqType::Set, "1"));
        asked.given(&result);
        asked.given(&result);
        assert!(asked.may_include(&result, &Origin::ENTITY));
    }

    #[test]
    fn the_error_for_a_message_counts_only_if_the_server_says_it() {
        let error = Stanza::message(MessageType::Error);
        let mut asked = Asked::default();
        asked.sent(&Stanza::message(MessageType::Chat));
        asked.sent(&Stanza::iq(IqType::Get, "1"));
        assert!(!asked.may_include(&error, &Origin::ENTITY));
        assert!(asked.may_include(&error, &Origin::SERVER));
    }
}
