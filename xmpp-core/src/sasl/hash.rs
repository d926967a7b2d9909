//! The hash functions of the SCRAM family behind one value, since a mechanism is chosen at run time.

use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Hash {
    /// SHA-1 (RFC 5802).
    Sha1,
    /// SHA-256 (RFC 7677).
    Sha256,
    /// SHA-512.
    Sha512,
}

/// What a hash returns here; most of it is secret, so all of it is wiped.
pub(super) type Output = Zeroizing<Vec<u8>>;

impl Hash {
    /// Every hash, the shortest first.
    pub const ALL: [Self; 3] = [Self::Sha1, Self::Sha256, Self::Sha512];

    /// The name that a mechanism has after `SCRAM-`, useful as a column or key in a store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
        }
    }

    /// The length of an output in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a hash is not a collection")]
    pub const fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// `H(str)` of RFC 5802 §2.2.
    pub(super) fn digest(self, text: &[u8]) -> Output {
        #[cfg(test)]
        count::add(self, "H");
        Zeroizing::new(match self {
            Self::Sha1 => Sha1::digest(text).to_vec(),
            Self::Sha256 => Sha256::digest(text).to_vec(),
            Self::Sha512 => Sha512::digest(text).to_vec(),
        })
    }

    /// `HMAC(key, str)` of RFC 5802 §2.2.
    pub(super) fn hmac(self, key: &[u8], text: &[u8]) -> Output {
        #[cfg(test)]
        count::add(self, "HMAC");
        match self {
            Self::Sha1 => mac::<Hmac<Sha1>>(key, text),
            Self::Sha256 => mac::<Hmac<Sha256>>(key, text),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, text),
        }
    }

    /// `Hi(str, salt, i)` of RFC 5802 §2.2: PBKDF2 with one block of output.
    pub(super) fn stretch(self, password: &[u8], salt: &[u8], iterations: u32) -> Output {
        #[cfg(test)]
        (0..iterations).for_each(|_| count::add(self, "round"));
        let mut output = Zeroizing::new(vec![0; self.len()]);
        match self {
            Self::Sha1 => pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut output),
            Self::Sha256 => pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut output),
            Self::Sha512 => pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut output),
        }
        output
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Output {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

/// Counts operations, so that tests can hold the work for one account against that for another.
#[cfg(test)]
pub(super) mod count {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::Hash;

    pub(crate) type Work = BTreeMap<(Hash, &'static str), u32>;

    thread_local!(static WORK: RefCell<Work> = const { RefCell::new(Work::new()) });

    pub(super) fn add(hash: Hash, operation: &'static str) {
        WORK.with_borrow_mut(|work| *work.entry((hash, operation)).or_default() += 1);
    }

    /// What was done on this thread since the last time.
    pub(crate) fn take() -> Work {
        WORK.take()
    }
}
