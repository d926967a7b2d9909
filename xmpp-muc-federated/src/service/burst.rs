//! What one who enters a room is told, pulled as their client takes it.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp_core::Jid;
use xmpp_core::mailbox::Budget;
use xmpp_core::session::Feed;
use xmpp_core::stanza::Stanza;

use super::loan::Loan;

/// Stanzas that are written to a client at a time.
const PAGE: usize = 50;

/// The presences, the history and the subject of a room on their way to one session.
pub(super) struct Burst {
    to: Jid,
    stanzas: std::vec::IntoIter<Arc<Stanza>>,
    _loan: Loan,
}

impl Burst {
    /// A burst, if there is memory for it: the stanzas are shared with others, and which ones they are is not.
    pub(super) fn new(to: Jid, stanzas: Vec<Arc<Stanza>>, budget: &Arc<Budget>) -> Option<Burst> {
        let loan = Loan::take(stanzas.len() * size_of::<Arc<Stanza>>(), budget)?;
        Some(Burst {
            to,
            stanzas: stanzas.into_iter(),
            _loan: loan,
        })
    }
}

#[async_trait]
impl Feed for Burst {
    async fn next(&mut self) -> Vec<Stanza> {
        let page = self.stanzas.by_ref().take(PAGE);
        page.map(|stanza| Stanza::clone(&stanza).with_to(self.to.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use xmpp_core::stanza::PresenceType;

    use super::*;

    #[test]
    fn a_burst_comes_in_pages_and_gives_its_memory_back() {
        let budget = Arc::new(Budget::new(1 << 20));
        let stanzas: Vec<_> = (0..PAGE + 1)
            .map(|n| {
                Stanza::presence(PresenceType::Available)
                    .with_id(n.to_string().as_str())
                    .into()
            })
            .collect();
        let to = Jid::new("romeo@example.org/orchard").unwrap();
        let mut burst = Burst::new(to.clone(), stanzas, &budget).unwrap();
        let mut read = Vec::new();
        for size in [PAGE, 1, 0] {
            let page = block_on(burst.next());
            assert_eq!(page.len(), size);
            read.extend(page);
        }
        for (n, stanza) in read.iter().enumerate() {
            assert_eq!(stanza.id(), Some(n.to_string().as_str()));
            assert_eq!(stanza.to(), Some(&to));
        }
        assert!(budget.used() > 0);
        drop(burst);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn there_is_no_burst_beyond_the_memory() {
        let budget = Arc::new(Budget::new(1 << 10));
        let most = budget.free() / size_of::<Arc<Stanza>>();
        let stanza = Arc::new(Stanza::presence(PresenceType::Available));
        let to = Jid::new("romeo@example.org/orchard").unwrap();
        assert!(Burst::new(to.clone(), vec![stanza.clone(); most + 1], &budget).is_none());
        assert!(Burst::new(to, vec![stanza; most], &budget).is_some());
    }
}
