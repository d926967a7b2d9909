//! In-band registration (XEP-0077): accounts that people make themselves, change the
//! password of and remove.
//!
//! Not among [`im::all`](super::all): a server that lets strangers in does so on purpose.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::form;
use crate::module::{
    Hooks, IqHandler, Module, Request, Scope, StrangerHandler, StrangerRequest, Target, Verb,
};
use crate::sasl::Credentials;
use crate::server::{Server, network};
use crate::session::Session;
use crate::stanza::{Condition, StanzaError};
use crate::stream::{Feature, FeatureContext};
use crate::xml::Element;
use crate::{BareJid, Jid};

/// The namespace.
pub const NS: &str = "jabber:iq:register";
/// The namespace of the stream feature (§8).
pub const FEATURE: &str = "http://jabber.org/features/iq-register";

/// What in-band registration allows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Whether strangers may create accounts; default yes. If not, only those who have an
    /// account change its password or remove it.
    pub strangers: bool,
    /// The domains at which strangers may; default none, which means all of the server.
    pub domains: Vec<BareJid>,
    /// What people are told to do.
    pub instructions: String,
    /// Attempts to register from one address (an IPv6 network of 64 bits is one) in
    /// [`window`](Options::window); default 10: a name that is free is found, and no more.
    pub attempts: u32,
    /// How long attempts count; default 1 h.
    pub window: Duration,
    /// Addresses remembered; default 10 000. When more come, those that came longest ago
    /// are forgotten.
    pub remembered: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            strangers: true,
            domains: Vec::new(),
            instructions: "Choose a username and password for use with this service.".into(),
            attempts: 10,
            window: Duration::from_secs(3600),
            remembered: 10_000,
        }
    }
}

/// The module.
#[derive(Debug, Default)]
pub struct Registration {
    options: Options,
    attempts: Mutex<HashMap<IpAddr, Attempts>>,
    /// Keys are derived for one at a time: it is milliseconds of computing, which strangers
    /// must not be able to take from those who are logged in.
    deriving: futures::lock::Mutex<()>,
}

#[derive(Debug)]
struct Attempts {
    since: Instant,
    count: u32,
}

impl Registration {
    /// The module with these options.
    pub fn new(options: Options) -> Registration {
        Registration {
            options,
            ..Registration::default()
        }
    }

    fn welcomes(&self, domain: &BareJid) -> bool {
        let Options {
            strangers, domains, ..
        } = &self.options;
        *strangers && (domains.is_empty() || domains.contains(domain))
    }

    /// Counts an attempt; whether it is one too many.
    fn is_too_many(&self, peer: Option<IpAddr>, now: Instant) -> bool {
        let Some(peer) = peer.map(network) else {
            return false;
        };
        let Options {
            window, remembered, ..
        } = self.options;
        let past = |attempts: &Attempts| now.saturating_duration_since(attempts.since) >= window;
        // Nothing that runs under this lock can panic half way through a change.
        let mut all = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= remembered && !all.contains_key(&peer) {
            all.retain(|_, attempts| !past(attempts));
            let oldest = all.iter().min_by_key(|(_, attempts)| attempts.since);
            if all.len() >= remembered
                && let Some(oldest) = oldest.map(|(peer, _)| *peer)
            {
                all.remove(&oldest);
            }
        }
        let new = Attempts {
            since: now,
            count: 0,
        };
        let attempts = all.entry(peer).or_insert(new);
        if past(attempts) {
            *attempts = Attempts {
                since: now,
                count: 0,
            };
        }
        attempts.count = attempts.count.saturating_add(1);
        attempts.count > self.options.attempts
    }

    async fn derive(
        &self,
        account: &BareJid,
        password: String,
        server: &Server,
    ) -> Result<Credentials, StanzaError> {
        let domain = server.config().domain(account.domain());
        let iterations = domain.ok_or(Condition::ServiceUnavailable)?.sasl.iterations;
        let random = server.random_source();
        let _turn = self.deriving.lock().await;
        let work = move || {
            Credentials::derive(&password, iterations, || {
                let mut salt = [0; _];
                random.fill(&mut salt);
                salt
            })
        };
        match server.blocking(work).await {
            Some(Ok(credentials)) => Ok(credentials),
            Some(Err(error)) => {
                tracing::debug!(%error, "password refused");
                Err(StanzaError::new(Condition::NotAcceptable)
                    .with_text("this password cannot be used"))
            }
            None => Err(Condition::InternalServerError.into()),
        }
    }

    async fn create(
        &self,
        fields: Fields<'_>,
        domain: &BareJid,
        server: &Server,
    ) -> Result<(), StanzaError> {
        // §3.1: "If the requesting entity does not provide all of the requested information
        // during registration then the server or service MUST return a <not-acceptable/>
        // error" — an empty password is none.
        let (Some(username), Some(password)) = (fields.username, fields.password) else {
            return Err(Condition::NotAcceptable.into());
        };
        let account = account(&username, domain).ok_or_else(|| {
            StanzaError::new(Condition::NotAcceptable).with_text("this username cannot be used")
        })?;
        let accounts = &server.stores().accounts;
        let failed = |error| server.store_failed("not registered", &account, &error);
        // §3.1: "a username conflict (the desired username is already in use …)". Who is named
        // as an administrator is somebody already, also if that account is yet to be made.
        let conflict = || Err(Condition::Conflict.into());
        let domains = server.config().domains.iter();
        let mut administrators = domains.flat_map(|domain| &domain.administrators);
        if administrators.any(|administrator| *administrator == account) {
            return conflict();
        }
        if accounts.exists(&account).await.map_err(failed)? {
            return conflict();
        }
        let credentials = self.derive(&account, password.into_owned(), server);
        let credentials = credentials.await?;
        let created = accounts.create(&account, &credentials);
        if !created.await.map_err(failed)? {
            return conflict();
        }
        server.account_created(&account).await;
        tracing::info!(%account, "registered");
        Ok(())
    }

    /// §3.3
    async fn change_password(
        &self,
        session: &Session,
        fields: Fields<'_>,
        server: &Server,
    ) -> Result<(), StanzaError> {
        if !session.account().exists() {
            return Err(Condition::UnexpectedRequest.into());
        }
        // §3.3: "A given deployment MAY choose to disable password changes if the stream is not
        // properly encrypted"
        if !may_send_passwords(session, server) {
            return Err(StanzaError::new(Condition::NotAllowed)
                .with_text("a password may be changed over TLS only"));
        }
        // "The password change request does not contain complete information". "If the user
        // provides an empty password element …, the server or service MUST NOT change the
        // password to a null value, but instead MUST maintain the existing password."
        let (Some(username), Some(password)) = (fields.username, fields.password) else {
            return Err(Condition::BadRequest.into());
        };
        let own = session.bare();
        if account(&username, &own.domain_jid()).as_ref() != Some(own) {
            return Err(StanzaError::new(Condition::BadRequest)
                .with_text("the username is not that of the account"));
        }
        let credentials = self.derive(own, password.into_owned(), server).await?;
        let accounts = &server.stores().accounts;
        match accounts.set_credentials(own, &credentials).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Condition::UnexpectedRequest.into()),
            Err(error) => Err(server.store_failed("password not changed", own, &error)),
        }
    }
}

impl Module for Registration {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        // §10
        on.feature(Scope::Server, NS);
        for scope in [Scope::Server, Scope::Account] {
            on.iq(scope, "query", NS, self.clone());
        }
        if self.options.strangers {
            on.stranger_iq("query", NS, self.clone());
            on.stream_feature(self);
        }
    }
}

impl Feature for Registration {
    fn advertise(&self, to: &FeatureContext<'_>) -> Option<Element> {
        let offered = to.account.is_none() && to.passwords && self.welcomes(to.domain);
        offered.then(|| Element::new("register", FEATURE))
    }
}

#[async_trait]
impl StrangerHandler for Registration {
    async fn handle(
        &self,
        request: &StrangerRequest,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        // §3.1: "If the host does not support In-Band Registration, it MUST return a
        // <service-unavailable/> error."
        if !self.welcomes(&request.domain) {
            return Err(Condition::ServiceUnavailable.into());
        }
        if request.verb == Verb::Get {
            return Ok(Some(self.asked()));
        }
        // §3.2, §3.3: "… does not contain a 'from' address because the entity is not
        // registered with the server"
        if request.payload.child("remove", NS).is_some() {
            return Err(Condition::UnexpectedRequest.into());
        }
        // §3.1.1: "a server MAY return a <not-acceptable/> stanza error if an unregistered
        // entity attempts to register too many times before authenticating"
        if self.is_too_many(request.peer, server.now().instant) {
            return Err(StanzaError::new(Condition::NotAcceptable)
                .with_text("too many registrations from your address; try again later"));
        }
        let fields = Fields::of(&request.payload);
        self.create(fields, &request.domain, server).await?;
        Ok(None)
    }
}

#[async_trait]
impl IqHandler for Registration {
    async fn handle(
        &self,
        request: &Request,
        server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        let session = request.session.as_ref();
        let session = session.filter(|session| match &request.target {
            Target::Server(domain) => session.bare().domain() == domain.as_str(),
            Target::Account(account) => session.bare() == account.jid(),
        });
        let session = session.ok_or(Condition::Forbidden)?;
        if request.verb == Verb::Get {
            return Ok(Some(registered(session, server)));
        }
        if request.payload.child("remove", NS).is_none() {
            let fields = Fields::of(&request.payload);
            self.change_password(session, fields, server).await?;
            return Ok(None);
        }
        // §3.2: "The <remove/> element was not the only child element of the <query/> element."
        if request.payload.children().count() != 1 {
            return Err(Condition::BadRequest.into());
        }
        remove(session, server).await?;
        Ok(None)
    }
}

impl Registration {
    /// §3.1: what a stranger has to tell, as fields and (§4) as a form.
    fn asked(&self) -> Element {
        let instructions = &self.options.instructions;
        let required = |var, kind: &str, label: &str| {
            form::field(var, [])
                .with_attr("type", kind)
                .with_attr("label", label)
                .with_child(Element::new("required", form::NS))
        };
        let form = form::form("form", NS)
            .with_child(Element::new("instructions", form::NS).with_text(instructions))
            .with_child(required("username", "text-single", "Username"))
            .with_child(required("password", "text-private", "Password"));
        Element::new("query", NS)
            .with_child(Element::new("instructions", NS).with_text(instructions))
            .with_child(Element::new("username", NS))
            .with_child(Element::new("password", NS))
            .with_child(form)
    }
}

/// §3.1: "the IQ result that it sends in response to the IQ get MUST contain an empty
/// <registered/> element …, SHOULD contain the registration information currently on file …
/// (although the <password/> element MAY be empty)"
fn registered(session: &Session, server: &Server) -> Element {
    let username = session.bare().local().unwrap_or_default();
    let registered = Element::new("query", NS)
        .with_child(Element::new("registered", NS))
        .with_child(Element::new("username", NS).with_text(username));
    match may_send_passwords(session, server) {
        true => registered.with_child(Element::new("password", NS)),
        false => registered,
    }
}

/// Whether a client may send a password as it is: as before the login
/// ([`FeatureContext::passwords`]).
fn may_send_passwords(session: &Session, server: &Server) -> bool {
    let domain = server.config().domain(session.bare().domain());
    session.is_encrypted() || domain.is_some_and(|domain| domain.sasl.plain_without_tls)
}

async fn remove(session: &Session, server: &Server) -> Result<(), StanzaError> {
    if server.remove_account(session.bare()).await? {
        return Ok(());
    }
    // §3.2: "The entity sending the remove request was not previously registered."
    Err(Condition::RegistrationRequired.into())
}

/// What somebody filled in. What is empty is missing.
struct Fields<'a> {
    username: Option<Cow<'a, str>>,
    password: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> {
    /// §4: "The x:data form shall take precedence over the iq:register fields".
    fn of(query: &'a Element) -> Fields<'a> {
        let form = query.child("x", form::NS);
        let field = |name| {
            let text = match form {
                Some(form) => form::value(form, name),
                None => query.child(name, NS).map(Element::text),
            };
            text.filter(|text| !text.is_empty())
        };
        Fields {
            username: field("username"),
            password: field("password"),
        }
    }
}

fn account(username: &str, domain: &BareJid) -> Option<BareJid> {
    let jid = Jid::from_parts(Some(username), domain.as_str(), None).ok()?;
    BareJid::try_from(jid).ok()
}

#[cfg(test)]
mod tests;
