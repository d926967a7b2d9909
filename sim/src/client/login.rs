//! Logging in and binding a resource.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncRead, AsyncWrite};
use xmpp_core::sasl::client::{self as sasl, ClientKeys, Scram};
use xmpp_core::sasl::{Hash, NONCE_LEN, Nonce};
use xmpp_core::{BareJid, FullJid};

use super::{Client, Heard};
use crate::rng::Rng;
use crate::xml::{self, Tree};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";

/// Who logs in. Clones share what one login derived, so that the next costs nothing.
#[derive(Clone, Debug)]
pub struct Account {
    /// The address.
    pub jid: BareJid,
    /// The password.
    pub password: String,
    keys: Arc<Mutex<Option<ClientKeys>>>,
}

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server said something else.
    #[error("{0}")]
    Unexpected(Heard),
    /// The server did not prove that it knows the password, or talked nonsense.
    #[error("{0}")]
    Sasl(#[from] sasl::Error),
    /// What should be base64 is not, or an address is none.
    #[error("nonsense: {0}")]
    Nonsense(String),
}

impl Account {
    /// An account that exists.
    pub fn new(jid: BareJid, password: &str) -> Account {
        Account {
            jid,
            password: password.to_owned(),
            keys: Arc::default(),
        }
    }

    /// An account with the same password and salt as another.
    pub fn like(&self, jid: BareJid) -> Account {
        Account {
            jid,
            ..self.clone()
        }
    }

    /// The local part.
    pub fn name(&self) -> &str {
        self.jid.local().unwrap_or_default()
    }

    fn scram(&self, rng: &mut Rng) -> sasl::Client {
        let nonce = Nonce::from(rng.bytes::<NONCE_LEN>());
        let scram = Scram::new(Hash::Sha1, self.name(), &self.password, nonce);
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        sasl::Client::scram(match &*keys {
            Some(keys) => scram.keys(keys.clone()),
            None => scram,
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Opens a stream, logs in by SCRAM-SHA-1 and binds a resource (made up by the
    /// server if there is none), like a client that has all the time in the world.
    pub async fn login(
        &mut self,
        account: &Account,
        resource: Option<&str>,
        rng: &mut Rng,
    ) -> Result<FullJid, LoginError> {
        self.authenticate(account, rng).await?;
        self.bind(resource).await
    }

    /// Opens a stream and logs in; the stream after it is open, its features are read.
    pub async fn authenticate(
        &mut self,
        account: &Account,
        rng: &mut Rng,
    ) -> Result<(), LoginError> {
        self.greet(account.jid.domain()).await?;
        let mut sasl = account.scram(rng);
        let initial = BASE64.encode(sasl.initial());
        self.send(format!(
            "<auth xmlns='{SASL}' mechanism='{}'>{initial}</auth>",
            sasl.mechanism().name()
        ))
        .await?;
        let challenge = self.sasl("challenge").await?;
        let response = BASE64.encode(sasl.challenge(&challenge)?);
        self.send(format!("<response xmlns='{SASL}'>{response}</response>"))
            .await?;
        let proof = self.sasl("success").await?;
        sasl.success(Some(&proof))?;
        if let Some(keys) = sasl.keys() {
            let mut kept = account.keys.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = Some(keys.clone());
        }
        self.greet(account.jid.domain()).await?;
        Ok(())
    }

    /// Opens a stream; returns its features.
    pub async fn greet(&mut self, domain: &str) -> Result<Tree, LoginError> {
        self.open(domain).await?;
        match self.hear().await {
            Heard::Xml(xml::Heard::Header(_)) => {}
            other => return Err(LoginError::Unexpected(other)),
        }
        self.expect("features", xml::STREAM).await
    }

    /// Binds a resource.
    pub async fn bind(&mut self, resource: Option<&str>) -> Result<FullJid, LoginError> {
        let wanted = resource.map_or(String::new(), |resource| {
            format!("<resource>{}</resource>", xml::escaped(resource))
        });
        self.send(format!(
            "<iq type='set' id='bind'><bind xmlns='{BIND}'>{wanted}</bind></iq>"
        ))
        .await?;
        let reply = self.expect("iq", xml::CLIENT).await?;
        let jid = reply
            .child("bind", BIND)
            .and_then(|bind| bind.child("jid", BIND));
        let Some(jid) = jid.filter(|_| reply.attr("type") == Some("result")) else {
            return Err(LoginError::Unexpected(Heard::Xml(xml::Heard::Element(
                reply,
            ))));
        };
        FullJid::new(&jid.text()).map_err(|_| LoginError::Nonsense(jid.text()))
    }

    async fn sasl(&mut self, name: &str) -> Result<Vec<u8>, LoginError> {
        let element = self.expect(name, SASL).await?;
        let data = BASE64.decode(element.text());
        data.map_err(|_| LoginError::Nonsense(element.text()))
    }

    async fn expect(&mut self, name: &str, ns: &str) -> Result<Tree, LoginError> {
        match self.element().await {
            Ok(element) if element.is(name, ns) => Ok(element),
            Ok(other) => Err(LoginError::Unexpected(Heard::Xml(xml::Heard::Element(
                other,
            )))),
            Err(other) => Err(LoginError::Unexpected(other)),
        }
    }
}
