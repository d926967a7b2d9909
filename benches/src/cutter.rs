//! A relay that cuts the connections it carries, at random: between a client and its server, to see what either makes of it.

use std::{cell::Cell, cell::RefCell, fmt, io, net::SocketAddr, rc::Rc, time::Duration};

use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::Notify,
    task::spawn_local,
    time::{sleep, timeout},
};

/// The cutter. Clones share what they have counted.
#[derive(Clone)]
pub struct Cutter(Rc<Shared>);

struct Shared {
    server: SocketAddr,
    mean: Duration,
    armed: Cell<bool>,
    random: RefCell<fastrand::Rng>,
    cuts: Cell<Cuts>,
}

/// Connections cut, by manner.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cuts {
    /// Both ends were told by a reset.
    pub reset: u64,
    /// Both ends were told by the end of the TCP stream.
    pub closed: u64,
    /// Nothing came through any more; then the client was told, and the server later.
    pub silenced: u64,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Reset,
    Close,
    /// Nobody hears anything for so long.
    Silence(Duration),
}

/// Bytes that each direction still carries when the time for the cut has come: it falls anywhere in a stanza or a TLS record.
const LAST_BYTES: usize = 600;
/// How long to wait for these bytes.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// The longest silence before the client is told.
const SILENCE: Duration = Duration::from_millis(1500);
/// How much longer the server is left in the belief that its client is there.
const BELIEF: Duration = Duration::from_secs(2);

impl Cutter {
    /// Carries connections to `server`, each for about `mean`. It begins to cut when it is [armed](Cutter::arm).
    pub fn new(server: SocketAddr, mean: Duration, seed: u64) -> Cutter {
        Cutter(Rc::new(Shared {
            server,
            mean,
            armed: Cell::new(false),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            cuts: Cell::default(),
        }))
    }

    /// Whether connections are cut from now on.
    pub fn arm(&self, armed: bool) {
        self.0.armed.set(armed);
    }

    /// What has been cut so far.
    pub fn cuts(&self) -> Cuts {
        self.0.cuts.get()
    }

    /// Accepts connections for ever. Wants a [`LocalSet`](tokio::task::LocalSet).
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        loop {
            let (client, _) = listener.accept().await?;
            let cutter = self.clone();
            spawn_local(async move {
                // A connection that ends by itself is no business of ours.
                let _ = cutter.carry(client).await;
            });
        }
    }

    async fn carry(&self, mut client: TcpStream) -> io::Result<()> {
        let mut server = TcpStream::connect(self.0.server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let quota = Quota::default();
        let cut = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            let both = async {
                tokio::try_join!(
                    quota.pump(from_client, to_server, 0),
                    quota.pump(from_server, to_client, 1)
                )
            };
            tokio::select! {
                ended = both => return ended.map(drop),
                cut = self.time_is_up(&quota) => cut,
            }
        };
        self.cut(cut, client, server).await
    }

    /// Waits until the connection is to be cut.
    async fn time_is_up(&self, quota: &Quota) -> Manner {
        loop {
            let share = -self.0.random.borrow_mut().f64().max(1e-9).ln();
            sleep(self.0.mean.mul_f64(share)).await;
            if self.0.armed.get() {
                break;
            }
        }
        let manner = {
            let mut random = self.0.random.borrow_mut();
            quota
                .left
                .set([(); 2].map(|()| Some(random.usize(..LAST_BYTES))));
            match random.u8(..3) {
                0 => Manner::Reset,
                1 => Manner::Close,
                _ => Manner::Silence(SILENCE.mul_f64(random.f64())),
            }
        };
        let _ = timeout(LAST_WORDS, quota.spent.notified()).await;
        manner
    }

    async fn cut(&self, manner: Manner, client: TcpStream, server: TcpStream) -> io::Result<()> {
        let mut cuts = self.cuts();
        match manner {
            Manner::Reset => {
                cuts.reset += 1;
                self.0.cuts.set(cuts);
                client.set_zero_linger()?;
                server.set_zero_linger()
            }
            Manner::Close => {
                cuts.closed += 1;
                self.0.cuts.set(cuts);
                Ok(())
            }
            Manner::Silence(silence) => {
                cuts.silenced += 1;
                self.0.cuts.set(cuts);
                sleep(silence).await;
                client.set_zero_linger()?;
                drop(client);
                sleep(BELIEF).await;
                server.set_zero_linger()
            }
        }
    }
}

/// What a connection may still carry once its end has come, by direction.
#[derive(Default)]
struct Quota {
    left: Cell<[Option<usize>; 2]>,
    spent: Notify,
}

impl Quota {
    async fn pump(
        &self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        direction: usize,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 4096];
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return to.shutdown().await;
            }
            let mut left = self.left.get();
            let Some(quota) = &mut left[direction] else {
                to.write_all(&buffer[..count]).await?;
                continue;
            };
            let allowed = count.min(*quota);
            *quota -= allowed;
            self.left.set(left);
            to.write_all(&buffer[..allowed]).await?;
            if allowed < count {
                self.spent.notify_one();
                return std::future::pending().await;
            }
        }
    }
}

impl fmt::Display for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cuts {
            reset,
            closed,
            silenced,
        } = self;
        write!(f, "{reset} reset, {closed} closed, {silenced} silenced")
    }
}

#[cfg(test)]
mod tests {
    use tokio::{net::TcpStream, task::LocalSet, time::timeout};

    use super::*;

    /// A cutter before a server that echoes, and a connection through it.
    async fn connect() -> (Cutter, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cutter = Cutter::new(server.local_addr().unwrap(), Duration::from_millis(1), 1);
        spawn_local(async move {
            loop {
                let (mut client, _) = server.accept().await.unwrap();
                spawn_local(async move {
                    let (mut from, mut to) = client.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        spawn_local(cutter.clone().serve(listener));
        (cutter, TcpStream::connect(address).await.unwrap())
    }

    /// Sends and receives until the connection is cut, or for a while.
    async fn echo(client: &mut TcpStream) -> Option<usize> {
        let mut echoed = 0;
        let cut = async {
            let mut buffer = [0; 64];
            loop {
                if client.write_all(b"0123456789").await.is_err() {
                    return;
                }
                match client.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => echoed += count,
                }
            }
        };
        let patience = SILENCE + LAST_WORDS + Duration::from_millis(300);
        let ended = timeout(patience, cut).await.is_ok();
        ended.then_some(echoed)
    }

    #[tokio::test]
    async fn it_cuts_when_it_is_armed_and_not_before() {
        let local = LocalSet::new();
        local
            .run_until(async {
                let (cutter, mut client) = connect().await;
                assert_eq!(echo(&mut client).await, None, "it is not armed");
                assert_eq!(cutter.cuts(), Cuts::default());
                cutter.arm(true);
                assert!(echo(&mut client).await.is_some());
                let Cuts {
                    reset,
                    closed,
                    silenced,
                } = cutter.cuts();
                assert_eq!(reset + closed + silenced, 1);
            })
            .await;
    }
}
