//! What is known of an account, subject by subject, with its writers and its removals: the bytes of a [`Record`](xmpp_core::store::Record).

use std::collections::BTreeSet;

use prost::Message;
use xmpp_core::sasl::{Credentials, Hash, Keys};
use xmpp_core::store::{Ask, RosterItem, Subscription};
use xmpp_core::{BareJid, Jid};

use crate::clock::Stamp;
use crate::heal::wire::{WireDenial, WireFlag, WireStamp, WireText, stamp};
use crate::heal::{self, Guarded, Merge, NotARecord, Register, Requests};

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// That the account exists, and its keys.
    Account,
    Contact(BareJid),
    Blocked(Jid),
    VCard,
    /// An element of private XML, by name and namespace.
    Private(String, String),
}

/// What is known of a subject.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    /// The last deletion of the account that whoever wrote this knew of.
    pub epoch: Option<Stamp>,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Account(Guarded<Register<Credentials>>),
    Contact(Box<Guarded<heal::RosterItem>>),
    /// A block is the denial.
    Blocked(Guarded<Register<()>>),
    Text(Register<Option<String>>),
}

impl Subject {
    pub(super) fn key(&self) -> String {
        match self {
            Subject::Account => "account".into(),
            Subject::Contact(jid) => format!("contact/{jid}"),
            Subject::Blocked(jid) => format!("blocked/{jid}"),
            Subject::VCard => "vcard".into(),
            // A name has no slash, and a namespace may have.
            Subject::Private(name, namespace) => format!("private/{name}/{namespace}"),
        }
    }

    /// `None` for what is of a later release, or of none.
    pub(super) fn parse(key: &str) -> Option<Subject> {
        let subject = match key.split_once('/') {
            None if key == "account" => Subject::Account,
            None if key == "vcard" => Subject::VCard,
            Some(("contact", jid)) => Subject::Contact(jid.parse().ok()?),
            Some(("blocked", jid)) => Subject::Blocked(jid.parse().ok()?),
            Some(("private", rest)) => {
                let (name, namespace) = rest.split_once('/')?;
                Subject::Private(name.into(), namespace.into())
            }
            _ => return None,
        };
        (subject.key() == key).then_some(subject)
    }
}

impl Known {
    /// Nothing, in the present epoch of the account.
    pub(super) fn nothing(subject: &Subject, epoch: Option<Stamp>, at: Stamp) -> Known {
        let what = match subject {
            Subject::Account => What::Account(Guarded::default()),
            Subject::Contact(_) => What::Contact(Box::default()),
            Subject::Blocked(_) => What::Blocked(Guarded::default()),
            Subject::VCard | Subject::Private(..) => {
                let value = None;
                What::Text(Register { at, value })
            }
        };
        Known { epoch, what }
    }

    /// The keys of an account that exists.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        match &self.what {
            What::Account(account) => account.value().map(|keys| &keys.value),
            _ => None,
        }
    }

    /// The epoch that an account is in.
    pub(super) fn last_deletion(&self) -> Option<Stamp> {
        match &self.what {
            What::Account(account) => account.last_denial().cloned(),
            _ => None,
        }
    }

    /// The contact, if it is in the roster.
    pub(super) fn item(&self, jid: &BareJid) -> Option<RosterItem> {
        let What::Contact(contact) = &self.what else {
            return None;
        };
        let known = contact.value()?;
        let mut item = RosterItem::new(jid.clone());
        item.name = known.name.value.clone();
        item.groups = known.groups.value.iter().cloned().collect();
        let (to, from) = (known.to.value().is_some(), known.from.value().is_some());
        item.subscription = Subscription::of(to, from);
        let Requests {
            ask,
            pending_in,
            approved,
        } = known.requests.value.clone();
        // Each side may have answered what the other has asked.
        item.ask = (ask && !to).then_some(Ask::Subscribe);
        item.pending_in = pending_in.filter(|_| !from);
        item.approved = approved && !from;
        Some(item)
    }

    pub(super) fn is_blocked(&self) -> bool {
        matches!(&self.what, What::Blocked(blocked) if blocked.denied().is_some())
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.what {
            What::Text(text) => text.value.as_deref(),
            _ => None,
        }
    }

    /// Writes the keys of an account.
    pub(super) fn set_credentials(&mut self, value: &Credentials, at: Stamp) {
        if let What::Account(account) = &mut self.what {
            let value = value.clone();
            account.grant(Register { at, value });
        }
    }

    /// Deletes an account.
    pub(super) fn delete(&mut self, at: Stamp) {
        if let What::Account(account) = &mut self.what {
            account.deny(at, ());
        }
    }

    /// Writes what is different of a contact, each field for itself.
    pub(super) fn put(&mut self, item: &RosterItem, at: &Stamp) {
        let What::Contact(contact) = &mut self.what else {
            return;
        };
        let mut known = contact.value().cloned().unwrap_or_else(|| {
            let at = at.clone();
            heal::RosterItem {
                name: register(&at, None),
                groups: register(&at, BTreeSet::new()),
                to: Guarded::default(),
                from: Guarded::default(),
                requests: register(&at, Requests::default()),
            }
        });
        write(&mut known.name, item.name.clone(), at);
        write(&mut known.groups, item.groups.iter().cloned().collect(), at);
        flag(&mut known.to, item.subscription.to(), at);
        flag(&mut known.from, item.subscription.from(), at);
        let requests = Requests {
            ask: item.ask.is_some(),
            pending_in: item.pending_in.clone(),
            approved: item.approved,
        };
        write(&mut known.requests, requests, at);
        contact.grant(known);
    }

    /// Takes a contact out of the roster.
    pub(super) fn remove(&mut self, at: Stamp) {
        if let What::Contact(contact) = &mut self.what {
            contact.deny(at, ());
        }
    }

    pub(super) fn set_blocked(&mut self, is: bool, at: &Stamp) {
        let What::Blocked(blocked) = &mut self.what else {
            return;
        };
        match (is, blocked.denied().is_some()) {
            (true, false) => blocked.deny(at.clone(), ()),
            (false, true) => blocked.grant(register(at, ())),
            _ => {}
        }
    }

    pub(super) fn set_text(&mut self, text: Option<&str>, at: Stamp) {
        if let What::Text(known) = &mut self.what {
            *known = register(&at, text.map(str::to_owned));
        }
    }

    /// Adds what another store knows. What is of an earlier epoch counts for nothing.
    pub(super) fn merge(&mut self, other: &Known) {
        match self.epoch.cmp(&other.epoch) {
            std::cmp::Ordering::Less => *self = other.clone(),
            std::cmp::Ordering::Greater => {}
            std::cmp::Ordering::Equal => match (&mut self.what, &other.what) {
                (What::Account(known), What::Account(other)) => known.merge(other),
                (What::Contact(known), What::Contact(other)) => known.merge(other),
                (What::Blocked(known), What::Blocked(other)) => known.merge(other),
                (What::Text(known), What::Text(other)) => known.merge(other),
                // One key is one kind.
                _ => {}
            },
        }
    }

    /// The latest of all that it is stamped with.
    pub(super) fn latest(&self) -> Option<&Stamp> {
        let latest = match &self.what {
            What::Account(account) => {
                let keys = account.value().map(|keys| &keys.at);
                account.stamps().chain(keys).max()
            }
            What::Contact(contact) => {
                let fields = contact.value().map(|item| {
                    let flags = [&item.to, &item.from].into_iter().flat_map(|flag| {
                        let since = flag.value().map(|since| &since.at);
                        flag.stamps().chain(since)
                    });
                    flags.chain([&item.name.at, &item.groups.at, &item.requests.at])
                });
                contact.stamps().chain(fields.into_iter().flatten()).max()
            }
            What::Blocked(flag) => {
                let since = flag.value().map(|since| &since.at);
                flag.stamps().chain(since).max()
            }
            What::Text(text) => Some(&text.at),
        };
        latest.max(self.epoch.as_ref())
    }
}

fn register<T>(at: &Stamp, value: T) -> Register<T> {
    let at = at.clone();
    Register { at, value }
}

fn write<T: PartialEq>(field: &mut Register<T>, value: T, at: &Stamp) {
    if field.value != value {
        *field = register(at, value);
    }
}

/// What was never so is not denied: that would win over a grant beside it.
fn flag(flag: &mut Guarded<Register<()>>, is: bool, at: &Stamp) {
    match (is, flag.value().is_some()) {
        (true, false) => flag.grant(register(at, ())),
        (false, true) => flag.deny(at.clone(), ()),
        _ => {}
    }
}

// --- as bytes ---

#[derive(Clone, PartialEq, Message)]
struct WireKeys {
    #[prost(string, tag = "1")]
    hash: String,
    #[prost(bytes = "vec", tag = "2")]
    salt: Vec<u8>,
    #[prost(uint32, tag = "3")]
    iterations: u32,
    #[prost(bytes = "vec", tag = "4")]
    stored: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    server: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct WireCredentials {
    #[prost(message, optional, tag = "1")]
    at: Option<WireStamp>,
    #[prost(message, repeated, tag = "2")]
    keys: Vec<WireKeys>,
}

#[derive(Clone, PartialEq, Message)]
struct WireContact {
    #[prost(message, optional, tag = "1")]
    name: Option<WireText>,
    #[prost(message, optional, tag = "2")]
    grouped: Option<WireStamp>,
    #[prost(string, repeated, tag = "3")]
    groups: Vec<String>,
    #[prost(message, optional, tag = "4")]
    to: Option<WireFlag>,
    #[prost(message, optional, tag = "5")]
    from: Option<WireFlag>,
    #[prost(message, optional, tag = "6")]
    requested: Option<WireStamp>,
    #[prost(bool, tag = "7")]
    ask: bool,
    #[prost(string, optional, tag = "8")]
    pending_in: Option<String>,
    #[prost(bool, tag = "9")]
    approved: bool,
}

#[derive(Clone, PartialEq, Message)]
struct WireKnown {
    #[prost(message, optional, tag = "1")]
    epoch: Option<WireStamp>,
    /// Of the account, or of the contact.
    #[prost(message, repeated, tag = "2")]
    denials: Vec<WireDenial>,
    #[prost(message, optional, tag = "3")]
    account: Option<WireCredentials>,
    #[prost(message, optional, tag = "4")]
    contact: Option<WireContact>,
    #[prost(message, optional, tag = "5")]
    flag: Option<WireFlag>,
    #[prost(message, optional, tag = "6")]
    text: Option<WireText>,
}

impl Known {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut wire = WireKnown {
            epoch: self.epoch.as_ref().map(Into::into),
            ..WireKnown::default()
        };
        match &self.what {
            What::Account(account) => {
                wire.denials = account.wire_denials();
                wire.account = account.value().map(|keys| WireCredentials {
                    at: Some((&keys.at).into()),
                    keys: keys.value.iter().map(Into::into).collect(),
                });
            }
            What::Contact(contact) => {
                wire.denials = contact.wire_denials();
                wire.contact = contact.value().map(Into::into);
            }
            What::Blocked(flag) => wire.flag = Some(flag.into()),
            What::Text(text) => wire.text = Some(text.into()),
        }
        wire.encode_to_vec()
    }

    pub(super) fn decode(subject: &Subject, bytes: &[u8]) -> Result<Known, NotARecord> {
        let wire = WireKnown::decode(bytes).map_err(|_| NotARecord)?;
        let what = match subject {
            Subject::Account => {
                let keys = wire.account.map(|keys| {
                    let read = keys.keys.into_iter().filter_map(WireKeys::read);
                    Ok(Register {
                        at: stamp(keys.at)?,
                        value: read.collect::<Result<Credentials, _>>()?,
                    })
                });
                What::Account(Guarded::from_wire(wire.denials, keys.transpose()?)?)
            }
            Subject::Contact(_) => {
                let contact = wire.contact.map(heal::RosterItem::try_from);
                let contact = Guarded::from_wire(wire.denials, contact.transpose()?)?;
                What::Contact(Box::new(contact))
            }
            Subject::Blocked(_) => What::Blocked(wire.flag.ok_or(NotARecord)?.try_into()?),
            Subject::VCard | Subject::Private(..) => {
                What::Text(wire.text.ok_or(NotARecord)?.try_into()?)
            }
        };
        let epoch = wire.epoch.map(Stamp::try_from).transpose()?;
        Ok(Known { epoch, what })
    }
}

impl From<&Keys> for WireKeys {
    fn from(keys: &Keys) -> WireKeys {
        WireKeys {
            hash: keys.hash().name().to_owned(),
            salt: keys.salt().to_owned(),
            iterations: keys.iterations(),
            stored: keys.stored_key().to_owned(),
            server: keys.server_key().to_owned(),
        }
    }
}

impl WireKeys {
    /// `None` for a hash that this release does not know.
    fn read(self) -> Option<Result<Keys, NotARecord>> {
        let hash = Hash::ALL
            .into_iter()
            .find(|hash| hash.name() == self.hash)?;
        let keys = Keys::new(hash, self.salt, self.iterations, self.stored, self.server);
        Some(keys.map_err(|_| NotARecord))
    }
}

impl From<&heal::RosterItem> for WireContact {
    fn from(item: &heal::RosterItem) -> WireContact {
        let requests = &item.requests.value;
        WireContact {
            name: Some((&item.name).into()),
            grouped: Some((&item.groups.at).into()),
            groups: item.groups.value.iter().cloned().collect(),
            to: Some((&item.to).into()),
            from: Some((&item.from).into()),
            requested: Some((&item.requests.at).into()),
            ask: requests.ask,
            pending_in: requests.pending_in.clone(),
            approved: requests.approved,
        }
    }
}

impl TryFrom<WireContact> for heal::RosterItem {
    type Error = NotARecord;

    fn try_from(wire: WireContact) -> Result<heal::RosterItem, NotARecord> {
        Ok(heal::RosterItem {
            name: wire.name.ok_or(NotARecord)?.try_into()?,
            groups: Register {
                at: stamp(wire.grouped)?,
                value: wire.groups.into_iter().collect(),
            },
            to: wire.to.unwrap_or_default().try_into()?,
            from: wire.from.unwrap_or_default().try_into()?,
            requests: Register {
                at: stamp(wire.requested)?,
                value: Requests {
                    ask: wire.ask,
                    pending_in: wire.pending_in,
                    approved: wire.approved,
                },
            },
        })
    }
}
