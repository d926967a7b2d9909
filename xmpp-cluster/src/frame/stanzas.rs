//! Stanzas on their way to a session of another node, and what becomes of them there.

use bytes::Bytes;
use prost::{Message, Oneof};
use xmpp_core::mailbox::{Origin, SmPoint, Source};
use xmpp_core::session::SessionId;
use xmpp_core::{BareJid, FullJid};

use super::{Error, wire};

/// A stanza for one session that the addressee has. The account's filters have seen it.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// Names it in the [`Outcome`]; 0 if none is wanted.
    pub number: u64,
    /// The address of the session's resource.
    pub to: FullJid,
    /// The session.
    pub session: SessionId,
    /// Whether others get it too: whoever fails to deliver it says so, and does nothing else about it.
    pub shared: bool,
    /// The stanza, and where it has come from.
    pub carried: Carried,
}

/// A stanza for an account that has sessions at the addressee's and none at the sender's: it goes on there as if it had come there, but to no
/// third node. Nobody's filters have seen it.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Names it in the [`Outcome`]; 0 if none is wanted.
    pub number: u64,
    /// The stanza, and where it has come from.
    pub carried: Carried,
}

/// A stanza that another node has taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// The stanza, as XML in the namespace `jabber:client`.
    pub stanza: Bytes,
    /// Who it came from.
    pub origin: Origin,
}

/// What has become of a [`Push`] or a [`Route`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Which.
    pub number: u64,
    /// What.
    pub verdict: Verdict,
}

/// What can become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is safe, and nothing more will be heard of it.
    Settled,
    /// It is safe for its sender, but its session may not get it after all: whether it does comes later. Only of what is
    /// [shared](Push::shared).
    Safe,
    /// It was not delivered, and whoever had it has dealt with it.
    Returned,
    /// It was not taken, for want of room; whoever has sent it has to deal with it.
    Full,
    /// It was not delivered, since the session has ended or is not there; whoever has sent it has to deal with it.
    Closed,
}

/// A session's address is taken over: whoever has it ends it with `<conflict/>`.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// The address.
    pub jid: FullJid,
    /// The session.
    pub session: SessionId,
}

// --- the schema ---

#[derive(Clone, PartialEq, Message)]
pub(super) struct WirePush {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(string, tag = "2")]
    to: String,
    #[prost(fixed64, tag = "3")]
    run: u64,
    #[prost(uint64, tag = "4")]
    n: u64,
    #[prost(bool, tag = "5")]
    shared: bool,
    #[prost(message, optional, tag = "6")]
    carried: Option<WireCarried>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireRoute {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(message, optional, tag = "2")]
    carried: Option<WireCarried>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireCarried {
    #[prost(bytes = "bytes", tag = "1")]
    stanza: Bytes,
    /// The stream's resumption id, if it has one.
    #[prost(string, optional, tag = "2")]
    sm: Option<String>,
    #[prost(fixed32, tag = "3")]
    sm_n: u32,
    #[prost(oneof = "WireSource", tags = "4, 5, 6, 7, 8")]
    source: Option<WireSource>,
}

#[derive(Clone, PartialEq, Oneof)]
enum WireSource {
    #[prost(message, tag = "4")]
    Server(Nothing),
    #[prost(message, tag = "5")]
    Session(WireSession),
    #[prost(message, tag = "6")]
    Copy(Nothing),
    #[prost(message, tag = "7")]
    Entity(Nothing),
    #[prost(string, tag = "8")]
    Remote(String),
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

#[derive(Clone, PartialEq, Message)]
struct WireSession {
    #[prost(fixed64, tag = "1")]
    run: u64,
    #[prost(uint64, tag = "2")]
    n: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireOutcome {
    #[prost(uint64, tag = "1")]
    number: u64,
    /// 0 settled, 1 returned, 2 full, 3 closed, 4 safe.
    #[prost(uint32, tag = "2")]
    verdict: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireEnd {
    #[prost(string, tag = "1")]
    jid: String,
    #[prost(fixed64, tag = "2")]
    run: u64,
    #[prost(uint64, tag = "3")]
    n: u64,
}

impl From<&Push> for WirePush {
    fn from(push: &Push) -> WirePush {
        WirePush {
            number: push.number,
            to: push.to.as_str().to_owned(),
            run: push.session.run,
            n: push.session.n,
            shared: push.shared,
            carried: Some((&push.carried).into()),
        }
    }
}

impl From<&Route> for WireRoute {
    fn from(route: &Route) -> WireRoute {
        WireRoute {
            number: route.number,
            carried: Some((&route.carried).into()),
        }
    }
}

impl From<&Carried> for WireCarried {
    fn from(carried: &Carried) -> WireCarried {
        let sm = carried.origin.sm.as_ref();
        WireCarried {
            stanza: carried.stanza.clone(),
            sm: sm.map(|sm| sm.id.as_ref().to_owned()),
            sm_n: sm.map_or(0, |sm| sm.n),
            source: Some(match &carried.origin.source {
                Source::Session(SessionId { run, n }) => {
                    WireSource::Session(WireSession { run: *run, n: *n })
                }
                Source::Copy => WireSource::Copy(Nothing {}),
                Source::Entity => WireSource::Entity(Nothing {}),
                Source::Remote(domain) => WireSource::Remote(domain.as_str().to_owned()),
                _ => WireSource::Server(Nothing {}),
            }),
        }
    }
}

impl From<&Outcome> for WireOutcome {
    fn from(outcome: &Outcome) -> WireOutcome {
        WireOutcome {
            number: outcome.number,
            verdict: match outcome.verdict {
                Verdict::Settled => 0,
                Verdict::Returned => 1,
                Verdict::Full => 2,
                Verdict::Closed => 3,
                Verdict::Safe => 4,
            },
        }
    }
}

impl From<&End> for WireEnd {
    fn from(end: &End) -> WireEnd {
        WireEnd {
            jid: end.jid.as_str().to_owned(),
            run: end.session.run,
            n: end.session.n,
        }
    }
}

impl TryFrom<WirePush> for Push {
    type Error = Error;

    fn try_from(push: WirePush) -> Result<Push, Error> {
        let carried = push.carried.ok_or(Error::Without("stanza"))?;
        Ok(Push {
            number: push.number,
            to: wire::full(&push.to)?,
            session: SessionId {
                run: push.run,
                n: push.n,
            },
            shared: push.shared,
            carried: carried.try_into()?,
        })
    }
}

impl TryFrom<WireRoute> for Route {
    type Error = Error;

    fn try_from(route: WireRoute) -> Result<Route, Error> {
        let carried = route.carried.ok_or(Error::Without("stanza"))?;
        Ok(Route {
            number: route.number,
            carried: carried.try_into()?,
        })
    }
}

impl TryFrom<WireCarried> for Carried {
    type Error = Error;

    fn try_from(carried: WireCarried) -> Result<Carried, Error> {
        let n = carried.sm_n;
        let sm = carried.sm.map(|id| SmPoint { id: id.into(), n });
        let source = match carried.source.ok_or(Error::Without("source"))? {
            WireSource::Server(_) => Source::Server,
            WireSource::Session(WireSession { run, n }) => Source::Session(SessionId { run, n }),
            WireSource::Copy(_) => Source::Copy,
            WireSource::Entity(_) => Source::Entity,
            WireSource::Remote(text) => {
                let domain = BareJid::new(&text).ok();
                let domain = domain.filter(|domain| domain.as_str() == text);
                Source::Remote(domain.ok_or(Error::Without("domain"))?)
            }
        };
        Ok(Carried {
            stanza: carried.stanza,
            origin: Origin { source, sm },
        })
    }
}

impl TryFrom<WireOutcome> for Outcome {
    type Error = Error;

    fn try_from(outcome: WireOutcome) -> Result<Outcome, Error> {
        Ok(Outcome {
            number: outcome.number,
            verdict: match outcome.verdict {
                0 => Verdict::Settled,
                1 => Verdict::Returned,
                2 => Verdict::Full,
                3 => Verdict::Closed,
                4 => Verdict::Safe,
                _ => return Err(Error::Without("verdict")),
            },
        })
    }
}

impl TryFrom<WireEnd> for End {
    type Error = Error;

    fn try_from(end: WireEnd) -> Result<End, Error> {
        Ok(End {
            jid: wire::full(&end.jid)?,
            session: SessionId {
                run: end.run,
                n: end.n,
            },
        })
    }
}
