//! Sessions that go from one node to another.
//!
//! A node asks for one ([`Fetch`]), or is given one unasked; either way it is [offered](Offer) the session's record, which it reads
//! piece by piece ([`More`], [`Piece`]). When the session is bound there too it says so ([`Taken`]), and hears whether it is the only place
//! now ([`Decided`]): behind all that has come for the session meanwhile, on the same link.

use bytes::Bytes;
use prost::Message;
use xmpp_core::io::NAME;
use xmpp_core::session::SessionId;
use xmpp_core::{BareJid, FullJid};

use super::{Error, wire};
use crate::node::NodeId;

/// Bytes of a record that one parcel has, at most.
pub const PIECE: usize = 64 << 10;

/// Bytes of a session's record, at most; a session with more of them stays where it is. That is eight times what waits in a queue of the
/// usual bounds.
pub const RECORD: usize = 16 << 20;

/// A client resumes at the sender's a stream that the addressee may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Names the question in the answer; never 0.
    pub number: u64,
    /// The name of the stream (XEP-0198 §5: its resumption id).
    pub name: String,
    /// Whose it has to be.
    pub account: BareJid,
}

/// The answer to a [`Fetch`] for a session that is not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotHere {
    /// Which.
    pub number: u64,
    /// How many of the client's stanzas were handled, if the session has ended there.
    pub handled: Option<u32>,
    /// The node that it was sent to, if it was.
    pub at: Option<NodeId>,
}

/// A session that is frozen for the addressee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Names it in all that follows; never 0.
    pub number: u64,
    /// Which [`Fetch`] it answers; 0 if none.
    pub fetch: u64,
    /// The address.
    pub jid: FullJid,
    /// The session.
    pub session: SessionId,
    /// The name of the stream.
    pub name: String,
    /// Bytes of the record, [`RECORD`] at most.
    pub size: u64,
    /// How it begins.
    pub first: Bytes,
}

/// More of an offered record is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct More {
    /// Which [`Offer`].
    pub number: u64,
    /// How many bytes are there.
    pub from: u64,
}

/// Some of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which [`Offer`].
    pub number: u64,
    /// How many bytes come before.
    pub from: u64,
    /// The bytes, [`PIECE`] at most.
    pub bytes: Bytes,
}

/// The session is bound at the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which [`Offer`].
    pub number: u64,
}

/// The answer to [`Taken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Which [`Offer`].
    pub number: u64,
    /// Whether the session is the addressee's now; else it is still the sender's, or has ended.
    pub gone: bool,
}

/// The session is not taken: it stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declined {
    /// Which [`Offer`].
    pub number: u64,
}

// --- the schema ---

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireFetch {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    account: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireNotHere {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(fixed32, optional, tag = "2")]
    handled: Option<u32>,
    #[prost(string, optional, tag = "3")]
    at: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireOffer {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint64, tag = "2")]
    fetch: u64,
    #[prost(string, tag = "3")]
    jid: String,
    #[prost(fixed64, tag = "4")]
    run: u64,
    #[prost(uint64, tag = "5")]
    n: u64,
    #[prost(string, tag = "6")]
    name: String,
    #[prost(uint64, tag = "7")]
    size: u64,
    #[prost(bytes = "bytes", tag = "8")]
    first: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireMore {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint64, tag = "2")]
    from: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WirePiece {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(uint64, tag = "2")]
    from: u64,
    #[prost(bytes = "bytes", tag = "3")]
    bytes: Bytes,
}

/// [`Taken`] and [`Declined`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct WireNumber {
    #[prost(uint64, tag = "1")]
    number: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireDecided {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bool, tag = "2")]
    gone: bool,
}

impl From<&Fetch> for WireFetch {
    fn from(fetch: &Fetch) -> WireFetch {
        WireFetch {
            number: fetch.number,
            name: fetch.name.clone(),
            account: fetch.account.as_str().to_owned(),
        }
    }
}

impl From<&NotHere> for WireNotHere {
    fn from(answer: &NotHere) -> WireNotHere {
        WireNotHere {
            number: answer.number,
            handled: answer.handled,
            at: answer.at.as_ref().map(|node| node.as_str().to_owned()),
        }
    }
}

impl From<&Offer> for WireOffer {
    fn from(offer: &Offer) -> WireOffer {
        WireOffer {
            number: offer.number,
            fetch: offer.fetch,
            jid: offer.jid.as_str().to_owned(),
            run: offer.session.run,
            n: offer.session.n,
            name: offer.name.clone(),
            size: offer.size,
            first: offer.first.clone(),
        }
    }
}

impl From<&More> for WireMore {
    fn from(more: &More) -> WireMore {
        WireMore {
            number: more.number,
            from: more.from,
        }
    }
}

impl From<&Piece> for WirePiece {
    fn from(piece: &Piece) -> WirePiece {
        WirePiece {
            number: piece.number,
            from: piece.from,
            bytes: piece.bytes.clone(),
        }
    }
}

impl From<&Decided> for WireDecided {
    fn from(decided: &Decided) -> WireDecided {
        WireDecided {
            number: decided.number,
            gone: decided.gone,
        }
    }
}

impl From<Taken> for WireNumber {
    fn from(taken: Taken) -> WireNumber {
        WireNumber {
            number: taken.number,
        }
    }
}

impl From<Declined> for WireNumber {
    fn from(declined: Declined) -> WireNumber {
        WireNumber {
            number: declined.number,
        }
    }
}

impl TryFrom<WireFetch> for Fetch {
    type Error = Error;

    fn try_from(fetch: WireFetch) -> Result<Fetch, Error> {
        let account = BareJid::new(&fetch.account).ok();
        let account = account.filter(|account| account.as_str() == fetch.account);
        Ok(Fetch {
            number: number(fetch.number)?,
            name: name(fetch.name)?,
            account: account.ok_or(Error::Without("account"))?,
        })
    }
}

impl TryFrom<WireNotHere> for NotHere {
    type Error = Error;

    fn try_from(answer: WireNotHere) -> Result<NotHere, Error> {
        let at = answer.at.map(|node| node.parse()).transpose();
        Ok(NotHere {
            number: number(answer.number)?,
            handled: answer.handled,
            at: at.map_err(|_| Error::Without("node"))?,
        })
    }
}

impl TryFrom<WireOffer> for Offer {
    type Error = Error;

    fn try_from(offer: WireOffer) -> Result<Offer, Error> {
        let fits = offer.size <= RECORD as u64 && offer.first.len() as u64 <= offer.size;
        if !fits || offer.first.len() > PIECE {
            return Err(Error::Without("size"));
        }
        Ok(Offer {
            number: number(offer.number)?,
            fetch: offer.fetch,
            jid: wire::full(&offer.jid)?,
            session: SessionId {
                run: offer.run,
                n: offer.n,
            },
            name: name(offer.name)?,
            size: offer.size,
            first: offer.first,
        })
    }
}

impl From<WireMore> for More {
    fn from(more: WireMore) -> More {
        More {
            number: more.number,
            from: more.from,
        }
    }
}

impl TryFrom<WirePiece> for Piece {
    type Error = Error;

    fn try_from(piece: WirePiece) -> Result<Piece, Error> {
        if piece.bytes.len() > PIECE {
            return Err(Error::Without("size"));
        }
        Ok(Piece {
            number: piece.number,
            from: piece.from,
            bytes: piece.bytes,
        })
    }
}

impl From<WireNumber> for Taken {
    fn from(taken: WireNumber) -> Taken {
        Taken {
            number: taken.number,
        }
    }
}

impl From<WireNumber> for Declined {
    fn from(declined: WireNumber) -> Declined {
        Declined {
            number: declined.number,
        }
    }
}

impl From<WireDecided> for Decided {
    fn from(decided: WireDecided) -> Decided {
        Decided {
            number: decided.number,
            gone: decided.gone,
        }
    }
}

fn number(number: u64) -> Result<u64, Error> {
    match number {
        0 => Err(Error::Without("number")),
        number => Ok(number),
    }
}

fn name(name: String) -> Result<String, Error> {
    match name.len() <= NAME {
        true => Ok(name),
        false => Err(Error::Without("name")),
    }
}
