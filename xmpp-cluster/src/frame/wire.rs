//! The schema. Tags are never used again; what is added is optional.

use bytes::Bytes;
use prost::{Message, Oneof};
use xmpp_core::FullJid;
use xmpp_core::session::SessionId;
use xmpp_core::time::Timestamp;
use xmpp_sm::Counter;

use super::Error;
use super::accounts::WireAccountChanged;
use super::journal::{WireBatch, WireHave, WireHello};
use super::moves::{
    WireDecided, WireFetch, WireMore, WireNotHere, WireNumber, WireOffer, WirePiece,
};
use super::served::WireServed;
use super::standby::{WireLog, WireLogged, WireMine, WireWhose, WireYield, WireYielded};
use super::stanzas::{WireEnd, WireOutcome, WirePush, WireRoute};
use super::table::{Change, Delta, Entry, Page, Pull, Resumable};
use crate::node::{Incarnation, Life, Versions};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Frame {
    #[prost(message, tag = "1")]
    pub(super) from: Option<WireLife>,
    #[prost(message, tag = "2")]
    pub(super) to: Option<WireLife>,
    #[prost(oneof = "Body", tags = "3, 4, 5, 6, 7")]
    pub(super) body: Option<Body>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireLife {
    #[prost(string, tag = "1")]
    node: String,
    /// 0 where it is not known.
    #[prost(uint64, tag = "2")]
    incarnation: u64,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Body {
    #[prost(message, tag = "3")]
    Beat(Beat),
    #[prost(message, tag = "4")]
    Data(Data),
    #[prost(message, tag = "5")]
    Ack(Ack),
    #[prost(message, tag = "6")]
    Pull(WirePull),
    #[prost(message, tag = "7")]
    Page(WirePage),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Beat {
    #[prost(string, tag = "1")]
    site: String,
    #[prost(uint32, tag = "2")]
    oldest: u32,
    #[prost(uint32, tag = "3")]
    newest: u32,
    #[prost(sint64, tag = "4")]
    clock: i64,
    #[prost(message, repeated, tag = "5")]
    hears: Vec<Heard>,
    #[prost(uint64, tag = "6")]
    table: u64,
    #[prost(bool, tag = "7")]
    leaving: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Heard {
    #[prost(message, tag = "1")]
    life: Option<WireLife>,
    #[prost(bool, tag = "2")]
    mutual: bool,
    #[prost(uint32, tag = "3")]
    ago: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Data {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(fixed32, tag = "2")]
    after: u32,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    parcels: Vec<Bytes>,
    #[prost(message, tag = "4")]
    ack: Option<Ack>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Ack {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(fixed32, tag = "2")]
    handled: u32,
    #[prost(bool, tag = "3")]
    gap: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Parcel {
    #[prost(
        oneof = "Content",
        tags = "1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 25, 26, 27, 40, 41, 42"
    )]
    content: Option<Content>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Content {
    #[prost(message, tag = "1")]
    Table(WireDelta),
    #[prost(message, boxed, tag = "2")]
    Push(Box<WirePush>),
    #[prost(message, boxed, tag = "3")]
    Route(Box<WireRoute>),
    #[prost(message, tag = "4")]
    Outcome(WireOutcome),
    #[prost(message, tag = "5")]
    End(WireEnd),
    #[prost(message, tag = "6")]
    AccountChanged(WireAccountChanged),
    #[prost(message, tag = "7")]
    Served(WireServed),
    #[prost(message, tag = "10")]
    Log(WireLog),
    #[prost(message, tag = "11")]
    Logged(WireLogged),
    #[prost(message, tag = "12")]
    Yield(WireYield),
    #[prost(message, tag = "13")]
    Yielded(WireYielded),
    #[prost(message, tag = "14")]
    Whose(WireWhose),
    #[prost(message, tag = "15")]
    Mine(WireMine),
    #[prost(message, tag = "20")]
    Fetch(WireFetch),
    #[prost(message, tag = "21")]
    NotHere(WireNotHere),
    #[prost(message, boxed, tag = "22")]
    Offer(Box<WireOffer>),
    #[prost(message, tag = "23")]
    More(WireMore),
    #[prost(message, tag = "24")]
    Piece(WirePiece),
    #[prost(message, tag = "25")]
    Taken(WireNumber),
    #[prost(message, tag = "26")]
    Decided(WireDecided),
    #[prost(message, tag = "27")]
    Declined(WireNumber),
    #[prost(message, tag = "40")]
    JournalHello(WireHello),
    #[prost(message, boxed, tag = "41")]
    JournalBatch(Box<WireBatch>),
    #[prost(message, tag = "42")]
    JournalHave(WireHave),
}

#[derive(Clone, PartialEq, Message)]
struct WireDelta {
    #[prost(uint64, tag = "1")]
    after: u64,
    #[prost(message, repeated, tag = "2")]
    changes: Vec<WireChange>,
}

#[derive(Clone, PartialEq, Message)]
struct WireChange {
    #[prost(oneof = "ChangeKind", tags = "1, 2")]
    kind: Option<ChangeKind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum ChangeKind {
    #[prost(message, boxed, tag = "1")]
    Put(Box<WireEntry>),
    #[prost(message, tag = "2")]
    Remove(Removal),
}

#[derive(Clone, PartialEq, Message)]
struct Removal {
    #[prost(string, tag = "1")]
    jid: String,
}

#[derive(Clone, PartialEq, Message)]
struct WireEntry {
    #[prost(string, tag = "1")]
    jid: String,
    #[prost(fixed64, tag = "2")]
    run: u64,
    #[prost(uint64, tag = "3")]
    n: u64,
    #[prost(uint32, tag = "4")]
    generation: u32,
    #[prost(string, optional, tag = "5")]
    resumption: Option<String>,
    #[prost(uint32, tag = "6")]
    max: u32,
    #[prost(sint32, optional, tag = "7")]
    priority: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    presence: Option<Bytes>,
    #[prost(bool, tag = "9")]
    interested: bool,
    #[prost(bool, tag = "10")]
    carbons: bool,
    #[prost(bool, tag = "11")]
    block_list: bool,
    #[prost(sint64, tag = "12")]
    since: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WirePull {
    #[prost(message, tag = "1")]
    of: Option<WireLife>,
    #[prost(string, optional, tag = "2")]
    from: Option<String>,
    #[prost(uint32, tag = "3")]
    round: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WirePage {
    #[prost(message, tag = "1")]
    of: Option<WireLife>,
    #[prost(string, optional, tag = "2")]
    from: Option<String>,
    #[prost(string, optional, tag = "3")]
    until: Option<String>,
    #[prost(uint64, tag = "4")]
    at: u64,
    #[prost(message, repeated, tag = "5")]
    entries: Vec<Stamped>,
    #[prost(uint32, tag = "6")]
    round: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Stamped {
    #[prost(uint64, tag = "1")]
    stamp: u64,
    #[prost(message, optional, boxed, tag = "2")]
    entry: Option<Box<WireEntry>>,
}

// --- what is written ---

impl From<&super::Frame> for Frame {
    fn from(frame: &super::Frame) -> Frame {
        Frame {
            from: Some((&frame.from).into()),
            to: frame.to.as_ref().map(|(node, incarnation)| WireLife {
                node: node.as_str().to_owned(),
                incarnation: incarnation.unwrap_or_default().0,
            }),
            body: match &frame.body {
                super::Body::Beat(beat) => Some(Body::Beat(beat.into())),
                super::Body::Data(data) => Some(Body::Data(data.into())),
                super::Body::Ack(ack) => Some(Body::Ack((*ack).into())),
                super::Body::Pull(pull) => Some(Body::Pull(pull.into())),
                super::Body::Page(page) => Some(Body::Page(page.into())),
                super::Body::Unknown => None,
            },
        }
    }
}

impl From<&Life> for WireLife {
    fn from(life: &Life) -> WireLife {
        WireLife {
            node: life.node.as_str().to_owned(),
            incarnation: life.incarnation.0,
        }
    }
}

impl From<&super::Beat> for Beat {
    fn from(beat: &super::Beat) -> Beat {
        Beat {
            site: beat.site.as_str().to_owned(),
            oldest: beat.versions.oldest,
            newest: beat.versions.newest,
            clock: beat.clock.0,
            hears: beat.hears.iter().map(Heard::from).collect(),
            table: beat.table,
            leaving: beat.leaving,
        }
    }
}

impl From<&super::Heard> for Heard {
    fn from(heard: &super::Heard) -> Heard {
        Heard {
            life: Some((&heard.life).into()),
            mutual: heard.mutual,
            ago: heard.ago,
        }
    }
}

impl From<&super::Data> for Data {
    fn from(data: &super::Data) -> Data {
        Data {
            epoch: data.epoch,
            after: data.after.0,
            parcels: data.parcels.clone(),
            ack: data.ack.map(Ack::from),
        }
    }
}

impl From<super::Ack> for Ack {
    fn from(ack: super::Ack) -> Ack {
        Ack {
            epoch: ack.epoch,
            handled: ack.handled.0,
            gap: ack.gap,
        }
    }
}

impl From<&super::Parcel> for Parcel {
    fn from(parcel: &super::Parcel) -> Parcel {
        Parcel {
            content: match parcel {
                super::Parcel::Table(delta) => Some(Content::Table(delta.into())),
                super::Parcel::Push(push) => Some(Content::Push(Box::new((&**push).into()))),
                super::Parcel::Route(route) => Some(Content::Route(Box::new((&**route).into()))),
                super::Parcel::Outcome(outcome) => Some(Content::Outcome(outcome.into())),
                super::Parcel::End(end) => Some(Content::End(end.into())),
                super::Parcel::AccountChanged(changed) => {
                    Some(Content::AccountChanged(changed.into()))
                }
                super::Parcel::Served(served) => Some(Content::Served(served.into())),
                super::Parcel::Log(log) => Some(Content::Log(log.into())),
                super::Parcel::Logged(logged) => Some(Content::Logged(logged.into())),
                super::Parcel::Yield(piece) => Some(Content::Yield(piece.into())),
                super::Parcel::Yielded(yielded) => Some(Content::Yielded(yielded.into())),
                super::Parcel::Whose(whose) => Some(Content::Whose(whose.into())),
                super::Parcel::Mine(mine) => Some(Content::Mine(mine.into())),
                super::Parcel::Fetch(fetch) => Some(Content::Fetch(fetch.into())),
                super::Parcel::NotHere(answer) => Some(Content::NotHere(answer.into())),
                super::Parcel::Offer(offer) => Some(Content::Offer(Box::new((&**offer).into()))),
                super::Parcel::More(more) => Some(Content::More(more.into())),
                super::Parcel::Piece(piece) => Some(Content::Piece(piece.into())),
                super::Parcel::Taken(taken) => Some(Content::Taken((*taken).into())),
                super::Parcel::Decided(decided) => Some(Content::Decided(decided.into())),
                super::Parcel::Declined(declined) => Some(Content::Declined((*declined).into())),
                super::Parcel::JournalHello(hello) => Some(Content::JournalHello(hello.into())),
                super::Parcel::JournalBatch(batch) => {
                    Some(Content::JournalBatch(Box::new((&**batch).into())))
                }
                super::Parcel::JournalHave(have) => Some(Content::JournalHave((*have).into())),
                super::Parcel::Unknown => None,
            },
        }
    }
}

impl From<&Delta> for WireDelta {
    fn from(delta: &Delta) -> WireDelta {
        let change = |change: &Change| WireChange {
            kind: Some(match change {
                Change::Put(entry) => ChangeKind::Put(Box::new((&**entry).into())),
                Change::Remove(jid) => ChangeKind::Remove(Removal {
                    jid: jid.as_str().to_owned(),
                }),
            }),
        };
        WireDelta {
            after: delta.after,
            changes: delta.changes.iter().map(change).collect(),
        }
    }
}

impl From<&Entry> for WireEntry {
    fn from(entry: &Entry) -> WireEntry {
        let resumable = entry.resumable.as_ref();
        WireEntry {
            jid: entry.jid.as_str().to_owned(),
            run: entry.session.run,
            n: entry.session.n,
            generation: entry.generation,
            resumption: resumable.map(|stream| stream.id.clone()),
            max: resumable.map_or(0, |stream| stream.max),
            priority: entry.priority.map(i32::from),
            presence: entry.presence.clone(),
            interested: entry.interested,
            carbons: entry.carbons,
            block_list: entry.block_list,
            since: entry.since.0,
        }
    }
}

impl From<&Pull> for WirePull {
    fn from(pull: &Pull) -> WirePull {
        WirePull {
            of: Some((&pull.of).into()),
            from: pull.from.as_ref().map(|jid| jid.as_str().to_owned()),
            round: pull.round,
        }
    }
}

impl From<&Page> for WirePage {
    fn from(page: &Page) -> WirePage {
        let text = |jid: &FullJid| jid.as_str().to_owned();
        WirePage {
            of: Some((&page.of).into()),
            from: page.from.as_ref().map(text),
            until: page.until.as_ref().map(text),
            at: page.at,
            round: page.round,
            entries: page
                .entries
                .iter()
                .map(|(stamp, entry)| Stamped {
                    stamp: *stamp,
                    entry: Some(Box::new(entry.into())),
                })
                .collect(),
        }
    }
}

// --- what is read ---

impl TryFrom<Frame> for super::Frame {
    type Error = Error;

    fn try_from(frame: Frame) -> Result<super::Frame, Error> {
        let from = life(frame.from, "sender")?;
        let to = frame.to.map(|to| {
            let node = to.node.parse().map_err(|_| Error::Without("addressee"))?;
            let known = (to.incarnation != 0).then_some(Incarnation(to.incarnation));
            Ok((node, known))
        });
        Ok(super::Frame {
            from,
            to: to.transpose()?,
            body: match frame.body {
                Some(Body::Beat(beat)) => super::Body::Beat(beat.try_into()?),
                Some(Body::Data(data)) => super::Body::Data(data.into()),
                Some(Body::Ack(ack)) => super::Body::Ack(ack.into()),
                Some(Body::Pull(pull)) => super::Body::Pull(pull.try_into()?),
                Some(Body::Page(page)) => super::Body::Page(page.try_into()?),
                None => super::Body::Unknown,
            },
        })
    }
}

fn life(life: Option<WireLife>, what: &'static str) -> Result<Life, Error> {
    let life = life.ok_or(Error::Without(what))?;
    // 0 stands for one that is not known.
    if life.incarnation == 0 {
        return Err(Error::Without(what));
    }
    Ok(Life {
        node: life.node.parse().map_err(|_| Error::Without(what))?,
        incarnation: Incarnation(life.incarnation),
    })
}

impl TryFrom<Beat> for super::Beat {
    type Error = Error;

    fn try_from(beat: Beat) -> Result<super::Beat, Error> {
        if beat.hears.len() > super::MEMBERS {
            return Err(Error::Without("number of nodes"));
        }
        let heard = |heard: Heard| {
            Ok(super::Heard {
                life: life(heard.life, "node")?,
                mutual: heard.mutual,
                ago: heard.ago,
            })
        };
        Ok(super::Beat {
            site: beat.site.parse().map_err(|_| Error::Without("site"))?,
            versions: Versions {
                oldest: beat.oldest,
                newest: beat.newest,
            },
            clock: Timestamp(beat.clock),
            hears: beat
                .hears
                .into_iter()
                .map(heard)
                .collect::<Result<_, _>>()?,
            table: beat.table,
            leaving: beat.leaving,
        })
    }
}

impl From<Data> for super::Data {
    fn from(data: Data) -> super::Data {
        super::Data {
            epoch: data.epoch,
            after: Counter(data.after),
            parcels: data.parcels,
            ack: data.ack.map(super::Ack::from),
        }
    }
}

impl From<Ack> for super::Ack {
    fn from(ack: Ack) -> super::Ack {
        super::Ack {
            epoch: ack.epoch,
            handled: Counter(ack.handled),
            gap: ack.gap,
        }
    }
}

impl TryFrom<Parcel> for super::Parcel {
    type Error = Error;

    fn try_from(parcel: Parcel) -> Result<super::Parcel, Error> {
        Ok(match parcel.content {
            Some(Content::Table(delta)) => super::Parcel::Table(delta.try_into()?),
            Some(Content::Push(push)) => super::Parcel::Push(Box::new((*push).try_into()?)),
            Some(Content::Route(route)) => super::Parcel::Route(Box::new((*route).try_into()?)),
            Some(Content::Outcome(outcome)) => super::Parcel::Outcome(outcome.try_into()?),
            Some(Content::End(end)) => super::Parcel::End(end.try_into()?),
            Some(Content::AccountChanged(changed)) => {
                super::Parcel::AccountChanged(changed.try_into()?)
            }
            Some(Content::Served(served)) => super::Parcel::Served(served.try_into()?),
            Some(Content::Log(log)) => super::Parcel::Log(log.try_into()?),
            Some(Content::Logged(logged)) => super::Parcel::Logged(logged.into()),
            Some(Content::Yield(piece)) => super::Parcel::Yield(piece.try_into()?),
            Some(Content::Yielded(yielded)) => super::Parcel::Yielded(yielded.into()),
            Some(Content::Whose(whose)) => super::Parcel::Whose(whose.into()),
            Some(Content::Mine(mine)) => super::Parcel::Mine(mine.into()),
            Some(Content::Fetch(fetch)) => super::Parcel::Fetch(fetch.try_into()?),
            Some(Content::NotHere(answer)) => super::Parcel::NotHere(answer.try_into()?),
            Some(Content::Offer(offer)) => super::Parcel::Offer(Box::new((*offer).try_into()?)),
            Some(Content::More(more)) => super::Parcel::More(more.into()),
            Some(Content::Piece(piece)) => super::Parcel::Piece(piece.try_into()?),
            Some(Content::Taken(taken)) => super::Parcel::Taken(taken.into()),
            Some(Content::Decided(decided)) => super::Parcel::Decided(decided.into()),
            Some(Content::Declined(declined)) => super::Parcel::Declined(declined.into()),
            Some(Content::JournalHello(hello)) => super::Parcel::JournalHello(hello.into()),
            Some(Content::JournalBatch(batch)) => {
                super::Parcel::JournalBatch(Box::new((*batch).try_into()?))
            }
            Some(Content::JournalHave(have)) => super::Parcel::JournalHave(have.into()),
            None => super::Parcel::Unknown,
        })
    }
}

impl TryFrom<WireDelta> for Delta {
    type Error = Error;

    fn try_from(delta: WireDelta) -> Result<Delta, Error> {
        let change = |change: WireChange| {
            Ok(match change.kind.ok_or(Error::Without("change"))? {
                ChangeKind::Put(entry) => Change::Put(Box::new((*entry).try_into()?)),
                ChangeKind::Remove(Removal { jid }) => Change::Remove(full(&jid)?),
            })
        };
        let changes = delta.changes.into_iter().map(change);
        Ok(Delta {
            after: delta.after,
            changes: changes.collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<WireEntry> for Entry {
    type Error = Error;

    fn try_from(entry: WireEntry) -> Result<Entry, Error> {
        let priority = entry.priority.map(i8::try_from).transpose();
        Ok(Entry {
            jid: full(&entry.jid)?,
            session: SessionId {
                run: entry.run,
                n: entry.n,
            },
            since: Timestamp(entry.since),
            generation: entry.generation,
            resumable: entry.resumption.map(|id| Resumable { id, max: entry.max }),
            priority: priority.map_err(|_| Error::Without("priority"))?,
            presence: entry.presence,
            interested: entry.interested,
            carbons: entry.carbons,
            block_list: entry.block_list,
        })
    }
}

impl TryFrom<WirePull> for Pull {
    type Error = Error;

    fn try_from(pull: WirePull) -> Result<Pull, Error> {
        Ok(Pull {
            of: life(pull.of, "node")?,
            from: pull.from.as_deref().map(full).transpose()?,
            round: pull.round,
        })
    }
}

impl TryFrom<WirePage> for Page {
    type Error = Error;

    fn try_from(page: WirePage) -> Result<Page, Error> {
        let stamped = |stamped: Stamped| {
            let entry = stamped.entry.ok_or(Error::Without("entry"))?;
            Ok((stamped.stamp, (*entry).try_into()?))
        };
        Ok(Page {
            of: life(page.of, "node")?,
            from: page.from.as_deref().map(full).transpose()?,
            until: page.until.as_deref().map(full).transpose()?,
            at: page.at,
            round: page.round,
            entries: page
                .entries
                .into_iter()
                .map(stamped)
                .collect::<Result<_, _>>()?,
        })
    }
}

pub(super) fn full(text: &str) -> Result<FullJid, Error> {
    // What is written is prepared already; else two nodes would have two names for one resource.
    let jid = FullJid::new(text).ok().filter(|jid| jid.as_str() == text);
    jid.ok_or(Error::Without("address"))
}
