//! PLAIN (RFC 4616): the password itself.

use zeroize::Zeroizing;

use super::credentials::{Credentials, PasswordCheck};
use super::failure::{Condition, Failure};
use super::offer::Offer;
use super::{Ask, Next, State, Step};
use crate::jid::BareJid;

/// What a client says of itself, before anybody checked it.
pub(super) struct Claim {
    account: BareJid,
    password: Zeroizing<String>,
}

impl Claim {
    /// The account's credentials are here, or it has none.
    pub(super) fn check(self, found: Option<Credentials>, offer: &Offer) -> (State, Step) {
        let state = State::PlainCheck(self.account.clone());
        let check = PasswordCheck::new(self.account, self.password, found, offer.decoys());
        (state, Step::Ask(Ask::Password(check)))
    }
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Claim({})", self.account)
    }
}

/// The only message of the client.
pub(super) fn begin(message: &str, offer: &Offer) -> Next {
    let [authzid, username, password] = split(message)?;
    let claim = Claim {
        account: offer.account(username, authzid)?,
        password: Zeroizing::new(password.to_owned()),
    };
    let ask = Ask::Credentials(claim.account.clone());
    Ok((State::Plain(claim), Step::Ask(ask)))
}

/// RFC 4616 §2: `message = [authzid] UTF8NUL authcid UTF8NUL passwd`, the latter two not empty and none with a NUL.
fn split(message: &str) -> Result<[&str; 3], Failure> {
    let mut parts = message.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(authzid), Some(username), Some(password), None)
            if !username.is_empty() && !password.is_empty() =>
        {
            Ok([authzid, username, password])
        }
        _ => Err(Condition::MalformedRequest.into()),
    }
}
