//! A stream that outlives its connection, and a connection that goes on with an earlier
//! stream (XEP-0198 §5).

use std::sync::Arc;
use std::task::Context;

use futures::future::BoxFuture;

use super::copied::Copy;
use super::restart::Stage;
use super::{Connection, Doing, Fetched, Leaving, Offered, Phase, Scratch};
use crate::BareJid;
use crate::io::elsewhere::Wanted;
use crate::io::handover::{Handover, Refused};
use crate::io::wire::Wire;
use crate::session::Change;
use crate::stream::{Answer, Input, NotResumed, Resume, StreamError};
use crate::time::Now;
use crate::xml::Reader;

/// What a stream needs that can be resumed.
pub(super) struct Resumable {
    /// Its name.
    pub(super) id: Arc<str>,
    /// Another connection, which it has not taken yet.
    offer: Option<Box<Handover>>,
    /// It is of an earlier run, and the store has it still.
    pub(super) stored: bool,
    pub(super) stage: Stage,
    /// Another node wants it.
    pub(super) wanted: Option<Box<Wanted>>,
    /// Who keeps a copy of it.
    pub(super) copy: Option<Box<Copy>>,
}

// The earlier connection's part: it keeps the stream.
impl Connection {
    /// The stream can be resumed from now on.
    pub(super) fn enter(&mut self, id: Arc<str>) {
        let Some(session) = &self.session else { return };
        let (jid, control) = (session.jid().clone(), self.control.clone());
        let guest = self.anonymous;
        let entry = self.server().resource(session);
        self.shared.resumable.enter(id.clone(), jid, guest, control);
        // A guest stays where it is.
        if let Some(entry) = entry.filter(|_| !guest) {
            let change = Change::Resumable(id.clone());
            self.server().directory().update(&entry, change);
        }
        self.resumable = Some(Box::new(Resumable {
            id,
            offer: None,
            stored: false,
            stage: Stage::Running,
            wanted: None,
            copy: None,
        }));
        self.open_copy();
    }

    /// The connection is gone, its stream stays.
    pub(super) fn detach(&mut self, scratch: &mut Scratch) {
        self.detached = true;
        self.keeps();
        self.wire = Wire::Gone;
        self.ticket = None;
        self.flushing = false;
        // Bytes of stanzas that have not been counted: the client sends them again.
        self.unread = Vec::new();
        self.reader = Reader::new(self.server().config().xml.clone());
        self.unsent = Vec::new();
        scratch.write.clear();
        // Sent before the stream kept anything, and not written.
        let mut lost = std::mem::take(&mut scratch.returned);
        lost.append(&mut self.take_unwritten());
        let server = self.server().clone();
        server.leave_to_itself(server.give_back(lost.into()));
        if let Some(session) = &self.session {
            tracing::debug!(session = %session.jid(), "waits to be resumed");
        }
    }

    /// Another connection may be there, to take the place of this one.
    pub(super) fn look(&mut self, scratch: &mut Scratch, now: Now, cx: &mut Context<'_>) {
        let Some(offer) = self.control.take_offer() else {
            return;
        };
        if !self.detached {
            self.replace_wire(scratch, cx);
            self.lost(scratch, now, cx);
        }
        // The one that was offered before has had its chance.
        self.refuse_offer(NotResumed::Unknown(None));
        match &mut self.resumable {
            Some(resumable) if self.detached && matches!(self.phase, Phase::Open) => {
                let resume = offer.resume.clone();
                resumable.offer = Some(offer);
                if resumable.stored {
                    self.release();
                } else {
                    self.input(Input::Resumed(resume), scratch, now, cx);
                }
            }
            _ => offer.refuse(NotResumed::Unknown(None)),
        }
    }

    /// The store has forgotten what was written down: the connection that is offered can have
    /// the stream.
    pub(super) fn released(
        &mut self,
        released: bool,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) {
        let Some(resumable) = &mut self.resumable else {
            return;
        };
        resumable.stored &= !released;
        if !released {
            resumable.wanted = None;
        }
        match &resumable.offer {
            Some(offer) if released => {
                let resume = offer.resume.clone();
                self.input(Input::Resumed(resume), scratch, now, cx);
            }
            // Else another run could go on with what this client has left behind.
            _ => self.refuse_offer(NotResumed::Unknown(None)),
        }
    }

    /// Gives back the connection that was offered.
    pub(super) fn refuse_offer(&mut self, reason: NotResumed) {
        if let Some(offer) = self.take_offer() {
            offer.refuse(reason);
        }
    }

    fn take_offer(&mut self) -> Option<Box<Handover>> {
        self.resumable.as_mut()?.offer.take()
    }

    /// XEP-0198 §5: "If the former stream is resumed and the server still has the stream for
    /// the previously-identified session open at this time, the server SHOULD send a
    /// 'conflict' stream error and close that stream." As far as it can be written at once.
    pub(super) fn replace_wire(&mut self, scratch: &mut Scratch, cx: &mut Context<'_>) {
        let mut last = std::mem::take(&mut self.unsent);
        last.append(&mut scratch.write);
        StreamError::conflict().write(&mut last);
        last.extend_from_slice(b"</stream:stream>");
        if self.write_some(&last, cx).is_ok() {
            let _ = self.wire.poll_flush(cx);
            let _ = self.wire.poll_shutdown(cx);
        }
    }

    /// The stream goes on over the connection that was offered.
    pub(super) fn reattach(&mut self, bytes: &[u8], scratch: &mut Scratch) {
        let Some(offer) = self.take_offer() else {
            return;
        };
        // Its client is here, so nobody else has it.
        if let Some(resumable) = &mut self.resumable {
            resumable.wanted = None;
        }
        let Handover {
            wire,
            reader,
            peer,
            ticket,
            unread,
            mut unsent,
            ..
        } = *offer;
        self.detached = false;
        self.wire = wire;
        self.reader = reader;
        self.peer = peer;
        self.ticket = ticket;
        self.unread = unread;
        unsent.extend_from_slice(bytes);
        scratch.write.append(&mut unsent);
        if let Some(session) = &self.session {
            session.set_encrypted(self.wire.is_encrypted());
            tracing::debug!(session = %session.jid(), peer = ?self.peer, "resumed");
        }
    }
}

// The new connection's part: it gives itself up.
impl Connection {
    /// Asks other nodes for a stream that is not here, for this reason.
    pub(super) fn fetch(
        &self,
        resume: Resume,
        account: BareJid,
        here: NotResumed,
    ) -> Option<BoxFuture<'static, Fetched>> {
        // It was here, and has ended.
        if here != NotResumed::Unknown(None) {
            return None;
        }
        let fetching = self.shared.fetch(&resume.id, account)?;
        Some(Box::pin(async move { Ok((fetching.await?, resume)) }))
    }

    /// Hands everything over but the stream.
    pub(super) fn hand_over(&mut self, scratch: &mut Scratch) {
        let Doing::Leaving(leaving) = std::mem::replace(&mut self.doing, Doing::Nothing) else {
            return;
        };
        let Leaving {
            to,
            resume,
            account,
        } = *leaving;
        let fresh = Reader::new(self.server().config().xml.clone());
        let wire = std::mem::replace(&mut self.wire, Wire::Gone);
        let reader = std::mem::replace(&mut self.reader, fresh);
        let (mut handover, refused) = Handover::new(wire, reader, resume);
        handover.peer = self.peer;
        handover.ticket = self.ticket.take();
        handover.unread = std::mem::take(&mut self.unread);
        handover.unsent = std::mem::take(&mut self.unsent);
        handover.unsent.append(&mut scratch.write);
        self.flushing = false;
        self.detached = true;
        self.doing = Doing::Offered(Box::new(Offered { refused, account }));
        to.offer(handover);
    }

    /// It was not taken: the client hears why and may bind a resource. Unless the stream has just gone to
    /// another node, and follows its client back.
    pub(super) fn take_back(
        &mut self,
        (handover, reason): Refused,
        account: Option<BareJid>,
        scratch: &mut Scratch,
        now: Now,
        cx: &mut Context<'_>,
    ) {
        self.detached = false;
        self.wire = handover.wire;
        self.reader = handover.reader;
        self.ticket = handover.ticket;
        self.unread = handover.unread;
        let mut unsent = handover.unsent;
        scratch.write.append(&mut unsent);
        let resume = handover.resume;
        if let Some(fetching) = account.and_then(|account| self.fetch(resume, account, reason)) {
            self.doing = Doing::Fetching(fetching);
            return;
        }
        self.input(
            Input::Answered(Answer::NotResumed(reason)),
            scratch,
            now,
            cx,
        );
    }
}
