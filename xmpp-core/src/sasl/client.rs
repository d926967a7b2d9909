//! The client's side: for links to other servers, load generators and tests.
//!
//! ```
//! use xmpp_core::sasl::client::{Client, Scram};
//! use xmpp_core::sasl::{Hash, NONCE_LEN, Nonce};
//!
//! let nonce = Nonce::from([1; NONCE_LEN]); // random, in earnest
//! let mut client = Client::scram(Scram::new(Hash::Sha256, "juliet", "r0m30myr0m30", nonce));
//! assert_eq!(client.mechanism().name(), "SCRAM-SHA-256");
//! assert!(client.initial().starts_with(b"n,,n=juliet,r="));
//! ```
//!
//! Then hand each `<challenge/>` to [`Client::challenge`] and `<success/>` to [`Client::success`], which is where SCRAM
//! finds out whether the server knows the password as well.

mod scram;

use std::fmt;

use zeroize::Zeroizing;

pub use scram::{Binding, ClientKeys, Scram};

use super::mechanism::Mechanism;
use scram::State;

/// One exchange.
#[derive(Debug)]
pub struct Client(Kind);

enum Kind {
    /// Everything is in the first message.
    Once {
        mechanism: Mechanism,
        message: Zeroizing<Vec<u8>>,
    },
    Scram(State),
}

impl Client {
    /// PLAIN (RFC 4616). The authorization identity is empty unless the client acts for somebody else.
    pub fn plain(authzid: &str, username: &str, password: &str) -> Self {
        let message = format!("{authzid}\0{username}\0{password}");
        Self::once(Mechanism::Plain, message)
    }

    /// EXTERNAL (XEP-0178). The authorization identity is empty where the certificate names one address only; a server
    /// sends its own domain (XEP-0178 §3).
    pub fn external(authzid: &str) -> Self {
        Self::once(Mechanism::External, authzid.to_owned())
    }

    /// ANONYMOUS (RFC 4505), without trace information.
    pub fn anonymous() -> Self {
        Self::once(Mechanism::Anonymous, String::new())
    }

    /// SCRAM.
    pub fn scram(scram: Scram) -> Self {
        Self(Kind::Scram(State::new(scram)))
    }

    fn once(mechanism: Mechanism, message: String) -> Self {
        let message = Zeroizing::new(message.into_bytes());
        Self(Kind::Once { mechanism, message })
    }

    /// The mechanism to ask for.
    pub fn mechanism(&self) -> Mechanism {
        match &self.0 {
            Kind::Once { mechanism, .. } => *mechanism,
            Kind::Scram(scram) => scram.mechanism(),
        }
    }

    /// The initial response.
    pub fn initial(&self) -> Vec<u8> {
        match &self.0 {
            Kind::Once { message, .. } => message.to_vec(),
            Kind::Scram(scram) => scram.initial(),
        }
    }

    /// Answers a challenge. Costs one PBKDF2 for SCRAM, unless [`Scram::keys`] has the result already.
    ///
    /// # Errors
    /// What the server sent is wrong, or asks too much or too little work: send `<abort/>`.
    pub fn challenge(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Error> {
        match &mut self.0 {
            // A server that did not want the initial response asks for it with an empty challenge.
            Kind::Once { message, .. } if challenge.is_empty() => Ok(message.to_vec()),
            Kind::Once { .. } => Err(Error::OutOfTurn),
            Kind::Scram(scram) => scram.challenge(challenge),
        }
    }

    /// Checks the additional data of `<success/>`.
    ///
    /// # Errors
    /// The server did not prove that it knows the password: RFC 5802 §5 has the client treat that as a failed login.
    pub fn success(&mut self, data: Option<&[u8]>) -> Result<(), Error> {
        match &mut self.0 {
            Kind::Once { .. } => match data {
                None | Some([]) => Ok(()),
                Some(_) => Err(Error::OutOfTurn),
            },
            Kind::Scram(scram) => scram.success(data),
        }
    }

    /// After a challenge of SCRAM: what to keep, so that the next login costs no PBKDF2.
    pub fn keys(&self) -> Option<&ClientKeys> {
        match &self.0 {
            Kind::Once { .. } => None,
            Kind::Scram(scram) => scram.keys(),
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once { mechanism, .. } => write!(f, "{mechanism}"),
            Self::Scram(scram) => write!(f, "{}", scram.mechanism()),
        }
    }
}

/// Why a client gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A message at the wrong time.
    #[error("the server sent a message out of turn")]
    OutOfTurn,
    /// A message that breaks the grammar.
    #[error("the server sent a malformed message")]
    Malformed,
    /// The server's nonce does not begin with ours, or adds nothing to it.
    #[error("the server's nonce does not extend ours")]
    Nonce,
    /// Fewer or more PBKDF2 rounds than the client takes.
    #[error("the server asks for too few or too many rounds")]
    Iterations,
    /// The password has characters that no password can have.
    #[error("the password is empty or has characters that cannot be in a password")]
    Password,
    /// The server reported an error in its last message.
    #[error("the server reported an error")]
    Server,
    /// The server's signature is missing or wrong: it does not know the password.
    #[error("the server did not prove that it knows the password")]
    Signature,
}
