//! A queue of which a copy is kept elsewhere.

#[cfg(any(feature = "io", test))]
use std::sync::Arc;

use super::Queue;
use crate::mailbox::{Envelope, Later, Settlement, Share};
use crate::standby::{Copied, Named, Queued};

/// What whoever keeps the copy makes of a stanza that is about to wait.
pub(super) enum Told {
    /// It waits.
    In(Settlement),
    /// It was here before.
    Before(Settlement),
}

/// Tells of a stanza. Whoever waits for it does so until the copy is safe.
pub(super) fn tell(copied: &Copied, envelope: &mut Envelope) -> Told {
    match copied.queue(envelope) {
        Queued::New(name, n) => {
            envelope.name = Some(Box::new(Named::new(name, copied)));
            if envelope.origin.sm.is_none() || n <= copied.safe() {
                return Told::In(Settlement::Done);
            }
            // Should the copy take too long, it takes another way, if it has one.
            let alone = envelope.share.as_ref().is_none_or(Share::is_last);
            let (stanza, origin) = (&envelope.stanza, &envelope.origin);
            let copy = (alone && stanza.has_another_way())
                .then(|| Envelope::new(stanza.clone(), origin.clone()));
            let (settle, later) = Later::held(copy);
            copied.progress().wait(n, Some(name), settle.hold(), None);
            envelope.settle = Some(settle);
            Told::In(Settlement::Later(later))
        }
        Queued::Copy(n) => {
            if envelope.origin.sm.is_none() || n <= copied.safe() {
                return Told::Before(Settlement::Done);
            }
            let (settle, later) = Later::held(None);
            copied.progress().wait(n, None, settle.hold(), Some(settle));
            Told::Before(Settlement::Later(later))
        }
    }
}

impl Queue {
    /// Has the reader look, if a copy is kept.
    pub(crate) fn wake_for_copy(&self) {
        if self.lock().copied.is_some() {
            self.wake();
        }
    }

    /// From now on a copy is kept: whoever keeps it is told of what waits already, and then of all that comes, before anybody else.
    #[cfg(any(feature = "io", test))]
    pub(crate) fn copy(self: &Arc<Queue>, copied: Copied) {
        let mut state = self.lock();
        if state.closed || state.diverted.is_some() {
            drop(state);
            return;
        }
        for envelope in &mut state.items {
            // Nobody takes it back from now on, without the copy's keeper; what has been already is left out when it is taken.
            if !envelope.read() {
                continue;
            }
            if let Queued::New(name, n) = copied.queue(envelope) {
                envelope.name = Some(Box::new(Named::new(name, &copied)));
                if let Some(settle) = &envelope.settle {
                    copied.progress().wait(n, None, settle.hold(), None);
                }
            }
        }
        state.copied = Some(copied);
    }
}
