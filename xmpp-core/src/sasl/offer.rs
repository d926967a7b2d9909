//! Which mechanisms a connection is offered.

use std::sync::Arc;

use super::binding::ChannelBinding;
use super::credentials::{DEFAULT_ITERATIONS, Decoys, Secret};
use super::failure::{Condition, Failure};
use super::mechanism::Mechanism;
use crate::jid::{BareJid, Jid};

/// What the operator allows; one for each domain.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// The mechanisms that may be offered, in the order in which they are. Default: [`Mechanism::ALL`] but ANONYMOUS.
    pub mechanisms: Vec<Mechanism>,
    /// Offer PLAIN on connections without TLS. Default: no, since the password would be there for all to read.
    pub plain_without_tls: bool,
    /// The PBKDF2 rounds that accounts which do not exist seem to have. Default: [`DEFAULT_ITERATIONS`]. Set it to what
    /// new accounts get, so that a stranger cannot tell the one from the other.
    pub iterations: u32,
    /// Makes the salts of accounts that do not exist.
    pub secret: Secret,
}

impl Policy {
    /// The default policy with this secret.
    pub fn new(secret: Secret) -> Self {
        let mut mechanisms = Mechanism::ALL.to_vec();
        mechanisms.retain(|mechanism| *mechanism != Mechanism::Anonymous);
        Self {
            mechanisms,
            plain_without_tls: false,
            iterations: DEFAULT_ITERATIONS,
            secret,
        }
    }
}

/// What the TLS layer says of a connection.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Channel {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The channel bindings it has, the strongest first, at most one of each type.
    pub bindings: Vec<ChannelBinding>,
    /// Whom the peer's certificate names, the certificate having been verified: for a client the `xmppAddr` entries
    /// (XEP-0178 §2), for a server its domains (§3). Empty without a certificate or when it was not trusted.
    pub identities: Vec<BareJid>,
}

/// The mechanisms of one connection, and all that an exchange needs to know of it.
#[derive(Clone, Debug)]
pub struct Offer {
    domain: String,
    mechanisms: Vec<Mechanism>,
    plain_needs_tls: bool,
    bindings: Vec<ChannelBinding>,
    identities: Vec<BareJid>,
    decoys: Decoys,
}

impl Offer {
    /// What a client of this domain is offered.
    ///
    /// PLAIN only under TLS unless the policy says otherwise, `-PLUS` only with a channel binding, EXTERNAL only with
    /// a certificate that names an account of this domain.
    pub fn to_client(policy: &Policy, domain: &BareJid, channel: &Channel) -> Arc<Self> {
        let ours = |jid: &BareJid| jid.local().is_some() && jid.domain() == domain.domain();
        Self::new(policy, domain, channel, ours, |_| true)
    }

    /// What another server is offered: EXTERNAL, if its certificate names a domain (RFC 6120 §13.8.2, XEP-0178 §3).
    pub fn to_server(policy: &Policy, domain: &BareJid, channel: &Channel) -> Arc<Self> {
        let server = |jid: &BareJid| jid.local().is_none();
        let external = |mechanism| mechanism == Mechanism::External;
        Self::new(policy, domain, channel, server, external)
    }

    fn new(
        policy: &Policy,
        domain: &BareJid,
        channel: &Channel,
        counts: impl Fn(&BareJid) -> bool,
        suitable: impl Fn(Mechanism) -> bool,
    ) -> Arc<Self> {
        let mut identities: Vec<BareJid> = Vec::new();
        for jid in channel.identities.iter().filter(|jid| counts(jid)) {
            if !identities.contains(jid) {
                identities.push(jid.clone());
            }
        }
        let plain = channel.tls || policy.plain_without_tls;
        let mut mechanisms = policy.mechanisms.clone();
        mechanisms.retain(|mechanism| {
            suitable(*mechanism)
                && match mechanism {
                    Mechanism::Plain => plain,
                    Mechanism::External => !identities.is_empty(),
                    other => !other.is_plus() || !channel.bindings.is_empty(),
                }
        });
        Arc::new(Self {
            domain: domain.domain().to_owned(),
            mechanisms,
            plain_needs_tls: policy.mechanisms.contains(&Mechanism::Plain) && !plain,
            bindings: channel.bindings.clone(),
            identities,
            decoys: Decoys {
                secret: policy.secret.clone(),
                iterations: policy.iterations,
            },
        })
    }

    /// The mechanisms for `<mechanisms/>` (RFC 6120 §6.4.1), the preferred first.
    pub fn mechanisms(&self) -> &[Mechanism] {
        &self.mechanisms
    }

    /// The channel-binding types for `<sasl-channel-binding/>` (XEP-0440 §2): none when no `-PLUS` is offered.
    pub fn binding_names(&self) -> impl Iterator<Item = &'static str> {
        let bound = self.binds();
        self.bindings
            .iter()
            .filter(move |_| bound)
            .map(ChannelBinding::name)
    }

    /// Whether any mechanism with channel binding is offered.
    pub(super) fn binds(&self) -> bool {
        self.mechanisms.iter().any(|mechanism| mechanism.is_plus())
    }

    /// The mechanism a client picked, if it was offered.
    pub(super) fn pick(&self, name: &str) -> Result<Mechanism, Failure> {
        let picked = name.parse().map_err(|_| Condition::InvalidMechanism)?;
        if self.mechanisms.contains(&picked) {
            return Ok(picked);
        }
        if picked == Mechanism::Plain && self.plain_needs_tls {
            return Err(Condition::EncryptionRequired.into());
        }
        Err(Condition::InvalidMechanism.into())
    }

    pub(super) fn binding(&self, name: &str) -> Option<&ChannelBinding> {
        self.bindings.iter().find(|binding| binding.name() == name)
    }

    pub(super) fn identities(&self) -> &[BareJid] {
        &self.identities
    }

    pub(super) fn decoys(&self) -> &Decoys {
        &self.decoys
    }

    /// The account that a user name and an authorization identity stand for.
    ///
    /// RFC 6120 §6.3.8: without an authorization identity it is the user name at this domain. Nobody may act for somebody
    /// else here.
    pub(super) fn account(&self, username: &str, authzid: &str) -> Result<BareJid, Failure> {
        let account = Jid::from_parts(Some(username), &self.domain, None)
            .map_err(|_| Failure::from(Condition::NotAuthorized))?
            .to_bare();
        if authzid.is_empty() || authzid.parse::<BareJid>().is_ok_and(|jid| jid == account) {
            Ok(account)
        } else {
            Err(Condition::InvalidAuthzid.into())
        }
    }
}
