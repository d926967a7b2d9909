//! The client's side of SCRAM (RFC 5802).

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Error;
use crate::sasl::MAX_MESSAGE;
use crate::sasl::binding::ChannelBinding;
use crate::sasl::credentials::{MAX_ITERATIONS, MAX_SALT, MIN_ITERATIONS, SaltedPassword};
use crate::sasl::encoding::encode;
use crate::sasl::hash::{Hash, Output};
use crate::sasl::mechanism::Mechanism;
use crate::sasl::nonce::Nonce;
use crate::sasl::scram::message::{ServerFinal, ServerFirst, escape};
use crate::sasl::scram::xor;

/// What a SCRAM login needs.
#[derive(Clone)]
pub struct Scram {
    hash: Hash,
    username: String,
    password: Zeroizing<String>,
    nonce: Nonce,
    authzid: String,
    binding: Binding,
    keys: Option<ClientKeys>,
}

/// What a client says of channel binding (`gs2-cbind-flag`, RFC 5802 §6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// It has none (`n`).
    #[default]
    Unsupported,
    /// It has, but the server offered none (`y`): the login fails if the server did.
    NotOffered,
    /// It uses this one (`p=`), and with it the `-PLUS` mechanism.
    Channel(ChannelBinding),
}

/// What came of a password, a salt and many rounds. Good for logging in, so as secret as the password.
#[derive(Clone)]
pub struct ClientKeys {
    hash: Hash,
    salt: Vec<u8>,
    iterations: u32,
    client_key: Output,
    server_key: Output,
}

impl Scram {
    /// A login without channel binding, whose client has none.
    pub fn new(hash: Hash, username: &str, password: &str, nonce: Nonce) -> Self {
        Self {
            hash,
            username: username.to_owned(),
            password: Zeroizing::new(password.to_owned()),
            nonce,
            authzid: String::new(),
            binding: Binding::Unsupported,
            keys: None,
        }
    }

    /// Sets what the client says of channel binding.
    #[must_use]
    pub fn binding(mut self, binding: Binding) -> Self {
        self.binding = binding;
        self
    }

    /// Asks to act for somebody else.
    #[must_use]
    pub fn authzid(mut self, authzid: &str) -> Self {
        authzid.clone_into(&mut self.authzid);
        self
    }

    /// Uses the keys of an earlier login, if the server still has the same salt and rounds.
    #[must_use]
    pub fn keys(mut self, keys: ClientKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    fn mechanism(&self) -> Mechanism {
        let plus = matches!(self.binding, Binding::Channel(_));
        match (self.hash, plus) {
            (Hash::Sha1, false) => Mechanism::ScramSha1,
            (Hash::Sha1, true) => Mechanism::ScramSha1Plus,
            (Hash::Sha256, false) => Mechanism::ScramSha256,
            (Hash::Sha256, true) => Mechanism::ScramSha256Plus,
            (Hash::Sha512, false) => Mechanism::ScramSha512,
            (Hash::Sha512, true) => Mechanism::ScramSha512Plus,
        }
    }

    /// `gs2-header`
    fn header(&self) -> String {
        let flag = match &self.binding {
            Binding::Unsupported => "n".to_owned(),
            Binding::NotOffered => "y".to_owned(),
            Binding::Channel(channel) => format!("p={}", channel.name()),
        };
        if self.authzid.is_empty() {
            format!("{flag},,")
        } else {
            format!("{flag},a={},", escape(&self.authzid))
        }
    }

    /// `client-first-message-bare`
    fn bare(&self) -> String {
        format!("n={},r={}", escape(&self.username), self.nonce.as_str())
    }

    /// `c=`
    fn binding_input(&self) -> Vec<u8> {
        let mut input = self.header().into_bytes();
        if let Binding::Channel(channel) = &self.binding {
            input.extend_from_slice(channel.data());
        }
        input
    }

    fn derive(&self, salt: Vec<u8>, iterations: u32) -> Result<ClientKeys, Error> {
        if let Some(keys) = &self.keys
            && (keys.hash, &keys.salt, keys.iterations) == (self.hash, &salt, iterations)
        {
            return Ok(keys.clone());
        }
        let salted = SaltedPassword::new(self.hash, &self.password, &salt, iterations)
            .map_err(|_| Error::Password)?;
        Ok(ClientKeys {
            hash: self.hash,
            salt,
            iterations,
            client_key: salted.client_key(),
            server_key: salted.server_key(),
        })
    }
}

impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scram")
            .field("mechanism", &self.mechanism())
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKeys")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// Where a login has got to.
pub(super) enum State {
    /// Our first message is going out or has gone.
    First(Scram),
    /// Our last message has gone: the server owes its signature.
    Final {
        mechanism: Mechanism,
        keys: ClientKeys,
        signature: Output,
    },
    /// The signature was right, and came in a challenge, as RFC 3920 had it.
    Verified {
        mechanism: Mechanism,
        keys: ClientKeys,
    },
}

impl State {
    pub(super) fn new(scram: Scram) -> Self {
        Self::First(scram)
    }

    pub(super) fn mechanism(&self) -> Mechanism {
        match self {
            Self::First(scram) => scram.mechanism(),
            Self::Final { mechanism, .. } | Self::Verified { mechanism, .. } => *mechanism,
        }
    }

    pub(super) fn initial(&self) -> Vec<u8> {
        match self {
            Self::First(scram) => (scram.header() + &scram.bare()).into_bytes(),
            Self::Final { .. } | Self::Verified { .. } => Vec::new(),
        }
    }

    pub(super) fn keys(&self) -> Option<&ClientKeys> {
        match self {
            Self::First(_) => None,
            Self::Final { keys, .. } | Self::Verified { keys, .. } => Some(keys),
        }
    }

    pub(super) fn challenge(&mut self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match self {
            // A server that did not want the initial response asks for it with an empty challenge.
            Self::First(_) if message.is_empty() => Ok(self.initial()),
            Self::First(scram) => {
                let (state, answer) = respond(scram, text(message)?)?;
                *self = state;
                Ok(answer)
            }
            Self::Final { .. } => self.success(Some(message)).map(|()| Vec::new()),
            Self::Verified { .. } => Err(Error::OutOfTurn),
        }
    }

    pub(super) fn success(&mut self, data: Option<&[u8]>) -> Result<(), Error> {
        match (&*self, data) {
            (
                Self::Final {
                    mechanism,
                    keys,
                    signature,
                },
                Some(data),
            ) => {
                verify(text(data)?, signature)?;
                *self = Self::Verified {
                    mechanism: *mechanism,
                    keys: keys.clone(),
                };
                Ok(())
            }
            (Self::Verified { .. }, None | Some([])) => Ok(()),
            (Self::Verified { .. }, Some(_)) => Err(Error::OutOfTurn),
            (Self::First(_) | Self::Final { .. }, _) => Err(Error::Signature),
        }
    }
}

/// `client-final-message`, and the signature that the server must answer it with.
fn respond(scram: &Scram, server_first: &str) -> Result<(State, Vec<u8>), Error> {
    let challenge = ServerFirst::parse(server_first).map_err(|_| Error::Malformed)?;
    // RFC 5802 §5.1: "The client MUST verify that the initial part of the nonce used in subsequent messages is the same
    // as the nonce it initially specified."
    match challenge.nonce.strip_prefix(scram.nonce.as_str()) {
        None | Some("") => return Err(Error::Nonce),
        Some(_) => {}
    }
    if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&challenge.iterations) {
        return Err(Error::Iterations);
    }
    if challenge.salt.len() > MAX_SALT {
        return Err(Error::Malformed);
    }
    let without_proof = format!("c={},r={}", encode(&scram.binding_input()), challenge.nonce);
    let auth_message = format!("{},{server_first},{without_proof}", scram.bare());
    let keys = scram.derive(challenge.salt, challenge.iterations)?;
    let stored_key = scram.hash.digest(&keys.client_key);
    let signature = scram.hash.hmac(&stored_key, auth_message.as_bytes());
    let proof = Zeroizing::new(xor(&keys.client_key, &signature));
    let answer = format!("{without_proof},p={}", encode(&proof));
    let state = State::Final {
        mechanism: scram.mechanism(),
        signature: scram.hash.hmac(&keys.server_key, auth_message.as_bytes()),
        keys,
    };
    Ok((state, answer.into_bytes()))
}

fn verify(server_final: &str, signature: &[u8]) -> Result<(), Error> {
    match ServerFinal::parse(server_final).map_err(|_| Error::Malformed)? {
        ServerFinal::Error(_) => Err(Error::Server),
        ServerFinal::Signature(theirs) if theirs.ct_eq(signature).into() => Ok(()),
        ServerFinal::Signature(_) => Err(Error::Signature),
    }
}

fn text(message: &[u8]) -> Result<&str, Error> {
    if message.len() > MAX_MESSAGE {
        return Err(Error::Malformed);
    }
    str::from_utf8(message).map_err(|_| Error::Malformed)
}
