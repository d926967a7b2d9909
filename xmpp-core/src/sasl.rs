//! SASL (RFC 4422) as RFC 6120 §6 profiles it: the server's side as a machine without I/O, clock or randomness of its
//! own, and in [`client`] the other side.
//!
//! An [`Offer`] says which mechanisms a connection may use. A [`Negotiation`] is one exchange, from `<auth/>` to
//! `<success/>` or `<failure/>`. When it needs a store or much CPU it returns [`Step::Ask`] and waits for the
//! [`Answer`]: PLAIN asks for the credentials and then for a [`PasswordCheck`] to be run, SCRAM for the credentials
//! only, EXTERNAL whether the account exists.
//!
//! ```
//! use xmpp_core::sasl::*;
//!
//! let policy = Policy::new(Secret::from([7; 32])); // random, in earnest
//! let mut channel = Channel::default();
//! channel.tls = true;
//! let offer = Offer::to_client(&policy, &"example.com".parse()?, &channel);
//!
//! let mut exchange = Negotiation::new(offer, Nonce::from([1; NONCE_LEN]));
//! let step = exchange.handle(Input::Auth {
//!     mechanism: "PLAIN",
//!     initial: Some(b"\0juliet\0r0m30myr0m30"),
//! });
//! let Step::Ask(Ask::Credentials(account)) = step else { panic!() };
//! assert_eq!(account.to_string(), "juliet@example.com");
//!
//! let stored = Credentials::derive("r0m30myr0m30", DEFAULT_ITERATIONS, || [3; SALT_LEN])?;
//! let step = exchange.handle(Input::Answer(Answer::Credentials(Some(stored))));
//! let Step::Ask(Ask::Password(check)) = step else { panic!() };
//!
//! let step = exchange.handle(Input::Answer(Answer::Password(check.run())));
//! let Step::Success { identity, .. } = step else { panic!() };
//! assert_eq!(identity, Identity::Jid(account));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod anonymous;
mod binding;
pub mod client;
mod credentials;
mod encoding;
mod external;
mod failure;
mod hash;
mod mechanism;
mod nonce;
mod offer;
mod plain;
mod scram;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;

pub use binding::ChannelBinding;
pub use credentials::{
    Credentials, DEFAULT_ITERATIONS, DeriveError, InvalidKeys, Keys, MAX_ITERATIONS, MAX_SALT,
    MIN_ITERATIONS, PasswordCheck, SALT_LEN, Secret,
};
pub use encoding::{decode, decode_initial, encode, encode_optional};
pub use failure::{Condition, Failure};
pub use hash::Hash;
pub use mechanism::{Mechanism, UnknownMechanism};
pub use nonce::{InvalidNonce, NONCE_LEN, Nonce};
pub use offer::{Channel, Offer, Policy};

use crate::jid::BareJid;

/// Most bytes of one message, after base64. A PLAIN message with three parts as long as a JID's can be is 3071 bytes.
pub const MAX_MESSAGE: usize = 4096;

/// One exchange, on the server's side: from `<auth/>` to `<success/>` or `<failure/>`. A client that tries again begins
/// a new one, with a new nonce.
#[derive(Debug)]
pub struct Negotiation {
    offer: Arc<Offer>,
    nonce: Nonce,
    state: State,
}

/// What reaches a [`Negotiation`].
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// `<auth/>`.
    Auth {
        /// The `mechanism` attribute.
        mechanism: &'a str,
        /// The initial response ([`decode_initial`]).
        initial: Option<&'a [u8]>,
    },
    /// `<response/>`.
    Response(&'a [u8]),
    /// `<abort/>`.
    Abort,
    /// The answer to an [`Ask`].
    Answer(Answer),
}

/// What a [`Negotiation`] wants done next.
#[derive(Debug)]
pub enum Step {
    /// Send `<challenge/>` and wait for the client.
    Challenge(Vec<u8>),
    /// Find out and come back with [`Input::Answer`].
    Ask(Ask),
    /// Send `<success/>`: the exchange is over.
    Success {
        /// Who the client is.
        identity: Identity,
        /// Additional data ([`encode_optional`]).
        data: Option<Vec<u8>>,
    },
    /// Send `<failure/>`: the exchange is over.
    Failure(Failure),
}

/// A question to the world outside.
#[derive(Debug)]
pub enum Ask {
    /// What is stored for this account? Answered by [`Answer::Credentials`].
    Credentials(BareJid),
    /// Is the password right? Answered by [`Answer::Password`].
    Password(PasswordCheck),
    /// Is there such an account? Answered by [`Answer::Account`].
    Account(BareJid),
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// What is stored; `None` where there is no such account or it has no password. The client cannot tell.
    Credentials(Option<Credentials>),
    /// Whether the password is right.
    Password(bool),
    /// Whether there is such an account.
    Account(bool),
    /// The store cannot tell now: `temporary-auth-failure`.
    Unavailable,
}

/// Who a client turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// An account of the domain, or another server's domain.
    Jid(BareJid),
    /// Nobody in particular (RFC 4505): the server makes up an address.
    Anonymous,
}

/// What has happened so far.
#[derive(Debug)]
enum State {
    /// Nothing.
    Start,
    /// No initial response came, so an empty challenge went out (RFC 4422 §5 1).
    Challenged(Mechanism),
    /// A store is asked for what PLAIN is checked against.
    Plain(plain::Claim),
    /// The password of a PLAIN login is being checked.
    PlainCheck(BareJid),
    /// A store is asked for what SCRAM goes on with.
    ScramFirst(scram::First),
    /// The server's first SCRAM message went out.
    ScramFinal(scram::Final),
    /// A store is asked whether the account of a certificate exists.
    External(BareJid),
    /// The exchange is over.
    Done,
}

/// Where an input leads: on, with what to do, or to an end.
type Next = Result<(State, Step), Failure>;

impl Negotiation {
    /// A new exchange. The nonce must never have been used before.
    pub fn new(offer: Arc<Offer>, nonce: Nonce) -> Self {
        Self {
            offer,
            nonce,
            state: State::Start,
        }
    }

    /// Takes the next input.
    ///
    /// What is out of turn ends the exchange: `malformed-request` if it came from the client, `temporary-auth-failure`
    /// if it is an answer to something else than was asked. After the end every input is out of turn.
    pub fn handle(&mut self, input: Input<'_>) -> Step {
        let state = mem::replace(&mut self.state, State::Done);
        match self.next(state, input) {
            Ok((state, step)) => {
                self.state = state;
                step
            }
            Err(failure) => Step::Failure(failure),
        }
    }

    fn next(&self, state: State, input: Input<'_>) -> Next {
        use Answer::{Account, Credentials, Password, Unavailable};
        match (state, input) {
            (State::Start, Input::Auth { mechanism, initial }) => {
                let mechanism = self.offer.pick(mechanism)?;
                match initial {
                    Some(message) => self.begin(mechanism, message),
                    None => Ok((State::Challenged(mechanism), Step::Challenge(Vec::new()))),
                }
            }
            (State::Challenged(mechanism), Input::Response(message)) => {
                self.begin(mechanism, message)
            }
            (State::Plain(claim), Input::Answer(Credentials(found))) => {
                Ok(claim.check(found, &self.offer))
            }
            (State::PlainCheck(account), Input::Answer(Password(true)))
            | (State::External(account), Input::Answer(Account(true))) => {
                Ok(success(Identity::Jid(account), None))
            }
            (State::PlainCheck(_), Input::Answer(Password(false)))
            | (State::External(_), Input::Answer(Account(false))) => {
                Err(Condition::NotAuthorized.into())
            }
            (State::ScramFirst(first), Input::Answer(Credentials(found))) => {
                Ok(first.challenge(found, &self.offer, &self.nonce))
            }
            (State::ScramFinal(last), Input::Response(message)) => last.finish(bounded(message)?),
            (State::Done, Input::Abort) | (_, Input::Auth { .. } | Input::Response(_)) => {
                Err(Condition::MalformedRequest.into())
            }
            (_, Input::Abort) => Err(Condition::Aborted.into()),
            (_, Input::Answer(Credentials(_) | Password(_) | Account(_) | Unavailable)) => {
                Err(Condition::TemporaryAuthFailure.into())
            }
        }
    }

    /// The first message of the client, which speaks first in every mechanism here.
    fn begin(&self, mechanism: Mechanism, message: &[u8]) -> Next {
        let message = bounded(message)?;
        match mechanism {
            Mechanism::Plain => plain::begin(message, &self.offer),
            Mechanism::External => external::begin(message, &self.offer),
            Mechanism::Anonymous => anonymous::begin(message),
            Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => {
                scram::begin(Hash::Sha1, mechanism, message, &self.offer)
            }
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
                scram::begin(Hash::Sha256, mechanism, message, &self.offer)
            }
            Mechanism::ScramSha512 | Mechanism::ScramSha512Plus => {
                scram::begin(Hash::Sha512, mechanism, message, &self.offer)
            }
        }
    }
}

fn success(identity: Identity, data: Option<Vec<u8>>) -> (State, Step) {
    (State::Done, Step::Success { identity, data })
}

/// All messages of our mechanisms are text of bounded length.
fn bounded(message: &[u8]) -> Result<&str, Failure> {
    if message.len() > MAX_MESSAGE {
        return Err(Condition::MalformedRequest.into());
    }
    str::from_utf8(message).map_err(|_| Condition::MalformedRequest.into())
}
