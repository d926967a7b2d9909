//! `<fmuc/>`: that of XEP-0289, and what we put into it.

use std::ops::RangeInclusive;

use xmpp_core::time::Timestamp;
use xmpp_core::xml::Element;
use xmpp_core::{BareJid, Jid};

use super::{Alias, base36};
use crate::log::{NodeId, Reach};
use crate::ns;

/// The most characters of a text that is shown to somebody: why a room is refused (§5.4 of the design).
const TEXT_MAX: usize = 256;
/// The most characters of a name that a peer makes up, or of a nick.
const NAME_MAX: usize = 1023;
/// The most elements of our own in one `<fmuc/>`, and in one of them.
const ITEMS_MAX: usize = 1000;

/// What makes a stanza one between two rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fmuc {
    /// On whose behalf: the real full JID of an occupant.
    pub from: Option<Jid>,
    /// The room does not take part, perhaps with a reason.
    pub reject: Option<String>,
    /// The room has noted that the other has left.
    pub left: bool,
    /// Our own.
    pub extensions: Vec<Extension>,
}

/// What we add to XEP-0289, each an element of the namespace [`ns::SYNC`] within `<fmuc/>`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extension {
    /// `<join/>`: a room that would join speaks this, and has this much.
    Join(Hello),
    /// `<sync/>`: so does the one that is joined; the first that it answers.
    Sync {
        /// As in `<join/>`.
        hello: Hello,
        /// What the other has is of no use here: it gets everything anew.
        reset: bool,
        /// The rooms on the way to the root of the tree, this one included.
        path: Vec<NodeId>,
    },
    /// `<synced/>`: that was all that was missing.
    Synced,
    /// `<crowd/>`: a digest of who is on the side that says so, with their nicks. Who comes to another one has missed something.
    Crowd(u32),
    /// `<a/>`: a name for the life of a node, from now on.
    Alias {
        /// The name.
        alias: Alias,
        /// The node.
        node: NodeId,
        /// Which of its lives.
        epoch: u64,
    },
    /// `<o/>`: whose event this stanza is.
    Origin(Origin),
    /// `<last/>`: the last event of a node that was told before a silence. Who lacks it has missed it.
    Last(Origin),
    /// `<t/>`: when the subject was changed, as the author's clock has it, and which of its changes at that moment this one is: of two changes the later one stays.
    Changed(Timestamp, u32),
    /// `<want/>`: these are missing.
    Want(Alias, RangeInclusive<u64>),
    /// `<gone/>`: these will not come any more.
    Gone(Alias, RangeInclusive<u64>),
    /// `<collision/>`: the nick is somebody else's.
    Collision {
        /// The nick.
        nick: String,
        /// Who has to have another.
        from: Jid,
    },
    /// `<act/>`: somebody asks for this, it has not happened yet.
    Act {
        /// Who.
        by: Jid,
        /// Under which nick.
        nick: String,
    },
    /// `<unreach/>`: nobody hears of the node, nor it of anybody.
    Unreach(Alias),
    /// `<reach/>`: it is back.
    Reach(Alias),
    /// `<path/>`: the rooms on the way to the root are others now.
    Path(Vec<NodeId>),
    /// `<leave/>`: all occupants of the room that says so are gone at once.
    Leave,
    /// `<rejoin/>`: the room that is told so is not known, and may join anew.
    Rejoin,
    /// `<left/>`: which session `<left/>` of XEP-0289 ends.
    Left(String),
    /// `<refuse/>`: the occupant is not let in here, and why: a condition of RFC 6120 §8.3.3.
    Refuse(String),
}

/// The beginning of a session on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// How the rooms are one.
    pub mode: Mode,
    /// A name for the session, which tells late answers from those to this one.
    pub session: String,
    /// Of the events that it has it does not know any more who is there by them: it is told of all occupants.
    pub fresh: bool,
    /// What the room has.
    pub have: Vec<Have>,
}

/// How two rooms are one (XEP-0289 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each delivers to its own occupants at once.
    Primary,
    /// The joining one waits for the echo of the other.
    Replica,
}

impl Mode {
    /// Its name, for operators and forms.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Primary => "primary",
            Mode::Replica => "replica",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Mode> {
        let all = [Mode::Primary, Mode::Replica];
        all.into_iter().find(|mode| mode.name() == name)
    }
}

/// How far everything of one node is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have {
    /// The name of that node from now on.
    pub alias: Alias,
    /// The node.
    pub node: NodeId,
    /// How far.
    pub reach: Reach,
}

/// The name of an event on one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whose it is.
    pub alias: Alias,
    /// The how manieth.
    pub seq: u64,
}

/// Why an `<fmuc/>` is none that can be acted upon.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireError {
    /// `from` is no address.
    #[error("an address in <fmuc/> is malformed")]
    Jid,
    /// An element of ours does not have what it has to, or too much of it.
    #[error("an extension in <fmuc/> is malformed")]
    Extension,
    /// The other side speaks another version of our extension.
    #[error("the extension in <fmuc/> has another version")]
    Version,
}

/// The version of our extension.
const VERSION: &str = "1";

impl Fmuc {
    /// On behalf of somebody, and nothing else.
    pub fn from(jid: Jid) -> Fmuc {
        Fmuc {
            from: Some(jid),
            ..Fmuc::default()
        }
    }

    /// With this of ours.
    #[must_use]
    pub fn with(mut self, extension: Extension) -> Fmuc {
        self.extensions.push(extension);
        self
    }

    /// Reads it. What is not known is passed over: XEP-0289 forbids nothing.
    pub fn read(element: &Element) -> Result<Fmuc, WireError> {
        let from = element.attr("from").map(Jid::new).transpose();
        let ours = element.children().filter(|child| child.ns() == ns::SYNC);
        let extensions = ours.map(Extension::read).collect::<Result<Vec<_>, _>>()?;
        let extensions: Vec<_> = extensions.into_iter().flatten().collect();
        if extensions.len() > ITEMS_MAX {
            return Err(WireError::Extension);
        }
        let reject = element.child("reject", ns::FMUC);
        Ok(Fmuc {
            from: from.map_err(|_| WireError::Jid)?,
            reject: reject.map(|reject| reject.text().chars().take(TEXT_MAX).collect()),
            left: element.child("left", ns::FMUC).is_some(),
            extensions,
        })
    }

    /// The digest of who is on the side that says it, if it says one.
    pub(super) fn crowd(&self) -> Option<u32> {
        self.extensions.iter().find_map(|one| match one {
            Extension::Crowd(digest) => Some(*digest),
            _ => None,
        })
    }

    /// As it stands in a stanza.
    pub fn to_element(&self) -> Element {
        let mut element = Element::new("fmuc", ns::FMUC);
        element.set_attr("from", self.from.as_ref().map(Jid::as_str));
        if let Some(text) = &self.reject {
            let reject = Element::new("reject", ns::FMUC);
            element = element.with_child(match text.as_str() {
                "" => reject,
                text => reject.with_text(text),
            });
        }
        if self.left {
            element = element.with_child(Element::new("left", ns::FMUC));
        }
        element.with_children(self.extensions.iter().map(Extension::to_element))
    }
}

impl Extension {
    /// `None` for one that is not known.
    fn read(element: &Element) -> Result<Option<Extension>, WireError> {
        let text = |name| {
            let text = element.attr(name).filter(|text| text.len() <= NAME_MAX);
            text.map(str::to_owned).ok_or(WireError::Extension)
        };
        let jid = |name| {
            Jid::new(element.attr(name).ok_or(WireError::Extension)?).map_err(|_| WireError::Jid)
        };
        Ok(Some(match element.name() {
            "join" => Extension::Join(Hello::read(element)?),
            "sync" => Extension::Sync {
                hello: Hello::read(element)?,
                reset: matches!(element.attr("reset"), Some("1" | "true")),
                path: element.child("p", ns::SYNC).map_or(Ok(Vec::new()), path)?,
            },
            "synced" => Extension::Synced,
            "crowd" => {
                let digest = u32::try_from(number(element, "d")?);
                Extension::Crowd(digest.map_err(|_| WireError::Extension)?)
            }
            "a" => Extension::Alias {
                alias: number(element, "a")?,
                node: node(element.attr("n").ok_or(WireError::Extension)?)?,
                epoch: number(element, "e")?,
            },
            "o" => Extension::Origin(origin(element)?),
            "last" => Extension::Last(origin(element)?),
            "t" => {
                let stamp = element.attr("s").and_then(|stamp| stamp.split_once('.'));
                let (at, count) = stamp.ok_or(WireError::Extension)?;
                let at = base36::read(at).and_then(|at| i64::try_from(at).ok());
                let count = base36::read(count).and_then(|count| u32::try_from(count).ok());
                Extension::Changed(
                    Timestamp(at.ok_or(WireError::Extension)?),
                    count.ok_or(WireError::Extension)?,
                )
            }
            "want" => {
                let (alias, seqs) = range(element)?;
                Extension::Want(alias, seqs)
            }
            "gone" => {
                let (alias, seqs) = range(element)?;
                Extension::Gone(alias, seqs)
            }
            "collision" => Extension::Collision {
                nick: text("nick")?,
                from: jid("from")?,
            },
            "act" => Extension::Act {
                by: jid("by")?,
                nick: text("nick")?,
            },
            "unreach" => Extension::Unreach(number(element, "a")?),
            "reach" => Extension::Reach(number(element, "a")?),
            "path" => Extension::Path(path(element)?),
            "leave" => Extension::Leave,
            "rejoin" => Extension::Rejoin,
            "left" => Extension::Left(text("s")?),
            "refuse" => Extension::Refuse(text("cond")?),
            _ => return Ok(None),
        }))
    }

    pub(super) fn to_element(&self) -> Element {
        let new = |name: &'static str| Element::new(name, ns::SYNC);
        match self {
            Extension::Join(hello) => hello.write(new("join")),
            Extension::Sync { hello, reset, path } => {
                let mut sync = new("sync");
                sync.set_attr("reset", reset.then_some("1"));
                let mut sync = hello.write(sync);
                if !path.is_empty() {
                    sync = sync.with_child(write_path(new("p"), path));
                }
                sync
            }
            Extension::Synced => new("synced"),
            Extension::Crowd(digest) => {
                new("crowd").with_attr("d", &base36::write(u64::from(*digest)))
            }
            Extension::Alias { alias, node, epoch } => new("a")
                .with_attr("a", &base36::write(*alias))
                .with_attr("n", node.as_str())
                .with_attr("e", &base36::write(*epoch)),
            Extension::Origin(origin) => write_origin(new("o"), *origin),
            Extension::Last(origin) => write_origin(new("last"), *origin),
            Extension::Changed(at, count) => {
                let at = base36::write(at.0.max(0).unsigned_abs());
                let count = base36::write(u64::from(*count));
                new("t").with_attr("s", &format!("{at}.{count}"))
            }
            Extension::Want(alias, seqs) => write_range(new("want"), *alias, seqs),
            Extension::Gone(alias, seqs) => write_range(new("gone"), *alias, seqs),
            Extension::Collision { nick, from } => new("collision")
                .with_attr("nick", nick)
                .with_attr("from", from.as_str()),
            Extension::Act { by, nick } => new("act")
                .with_attr("by", by.as_str())
                .with_attr("nick", nick),
            Extension::Unreach(alias) => new("unreach").with_attr("a", &base36::write(*alias)),
            Extension::Reach(alias) => new("reach").with_attr("a", &base36::write(*alias)),
            Extension::Path(path) => write_path(new("path"), path),
            Extension::Leave => new("leave"),
            Extension::Rejoin => new("rejoin"),
            Extension::Left(session) => new("left").with_attr("s", session),
            Extension::Refuse(condition) => new("refuse").with_attr("cond", condition),
        }
    }
}

impl Hello {
    fn read(element: &Element) -> Result<Hello, WireError> {
        if element.attr("v") != Some(VERSION) {
            return Err(WireError::Version);
        }
        let have = element.children().filter(|child| child.is("h", ns::SYNC));
        let have = have.map(|h| {
            Ok(Have {
                alias: number(h, "a")?,
                node: node(h.attr("n").ok_or(WireError::Extension)?)?,
                reach: Reach {
                    epoch: number(h, "e")?,
                    seq: number(h, "s")?,
                },
            })
        });
        let have = have.take(ITEMS_MAX + 1).collect::<Result<Vec<_>, _>>()?;
        if have.len() > ITEMS_MAX {
            return Err(WireError::Extension);
        }
        let session = element.attr("s").filter(|text| text.len() <= NAME_MAX);
        Ok(Hello {
            mode: match element.attr("m") {
                Some("pp") | None => Mode::Primary,
                Some("pr") => Mode::Replica,
                Some(_) => return Err(WireError::Extension),
            },
            session: session.ok_or(WireError::Extension)?.to_owned(),
            fresh: matches!(element.attr("f"), Some("1" | "true")),
            have,
        })
    }

    fn write(&self, element: Element) -> Element {
        let mode = match self.mode {
            Mode::Primary => "pp",
            Mode::Replica => "pr",
        };
        let have = self.have.iter().map(|Have { alias, node, reach }| {
            Element::new("h", ns::SYNC)
                .with_attr("a", &base36::write(*alias))
                .with_attr("n", node.as_str())
                .with_attr("e", &base36::write(reach.epoch))
                .with_attr("s", &base36::write(reach.seq))
        });
        let mut element = element;
        element.set_attr("f", self.fresh.then_some("1"));
        element
            .with_attr("v", VERSION)
            .with_attr("m", mode)
            .with_attr("s", &self.session)
            .with_children(have)
    }
}

/// A node is named by the address of its room.
fn node(name: &str) -> Result<NodeId, WireError> {
    let room = BareJid::new(name).map_err(|_| WireError::Jid)?;
    Ok(NodeId::new(room.as_str()))
}

fn number(element: &Element, name: &str) -> Result<u64, WireError> {
    let number = element.attr(name).and_then(base36::read);
    number.ok_or(WireError::Extension)
}

/// `i='ALIAS.SEQ'`
fn origin(element: &Element) -> Result<Origin, WireError> {
    let parts = || {
        let (alias, seq) = element.attr("i")?.split_once('.')?;
        Some(Origin {
            alias: base36::read(alias)?,
            seq: base36::read(seq)?,
        })
    };
    parts().ok_or(WireError::Extension)
}

fn write_origin(element: Element, Origin { alias, seq }: Origin) -> Element {
    let (alias, seq) = (base36::write(alias), base36::write(seq));
    element.with_attr("i", &format!("{alias}.{seq}"))
}

/// `i='ALIAS.FROM-TO'`
fn range(element: &Element) -> Result<(Alias, RangeInclusive<u64>), WireError> {
    let parts = || {
        let (alias, seqs) = element.attr("i")?.split_once('.')?;
        let (first, last) = seqs.split_once('-')?;
        let seqs = base36::read(first)?..=base36::read(last)?;
        Some((base36::read(alias)?, seqs))
    };
    let range = parts().filter(|(_, seqs)| !seqs.is_empty());
    range.ok_or(WireError::Extension)
}

fn write_range(element: Element, alias: Alias, seqs: &RangeInclusive<u64>) -> Element {
    let (first, last) = (base36::write(*seqs.start()), base36::write(*seqs.end()));
    element.with_attr("i", &format!("{}.{first}-{last}", base36::write(alias)))
}

/// Addresses of rooms, with spaces between them: no bare JID has one.
fn path(element: &Element) -> Result<Vec<NodeId>, WireError> {
    let text = element.text();
    let path = text.split_ascii_whitespace().take(ITEMS_MAX + 1).map(node);
    let path = path.collect::<Result<Vec<_>, _>>()?;
    match path.len() <= ITEMS_MAX {
        true => Ok(path),
        false => Err(WireError::Extension),
    }
}

fn write_path(element: Element, path: &[NodeId]) -> Element {
    let names: Vec<_> = path.iter().map(NodeId::as_str).collect();
    element.with_text(&names.join(" "))
}

#[cfg(test)]
mod tests;
