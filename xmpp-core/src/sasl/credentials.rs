//! What a server keeps of a password, and what it makes up for accounts that do not exist.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::hash::{Hash, Output};
use crate::jid::{BareJid, PasswordError, prepare_password};

/// What the server stores for a password: never the password, and nothing it could log in with elsewhere.
///
/// At most one entry for each hash. A store keeps the fields of each [`Keys`] and hands them back through
/// [`Keys::new`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials(Vec<Keys>);

impl Credentials {
    /// Derives keys for every hash from a password, each with its own salt.
    ///
    /// Costs one PBKDF2 of `iterations` rounds per hash (milliseconds at [`DEFAULT_ITERATIONS`]): not for a thread
    /// that serves connections. The password is prepared with the OpaqueString profile (RFC 8265 §4).
    ///
    /// # Errors
    /// [`DeriveError`] for a password that the profile refuses or for too few or too many rounds.
    pub fn derive(
        password: &str,
        iterations: u32,
        mut salt: impl FnMut() -> [u8; SALT_LEN],
    ) -> Result<Self, DeriveError> {
        Hash::ALL
            .into_iter()
            .map(|hash| Keys::derive(hash, password, iterations, &salt()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The keys for one hash.
    pub fn keys(&self, hash: Hash) -> Option<&Keys> {
        self.0.iter().find(|keys| keys.hash == hash)
    }

    /// All keys, at most one for each hash.
    pub fn iter(&self) -> impl Iterator<Item = &Keys> {
        self.0.iter()
    }

    /// Whether this is the password. Constant in time but for the number of rounds, and as costly as one PBKDF2.
    ///
    /// One hash is tried: SHA-256, the cheapest for us, or else what there is. It makes no difference to
    /// a thief, who attacks the weakest that is stored.
    pub fn verify(&self, password: &str) -> bool {
        [Hash::Sha256, Hash::Sha512, Hash::Sha1]
            .into_iter()
            .find_map(|hash| self.keys(hash))
            .is_some_and(|keys| keys.verify(password))
    }

    /// What an account that does not exist seems to have; see [`Keys::decoy`].
    fn decoy(account: &BareJid, policy: &Decoys) -> Self {
        Self(
            Hash::ALL
                .into_iter()
                .map(|hash| Keys::decoy(hash, account, policy))
                .collect(),
        )
    }
}

impl FromIterator<Keys> for Credentials {
    /// Of two entries for one hash the later counts.
    fn from_iter<I: IntoIterator<Item = Keys>>(all: I) -> Self {
        let mut credentials = Self::default();
        for keys in all {
            credentials.0.retain(|other| other.hash != keys.hash);
            credentials.0.push(keys);
        }
        credentials
    }
}

/// The salted keys of one hash (RFC 5802 §3): enough to check a login, not enough to make one.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    hash: Hash,
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Zeroizing<Vec<u8>>,
    server_key: Zeroizing<Vec<u8>>,
}

impl Keys {
    /// Takes keys back from a store.
    ///
    /// # Errors
    /// [`InvalidKeys`] for an empty salt, no rounds, or a key that has not the length of the hash.
    pub fn new(
        hash: Hash,
        salt: Vec<u8>,
        iterations: u32,
        stored_key: Vec<u8>,
        server_key: Vec<u8>,
    ) -> Result<Self, InvalidKeys> {
        let keys = Self {
            hash,
            salt,
            iterations,
            stored_key: Zeroizing::new(stored_key),
            server_key: Zeroizing::new(server_key),
        };
        let sound = !keys.salt.is_empty()
            && keys.salt.len() <= MAX_SALT
            && (1..=MAX_ITERATIONS).contains(&keys.iterations)
            && keys.stored_key.len() == hash.len()
            && keys.server_key.len() == hash.len();
        if sound { Ok(keys) } else { Err(InvalidKeys) }
    }

    /// Derives the keys of one hash from a password.
    ///
    /// # Errors
    /// As [`Credentials::derive`].
    pub fn derive(
        hash: Hash,
        password: &str,
        iterations: u32,
        salt: &[u8],
    ) -> Result<Self, DeriveError> {
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(DeriveError::Iterations);
        }
        let salted = SaltedPassword::new(hash, password, salt, iterations)?;
        Self::new(
            hash,
            salt.to_vec(),
            iterations,
            salted.stored_key().to_vec(),
            salted.server_key().to_vec(),
        )
        .map_err(|InvalidKeys| DeriveError::Salt)
    }

    /// The hash these keys are for.
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The salt.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The number of PBKDF2 rounds.
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// `StoredKey`, [`Hash::len`] bytes.
    pub fn stored_key(&self) -> &[u8] {
        &self.stored_key
    }

    /// `ServerKey`, [`Hash::len`] bytes.
    pub fn server_key(&self) -> &[u8] {
        &self.server_key
    }

    fn verify(&self, password: &str) -> bool {
        // A password that no account can have is checked like any other, so that it takes as long.
        let (prepared, allowed) = match prepare_password(password) {
            Ok(prepared) => (prepared.into_owned(), Choice::from(1)),
            Err(_) => (password.to_owned(), Choice::from(0)),
        };
        let prepared = Zeroizing::new(prepared);
        let salted = SaltedPassword::stretch(self.hash, &prepared, &self.salt, self.iterations);
        (salted.stored_key().ct_eq(&self.stored_key) & allowed).into()
    }

    /// Keys for an account that does not exist or has none for this hash. RFC 5802 §9 wants nothing to tell it from
    /// one that does, so the salt stays the same from one attempt to the next. No password fits: `StoredKey` is the hash
    /// of nothing that anybody could find.
    pub(super) fn decoy(hash: Hash, account: &BareJid, policy: &Decoys) -> Self {
        let make = |of: Hash, what: &str| {
            let text = format!("{what}\0{}\0{account}", hash.name());
            of.hmac(&policy.secret.0[..], text.as_bytes())
        };
        Self {
            hash,
            salt: make(Hash::Sha256, "salt")[..SALT_LEN].to_vec(),
            iterations: policy.iterations,
            stored_key: make(hash, "stored key"),
            server_key: make(hash, "server key"),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// A password of a PLAIN login waiting to be checked. [`run`](Self::run) takes milliseconds of CPU, so the driver runs
/// it on a thread for blocking work and bounds how many run at once.
#[derive(Clone)]
pub struct PasswordCheck {
    account: BareJid,
    password: Zeroizing<String>,
    credentials: Credentials,
}

impl PasswordCheck {
    /// Credentials of `None` make a check that costs the same and always says no.
    pub(super) fn new(
        account: BareJid,
        password: Zeroizing<String>,
        credentials: Option<Credentials>,
        policy: &Decoys,
    ) -> Self {
        let decoy = Credentials::decoy(&account, policy);
        let credentials = credentials.filter(|found| !found.0.is_empty());
        Self {
            account,
            password,
            credentials: credentials.unwrap_or(decoy),
        }
    }

    /// Whether the password is right.
    pub fn run(&self) -> bool {
        self.credentials.verify(&self.password)
    }

    /// Whose password it should be.
    pub fn account(&self) -> &BareJid {
        &self.account
    }

    /// The password as the client sent it, for a driver that asks another authority instead of [`run`](Self::run).
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for PasswordCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordCheck")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// `SaltedPassword` of RFC 5802 §3, from which all keys come.
pub(super) struct SaltedPassword {
    hash: Hash,
    key: Output,
}

impl SaltedPassword {
    pub(super) fn new(
        hash: Hash,
        password: &str,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self, DeriveError> {
        let prepared = Zeroizing::new(prepare_password(password)?.into_owned());
        Ok(Self::stretch(hash, &prepared, salt, iterations))
    }

    fn stretch(hash: Hash, prepared: &str, salt: &[u8], iterations: u32) -> Self {
        let key = hash.stretch(prepared.as_bytes(), salt, iterations);
        Self { hash, key }
    }

    pub(super) fn client_key(&self) -> Output {
        self.hash.hmac(&self.key, b"Client Key")
    }

    pub(super) fn stored_key(&self) -> Output {
        self.hash.digest(&self.client_key())
    }

    pub(super) fn server_key(&self) -> Output {
        self.hash.hmac(&self.key, b"Server Key")
    }
}

/// How accounts that do not exist are made up.
#[derive(Clone, Debug)]
pub(super) struct Decoys {
    pub(super) secret: Secret,
    pub(super) iterations: u32,
}

/// A random key that stays the same for the life of a server, and on all nodes of one domain.
///
/// The salts of accounts that do not exist are made from it: who knows it can tell which accounts exist.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl From<[u8; 32]> for Secret {
    fn from(random: [u8; 32]) -> Self {
        Self(Zeroizing::new(random))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Keys from a store cannot be what was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the salt, rounds and keys of a password")]
pub struct InvalidKeys;

/// No keys can be derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeriveError {
    /// Nobody can have this password.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// Fewer rounds than [`MIN_ITERATIONS`] or more than [`MAX_ITERATIONS`].
    #[error("the number of rounds is not between {MIN_ITERATIONS} and {MAX_ITERATIONS}")]
    Iterations,
    /// The salt is empty or longer than [`MAX_SALT`] bytes.
    #[error("the salt is not of 1 to {MAX_SALT} bytes")]
    Salt,
}

/// Bytes of salt that we make.
pub const SALT_LEN: usize = 16;

/// Most bytes of salt that we take.
pub const MAX_SALT: usize = 256;

/// Fewest PBKDF2 rounds for new keys (RFC 5802 §5.1, RFC 7677 §4).
pub const MIN_ITERATIONS: u32 = 4096;

/// PBKDF2 rounds for new keys unless the operator says otherwise: about a millisecond for one PLAIN login.
pub const DEFAULT_ITERATIONS: u32 = 10_000;

/// Most PBKDF2 rounds that we ever run: seconds of CPU. A server must not be able to hang its clients with more.
pub const MAX_ITERATIONS: u32 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::hash::count;

    fn derive(password: &str) -> Credentials {
        let mut next = 0;
        Credentials::derive(password, MIN_ITERATIONS, || {
            next += 1;
            [next; SALT_LEN]
        })
        .unwrap()
    }

    fn decoys() -> Decoys {
        Decoys {
            secret: Secret::from([7; 32]),
            iterations: MIN_ITERATIONS,
        }
    }

    #[test]
    fn only_the_right_password_verifies_with_whatever_hash_is_stored() {
        let all = derive("r0m30myr0m30");
        assert_eq!(all.iter().count(), 3);
        for hash in Hash::ALL {
            let one: Credentials = all.keys(hash).cloned().into_iter().collect();
            assert!(one.verify("r0m30myr0m30"), "{hash:?}");
            for wrong in [
                "",
                "r0m30myr0m3",
                "r0m30myr0m300",
                "R0m30myr0m30",
                "r0m30myr0m30\0",
            ] {
                assert!(!one.verify(wrong), "{hash:?} {wrong:?}");
            }
        }
        assert!(!Credentials::default().verify("r0m30myr0m30"));
    }

    #[test]
    fn passwords_are_prepared_as_opaque_strings() {
        // RFC 8265 §4.2.2: other spaces become U+0020, and the string is composed (NFC).
        let stored = derive("caf\u{e9} noir");
        assert!(stored.verify("cafe\u{301}\u{a0}noir"));
        assert!(!stored.verify("cafe noir"));
        let refused = |password| Credentials::derive(password, MIN_ITERATIONS, || [0; SALT_LEN]);
        assert_eq!(
            refused(""),
            Err(DeriveError::Password(PasswordError::Empty))
        );
        assert_eq!(
            refused("a\u{7}"),
            Err(DeriveError::Password(PasswordError::Disallowed))
        );
    }

    #[test]
    fn a_password_that_nobody_can_have_costs_as_much_as_any_other() {
        let stored = derive("r0m30myr0m30");
        count::take();
        assert!(!stored.verify("wrong"));
        let work = count::take();
        assert_eq!(work[&(Hash::Sha256, "round")], MIN_ITERATIONS);
        assert!(!stored.verify("\u{7}"));
        assert_eq!(count::take(), work);
    }

    #[test]
    fn rounds_and_salt_have_bounds() {
        let derive =
            |iterations, salt: &[u8]| Keys::derive(Hash::Sha1, "a", iterations, salt).err();
        assert_eq!(
            derive(MIN_ITERATIONS - 1, b"salt"),
            Some(DeriveError::Iterations)
        );
        assert_eq!(
            derive(MAX_ITERATIONS + 1, b"salt"),
            Some(DeriveError::Iterations)
        );
        assert_eq!(derive(MIN_ITERATIONS, b""), Some(DeriveError::Salt));
        assert_eq!(
            derive(MIN_ITERATIONS, &[0; MAX_SALT + 1]),
            Some(DeriveError::Salt)
        );
        assert_eq!(derive(MIN_ITERATIONS, &[0; MAX_SALT]), None);
    }

    #[test]
    fn a_store_gives_back_what_it_was_given_and_nothing_else_passes() {
        let keys = derive("r0m30myr0m30").keys(Hash::Sha1).unwrap().clone();
        let back = |salt: &[u8], iterations, stored: &[u8], server: &[u8]| {
            Keys::new(
                Hash::Sha1,
                salt.to_vec(),
                iterations,
                stored.to_vec(),
                server.to_vec(),
            )
        };
        let (stored, server) = (keys.stored_key(), keys.server_key());
        assert_eq!(
            back(keys.salt(), keys.iterations(), stored, server),
            Ok(keys.clone())
        );
        assert_eq!(back(b"", 4096, stored, server), Err(InvalidKeys));
        assert_eq!(
            back(&[0; MAX_SALT + 1], 4096, stored, server),
            Err(InvalidKeys)
        );
        assert_eq!(back(b"salt", 0, stored, server), Err(InvalidKeys));
        assert_eq!(
            back(b"salt", MAX_ITERATIONS + 1, stored, server),
            Err(InvalidKeys)
        );
        assert_eq!(back(b"salt", 4096, &stored[1..], server), Err(InvalidKeys));
        assert_eq!(back(b"salt", 4096, stored, &[]), Err(InvalidKeys));
    }

    #[test]
    fn of_two_entries_for_one_hash_the_later_counts() {
        let (old, new) = (derive("old"), derive("new"));
        let both: Credentials = old.iter().chain(new.iter()).cloned().collect();
        assert_eq!(both, new);
    }

    #[test]
    fn a_decoy_looks_like_keys_and_differs_by_account_hash_and_secret() {
        let juliet = "juliet@example.com".parse().unwrap();
        let elsewhere = "juliet@example.net".parse().unwrap();
        let other = Decoys {
            secret: Secret::from([8; 32]),
            ..decoys()
        };
        let decoy = Keys::decoy(Hash::Sha1, &juliet, &decoys());
        assert_eq!(decoy, Keys::decoy(Hash::Sha1, &juliet, &decoys()));
        assert_eq!(
            (decoy.salt().len(), decoy.iterations()),
            (SALT_LEN, MIN_ITERATIONS)
        );
        for different in [
            Keys::decoy(Hash::Sha256, &juliet, &decoys()),
            Keys::decoy(Hash::Sha1, &elsewhere, &decoys()),
            Keys::decoy(Hash::Sha1, &juliet, &other),
        ] {
            assert_ne!(different.salt(), decoy.salt());
            assert_ne!(different.stored_key(), decoy.stored_key());
        }
        for hash in Hash::ALL {
            let Keys {
                salt,
                iterations,
                stored_key,
                server_key,
                ..
            } = Keys::decoy(hash, &juliet, &decoys());
            assert_ne!(stored_key, server_key);
            assert!(
                Keys::new(
                    hash,
                    salt,
                    iterations,
                    stored_key.to_vec(),
                    server_key.to_vec()
                )
                .is_ok()
            );
        }
    }

    #[test]
    fn nothing_secret_is_in_a_debug_text() {
        let stored = derive("r0m30myr0m30");
        let account = "juliet@example.com".parse().unwrap();
        let password = Zeroizing::new("r0m30myr0m30".to_owned());
        let check = PasswordCheck::new(account, password, Some(stored.clone()), &decoys());
        let keys = stored.keys(Hash::Sha1).unwrap();
        assert_eq!(
            format!("{keys:?}"),
            "Keys { hash: Sha1, iterations: 4096, .. }"
        );
        let text = format!("{check:?}");
        assert!(
            text.contains("juliet@example.com") && !text.contains("r0m30"),
            "{text}"
        );
        let text = format!("{:?}", decoys());
        assert!(text.contains("4096") && !text.contains('7'), "{text}");
    }
}
