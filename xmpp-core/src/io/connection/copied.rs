//! A session of which a copy is kept elsewhere.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;

use super::{Connection, Scratch};
use crate::standby::{Copied, Op, Opening, Overdue};
use crate::stream::{Input, Output, Suspended};
use crate::time::Now;

/// The copy, and how far it has come.
pub(super) struct Copy {
    copied: Copied,
    /// What the stream was told last to be safe.
    safe: u64,
    /// What is to be safe before the store forgets the page of a burst that was given.
    page: u64,
}

impl Connection {
    /// The stream can be resumed from now on: whoever keeps copies hears of it.
    pub(super) fn open_copy(&mut self) {
        let server = self.server().clone();
        let (Some(copies), Some(session)) = (server.copies(), self.session.clone()) else {
            return;
        };
        let now = server.now();
        // A guest's address is nobody's elsewhere.
        if self.anonymous {
            return;
        }
        let (Some(state), _) = self.state(now) else {
            return;
        };
        let Some(resumable) = &mut self.resumable else {
            return;
        };
        let opening = Opening::new(session.id(), resumable.id.clone(), state);
        let queue = Arc::downgrade(session.shared_queue());
        let copied = Copied::open(&**copies, opening, queue);
        resumable.copy = Some(Box::new(Copy {
            copied: copied.clone(),
            safe: 0,
            page: 0,
        }));
        // What it has sent comes before what waits.
        let mut nothing = Vec::new();
        let told = Input::Copied(copied.clone());
        self.stream.handle(told, now, &mut nothing);
        session.shared_queue().copy(copied);
    }

    /// Has what is safe go on, and tells what has changed.
    pub(super) fn poll_copied(
        &mut self,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(copy) = self.copy() else {
            return false;
        };
        let copied = copy.copied.clone();
        let safe = copied.safe();
        let is_news = safe > copy.safe;
        copy.safe = safe;
        if is_news {
            self.input(Input::Safe(safe), scratch, now, cx);
        }
        for overdue in copied.progress().take_overdue() {
            self.go_another_way(&copied, overdue);
        }
        let changed = self.session.as_ref().is_some_and(|s| s.take_changed());
        if changed {
            let (state, rest) = self.state(now);
            for output in rest {
                self.perform(output, scratch, now, cx);
            }
            if let Some(state) = state {
                copied.tell(Op::State(state));
            }
        }
        is_news || changed
    }

    /// A page of a burst has been given to the stream.
    pub(super) fn page_sent(&mut self) {
        if let Some(copy) = self.copy() {
            copy.page = copy.copied.last();
        }
    }

    /// Whether the page that was given last is safe.
    pub(super) fn is_page_safe(&mut self) -> bool {
        self.copy().is_none_or(|copy| copy.page <= copy.safe)
    }

    fn copy(&mut self) -> Option<&mut Copy> {
        self.resumable.as_mut()?.copy.as_deref_mut()
    }

    /// What would be written down of the session besides its stanzas; and what else the stream has to say.
    fn state(&mut self, now: Now) -> (Option<Bytes>, Vec<Output>) {
        let Some(session) = self.session.clone() else {
            return (None, Vec::new());
        };
        let mut outputs = Vec::new();
        self.stream.handle(Input::Suspend, now, &mut outputs);
        let is_state = |output: &Output| matches!(output, Output::Suspended(_));
        let at = outputs.iter().position(is_state);
        let Some(Output::Suspended(stream)) = at.map(|at| outputs.remove(at)) else {
            return (None, outputs);
        };
        let mut stream: Suspended = *stream;
        if let Some(resumption) = &mut stream.resumption {
            resumption.sent.clear();
        }
        let bursts = session.queue().has_bursts();
        let server = self.server();
        let text = server.write_down(&session, stream, &VecDeque::new(), bursts);
        (text.map(Bytes::from), outputs)
    }

    /// It is withdrawn before it is anywhere else, or it would be there twice; its sender waits until it has gone.
    fn go_another_way(&self, copied: &Copied, overdue: Overdue) {
        let Overdue {
            name,
            envelope,
            hold,
        } = overdue;
        copied.tell(Op::Withdrawn(name));
        let server = self.server().clone();
        self.server().spawn(async move {
            server.overdue(envelope).await;
            drop(hold);
        });
    }
}
