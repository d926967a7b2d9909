//! The clock, randomness and tasks of the operating system and tokio.
#![allow(clippy::disallowed_methods)] // this is the module that owns them

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;
use zeroize::{Zeroize as _, Zeroizing};

use crate::server::{Random, Spawn, Surroundings};
use crate::time::{Clock, Now};

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now {
            instant: Instant::now(),
            utc: SystemTime::now().into(),
        }
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// The operating system's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

/// Bytes that a thread asks the operating system for at once: a login needs four times some.
const POOL: usize = 256;

struct Pool {
    bytes: Zeroizing<[u8; POOL]>,
    used: usize,
}

thread_local! {
    static POOL_OF_THREAD: RefCell<Pool> = RefCell::new(Pool {
        bytes: Zeroizing::new([0; POOL]),
        used: POOL,
    });
}

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // Without randomness no nonce or stream id is safe; there is no going on.
        let draw = |bytes: &mut [u8]| {
            getrandom::fill(bytes).expect("the operating system has randomness");
        };
        if bytes.len() > POOL {
            return draw(bytes);
        }
        POOL_OF_THREAD.with_borrow_mut(|pool| {
            if POOL - pool.used < bytes.len() {
                draw(&mut pool.bytes[..]);
                pool.used = 0;
            }
            let given = &mut pool.bytes[pool.used..][..bytes.len()];
            bytes.copy_from_slice(given);
            // What was given is known to nobody else.
            given.zeroize();
            pool.used += bytes.len();
        });
    }
}

/// Tasks of the tokio runtime that the call is made on.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioSpawn;

impl Spawn for TokioSpawn {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) {
        tokio::task::spawn_blocking(work);
    }
}

/// All three.
pub fn surroundings() -> Surroundings {
    Surroundings {
        clock: Arc::new(SystemClock),
        random: Arc::new(OsRandom),
        spawn: Arc::new(TokioSpawn),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_random_byte_is_given_twice() {
        let mut seen = HashSet::new();
        // Lengths that fit, that do not fit into the rest of the pool, and that never fit.
        for len in [16, 200, 100, POOL, 24, 3 * POOL]
            .into_iter()
            .cycle()
            .take(600)
        {
            let mut bytes = vec![0; len];
            OsRandom.fill(&mut bytes);
            for chunk in bytes.chunks_exact(8) {
                assert!(seen.insert(chunk.to_vec()), "{chunk:?} again");
            }
        }
    }
}
