//! What a peer's stream error means for those who wait.

use super::table::Link;
use crate::s2s::Pair;
use crate::stanza::Condition;

impl Link {
    /// The error for what waits for the pair, if the peer has ended the stream in a way that makes another attempt useless.
    pub(super) fn last_word(&self, pair: &Pair) -> Option<Condition> {
        let dialled = self.dialled.as_ref()?;
        match self.error.as_deref()? {
            // RFC 6120 §4.9.3.5, §4.9.3.6: the domain in `to` "is no longer serviced by the receiving entity", or "does not correspond to an
            // FQDN that is serviced". For us it does not exist (§8.3.3.16).
            "host-gone" | "host-unknown" => {
                (pair.to() == dialled.to()).then_some(Condition::RemoteServerNotFound)
            }
            // §8.3.3.17: "stream negotiation fails". Once the stream was of use it is what went over it that is at fault; and another Sender
            // Domain may fare better on a stream of its own.
            error if self.since.is_none() && pair == dialled && is_final(error) => {
                Some(Condition::RemoteServerTimeout)
            }
            _ => None,
        }
    }
}

/// Whether the same attempt would come to the same end: the peer does not want this stream, or does not understand it. The other errors are
/// of things that pass (`resource-constraint`, `system-shutdown`, `reset` …), or say nothing (§4.9.3.21, and names that are unknown).
fn is_final(error: &str) -> bool {
    matches!(
        error,
        "bad-format"
            | "bad-namespace-prefix"
            | "improper-addressing"
            | "invalid-from"
            | "invalid-namespace"
            | "invalid-xml"
            | "not-authorized"
            | "not-well-formed"
            | "policy-violation"
            | "restricted-xml"
            // Where it points to is not followed.
            | "see-other-host"
            | "unsupported-encoding"
            | "unsupported-feature"
            | "unsupported-stanza-type"
            | "unsupported-version"
    )
}
