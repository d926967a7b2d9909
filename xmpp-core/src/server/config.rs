//! What the embedder sets.

use std::net::IpAddr;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::mailbox::QueueLimits;
use crate::{BareJid, Jid, sasl, xml};

/// Settings of a server. Every field has a default that is safe to run with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The domains that the server is for. The first is the default one.
    pub domains: Vec<Domain>,
    /// What XML a client may send before it has logged in.
    pub xml_before_login: xml::Limits,
    /// What XML a client may send after it has logged in.
    pub xml: xml::Limits,
    /// Bounds of what waits for one session.
    pub session_queue: QueueLimits,
    /// What happens when a resource is bound twice; default [`Conflict::Replace`],
    /// since the older connection of a mobile client is usually a dead one.
    pub conflict: Conflict,
    /// Bytes that everything that waits in the server may hold together: the sessions'
    /// queues, what an inactive client is not told yet, stanzas of which only a part has
    /// come, and what a client has not taken off its connection. Default 1 GiB.
    ///
    /// When they are used up, messages are stored or returned as for a client whose queue is
    /// full, stored ones wait, and a client that sends a stanza that is too long for what is
    /// left loses its stream with `<resource-constraint/>` (RFC 6120 §4.9.3.17), unless what
    /// has come of it is no longer than it might be before login: that much is always taken.
    /// An eighth is kept for the answers that sessions are given even then.
    pub memory: usize,
    /// What one account may take up, where its domain does not say otherwise.
    pub account: AccountLimits,
    /// What the server says it is (XEP-0092, XEP-0115).
    pub software: Software,
    /// Times in the life of a stream.
    pub timeouts: Timeouts,
    /// Failed logins on one stream before it is closed; default 5, the most that
    /// RFC 6120 §6.4.5 recommends: a client of TLS 1.2 may try three mechanisms with a
    /// channel binding that we do not have before it tries one without.
    pub login_attempts: u32,
}

/// What one account may take up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountLimits {
    /// Sessions of one account at a time; default 32: more devices than a person
    /// has, few enough that a fan-out stays small.
    pub resources: usize,
    /// Items in one roster; default 5000.
    pub roster_items: usize,
    /// Bytes of a contact's name, and of the name of one of its groups; default 1023, as
    /// for a part of an address.
    pub roster_name: usize,
    /// Groups of one contact; default 64.
    pub roster_groups: usize,
    /// Unanswered subscription requests of people who are not in the roster; default 100.
    /// Further ones are dropped (RFC 6121 §3.1.3, second security warning).
    pub subscription_requests: usize,
    /// Bytes of a subscription request that is kept; default 8 KiB. Larger ones are dropped.
    pub subscription_request: usize,
    /// Entries in one block list; default 1000.
    pub blocked: usize,
    /// Addresses that one session remembers having sent directed presence to; default 500.
    pub directed_presences: usize,
    /// Messages kept for an account that is away; default 1000.
    pub offline_messages: usize,
    /// Octets of the messages that are kept for an account that is away; default 8 MiB.
    pub offline_octets: usize,
    /// Bytes of private XML of one account; default 256 KiB.
    pub private_xml: usize,
    /// Bytes of one vCard; default 128 KiB: a picture of the usual size fits.
    pub vcard: usize,
}

impl Default for AccountLimits {
    fn default() -> AccountLimits {
        AccountLimits {
            resources: 32,
            roster_items: 5000,
            roster_name: 1023,
            roster_groups: 64,
            subscription_requests: 100,
            subscription_request: 8 << 10,
            blocked: 1000,
            directed_presences: 500,
            offline_messages: 1000,
            offline_octets: 8 << 20,
            private_xml: 256 << 10,
            vcard: 128 << 10,
        }
    }
}

/// One domain of the server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Domain {
    /// Its name.
    pub name: BareJid,
    /// Which mechanisms it offers, and the PBKDF2 rounds of new passwords.
    pub sasl: sasl::Policy,
    /// Whether a client may log in without TLS, whatever the listener says. Default `None`:
    /// as the listener says, which is no (RFC 7590 §3.1) but for
    /// [`Security::OptionalTls`](crate::io::Security::OptionalTls) and
    /// [`Security::Plain`](crate::io::Security::Plain). `Some(true)` means every listener,
    /// also those that require TLS.
    pub plaintext: Option<bool>,
    /// Accounts that may administer it: they may ask when its accounts were last there
    /// (XEP-0012) without a subscription. Nobody can register these names (XEP-0077); who can
    /// log in as one of them is one. People find them only by
    /// [`ServiceContacts`](crate::im::service_contacts::ServiceContacts).
    pub administrators: Vec<BareJid>,
    /// What its accounts may take up; default as [`Config::account`] says.
    pub account: Option<AccountLimits>,
}

impl Domain {
    /// A domain with the defaults. `secret` is described at [`sasl::Secret`].
    pub fn new(name: BareJid, secret: sasl::Secret) -> Domain {
        Domain {
            name,
            sasl: sasl::Policy::new(secret),
            plaintext: None,
            administrators: Vec::new(),
            account: None,
        }
    }
}

/// What happens when a resource is bound that is bound already (RFC 6120 §7.7.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Conflict {
    /// The older session ends with `<conflict/>`.
    #[default]
    Replace,
    /// The newer one gets another resource, made up by the server.
    Rename,
    /// The newer one is refused with `<conflict/>`.
    Refuse,
}

/// What the server says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Software {
    /// Name; default that of this library.
    pub name: String,
    /// Version; default that of this library.
    pub version: String,
    /// The operating system; default not told (XEP-0092 §5).
    pub os: Option<String>,
    /// A URI that names the software and no other, if possible of its page on the web
    /// (XEP-0115 §4); default one that stands for this library.
    pub uri: String,
}

impl Default for Software {
    fn default() -> Software {
        Software {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            os: None,
            uri: "urn:uuid:3d2f8a52-6f0e-4b7c-9c53-1a7be04f2d96".to_owned(),
        }
    }
}

/// Times in the life of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From the connection to the end of the client's first stream header, and before
    /// that, with direct TLS, to the end of the handshake; default 10 s. Who has not said
    /// a word has nothing to think about.
    pub header: Duration,
    /// From the connection to the bound resource; default 60 s.
    pub login: Duration,
    /// Silence of the client after which the server sends a space, so that a dead
    /// connection is noticed (RFC 6120 §4.6.1); default 5 min.
    pub keepalive: Duration,
    /// Silence of the client after which the stream is closed with
    /// `<connection-timeout/>`; default never: RFC 6120 asks no client to speak.
    pub idle: Option<Duration>,
    /// From our `</stream:stream>` to the end of the connection, if the client does
    /// not close its side; default 5 s.
    pub close: Duration,
    /// How long the acknowledgement of a stanza (XEP-0198) waits for its recipient to take
    /// it; then it is stored, or its sender gets an error; default 250 ms.
    pub settle: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            header: Duration::from_secs(10),
            login: Duration::from_secs(60),
            keepalive: Duration::from_secs(5 * 60),
            idle: None,
            close: Duration::from_secs(5),
            settle: Duration::from_millis(250),
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            domains: Vec::new(),
            xml_before_login: xml::Limits::before_login(),
            xml: xml::Limits::default(),
            session_queue: QueueLimits::default(),
            conflict: Conflict::default(),
            memory: 1 << 30,
            account: AccountLimits::default(),
            software: Software::default(),
            timeouts: Timeouts::default(),
            login_attempts: 5,
        }
    }
}

impl Config {
    /// The settings of a domain, if it is one of ours.
    pub fn domain(&self, name: &str) -> Option<&Domain> {
        self.domains
            .iter()
            .find(|domain| domain.name.as_str() == name)
    }

    /// Whether this is an administrator of a domain of ours.
    pub fn is_administrator(&self, who: &Jid, domain: &str) -> bool {
        self.domain(domain).is_some_and(|domain| {
            let mut all = domain.administrators.iter();
            all.any(|administrator| administrator.as_str() == who.bare_str())
        })
    }

    /// What this account may take up.
    pub fn account(&self, jid: &BareJid) -> &AccountLimits {
        self.domain(jid.domain())
            .and_then(|domain| domain.account.as_ref())
            .unwrap_or(&self.account)
    }
}

/// A source of random bytes.
pub trait Random: Send + Sync + 'static {
    /// Fills the slice.
    fn fill(&self, bytes: &mut [u8]);
}

/// What one subscriber of a network has: an IPv4 address, or an IPv6 network of 64 bits.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 => v4,
    }
}

/// Runs futures beside what is going on.
pub trait Spawn: Send + Sync + 'static {
    /// Runs `task` to its end.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs work that takes a thread for milliseconds where it keeps nobody waiting. By
    /// default it is done at once, which is right in a simulation.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_can_have_limits_of_its_own() {
        let domain = |name: &str| Domain::new(name.parse().unwrap(), [0; 32].into());
        let mut config = Config {
            domains: vec![domain("a.example"), domain("b.example")],
            ..Config::default()
        };
        config.account.vcard = 1;
        config.domains[1].account = Some(AccountLimits {
            vcard: 2,
            ..AccountLimits::default()
        });
        let vcard = |jid: &str| config.account(&jid.parse().unwrap()).vcard;
        assert_eq!(vcard("juliet@a.example"), 1);
        assert_eq!(vcard("juliet@b.example"), 2);
        assert_eq!(vcard("juliet@elsewhere.example"), 1);
    }
}
