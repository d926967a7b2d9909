//! What the server answers itself, or a module for it.

use super::Server;
use crate::mailbox::{Origin, Settlement, Source};
use crate::module::{Dispatch, IqHandler, Request, Scope, Target, Verb};
use crate::stanza::{Condition, IqType, Kind, Stanza, StanzaError};
use crate::xml::Element;
use crate::{BareJid, Jid};

impl Server {
    pub(super) fn ask_server(&self, stanza: Stanza, to: Jid, origin: Origin) -> Dispatch {
        let server = self.clone();
        match stanza.kind() {
            Kind::Iq(IqType::Get | IqType::Set) => Dispatch::Pending(Box::pin(async move {
                let target = Target::Server(to.to_bare());
                server.answer(stanza, target, &origin).await;
                Settlement::Done
            })),
            // Nobody reads messages to the server; a module may serve the domain as an entity.
            Kind::Message(_) => self.refuse(&stanza, &Condition::ServiceUnavailable.into()),
            _ => Dispatch::DONE,
        }
    }

    pub(super) fn ask_account(&self, stanza: Stanza, origin: Origin, jid: BareJid) -> Dispatch {
        let server = self.clone();
        Dispatch::Pending(Box::pin(async move {
            let account = match server.account(&jid).await {
                Ok(account) => account,
                Err(error) => return server.refuse(&stanza, &error).finish_boxed().await,
            };
            let mut stanza = stanza;
            if let Some(refused) = server.filter_unattended(&mut stanza, &account, &origin) {
                return refused.finish_boxed().await;
            }
            match stanza.kind() {
                Kind::Iq(_) => {
                    let target = Target::Account(account);
                    server.answer(stanza, target, &origin).await;
                }
                _ => {
                    if let Some(handler) = &server.inner.hooks.presence {
                        handler.received(stanza, account, origin, &server).await;
                    }
                }
            }
            Settlement::Done
        }))
    }

    /// Answers an IQ request; whatever has no handler gets `<service-unavailable/>`
    /// (RFC 6120 §8.4), always.
    pub(super) async fn answer(&self, stanza: Stanza, target: Target, origin: &Origin) {
        let unavailable = StanzaError::new(Condition::ServiceUnavailable);
        let answered = match self.request(&stanza, target, origin) {
            None => self.reply(&stanza, Err(unavailable)),
            Some((handler, request)) => {
                let unchanged = match &request.target {
                    Target::Account(account) if handler.is_snapshot(&request) => {
                        Some(account.unchanged(self.stores()).await)
                    }
                    _ => None,
                };
                let answered = self.reply(&stanza, handler.handle(&request, self).await);
                // What a session gets is in its queue.
                drop(unchanged);
                answered
            }
        };
        let _ = answered.finish_boxed().await;
    }

    pub(super) fn reply(
        &self,
        stanza: &Stanza,
        result: Result<Option<Element>, StanzaError>,
    ) -> Dispatch {
        let reply = match result {
            Ok(None) => stanza.reply(),
            Ok(Some(child)) => stanza.reply().with_child(&child),
            Err(error) => return self.refuse(stanza, &error),
        };
        self.route(reply, Origin::SERVER)
    }

    /// The request that an IQ stanza is, and who answers it.
    pub(super) fn request(
        &self,
        stanza: &Stanza,
        target: Target,
        origin: &Origin,
    ) -> Option<(&dyn IqHandler, Request)> {
        let child = stanza.payload().children().next()?;
        let scope = match target {
            Target::Server(_) => Scope::Server,
            Target::Account(_) => Scope::Account,
        };
        let hooks = &self.inner.hooks;
        let handler = hooks.iq_handler(scope, child.name(), child.ns())?;
        let from = stanza.from().cloned()?;
        // By the origin, not by the address: who says he is somebody is not.
        let session = self
            .session_of(&from)
            .filter(|session| origin.source == Source::Session(session.id()));
        let request = Request {
            from,
            verb: if stanza.kind() == Kind::Iq(IqType::Set) {
                Verb::Set
            } else {
                Verb::Get
            },
            payload: child.element(),
            target,
            session,
            lang: stanza.lang().map(str::to_owned),
        };
        Some((&**handler, request))
    }
}
