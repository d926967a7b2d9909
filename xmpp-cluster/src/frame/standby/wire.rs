//! The schema. Tags are never used again; what is added is optional.

use bytes::Bytes;
use prost::{Message, Oneof};
use xmpp_core::mailbox::SmPoint;
use xmpp_core::session::SessionId;
use xmpp_core::time::Timestamp;
use xmpp_sm::Counter;

use super::{Begin, Claim, Item, ItemId, Known, Log, Logged, Mine, Op, Whose, Yield, Yielded};
use crate::frame::Error;
use crate::standby::dedupe::Window;

#[derive(Clone, PartialEq, Message)]
pub(in crate::frame) struct WireLog {
    #[prost(uint64, tag = "1")]
    stream: u64,
    #[prost(uint64, tag = "2")]
    after: u64,
    #[prost(message, repeated, tag = "3")]
    ops: Vec<WireAct>,
}

#[derive(Clone, PartialEq, Message)]
struct WireAct {
    #[prost(message, required, tag = "1")]
    session: WireName,
    #[prost(message, required, tag = "2")]
    op: WireOp,
}

/// A [`SessionId`] or an [`ItemId`].
#[derive(Clone, Copy, PartialEq, Message)]
struct WireName {
    #[prost(fixed64, tag = "1")]
    run: u64,
    #[prost(uint64, tag = "2")]
    n: u64,
}

#[derive(Clone, PartialEq, Message)]
struct WireOp {
    #[prost(oneof = "WireKind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12")]
    kind: Option<WireKind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum WireKind {
    #[prost(message, boxed, tag = "1")]
    Begin(Box<WireBegin>),
    #[prost(message, tag = "2")]
    Known(WireKnown),
    #[prost(message, tag = "3")]
    Queued(WireItem),
    #[prost(message, tag = "4")]
    Sent(WireSent),
    #[prost(message, tag = "5")]
    Withdrawn(WireName),
    #[prost(fixed32, tag = "6")]
    Acked(u32),
    #[prost(fixed32, tag = "7")]
    Handled(u32),
    #[prost(bytes = "bytes", tag = "8")]
    State(Bytes),
    #[prost(message, tag = "9")]
    Until(WireUntil),
    #[prost(message, tag = "10")]
    Raised(WireRaised),
    #[prost(message, tag = "11")]
    Whole(WireNothing),
    #[prost(message, tag = "12")]
    Ended(WireNothing),
}

#[derive(Clone, PartialEq, Message)]
struct WireBegin {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    max: u32,
    #[prost(uint32, tag = "3")]
    generation: u32,
    #[prost(uint32, tag = "4")]
    served: u32,
    #[prost(uint64, tag = "5")]
    steps: u64,
    #[prost(bytes = "bytes", tag = "6")]
    state: Bytes,
    #[prost(int64, optional, tag = "7")]
    until: Option<i64>,
    #[prost(fixed32, tag = "8")]
    handled: u32,
    #[prost(fixed32, tag = "9")]
    acked: u32,
    #[prost(message, repeated, tag = "10")]
    have: Vec<WireName>,
}

#[derive(Clone, PartialEq, Message)]
struct WireKnown {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(fixed32, tag = "2")]
    last: u32,
    /// The lower half of the window.
    #[prost(fixed64, tag = "3")]
    near: u64,
    #[prost(fixed64, tag = "4")]
    far: u64,
}

#[derive(Clone, PartialEq, Message)]
struct WireItem {
    #[prost(message, required, tag = "1")]
    id: WireName,
    #[prost(message, optional, tag = "2")]
    point: Option<WirePoint>,
    #[prost(int64, optional, tag = "3")]
    at: Option<i64>,
    #[prost(bytes = "bytes", tag = "4")]
    stanza: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct WirePoint {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(fixed32, tag = "2")]
    n: u32,
}

#[derive(Clone, PartialEq, Message)]
struct WireSent {
    #[prost(message, required, tag = "1")]
    id: WireName,
    #[prost(int64, tag = "2")]
    at: i64,
}

#[derive(Clone, PartialEq, Message)]
struct WireUntil {
    #[prost(int64, optional, tag = "1")]
    until: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct WireRaised {
    #[prost(uint32, tag = "1")]
    generation: u32,
    #[prost(uint32, tag = "2")]
    served: u32,
}

#[derive(Clone, PartialEq, Message)]
struct WireNothing {}

#[derive(Clone, PartialEq, Message)]
struct WireClaim {
    #[prost(message, required, tag = "1")]
    session: WireName,
    #[prost(uint32, tag = "2")]
    generation: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::frame) struct WireLogged {
    #[prost(uint64, tag = "1")]
    stream: u64,
    #[prost(uint64, tag = "2")]
    upto: u64,
    #[prost(bool, tag = "3")]
    broken: bool,
    #[prost(message, repeated, tag = "4")]
    refused: Vec<WireClaim>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::frame) struct WireYield {
    #[prost(message, required, tag = "1")]
    session: WireName,
    #[prost(uint64, tag = "2")]
    round: u64,
    #[prost(message, repeated, tag = "3")]
    ops: Vec<WireOp>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::frame) struct WireYielded {
    #[prost(message, required, tag = "1")]
    session: WireName,
    #[prost(uint64, tag = "2")]
    round: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::frame) struct WireWhose {
    #[prost(uint64, tag = "1")]
    round: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::frame) struct WireMine {
    #[prost(uint64, tag = "1")]
    round: u64,
    #[prost(message, repeated, tag = "2")]
    claims: Vec<WireClaim>,
    #[prost(bool, tag = "3")]
    last: bool,
}

// --- what is written ---

impl From<SessionId> for WireName {
    fn from(SessionId { run, n }: SessionId) -> WireName {
        WireName { run, n }
    }
}

impl From<ItemId> for WireName {
    fn from(ItemId { run, n }: ItemId) -> WireName {
        WireName { run, n }
    }
}

impl From<&Log> for WireLog {
    fn from(log: &Log) -> WireLog {
        let act = |(session, op): &(SessionId, Op)| WireAct {
            session: (*session).into(),
            op: op.into(),
        };
        WireLog {
            stream: log.stream,
            after: log.after,
            ops: log.ops.iter().map(act).collect(),
        }
    }
}

impl From<&Op> for WireOp {
    fn from(op: &Op) -> WireOp {
        let kind = match op {
            Op::Begin(begin) => WireKind::Begin(Box::new((&**begin).into())),
            Op::Known(known) => WireKind::Known(WireKnown {
                id: (*known.id).to_owned(),
                last: known.window.last.0,
                near: known.window.seen as u64,
                far: (known.window.seen >> 64) as u64,
            }),
            Op::Queued(item) => WireKind::Queued(WireItem {
                id: item.id.into(),
                point: item.point.as_ref().map(|point| WirePoint {
                    id: (*point.id).to_owned(),
                    n: point.n,
                }),
                at: item.at.map(|at| at.0),
                stanza: item.stanza.clone(),
            }),
            Op::Sent(id, at) => WireKind::Sent(WireSent {
                id: (*id).into(),
                at: at.0,
            }),
            Op::Withdrawn(id) => WireKind::Withdrawn((*id).into()),
            Op::Acked(h) => WireKind::Acked(h.0),
            Op::Handled(h) => WireKind::Handled(h.0),
            Op::State(state) => WireKind::State(state.clone()),
            Op::Until(until) => WireKind::Until(WireUntil {
                until: until.map(|until| until.0),
            }),
            Op::Raised { generation, served } => WireKind::Raised(WireRaised {
                generation: *generation,
                served: *served,
            }),
            Op::Whole => WireKind::Whole(WireNothing {}),
            Op::Ended => WireKind::Ended(WireNothing {}),
            Op::Unknown => return WireOp { kind: None },
        };
        WireOp { kind: Some(kind) }
    }
}

impl From<&Begin> for WireBegin {
    fn from(begin: &Begin) -> WireBegin {
        let have = begin.have.iter();
        WireBegin {
            name: (*begin.name).to_owned(),
            max: begin.max,
            generation: begin.generation,
            served: begin.served,
            steps: begin.steps,
            state: begin.state.clone(),
            until: begin.until.map(|until| until.0),
            handled: begin.handled.0,
            acked: begin.acked.0,
            have: have.map(|&(run, n)| WireName { run, n }).collect(),
        }
    }
}

impl From<&Claim> for WireClaim {
    fn from(claim: &Claim) -> WireClaim {
        WireClaim {
            session: claim.session.into(),
            generation: claim.generation,
        }
    }
}

impl From<&Logged> for WireLogged {
    fn from(logged: &Logged) -> WireLogged {
        WireLogged {
            stream: logged.stream,
            upto: logged.upto,
            broken: logged.broken,
            refused: logged.refused.iter().map(WireClaim::from).collect(),
        }
    }
}

impl From<&Yield> for WireYield {
    fn from(yielded: &Yield) -> WireYield {
        WireYield {
            session: yielded.session.into(),
            round: yielded.round,
            ops: yielded.ops.iter().map(WireOp::from).collect(),
        }
    }
}

impl From<&Yielded> for WireYielded {
    fn from(yielded: &Yielded) -> WireYielded {
        WireYielded {
            session: yielded.session.into(),
            round: yielded.round,
        }
    }
}

impl From<&Whose> for WireWhose {
    fn from(whose: &Whose) -> WireWhose {
        WireWhose { round: whose.round }
    }
}

impl From<&Mine> for WireMine {
    fn from(mine: &Mine) -> WireMine {
        WireMine {
            round: mine.round,
            claims: mine.claims.iter().map(WireClaim::from).collect(),
            last: mine.last,
        }
    }
}

// --- what is read ---

impl From<WireName> for SessionId {
    fn from(WireName { run, n }: WireName) -> SessionId {
        SessionId { run, n }
    }
}

impl From<WireName> for ItemId {
    fn from(WireName { run, n }: WireName) -> ItemId {
        ItemId { run, n }
    }
}

impl TryFrom<WireLog> for Log {
    type Error = Error;

    fn try_from(log: WireLog) -> Result<Log, Error> {
        let act = |act: WireAct| Ok((act.session.into(), act.op.try_into()?));
        Ok(Log {
            stream: log.stream,
            after: log.after,
            ops: log.ops.into_iter().map(act).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<WireOp> for Op {
    type Error = Error;

    fn try_from(op: WireOp) -> Result<Op, Error> {
        Ok(match op.kind {
            Some(WireKind::Begin(begin)) => Op::Begin(Box::new((*begin).try_into()?)),
            Some(WireKind::Known(known)) => Op::Known(Known {
                id: known.id.into(),
                window: Window {
                    last: Counter(known.last),
                    seen: u128::from(known.far) << 64 | u128::from(known.near),
                },
            }),
            Some(WireKind::Queued(item)) => Op::Queued(Item {
                id: item.id.into(),
                point: item.point.map(|point| SmPoint {
                    id: point.id.into(),
                    n: point.n,
                }),
                at: item.at.map(Timestamp),
                stanza: item.stanza,
            }),
            Some(WireKind::Sent(sent)) => Op::Sent(sent.id.into(), Timestamp(sent.at)),
            Some(WireKind::Withdrawn(id)) => Op::Withdrawn(id.into()),
            Some(WireKind::Acked(h)) => Op::Acked(Counter(h)),
            Some(WireKind::Handled(h)) => Op::Handled(Counter(h)),
            Some(WireKind::State(state)) => Op::State(state),
            Some(WireKind::Until(until)) => Op::Until(until.until.map(Timestamp)),
            // 0 says that somebody owns nothing.
            Some(WireKind::Raised(raised)) if raised.generation == 0 => {
                return Err(Error::Without("generation"));
            }
            Some(WireKind::Raised(raised)) => Op::Raised {
                generation: raised.generation,
                served: raised.served,
            },
            Some(WireKind::Whole(_)) => Op::Whole,
            Some(WireKind::Ended(_)) => Op::Ended,
            None => Op::Unknown,
        })
    }
}

impl TryFrom<WireBegin> for Begin {
    type Error = Error;

    fn try_from(begin: WireBegin) -> Result<Begin, Error> {
        if begin.generation == 0 {
            return Err(Error::Without("generation"));
        }
        let have = begin.have.into_iter();
        Ok(Begin {
            name: begin.name.into(),
            max: begin.max,
            generation: begin.generation,
            served: begin.served,
            steps: begin.steps,
            state: begin.state,
            until: begin.until.map(Timestamp),
            handled: Counter(begin.handled),
            acked: Counter(begin.acked),
            have: have.map(|name| (name.run, name.n)).collect(),
        })
    }
}

impl From<WireClaim> for Claim {
    fn from(claim: WireClaim) -> Claim {
        Claim {
            session: claim.session.into(),
            generation: claim.generation,
        }
    }
}

impl From<WireLogged> for Logged {
    fn from(logged: WireLogged) -> Logged {
        Logged {
            stream: logged.stream,
            upto: logged.upto,
            broken: logged.broken,
            refused: logged.refused.into_iter().map(Claim::from).collect(),
        }
    }
}

impl TryFrom<WireYield> for Yield {
    type Error = Error;

    fn try_from(yielded: WireYield) -> Result<Yield, Error> {
        let ops = yielded.ops.into_iter().map(Op::try_from);
        Ok(Yield {
            session: yielded.session.into(),
            round: yielded.round,
            ops: ops.collect::<Result<_, _>>()?,
        })
    }
}

impl From<WireYielded> for Yielded {
    fn from(yielded: WireYielded) -> Yielded {
        Yielded {
            session: yielded.session.into(),
            round: yielded.round,
        }
    }
}

impl From<WireWhose> for Whose {
    fn from(whose: WireWhose) -> Whose {
        Whose { round: whose.round }
    }
}

impl From<WireMine> for Mine {
    fn from(mine: WireMine) -> Mine {
        Mine {
            round: mine.round,
            claims: mine.claims.into_iter().map(Claim::from).collect(),
            last: mine.last,
        }
    }
}
