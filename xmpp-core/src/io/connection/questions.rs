//! What a stream asks, and who answers.

use std::net::IpAddr;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::Answered;
use crate::io::listener::Shared;
use crate::io::throttle::{Attempt, Busy};
use crate::module::{StrangerRequest, Verb};
use crate::sasl;
use crate::server::{Bound, Server};
use crate::stanza::{Condition, IqType, Kind, Stanza, StanzaError};
use crate::stream::{Answer, Ask};
use crate::{BareJid, xml};

pub(super) fn ask(
    shared: Arc<Shared>,
    ask: Ask,
    peer: Option<IpAddr>,
    attempt: Option<Attempt>,
    anonymous: bool,
) -> BoxFuture<'static, Answered> {
    match ask {
        Ask::Sasl(ask) => async move {
            let now = shared.server.now().instant;
            let turn = match attempt {
                Some(attempt) => Ok(attempt),
                None => shared.throttle.turn(peer, now).await,
            };
            match turn {
                Ok(attempt) => Answered {
                    answer: Answer::Sasl(login(&shared, ask).await),
                    bound: None,
                    attempt: Some(attempt),
                },
                Err(Busy) => Answer::Sasl(sasl::Answer::Unavailable).into(),
            }
        }
        .boxed(),
        Ask::Failed {
            account, mechanism, ..
        } => async move {
            shared.server.metrics().login_failed(mechanism);
            let (who, how) = (account.as_ref().map(BareJid::as_str), mechanism.name());
            tracing::info!(?peer, account = who, mechanism = how, "login failed");
            let now = shared.server.now().instant;
            let waiting = shared.throttle.failed(peer, account.as_ref(), now);
            drop(attempt);
            tokio::time::sleep(waiting.time).await;
            Answer::Failed.into()
        }
        .boxed(),
        Ask::Bind { account, resource } => async move {
            match bind(&shared.server, &account, resource.as_deref(), anonymous).await {
                Ok(bound) => Answered {
                    answer: Answer::Bound(Ok(bound.session.jid().clone())),
                    bound: Some(bound),
                    attempt: None,
                },
                Err(error) => Answer::Bound(Err(error)).into(),
            }
        }
        .boxed(),
    }
}

async fn login(shared: &Shared, ask: sasl::Ask) -> sasl::Answer {
    let accounts = &shared.server.stores().accounts;
    let (account, result) = match ask {
        sasl::Ask::Credentials(account) => {
            let found = accounts.credentials(&account).await;
            (account, found.map(sasl::Answer::Credentials))
        }
        sasl::Ask::Account(account) => {
            let found = accounts.exists(&account).await;
            (account, found.map(sasl::Answer::Account))
        }
        // Milliseconds of computing: beside the workers, and few at a time.
        sasl::Ask::Password(check) => {
            let Ok(_permit) = shared.password_checks.acquire().await else {
                return sasl::Answer::Unavailable;
            };
            return match tokio::task::spawn_blocking(move || check.run()).await {
                Ok(right) => sasl::Answer::Password(right),
                Err(_) => sasl::Answer::Unavailable,
            };
        }
    };
    result.unwrap_or_else(|error| {
        shared
            .server
            .store_failed("login not checked", &account, &error);
        sasl::Answer::Unavailable
    })
}

async fn bind(
    server: &Server,
    account: &BareJid,
    resource: Option<&str>,
    anonymous: bool,
) -> Result<Bound, StanzaError> {
    let account = server.account(account).await?;
    // RFC 6120 §7.6.2.2: "The client is not allowed to bind a resource to the stream": its
    // account was removed after the login.
    let removed = || !anonymous && !account.exists();
    let refused = Err(Condition::NotAllowed.into());
    if removed() {
        return refused;
    }
    let bound = server.bind(account.clone(), resource)?;
    // Or while the resource was being bound, and then it was not among those that were ended.
    if removed() {
        let _ = server.end(&bound.session).finish().await;
        return refused;
    }
    Ok(bound)
}

/// A request of a client that has not logged in.
pub(super) fn stranger(
    server: Server,
    stanza: Stanza,
    peer: Option<IpAddr>,
) -> BoxFuture<'static, Answered> {
    async move {
        let reply = match ask_stranger(&server, &stanza, peer).await {
            Ok(None) => stanza.reply(),
            Ok(Some(child)) => stanza.reply().with_child(&child),
            Err(error) => stanza.error_reply(&error).unwrap_or_else(|| stanza.reply()),
        };
        Answer::Stranger(reply).into()
    }
    .boxed()
}

async fn ask_stranger(
    server: &Server,
    stanza: &Stanza,
    peer: Option<IpAddr>,
) -> Result<Option<xml::Element>, StanzaError> {
    let unavailable = || StanzaError::new(Condition::ServiceUnavailable);
    let child = stanza.payload().children().next().ok_or_else(unavailable)?;
    let handler = server
        .hooks()
        .stranger_handler(child.name(), child.ns())
        .ok_or_else(unavailable)?;
    let domain = stanza.to().map(|to| to.to_bare());
    let verb = if stanza.kind() == Kind::Iq(IqType::Set) {
        Verb::Set
    } else {
        Verb::Get
    };
    let request = StrangerRequest {
        verb,
        payload: child.element(),
        domain: domain.ok_or_else(unavailable)?,
        peer,
    };
    handler.handle(&request, server).await
}

impl From<Answer> for Answered {
    fn from(answer: Answer) -> Answered {
        Answered {
            answer,
            bound: None,
            attempt: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::{World, bare};

    /// RFC 6120 §7.6.2.2
    #[test]
    fn an_account_that_was_removed_after_the_login_is_not_bound() {
        let world = World::new(Vec::new());
        let romeo = bare("romeo@example.org");
        let bind = |anonymous| world.run(super::bind(&world.server, &romeo, None, anonymous));
        assert_eq!(bind(false).unwrap_err().condition, Condition::NotAllowed);
        assert!(world.server.directory().is_empty());
        assert!(bind(true).is_ok(), "a guest needs no account");
    }
}
