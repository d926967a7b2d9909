//! The clock, randomness and tasks of the operating system and tokio.
#![allow(clippy::disallowed_methods)] // this is the module that owns them

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures::future::BoxFuture;

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
}

/// The operating system's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // Without randomness no nonce or stream id is safe; there is no going on.
        getrandom::fill(bytes).expect("the operating system has randomness");
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
