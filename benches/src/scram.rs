//! SCRAM (RFC 5802, RFC 7677): the client's side, and the keys a server stores.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// The hash a mechanism is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SCRAM-SHA-1.
    Sha1,
    /// SCRAM-SHA-256.
    Sha256,
}

/// What a password becomes, once for a salt and a number of rounds (RFC 5802 §3).
#[derive(Debug, Clone)]
pub struct Keys {
    client: Vec<u8>,
    /// H(ClientKey).
    pub stored: Vec<u8>,
    /// HMAC(SaltedPassword, "Server Key").
    pub server: Vec<u8>,
}

/// Derived keys by salt and rounds, as RFC 5802 §5.1 lets a client keep them: the generator must not spend its time in PBKDF2.
#[derive(Debug, Clone, Default)]
pub struct Cache(Arc<Mutex<HashMap<Derivation, Keys>>>);

type Derivation = (Hash, Vec<u8>, Vec<u8>, u32);

/// Keys kept at most; a bench that gives every account its own salt stays below it.
const MAX_CACHED: usize = 100_000;
/// Rounds a server may ask for: a typing error in its configuration should fail, not hang.
const MAX_ROUNDS: u32 = 10_000_000;

/// One exchange, between the client's first and its last message.
#[derive(Debug)]
pub struct Exchange {
    hash: Hash,
    password: String,
    nonce: String,
    first_bare: String,
}

/// The client's last message and the signature the server must answer with.
#[derive(Debug)]
pub struct Final {
    /// What to send.
    pub message: String,
    signature: Vec<u8>,
}

impl Exchange {
    /// Begins an exchange; `nonce` is printable ASCII without a comma, fresh for each.
    pub fn new(hash: Hash, user: &str, password: &str, nonce: String) -> Exchange {
        let first_bare = format!(
            "n={},r={nonce}",
            user.replace('=', "=3D").replace(',', "=2C")
        );
        Exchange {
            hash,
            password: password.to_owned(),
            nonce,
            first_bare,
        }
    }

    /// The client's first message, without channel binding.
    pub fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// Answers the server's first message; `None` if it breaks RFC 5802.
    pub fn answer(self, server_first: &str, cache: &Cache) -> Option<Final> {
        let nonce = field(server_first, 'r')?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return None;
        }
        let salt = BASE64.decode(field(server_first, 's')?).ok()?;
        let rounds = field(server_first, 'i')?.parse().ok()?;
        if rounds == 0 || rounds > MAX_ROUNDS {
            return None;
        }
        let keys = cache.keys(self.hash, self.password.as_bytes(), &salt, rounds);
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{server_first},{without_proof}", self.first_bare);
        let mut proof = self.hash.hmac(&keys.stored, signed.as_bytes());
        proof
            .iter_mut()
            .zip(&keys.client)
            .for_each(|(p, c)| *p ^= c);
        Some(Final {
            message: format!("{without_proof},p={}", BASE64.encode(proof)),
            signature: self.hash.hmac(&keys.server, signed.as_bytes()),
        })
    }
}

impl Final {
    /// Whether the server proved that it knows the account (RFC 5802 §3: the client MUST check).
    pub fn verify(&self, server_final: &str) -> bool {
        field(server_final, 'v')
            .and_then(|v| BASE64.decode(v).ok())
            .as_ref()
            == Some(&self.signature)
    }
}

impl Cache {
    fn keys(&self, hash: Hash, password: &[u8], salt: &[u8], rounds: u32) -> Keys {
        let derivation = (hash, password.to_vec(), salt.to_vec(), rounds);
        let mut known = self
            .0
            .lock()
            .expect("nothing panics while it holds the cache");
        if let Some(keys) = known.get(&derivation) {
            return keys.clone();
        }
        let keys = Keys::derive(hash, password, salt, rounds);
        if known.len() < MAX_CACHED {
            known.insert(derivation, keys.clone());
        }
        keys
    }
}

impl Keys {
    /// Derives the keys: `rounds` HMACs of work.
    pub fn derive(hash: Hash, password: &[u8], salt: &[u8], rounds: u32) -> Keys {
        let salted = hash.salted(password, salt, rounds);
        let client = hash.hmac(&salted, b"Client Key");
        Keys {
            stored: hash.digest(&client),
            server: hash.hmac(&salted, b"Server Key"),
            client,
        }
    }
}

impl Hash {
    fn salted(self, password: &[u8], salt: &[u8], rounds: u32) -> Vec<u8> {
        let mut out = vec![0; self.size()];
        match self {
            Hash::Sha1 => pbkdf2::pbkdf2::<Hmac<Sha1>>(password, salt, rounds, &mut out),
            Hash::Sha256 => pbkdf2::pbkdf2::<Hmac<Sha256>>(password, salt, rounds, &mut out),
        }
        .expect("HMAC takes a key of any length");
        out
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        fn with<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
            <M as KeyInit>::new_from_slice(key)
                .expect("HMAC takes a key of any length")
                .chain_update(data)
                .finalize()
                .into_bytes()
                .to_vec()
        }
        match self {
            Hash::Sha1 => with::<Hmac<Sha1>>(key, data),
            Hash::Sha256 => with::<Hmac<Sha256>>(key, data),
        }
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha1 => Sha1::digest(data).to_vec(),
            Hash::Sha256 => Sha256::digest(data).to_vec(),
        }
    }

    fn size(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
        }
    }
}

/// The value of `key=` in a comma-separated message.
fn field(message: &str, key: char) -> Option<&str> {
    message
        .split(',')
        .find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(hash: Hash, nonce: &str, server_first: &str) -> Option<Final> {
        Exchange::new(hash, "user", "pencil", nonce.to_owned())
            .answer(server_first, &Cache::default())
    }

    #[test]
    fn the_example_of_rfc_5802_section_5_is_reproduced() {
        let last = replay(
            Hash::Sha1,
            "fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        )
        .unwrap();
        assert_eq!(
            last.message,
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
        );
        assert!(last.verify("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="));
        assert!(!last.verify("v=rmF9pqV8S7suAoZWja4dJRkFsKR="));
    }

    #[test]
    fn the_example_of_rfc_7677_section_3_is_reproduced() {
        let last = replay(
            Hash::Sha256,
            "rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        )
        .unwrap();
        assert!(
            last.message
                .ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
        );
        assert!(last.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    }

    #[test]
    fn a_nonce_that_is_not_ours_is_refused() {
        assert!(replay(Hash::Sha1, "mine", "r=yours,s=QSXCR+Q6sek8bf92,i=1").is_none());
        assert!(replay(Hash::Sha1, "mine", "r=mine,s=QSXCR+Q6sek8bf92,i=1").is_none());
    }
}
