//! Records as bytes, in Protocol Buffers, for journals and links.

use std::collections::BTreeMap;

use prost::Message;
use xmpp_core::time::Timestamp;

use super::{Denial, Guarded, Register};
use crate::clock::Stamp;

/// What is not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record")]
pub struct NotARecord;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WireStamp {
    #[prost(sint64, tag = "1")]
    time: i64,
    #[prost(uint32, tag = "2")]
    count: u32,
    #[prost(string, tag = "3")]
    node: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WireDenial {
    #[prost(message, optional, tag = "1")]
    at: Option<WireStamp>,
    #[prost(bool, tag = "2")]
    answered: bool,
}

/// A text that may be none, and its last writer.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WireText {
    #[prost(message, optional, tag = "1")]
    at: Option<WireStamp>,
    #[prost(string, optional, tag = "2")]
    text: Option<String>,
}

/// Something that is so, or not.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WireFlag {
    #[prost(message, repeated, tag = "1")]
    denials: Vec<WireDenial>,
    #[prost(message, optional, tag = "2")]
    since: Option<WireStamp>,
}

impl From<&Stamp> for WireStamp {
    fn from(stamp: &Stamp) -> WireStamp {
        WireStamp {
            time: stamp.time.0,
            count: stamp.count,
            node: stamp.node.as_str().to_owned(),
        }
    }
}

impl TryFrom<WireStamp> for Stamp {
    type Error = NotARecord;

    fn try_from(stamp: WireStamp) -> Result<Stamp, NotARecord> {
        Ok(Stamp {
            time: Timestamp(stamp.time),
            count: stamp.count,
            node: stamp.node.parse().map_err(|_| NotARecord)?,
        })
    }
}

/// A stamp that has to be there.
pub(crate) fn stamp(stamp: Option<WireStamp>) -> Result<Stamp, NotARecord> {
    stamp.ok_or(NotARecord)?.try_into()
}

impl From<&Register<Option<String>>> for WireText {
    fn from(text: &Register<Option<String>>) -> WireText {
        WireText {
            at: Some((&text.at).into()),
            text: text.value.clone(),
        }
    }
}

impl TryFrom<WireText> for Register<Option<String>> {
    type Error = NotARecord;

    fn try_from(text: WireText) -> Result<Self, NotARecord> {
        Ok(Register {
            at: stamp(text.at)?,
            value: text.text,
        })
    }
}

impl From<&Guarded<Register<()>>> for WireFlag {
    fn from(flag: &Guarded<Register<()>>) -> WireFlag {
        WireFlag {
            denials: flag.wire_denials(),
            since: flag.value().map(|since| (&since.at).into()),
        }
    }
}

impl TryFrom<WireFlag> for Guarded<Register<()>> {
    type Error = NotARecord;

    fn try_from(flag: WireFlag) -> Result<Self, NotARecord> {
        let since = flag.since.map(Stamp::try_from).transpose()?;
        Guarded::from_wire(flag.denials, since.map(|at| Register { at, value: () }))
    }
}

impl<T> Guarded<T> {
    pub(crate) fn wire_denials(&self) -> Vec<WireDenial> {
        let denial = |denial: &Denial<()>| WireDenial {
            at: Some((&denial.at).into()),
            answered: denial.answered,
        };
        self.denials.values().map(denial).collect()
    }

    pub(crate) fn from_wire(
        denials: Vec<WireDenial>,
        value: Option<T>,
    ) -> Result<Guarded<T>, NotARecord> {
        let mut all = BTreeMap::new();
        for denial in denials {
            let at = stamp(denial.at)?;
            let known = all.insert(
                at.node.clone(),
                Denial {
                    at,
                    kind: (),
                    answered: denial.answered,
                },
            );
            if known.is_some() || all.len() > super::DENIERS {
                return Err(NotARecord);
            }
        }
        Ok(Guarded {
            denials: all,
            value,
        })
    }

    /// The last denial.
    pub(crate) fn last_denial(&self) -> Option<&Stamp> {
        self.denials.values().map(|denial| &denial.at).max()
    }

    /// The greatest time of any denial.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = &Stamp> {
        self.denials.values().map(|denial| &denial.at)
    }
}
