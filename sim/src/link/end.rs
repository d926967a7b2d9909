//! The ends of a link, as tokio's traits have them.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::{Line, Link, Read, Side, Write};
use crate::rng::Rng;

/// One end of a [`Link`], in the time of the tokio runtime it is used on.
#[derive(Debug)]
pub struct End {
    side: Side,
    shared: Arc<Mutex<Shared>>,
    reading: Alarm,
    writing: Alarm,
}

/// Wakes a side when something is due.
#[derive(Debug, Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

#[derive(Debug)]
struct Shared {
    link: Link,
    readers: [Option<Waker>; 2],
    writers: [Option<Waker>; 2],
}

/// A link: the client's end and the server's.
pub fn cable(up: Line, down: Line, rng: Rng) -> (End, End) {
    let shared = Arc::new(Mutex::new(Shared {
        link: Link::new(up, down, rng, now()),
        readers: [None, None],
        writers: [None, None],
    }));
    let end = |side| End {
        side,
        shared: shared.clone(),
        reading: Alarm::default(),
        writing: Alarm::default(),
    };
    (end(Side::Client), end(Side::Server))
}

/// Ends a link from outside.
#[derive(Clone, Debug)]
pub struct Switch(Arc<Mutex<Shared>>);

impl Switch {
    /// Has both ends find the link reset.
    pub fn reset(&self) {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.link.reset(now());
        shared.wake_all();
    }

    /// From now on nothing arrives, and nobody is told.
    pub fn vanish(&self) {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.link.vanish();
    }
}

impl End {
    /// What ends this link.
    pub fn switch(&self) -> Switch {
        Switch(self.shared.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn wake_all(&mut self) {
        let all = self.readers.iter_mut().chain(&mut self.writers);
        all.filter_map(Option::take).for_each(Waker::wake);
    }
}

impl Alarm {
    /// Ready when `due` is over; never without one.
    fn poll(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due.map(tokio::time::Instant::from_std) else {
            self.0 = None;
            return Poll::Pending;
        };
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().poll(cx)
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let side = self.side;
            let mut shared = self.lock();
            let due = match shared.link.read(side, buf.initialize_unfilled(), now()) {
                Read::Bytes(read) => {
                    let writer = shared.writers[side.other() as usize].take();
                    drop(shared);
                    buf.advance(read);
                    if let Some(writer) = writer {
                        writer.wake();
                    }
                    return Poll::Ready(Ok(()));
                }
                Read::End => return Poll::Ready(Ok(())),
                Read::Failed(error) => return Poll::Ready(Err(error.into())),
                Read::Nothing(due) => due,
            };
            shared.readers[side as usize] = Some(cx.waker().clone());
            drop(shared);
            if self.reading.poll(due, cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            let side = self.side;
            let mut shared = self.lock();
            let due = match shared.link.write(side, bytes, now()) {
                Write::Failed(error) => return Poll::Ready(Err(error.into())),
                Write::Taken(taken) => {
                    // The peer reads, and this side may have learnt when it will fail.
                    shared.wake_all();
                    return Poll::Ready(Ok(taken));
                }
                Write::Full(due) => due,
            };
            shared.writers[side as usize] = Some(cx.waker().clone());
            drop(shared);
            if self.writing.poll(due, cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        shared.link.finish(self.side);
        shared.wake_all();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut shared = self.lock();
        shared.link.leave(self.side);
        shared.wake_all();
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
