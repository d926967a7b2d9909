//! How the commands change what the server keeps: through the running server, since
//! SQLite's file is open in one process at a time, or else on the store itself.
//!
//! The protocol on the socket `admin.sock` in the data folder is one line of JSON for a
//! [`Request`] and one for its [`Reply`], as often as the client likes. Only the user the
//! server runs as (and root) can speak it.

mod address;
pub mod cluster;
mod desk;
mod socket;

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use xmpp_core::io::s2s::{Federation, LinkView, State};
use xmpp_core::sasl::{Credentials, Hash, Keys};
use xmpp_core::server::Server;
use xmpp_core::{BareJid, Jid};
use xmpp_muc_federated::service::Line;

use crate::cluster::Node;
use crate::rooms::Rooms;
use crate::store::Store;

pub use desk::Desk;
pub use socket::Socket;

/// Longest line either way, in bytes.
const MAX_LINE: usize = 1 << 20;
/// Most JIDs in a reply.
const MAX_JIDS: usize = 1000;
/// Most bytes of JIDs in a reply: as many as a line has room for.
const MAX_JIDS_BYTES: usize = MAX_LINE - 1024;
/// Most connections in a reply: each has at most two names of a kilobyte.
const MAX_LINKS: usize = 400;
/// Most rooms and links of theirs in a reply: each has a name of two kilobytes.
const MAX_ROOMS: usize = 350;
/// Most accounts in a request.
pub const MAX_ACCOUNTS: usize = 500;
/// Most bytes of accounts in a request.
pub const MAX_ACCOUNTS_BYTES: usize = MAX_LINE - 1024;

/// What is asked for.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Adds accounts; answered by the number of those that were not there.
    Create { accounts: Vec<NewAccount> },
    /// Answered by 1, or by 0 if there is no such account.
    SetPassword { account: NewAccount },
    /// Answered by 1, or by 0 if there is no such account.
    Delete { jid: String },
    /// Accounts of a domain, in order: as many as a reply has room for, and none if there
    /// are no more.
    List {
        domain: String,
        after: Option<String>,
        limit: usize,
    },
    /// Copies the store to a new file.
    Backup { path: PathBuf },
    /// The connections with other servers: as many as a reply has room for.
    Links,
    /// The rooms in memory: as many as a reply has room for.
    Rooms,
    /// The cluster as this node sees it.
    Cluster,
    /// Where an account's resources are, or one of them.
    Where { jid: String },
    /// No more clients here, and all sessions that can move to other nodes.
    Drain,
    /// One session to another node.
    Move { jid: String, node: String },
}

/// What comes back.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", untagged)]
pub enum Reply {
    Count { count: usize },
    Jids { jids: Vec<String> },
    Links { links: Vec<Link>, more: usize },
    Rooms { rooms: Vec<Room>, more: usize },
    Cluster { cluster: cluster::Cluster },
    Places { places: Vec<cluster::Place> },
    Drained { moved: usize, kept: usize },
    Done { done: bool },
    Error { error: String },
}

/// A connection with another server.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    pub id: String,
    /// The domain on the other side, as far as it is known.
    pub domain: Option<String>,
    /// Its address, or the server that was dialled.
    pub peer: String,
    pub state: String,
    /// The pairs of domains that stanzas go for, out and in.
    pub granted: usize,
    pub accepted: usize,
    pub encrypted: bool,
    /// Whether the peer's certificate is right for it.
    pub certified: bool,
    pub compression: Option<String>,
    /// What waits for it.
    pub waiting: usize,
    pub received: u64,
    pub sent: u64,
}

/// A room in memory.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    pub jid: String,
    pub occupants: usize,
    /// Whether it stays when they leave.
    pub persistent: bool,
    /// Stanzas that wait for it.
    pub waiting: usize,
    /// Its links to rooms with which it is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<RoomLink>,
}

/// A link between two rooms.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RoomLink {
    pub peer: String,
    /// Whether it is the peer that was joined (`parent`), or that has joined (`child`).
    pub direction: String,
    /// What is spoken, and what the link is like.
    pub dialect: String,
    pub link: String,
    pub stage: String,
    /// Occupants behind it.
    pub occupants: usize,
    /// Events that wait for it.
    pub waiting: usize,
    pub received: u64,
    pub received_bytes: u64,
    pub sent: u64,
    pub sent_bytes: u64,
    /// When the two last came to know the same.
    pub synced: Option<String>,
}

impl From<&Line> for RoomLink {
    fn from(line: &Line) -> RoomLink {
        let link = &line.link;
        RoomLink {
            peer: link.peer.to_string(),
            direction: link.direction.name().to_owned(),
            dialect: link.dialect.name().to_owned(),
            link: link.profile.name().to_owned(),
            stage: link.stage.name().to_owned(),
            occupants: link.occupants,
            waiting: link.waiting,
            received: line.received.stanzas,
            received_bytes: line.received.bytes,
            sent: line.sent.stanzas,
            sent_bytes: line.sent.bytes,
            synced: line.synced.map(|at| at.to_string()),
        }
    }
}

/// An account and what is stored of its password; the password itself stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    pub jid: String,
    pub keys: Vec<StoredKeys>,
}

/// The keys of one hash (RFC 5802 §3), bytes as base64.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoredKeys {
    hash: String,
    salt: String,
    iterations: u32,
    stored_key: String,
    server_key: String,
}

impl std::fmt::Debug for StoredKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredKeys({})", self.hash)
    }
}

impl NewAccount {
    /// For a request.
    pub fn new(jid: &BareJid, credentials: &Credentials) -> NewAccount {
        let keys = credentials.iter().map(|keys| StoredKeys {
            hash: keys.hash().name().to_owned(),
            salt: BASE64_STANDARD.encode(keys.salt()),
            iterations: keys.iterations(),
            stored_key: BASE64_STANDARD.encode(keys.stored_key()),
            server_key: BASE64_STANDARD.encode(keys.server_key()),
        });
        NewAccount {
            jid: jid.to_string(),
            keys: keys.collect(),
        }
    }

    fn read(&self) -> anyhow::Result<(BareJid, Credentials)> {
        let jid = account(&self.jid)?;
        let keys: anyhow::Result<Credentials> = self.keys.iter().map(StoredKeys::read).collect();
        Ok((jid, keys?))
    }
}

impl StoredKeys {
    fn read(&self) -> anyhow::Result<Keys> {
        let hash = Hash::ALL
            .into_iter()
            .find(|hash| hash.name() == self.hash)
            .with_context(|| format!("unknown hash {:?}", self.hash))?;
        let bytes = |text: &str| BASE64_STANDARD.decode(text).context("not base64");
        let (salt, iterations) = (bytes(&self.salt)?, self.iterations);
        let (stored, server) = (bytes(&self.stored_key)?, bytes(&self.server_key)?);
        Ok(Keys::new(hash, salt, iterations, stored, server)?)
    }
}

/// Does what is asked for.
pub struct Office {
    store: Store,
    /// It serves, or is there just for this: what happens to an account concerns its
    /// sessions and its contacts.
    server: Server,
    federation: Option<Federation>,
    rooms: Rooms,
    node: Option<Node>,
}

impl Office {
    pub fn new(
        store: Store,
        server: Server,
        federation: Option<Federation>,
        rooms: Rooms,
        node: Option<Node>,
    ) -> Office {
        Office {
            store,
            server,
            federation,
            rooms,
            node,
        }
    }

    /// The reply to a request.
    pub async fn answer(&self, request: Request) -> Reply {
        self.perform(request).await.unwrap_or_else(|error| {
            let error = format!("{error:#}");
            Reply::Error { error }
        })
    }

    fn node(&self) -> anyhow::Result<&Node> {
        let node = self.node.as_ref();
        node.context("no server runs that is a node of a cluster (`cluster.node`)")
    }

    async fn perform(&self, request: Request) -> anyhow::Result<Reply> {
        let accounts = &self.store.stores.accounts;
        match request {
            Request::Create { accounts: new } => {
                let new: anyhow::Result<Vec<_>> = new.iter().map(NewAccount::read).collect();
                let new = new?;
                let count = accounts.create_many(&new).await?;
                for (jid, _) in &new {
                    self.server.account_created(jid).await;
                }
                Ok(Reply::Count { count })
            }
            Request::SetPassword { account } => {
                let (jid, credentials) = account.read()?;
                let known = accounts.set_credentials(&jid, &credentials).await?;
                Ok(Reply::Count {
                    count: known.into(),
                })
            }
            Request::Delete { jid } => {
                let jid = account(&jid)?;
                let removed = self.server.remove_account(&jid).await;
                let known =
                    removed.map_err(|error| anyhow!("not deleted: {error}; see the log"))?;
                Ok(Reply::Count {
                    count: known.into(),
                })
            }
            Request::List {
                domain,
                after,
                limit,
            } => {
                let after = after.map(|after| account(&after)).transpose()?;
                let limit = limit.min(MAX_JIDS);
                let page = accounts.list(&domain, after.as_ref(), limit).await?;
                Ok(Reply::Jids {
                    jids: fitting(page),
                })
            }
            Request::Links => {
                let links = self.federation.as_ref().map(Federation::links);
                let links = links.unwrap_or_default();
                let more = links.len().saturating_sub(MAX_LINKS);
                let links = links.iter().take(MAX_LINKS).map(Link::from).collect();
                Ok(Reply::Links { links, more })
            }
            Request::Rooms => {
                let all = self.rooms.view();
                let mut lines = 0;
                let fit = all.iter().take_while(|view| {
                    lines += 1 + view.links.len();
                    lines <= MAX_ROOMS
                });
                let fit = fit.count();
                let more = all.len() - fit;
                let rooms = all.into_iter().take(fit);
                let rooms = rooms.map(|view| Room {
                    jid: view.room.to_string(),
                    occupants: view.occupants,
                    persistent: view.persistent,
                    waiting: view.waiting,
                    links: view.links.iter().map(RoomLink::from).collect(),
                });
                Ok(Reply::Rooms {
                    rooms: rooms.collect(),
                    more,
                })
            }
            Request::Cluster => {
                let cluster = (&self.node()?.status()).into();
                Ok(Reply::Cluster { cluster })
            }
            Request::Where { jid } => {
                let jid: Jid = jid.parse().with_context(|| jid.clone())?;
                let node = self.node()?;
                let mut places = node.places(&jid);
                if jid.local().is_none() && !self.server.hosts(jid.domain()) {
                    places.extend(node.outlet(&jid));
                }
                places.truncate(MAX_ROOMS);
                Ok(Reply::Places { places })
            }
            Request::Drain => {
                let drained = self.node()?.drain().await;
                Ok(Reply::Drained {
                    moved: drained.moved,
                    kept: drained.kept,
                })
            }
            Request::Move { jid, node } => {
                let to = node.parse().with_context(|| node.clone())?;
                let jid = jid.parse().with_context(|| jid.clone())?;
                self.node()?.send(&jid, &to).await?;
                Ok(Reply::Done { done: true })
            }
            Request::Backup { path } => {
                self.store.backup(&path).await?;
                Ok(Reply::Done { done: true })
            }
        }
    }
}

impl From<&LinkView> for Link {
    fn from(view: &LinkView) -> Link {
        let state = match view.state {
            State::Opening => "opening",
            State::Open => "open",
            State::Closing => "closing",
        };
        Link {
            id: view.id.to_string(),
            domain: view.domain.as_ref().map(BareJid::to_string),
            peer: view.peer.clone(),
            state: state.to_owned(),
            granted: view.granted.len(),
            accepted: view.accepted.len(),
            encrypted: view.encrypted,
            certified: view.certified,
            compression: view.compression.map(|method| method.name().into()),
            waiting: view.waiting,
            received: view.received,
            sent: view.sent,
        }
    }
}

/// As many as a reply has room for, which is at least one.
fn fitting(page: Vec<BareJid>) -> Vec<String> {
    let mut bytes = 0;
    let jids = page.into_iter().map(|jid| jid.to_string());
    let fits = jids.take_while(|jid| {
        // A backslash is two in JSON; and there are the quotes and a comma.
        bytes += 2 * jid.len() + 3;
        bytes <= MAX_JIDS_BYTES
    });
    fits.collect()
}

fn account(jid: &str) -> anyhow::Result<BareJid> {
    let jid: BareJid = jid.parse().with_context(|| jid.to_owned())?;
    anyhow::ensure!(jid.local().is_some(), "{jid} is a domain, not an account");
    Ok(jid)
}
