//! A layer around the stream of every client: it counts the stanzas that go through.
//!
//! A layer sees all that happens to a stream before the stream does, and all that the
//! stream wants done before the driver does it; it may change either. Stream management
//! and client state are layers too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use xmpp_core::machine::Machine;
use xmpp_core::module::{Hooks, Module};
use xmpp_core::stream::{BoxStream, Input, Layer, Output};
use xmpp_core::time::Now;

/// Counts the stanzas of all clients of a server.
///
/// ```
/// use layer::Counter;
///
/// let counter = Counter::default();
/// let read = counter.clone(); // stays with whoever wants to know
/// // Server::builder().module(counter)
/// assert_eq!(read.from_clients(), 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    from_clients: AtomicU64,
    to_clients: AtomicU64,
}

impl Counter {
    /// Stanzas that clients have sent.
    pub fn from_clients(&self) -> u64 {
        self.0.from_clients.load(Ordering::Relaxed)
    }

    /// Stanzas that clients have been given.
    pub fn to_clients(&self) -> u64 {
        self.0.to_clients.load(Ordering::Relaxed)
    }
}

impl Module for Counter {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.layer(self);
    }
}

impl Layer for Counter {
    fn wrap(&self, inner: BoxStream) -> BoxStream {
        let counts = self.0.clone();
        Box::new(Counted { inner, counts })
    }
}

/// One stream in the layer.
struct Counted {
    inner: BoxStream,
    counts: Arc<Counts>,
}

impl Counted {
    fn count(&self, outputs: &[Output]) {
        for output in outputs {
            let count = match output {
                Output::Deliver(..) => &self.counts.from_clients,
                Output::Send(_) => &self.counts.to_clients,
                _ => continue,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Machine for Counted {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        // What is in `out` already has been counted, or is not this stream's.
        let before = out.len();
        self.inner.handle(input, now, out);
        self.count(&out[before..]);
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        let before = out.len();
        self.inner.handle_timeout(now, out);
        self.count(&out[before..]);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.inner.next_timeout()
    }
}
