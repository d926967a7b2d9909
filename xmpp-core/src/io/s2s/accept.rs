//! Connections that other servers open.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tracing::Instrument as _;

use super::connection::{Connection, Parts};
use super::handle::{Direction, Handle};
use super::{Federation, Shared, channel};
use crate::io::limits::Admission;
use crate::io::listener::{Listener, Security};
use crate::io::tls::Shown;
use crate::io::wire::{BoxIo, Io, Wire};
use crate::s2s::Incoming;
use crate::s2s::links::{self, LinkId};

impl Federation {
    /// Listens on a TCP address until the federation or the server closes; returns the address, which tells the port if 0 was asked for.
    ///
    /// # Errors
    /// If the address is not to be had, or TLS is asked for without a certificate.
    pub async fn listen(&self, address: SocketAddr, security: Security) -> io::Result<SocketAddr> {
        self.check(security)?;
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        self.serve(listener, security)?;
        Ok(address)
    }

    /// Accepts from any listener until the federation or the server closes.
    ///
    /// # Errors
    /// If TLS is asked for without a certificate.
    pub fn serve<L: Listener>(&self, mut listener: L, security: Security) -> io::Result<()> {
        self.check(security)?;
        let federation = self.clone();
        let shared = self.shared.clone();
        self.shared.server.spawn(async move {
            let accept = async {
                loop {
                    match listener.accept().await {
                        Ok((io, peer)) => federation.connect(io, peer, security),
                        Err(error) => {
                            // Out of file descriptors, for example: it passes, or the operator reads this.
                            tracing::warn!(%error, "accept");
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = accept => {}
                () = shared.closing() => {}
            }
        });
        Ok(())
    }

    /// Takes up one connection that another server has opened, unless the limits refuse it.
    pub fn connect(&self, io: impl Io, peer: Option<IpAddr>, security: Security) {
        let shared = self.shared.clone();
        let metrics = &shared.server.metrics().s2s;
        let id = shared.new_id();
        let address = peer.map_or_else(String::new, |peer| peer.to_string());
        let handle = Arc::new(Handle::new(id, Direction::Incoming, address, None));
        let now = shared.server.now().instant;
        let ticket = Admission::admit(&shared.admission, peer, &handle.control, now);
        let Some(ticket) = ticket.filter(|_| !shared.stopping.load(Ordering::Acquire)) else {
            metrics.refused.increment();
            tracing::debug!(?peer, "connection refused: too many");
            return;
        };
        let seat = shared.enter(handle.clone());
        let span = tracing::debug_span!("s2s", id = %id, ?peer);
        let io: BoxIo = Box::new(io);
        let task = async move {
            let _seat = seat;
            let (wire, shown) = match security {
                Security::Direct => {
                    let limit = shared.config.timeouts.header;
                    let handshake = tokio::time::timeout(limit, shared.handshake(io, None, true));
                    let secured = tokio::select! {
                        secured = handshake => secured,
                        () = handle.control.called() => return,
                    };
                    match secured {
                        Ok(Ok(secured)) => secured,
                        Ok(Err(error)) => {
                            tracing::debug!(%error, "TLS handshake failed");
                            return;
                        }
                        Err(_) => return,
                    }
                }
                _ => (Wire::Plain(io), Shown::default()),
            };
            let channel = channel(&wire);
            let now = shared.server.now();
            let inner = Incoming::new(shared.settings.clone(), &channel, now);
            let stream = shared.server.hooks().wrap_incoming(Box::new(inner));
            shared.post.tell(&mut vec![links::Input::Accepted(id)]);
            let parts = Parts {
                handle,
                wire,
                shown,
                stream,
                ticket: Some(ticket),
                opened: None,
            };
            Connection::new(shared, parts).await;
        };
        self.shared.server.spawn(task.instrument(span));
    }

    fn check(&self, security: Security) -> io::Result<()> {
        if security != Security::Plain && self.shared.tls.is_none() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a TLS listener needs a certificate",
            ));
        }
        Ok(())
    }
}

impl Shared {
    fn new_id(&self) -> LinkId {
        LinkId::In(self.next.fetch_add(1, Ordering::Relaxed))
    }
}
