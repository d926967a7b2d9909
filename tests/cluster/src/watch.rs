//! What the nodes believe of each other, by their metrics, several times a second.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::spawn_local,
    time::{sleep, timeout},
};

use crate::engine::NAMES;

/// Follows all nodes. Clones share what they have seen.
#[derive(Clone)]
pub struct Watch(Rc<RefCell<Vec<View>>>);

/// What one node shows; all `false` while it shows nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct View {
    answers: bool,
    /// By node: whether it is up, and known to the end.
    up: [bool; NAMES.len()],
}

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// A node that takes longer shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);

impl Watch {
    /// Begins to look. Wants a [`LocalSet`](tokio::task::LocalSet).
    pub fn start(nodes: Vec<SocketAddr>) -> Watch {
        let watch = Watch(Rc::new(RefCell::new(vec![View::default(); nodes.len()])));
        for (node, address) in nodes.into_iter().enumerate() {
            let watch = watch.clone();
            spawn_local(async move {
                loop {
                    let page = timeout(PATIENCE, page(address)).await;
                    let view = page.ok().and_then(Result::ok).map(|page| view(&page));
                    watch.0.borrow_mut()[node] = view.unwrap_or_default();
                    sleep(PAUSE).await;
                }
            });
        }
        watch
    }

    /// Waits until all nodes are up for all others, and each knows all sessions.
    pub async fn whole(&self, patience: Duration) -> Option<Duration> {
        self.until(patience, |views| {
            views.iter().enumerate().all(|(node, view)| {
                let others = view.up.iter().enumerate();
                view.answers
                    && others
                        .filter(|(other, _)| *other != node)
                        .all(|(_, up)| *up)
            })
        })
        .await
    }

    /// Waits until nobody else holds this node to be up.
    pub async fn missed(&self, node: usize, patience: Duration) -> Option<Duration> {
        self.until(patience, |views| {
            let others = views.iter().enumerate().filter(|(other, _)| *other != node);
            let mut others = others.map(|(_, view)| view);
            others.all(|view| view.answers && !view.up[node])
        })
        .await
    }

    /// Until it is so; how long that was. `None` if it is not within this time.
    async fn until(&self, patience: Duration, is_so: impl Fn(&[View]) -> bool) -> Option<Duration> {
        let begin = Instant::now();
        while !is_so(&self.0.borrow()) {
            if begin.elapsed() > patience {
                return None;
            }
            sleep(PAUSE / 2).await;
        }
        Some(begin.elapsed())
    }
}

async fn page(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    Ok(page)
}

fn view(page: &str) -> View {
    let has = |line: String| page.lines().any(|each| each == line);
    let up = |name: &str| {
        let state = |state| {
            has(format!(
                "xmpp_cluster_node_state{{node=\"{name}\",state=\"{state}\"}} 1"
            ))
        };
        (state("up") || state("relayed"))
            && has(format!("xmpp_cluster_reading{{node=\"{name}\"}} 0"))
    };
    View {
        answers: page.contains("xmpp_cluster_nodes"),
        up: NAMES.map(up),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_up_when_all_of_it_is_known() {
        let page = "xmpp_cluster_nodes{state=\"here\"} 1\n\
            xmpp_cluster_node_state{node=\"a\",state=\"here\"} 1\n\
            xmpp_cluster_node_state{node=\"b\",state=\"up\"} 1\n\
            xmpp_cluster_node_state{node=\"c\",state=\"relayed\"} 1\n\
            xmpp_cluster_reading{node=\"b\"} 1\n\
            xmpp_cluster_reading{node=\"c\"} 0\n";
        let view = view(page);
        assert!(view.answers);
        assert_eq!(view.up, [false, false, true]);
    }
}
