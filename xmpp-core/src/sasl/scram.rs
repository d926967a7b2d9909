//! SCRAM (RFC 5802, RFC 7677), with channel binding (RFC 5929, RFC 9266) and without.

pub(super) mod message;

use std::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use self::message::{ClientFinal, ClientFirst, Flag, Unreadable};
use super::credentials::{Credentials, Keys};
use super::encoding::encode;
use super::failure::{Condition, Failure};
use super::hash::Hash;
use super::mechanism::Mechanism;
use super::nonce::Nonce;
use super::offer::Offer;
use super::{Ask, Identity, Next, State, Step, success};
use crate::jid::BareJid;

/// The client's first message.
pub(super) fn begin(hash: Hash, mechanism: Mechanism, message: &str, offer: &Offer) -> Next {
    let message = ClientFirst::parse(message)?;
    let mut binding = message.header.as_bytes().to_vec();
    match (message.flag, mechanism.is_plus()) {
        (Flag::Used(name), true) => match offer.binding(name) {
            Some(channel) => binding.extend_from_slice(channel.data()),
            // RFC 5802 §6: "If the channel binding flag was "p" and the server does not support the indicated channel
            // binding type, then the server MUST fail authentication."
            None => return Err(UNSUPPORTED_BINDING),
        },
        // RFC 5802 §6: "If the flag is set to "y" and the server supports channel binding, the server MUST fail
        // authentication." Somebody took the -PLUS mechanisms off our list.
        (Flag::NotOffered, false) if offer.binds() => return Err(DOWNGRADED),
        (Flag::Unsupported | Flag::NotOffered, false) => {}
        // RFC 5802 §6: `p` goes with -PLUS, and nothing else does.
        (Flag::Used(_), false) | (Flag::Unsupported | Flag::NotOffered, true) => {
            return Err(Condition::MalformedRequest.into());
        }
    }
    let account = offer.account(&message.username, &message.authzid)?;
    let first = First {
        hash,
        binding,
        bare: message.bare.to_owned(),
        nonce: message.nonce.to_owned(),
        account: account.clone(),
    };
    Ok((
        State::ScramFirst(first),
        Step::Ask(Ask::Credentials(account)),
    ))
}

/// The client's first message has come, and somebody looks for the account.
#[derive(Debug)]
pub(super) struct First {
    hash: Hash,
    /// What `c=` must be.
    binding: Vec<u8>,
    bare: String,
    nonce: String,
    account: BareJid,
}

impl First {
    /// Our first message. An account without keys gets one just like it, and the same operations are done for it.
    pub(super) fn challenge(
        self,
        found: Option<Credentials>,
        offer: &Offer,
        nonce: &Nonce,
    ) -> (State, Step) {
        let decoy = Keys::decoy(self.hash, &self.account, offer.decoys());
        let stored = found.and_then(|found| found.keys(self.hash).cloned());
        let keys = stored.unwrap_or(decoy);
        let nonce = format!("{}{}", self.nonce, nonce.as_str());
        let message = format!(
            "r={nonce},s={},i={}",
            encode(keys.salt()),
            keys.iterations()
        );
        let last = Final {
            binding: self.binding,
            transcript: format!("{},{message},", self.bare),
            nonce,
            account: self.account,
            keys,
        };
        (
            State::ScramFinal(last),
            Step::Challenge(message.into_bytes()),
        )
    }
}

/// Our first message is out.
pub(super) struct Final {
    binding: Vec<u8>,
    /// `AuthMessage` as far as it goes.
    transcript: String,
    nonce: String,
    account: BareJid,
    keys: Keys,
}

impl Final {
    /// The client's last message.
    pub(super) fn finish(self, message: &str) -> Next {
        let message = ClientFinal::parse(message)?;
        // A replayed message has another exchange's nonce.
        if message.nonce != self.nonce {
            return Err(Condition::NotAuthorized.into());
        }
        if !bool::from(message.binding.ct_eq(&self.binding)) {
            return Err(BINDINGS_DIFFER);
        }
        let auth_message = self.transcript + message.without_proof;
        if !prove(&self.keys, &auth_message, &message.proof) {
            return Err(Condition::NotAuthorized.into());
        }
        let signature = self
            .keys
            .hash()
            .hmac(self.keys.server_key(), auth_message.as_bytes());
        let data = format!("v={}", encode(&signature)).into_bytes();
        Ok(success(Identity::Jid(self.account), Some(data)))
    }
}

impl fmt::Debug for Final {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Final({})", self.account)
    }
}

/// Whether `H(ClientProof XOR ClientSignature)` is `StoredKey` (RFC 5802 §3).
fn prove(keys: &Keys, auth_message: &str, proof: &[u8]) -> bool {
    let signature = keys.hash().hmac(keys.stored_key(), auth_message.as_bytes());
    let client_key = Zeroizing::new(xor(&signature, proof));
    let whole = Choice::from(u8::from(proof.len() == signature.len()));
    (keys.hash().digest(&client_key).ct_eq(keys.stored_key()) & whole).into()
}

pub(super) fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

impl From<Unreadable> for Failure {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Malformed => Condition::MalformedRequest.into(),
            Unreadable::Extension => EXTENSION,
        }
    }
}

const UNSUPPORTED_BINDING: Failure =
    Failure::with_text(Condition::NotAuthorized, "unsupported-channel-binding-type");
const DOWNGRADED: Failure = Failure::with_text(
    Condition::NotAuthorized,
    "server-does-support-channel-binding",
);
const BINDINGS_DIFFER: Failure =
    Failure::with_text(Condition::NotAuthorized, "channel-bindings-dont-match");
const EXTENSION: Failure = Failure::with_text(Condition::NotAuthorized, "extensions-not-supported");
