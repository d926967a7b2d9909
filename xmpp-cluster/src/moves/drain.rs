//! A node that is to go gives away what it has.

use futures::{StreamExt, stream};
use xmpp_core::io::Movable;

use super::Moves;
use crate::node::Life;
use crate::rendezvous;

/// Sessions that move at once.
const AT_ONCE: usize = 32;

/// What has become of the sessions of a node that was drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Sessions that are at other nodes now.
    pub moved: usize,
    /// Sessions that could have moved, and that nobody has taken.
    pub kept: usize,
}

impl Moves {
    /// Accepts no more connections here, is brought nothing more for [other servers](crate::directory::ClusterDirectory::close_outlet), and sends every session that can be resumed to another node: one of its own site, if it is
    /// up, and of these the one that is [first](rendezvous) for the address. The connections of those that have gone are cut without a
    /// `</stream:stream>`, so that their clients resume at any node that accepts them.
    ///
    /// Who cannot resume stays, and is left to the [end](xmpp_core::io::Driver::shutdown) of the driver.
    pub async fn drain(&self) -> Drained {
        let driver = &self.0.driver;
        driver.stop_accepting();
        self.0.directory.close_outlet();
        let all = stream::iter(driver.movable());
        let gone = all.map(|session| self.place(session));
        let mut drained = Drained::default();
        let mut gone = gone.buffer_unordered(AT_ONCE);
        while let Some(moved) = gone.next().await {
            match moved {
                true => drained.moved += 1,
                false => drained.kept += 1,
            }
        }
        drained
    }

    /// Finds another node that takes a session.
    async fn place(&self, session: Movable) -> bool {
        let cluster = self.0.cluster();
        let site = &cluster.me().site;
        let (near, far): (Vec<_>, Vec<_>) = cluster
            .look(|node| {
                let all = node.members().map(|seen| seen.info.clone());
                all.filter(|info| node.is_up(&info.life))
                    .collect::<Vec<_>>()
            })
            .into_iter()
            .partition(|info| info.site == *site);
        for nodes in [near, far] {
            let mut lives: Vec<Life> = nodes.into_iter().map(|info| info.life).collect();
            while let Some(life) = next(session.jid.as_str(), &mut lives) {
                if self.send_away(&session.name, &life).await.is_ok() {
                    return true;
                }
            }
        }
        false
    }
}

/// Takes out the one that is first for a key.
fn next(key: &str, lives: &mut Vec<Life>) -> Option<Life> {
    let first = rendezvous::first(key, lives.iter().map(|life| &life.node))?;
    let at = lives.iter().position(|life| life.node == *first)?;
    Some(lives.swap_remove(at))
}
