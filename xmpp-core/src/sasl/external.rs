//! EXTERNAL (RFC 4422 Appendix A) with a TLS certificate, as XEP-0178 has it.

use super::failure::{Condition, Failure};
use super::offer::Offer;
use super::{Ask, Identity, Next, State, Step, success};
use crate::jid::BareJid;

/// The only message of the client: an authorization identity, or nothing.
pub(super) fn begin(authzid: &str, offer: &Offer) -> Next {
    let jid = choose(authzid, offer.identities())?.clone();
    if jid.local().is_none() {
        return Ok(success(Identity::Jid(jid), None));
    }
    let ask = Ask::Account(jid.clone());
    Ok((State::External(jid), Step::Ask(ask)))
}

fn choose<'a>(authzid: &str, identities: &'a [BareJid]) -> Result<&'a BareJid, Failure> {
    let invalid = || Failure::from(Condition::InvalidAuthzid);
    if !authzid.is_empty() {
        let asked: BareJid = authzid.parse().map_err(|_| invalid())?;
        return identities
            .iter()
            .find(|jid| **jid == asked)
            .ok_or_else(invalid);
    }
    match identities {
        [] => Err(Condition::NotAuthorized.into()),
        [only] => Ok(only),
        // XEP-0178 §2: "If no authorization identity is included, then the server SHOULD return a SASL failure case of
        // <invalid-authzid/>".
        _ => Err(invalid()),
    }
}
