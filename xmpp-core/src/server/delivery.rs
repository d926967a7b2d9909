//! Who gets a stanza for one of our accounts, and what becomes of it if nobody does.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Server;
use crate::account::Account;
use crate::directory::Resources;
use crate::im::carbons;
use crate::mailbox::{Envelope, Origin, Reason, Settlement, Share, Source, Undelivered, is_owed};
use crate::module::{Delivery, Dispatch, Verdict};
use crate::router::Recipients;
use crate::session::{Resource, Session};
use crate::stanza::{Condition, IqType, Kind, MessageType, Stanza};
use crate::stream::{StreamCondition, StreamError};
use crate::{BareJid, Jid};

impl Server {
    /// To sessions of one of our accounts, of which `account` are all. Its filters run where some of
    /// its sessions live: here if one does, as all of them have the same account.
    pub(super) fn deliver(
        &self,
        stanza: Stanza,
        origin: Origin,
        account: Resources,
        recipients: Recipients,
    ) -> Dispatch {
        let session = match &recipients {
            // To a full JID: the node of its session knows more of it than others.
            Recipients::One(one) if one.session().is_none() && !to_bare(&stanza) => None,
            _ => account.iter().find_map(|resource| resource.session()),
        };
        match session {
            Some(session) => {
                let of = session.account();
                self.deliver_filtered(stanza, origin, of, &account, recipients)
            }
            None => self.deliver_elsewhere(stanza, origin, account, recipients),
        }
    }

    /// The same, once it is known whose filters are to run here.
    pub(super) fn deliver_filtered(
        &self,
        mut stanza: Stanza,
        origin: Origin,
        account: &Arc<Account>,
        resources: &Resources,
        recipients: Recipients,
    ) -> Dispatch {
        let mut delivery = Delivery {
            stanza: &mut stanza,
            account,
            resources,
            to: Some(&recipients),
            origin: &origin,
            share: None,
        };
        if let Some(refused) = self.filter_inbound(&mut delivery) {
            return refused;
        }
        let share = delivery.share;
        match recipients {
            Recipients::One(one) => self.hand_over(stanza, origin, &one, share),
            Recipients::Many(many) => self.fan_out(stanza, origin, &many, share),
        }
    }

    /// To one session.
    pub(super) fn hand_over(
        &self,
        stanza: Stanza,
        origin: Origin,
        one: &Resource,
        share: Option<Share>,
    ) -> Dispatch {
        let pushed = one.mailbox().push_shared(stanza, origin, share.clone());
        let Settlement::Failed(failed) = pushed else {
            return Dispatch::Done(pushed);
        };
        // One whose queue is full waits for the message itself. One that has ended in
        // between gets nothing later: a copy elsewhere will do.
        let is_lost = || share.is_none_or(|share| share.give_up());
        match failed.reason == Reason::Full || is_lost() {
            true => self.detour(failed, one),
            false => Dispatch::DONE,
        }
    }

    /// To several sessions. It is safe as soon as one of them has it for sure.
    pub(super) fn fan_out(
        &self,
        stanza: Stanza,
        origin: Origin,
        many: &[Arc<Resource>],
        share: Option<Share>,
    ) -> Dispatch {
        // What is never sent another way needs nobody to know who has got it.
        let share = share.or_else(|| stanza.is_kept().then(|| Share::among(many.len())));
        let mut taken = None;
        let mut lost = None;
        for resource in many {
            let (stanza, origin) = (stanza.clone(), origin.clone());
            match resource
                .mailbox()
                .push_shared(stanza, origin, share.clone())
            {
                Settlement::Failed(failed) => {
                    if share.as_ref().is_some_and(Share::give_up) {
                        lost = Some((failed, resource));
                    }
                }
                settlement => taken = taken.or(Some(settlement)),
            }
        }
        match (lost, taken) {
            (Some((failed, resource)), _) => self.detour(failed, resource),
            (None, Some(settlement)) => Dispatch::Done(settlement),
            (None, None) => Dispatch::DONE,
        }
    }

    /// To the most available resources of an account; kept if there are none.
    fn to_the_able(
        &self,
        stanza: Stanza,
        origin: Origin,
        account: BareJid,
        reach: Reach,
    ) -> Dispatch {
        let all = self.inner.directory.resources(account.as_str());
        let near = |resource: &Resource| reach == Reach::All || resource.session().is_some();
        match &able(&all, near)[..] {
            [] => self.keep_accepted(stanza, account, None),
            many => self.fan_out(stanza, origin, many, None),
        }
    }

    /// A session could not take a stanza: it counts as unavailable.
    pub(super) fn detour(&self, failed: Undelivered, resource: &Resource) -> Dispatch {
        let Undelivered {
            stanza,
            origin,
            reason,
        } = failed;
        match stanza.kind() {
            Kind::Message(MessageType::Chat | MessageType::Normal) => {
                let account = resource.jid().to_bare();
                match resource.session() {
                    Some(session) => {
                        let detour = session.detour();
                        let stored = self.keep_accepted(stanza, account, Some(session.clone()));
                        Dispatch::Pending(Box::pin(async move {
                            let settlement = stored.finish().await;
                            drop(detour);
                            settlement
                        }))
                    }
                    None => self.keep_accepted(stanza, account, None),
                }
            }
            // RFC 6121 §8.5.3.2.2, §8.5.4: as if the resource were not there
            Kind::Presence(_) | Kind::Message(MessageType::Headline) => Dispatch::DONE,
            _ if is_owed(&stanza, &origin) => {
                if let (Reason::Full, Some(session)) = (reason, resource.session()) {
                    self.miss(session, &stanza, &origin);
                }
                Dispatch::DONE
            }
            _ => self.refuse(&stanza, &reason.into()),
        }
    }

    /// Tells a session what it has to know by a request of the server itself (a push), whose answer nobody
    /// waits for.
    pub(crate) fn tell(&self, push: Stanza, resource: &Resource) {
        self.leave_to_itself(self.hand_over(push, Origin::SERVER, resource, None));
    }

    /// A session is not given what nobody would miss but its client. A stream that is resumed with something left out
    /// would be a lie, so it ends, and the client begins anew; unless it cannot have asked for it.
    fn miss(&self, session: &Session, stanza: &Stanza, origin: &Origin) {
        if session.ending().is_none() && session.queue().may_await(stanza, origin) {
            self.inner.metrics.overflowed_sessions.increment();
            tracing::debug!(session = %session.jid(), "ends: there is no room for an answer");
            // RFC 6120 §4.9.3.17: "The server lacks the system resources necessary to service
            // the stream."
            session.end(StreamError::new(StreamCondition::ResourceConstraint));
        }
    }

    /// A session leaves a stanza waiting for too long: as if its mailbox were full. For whoever
    /// drives connections, with what [`Later::withdraw`](crate::mailbox::Later::withdraw) gives.
    pub async fn overdue(&self, envelope: Envelope) {
        let Envelope { stanza, origin, .. } = envelope;
        let Some(to) = stanza.to().cloned() else {
            return;
        };
        let all = self.inner.directory.resources(to.bare_str());
        let resource = match to.is_bare() {
            true => able(&all, |_| true).into_iter().next(),
            false => crate::directory::find(&all, to.as_str()),
        };
        let reason = Reason::Full;
        let dispatch = match resource {
            Some(resource) => {
                let failed = Undelivered {
                    stanza,
                    origin,
                    reason,
                };
                self.detour(failed, &resource)
            }
            None if stanza.is_kept() => self.keep_accepted(stanza, to.to_bare(), None),
            // An entity's.
            None => self.refuse(&stanza, &reason.into()),
        };
        let _ = dispatch.finish().await;
    }

    /// What a session was not given, oldest first, goes the way it would have gone without it.
    pub(crate) fn give_back(&self, left: VecDeque<Envelope>) -> Dispatch {
        if left.is_empty() {
            return Dispatch::DONE;
        }
        let server = self.clone();
        Dispatch::Pending(Box::pin(async move {
            for envelope in left {
                server.reroute(envelope, Reach::All).await;
            }
            Settlement::Done
        }))
    }

    /// What waited for a session that has ended.
    pub(super) async fn reroute(&self, envelope: Envelope, reach: Reach) {
        let Envelope {
            mut stanza,
            mut origin,
            ref share,
            ..
        } = envelope;
        let is_shared = share.is_some();
        if share.as_ref().is_some_and(|share| !share.give_up()) {
            return; // another has it
        }
        if origin.source == Source::Copy {
            // Without a share it is lost. With the last one it is all that is left of the
            // message that it was made of.
            match carbons::original(&stanza) {
                Some(original) if is_shared => stanza = original,
                _ => return,
            }
            origin = Origin::SERVER;
        }
        let _ = match stanza.kind() {
            // It had been accepted for this account: it is delivered to another
            // resource or kept, as if sent to the bare JID.
            _ if stanza.is_kept() => match stanza.to().map(Jid::to_bare) {
                Some(account) => {
                    let given = self.to_the_able(stanza, origin, account, reach);
                    given.finish().await
                }
                None => Settlement::Done,
            },
            Kind::Iq(IqType::Get | IqType::Set) => {
                self.refuse(&stanza, &Condition::ServiceUnavailable.into())
                    .finish()
                    .await
            }
            _ => Settlement::Done,
        };
    }

    pub(super) fn filter_inbound(&self, delivery: &mut Delivery<'_>) -> Option<Dispatch> {
        for filter in &self.inner.hooks.inbound {
            match filter.inbound(delivery, self) {
                Verdict::Pass => {}
                Verdict::Refuse(error) => return Some(self.refuse(delivery.stanza, &error)),
                Verdict::Drop => return Some(Dispatch::DONE),
            }
        }
        None
    }

    /// A message that no session can take.
    pub(super) fn keep(&self, stanza: Stanza, origin: Origin, jid: BareJid) -> Dispatch {
        let server = self.clone();
        Dispatch::Pending(Box::pin(async move {
            let mut stanza = stanza;
            let refused = match server.account(&jid).await {
                Err(error) => server.refuse(&stanza, &error),
                Ok(account) => match server.filter_unattended(&mut stanza, &account, &origin) {
                    Some(refused) => refused,
                    None => return server.store(stanza, &account, None).await,
                },
            };
            refused.finish_boxed().await
        }))
    }

    /// The same for one that the account's filters have seen when a session was to take it;
    /// perhaps this one, which had no room.
    pub(super) fn keep_accepted(
        &self,
        stanza: Stanza,
        jid: BareJid,
        missed: Option<Arc<Session>>,
    ) -> Dispatch {
        let server = self.clone();
        Dispatch::Pending(Box::pin(async move {
            match server.account(&jid).await {
                Err(error) => server.refuse(&stanza, &error).finish_boxed().await,
                Ok(account) => server.store(stanza, &account, missed.as_ref()).await,
            }
        }))
    }

    pub(super) async fn store(
        &self,
        stanza: Stanza,
        account: &Arc<Account>,
        missed: Option<&Arc<Session>>,
    ) -> Settlement {
        // RFC 6121 §8.5.1: "return a <service-unavailable/> stanza error to the sender"
        let mut error = Condition::ServiceUnavailable.into();
        if account.exists()
            && let Some(handler) = &self.inner.hooks.offline
        {
            match handler.keep(stanza.clone(), account, missed, self).await {
                Ok(()) => return Settlement::Done,
                Err(reason) => error = reason,
            }
        }
        self.refuse(&stanza, &error).finish_boxed().await
    }

    pub(super) fn filter_unattended(
        &self,
        stanza: &mut Stanza,
        account: &Arc<Account>,
        origin: &Origin,
    ) -> Option<Dispatch> {
        let resources = self.inner.directory.resources(account.jid().as_str());
        self.filter_inbound(&mut Delivery {
            stanza,
            account,
            resources: &resources,
            to: None,
            origin,
            share: None,
        })
    }
}

/// Which sessions are looked at for one that takes what another was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Wherever they live.
    All,
    /// Those that live here. What another node did not take comes to an end here: two nodes that do not agree who is there
    /// would give it to each other without end. Nodes that have somebody for it hear that it was stored.
    Here,
}

fn to_bare(stanza: &Stanza) -> bool {
    stanza.to().is_some_and(Jid::is_bare)
}

/// The most available resources of an account (RFC 6121 §8.5.2.1.1).
fn able(all: &Resources, near: impl Fn(&Resource) -> bool) -> Vec<Arc<Resource>> {
    let near = all.iter().filter(|resource| near(resource));
    let able = near.filter_map(|r| Some((r.priority()?, r)));
    let able: Vec<_> = able.filter(|(priority, _)| *priority >= 0).collect();
    let top = able.iter().map(|(priority, _)| *priority).max();
    let most = able.iter().filter(|(priority, _)| Some(*priority) == top);
    most.map(|(_, resource)| (*resource).clone()).collect()
}
