//! The client of a test: it logs in, and says and hears whole stanzas.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::timeout;
use xmpp_core::io::OsRandom;
use xmpp_core::sasl::client::{self, Scram};
use xmpp_core::sasl::{self, Hash, NONCE_LEN, Nonce};
use xmpp_core::server::Random as _;
use xmpp_core::stanza::{IqType, Kind, Stanza};
use xmpp_core::xml::{Element, Limits, Reader, Received, ns};
use xmpp_core::{BareJid, FullJid};

use crate::Result;

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// How long a client waits for the server: long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that has logged in.
pub struct Client {
    io: DuplexStream,
    reader: Reader,
    unread: Vec<u8>,
    jid: FullJid,
}

impl Client {
    /// Logs in on a new connection by SCRAM-SHA-256, and binds a resource (RFC 6120 §6, §7).
    pub(crate) async fn login(
        io: DuplexStream,
        account: &BareJid,
        password: &str,
    ) -> Result<Client> {
        let mut client = Client {
            io,
            reader: Reader::new(Limits::default()),
            unread: Vec::new(),
            jid: account.with_resource("unbound")?,
        };
        client.open().await?;
        client.authenticate(password).await?;
        client.reader.restart();
        client.open().await?;
        client.bind().await?;
        Ok(client)
    }

    /// Its address.
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// Sends a stanza.
    pub async fn send(&mut self, stanza: &Stanza) -> Result<()> {
        self.write(&stanza.to_string()).await
    }

    /// The next stanza that comes.
    pub async fn next(&mut self) -> Result<Stanza> {
        match self.received().await? {
            Received::Stanza(stanza) => Ok(stanza),
            other => Err(format!("a stanza is awaited, not {other:?}").into()),
        }
    }

    /// Sends an IQ request and waits for its answer. Stanzas that come before are dropped.
    pub async fn ask(&mut self, request: &Stanza) -> Result<Stanza> {
        self.send(request).await?;
        loop {
            let stanza = self.next().await?;
            let answer = matches!(stanza.kind(), Kind::Iq(IqType::Result | IqType::Error));
            if answer && stanza.id() == request.id() {
                return Ok(stanza);
            }
        }
    }

    /// Closes the stream, and waits until the server has closed it as well (RFC 6120 §4.4).
    pub async fn close(mut self) -> Result<()> {
        self.write("</stream:stream>").await?;
        while !matches!(self.received().await?, Received::Close) {}
        Ok(())
    }

    async fn open(&mut self) -> Result<()> {
        let header = format!(
            "<stream:stream to='{}' version='1.0' xmlns='{}' xmlns:stream='{}'>",
            self.jid.domain(),
            ns::CLIENT,
            ns::STREAM
        );
        self.write(&header).await?;
        self.received().await?; // its header
        self.element("features").await?;
        Ok(())
    }

    async fn authenticate(&mut self, password: &str) -> Result<()> {
        let mut random = [0; NONCE_LEN];
        OsRandom.fill(&mut random);
        let user = self.jid.local().unwrap_or_default();
        let scram = Scram::new(Hash::Sha256, user, password, Nonce::from(random));
        let mut sasl = client::Client::scram(scram);

        let auth = Element::new("auth", SASL)
            .with_attr("mechanism", sasl.mechanism().name())
            .with_text(&sasl::encode(&sasl.initial()));
        self.write(&auth.to_string()).await?;
        let challenge = self.element("challenge").await?;
        let response = sasl.challenge(&sasl::decode(&challenge.text())?)?;
        let response = Element::new("response", SASL).with_text(&sasl::encode(&response));
        self.write(&response.to_string()).await?;
        let success = self.element("success").await?;
        Ok(sasl.success(Some(&sasl::decode(&success.text())?))?)
    }

    async fn bind(&mut self) -> Result<()> {
        let request = Stanza::iq(IqType::Set, "bind").with_child(&Element::new("bind", BIND));
        let answer = self.ask(&request).await?;
        let bind = answer.payload().child("bind", BIND).ok_or("not bound")?;
        let jid = bind.element();
        let jid = jid.child("jid", BIND).ok_or("bound without an address")?;
        self.jid = FullJid::new(&jid.text())?;
        Ok(())
    }

    /// The next element that is no stanza, if this is its name.
    async fn element(&mut self, name: &str) -> Result<Element> {
        match self.received().await? {
            Received::Element(element) if element.name() == name => Ok(element),
            other => Err(format!("<{name}/> is awaited, not {other:?}").into()),
        }
    }

    async fn write(&mut self, text: &str) -> Result<()> {
        Ok(self.io.write_all(text.as_bytes()).await?)
    }

    async fn received(&mut self) -> Result<Received> {
        loop {
            let mut input = &self.unread[..];
            let received = self.reader.next(&mut input);
            let taken = self.unread.len() - input.len();
            self.unread.drain(..taken);
            match received? {
                Some(Received::Whitespace) => {}
                Some(received) => return Ok(received),
                None => {
                    if timeout(PATIENCE, self.io.read_buf(&mut self.unread)).await?? == 0 {
                        return Err("the connection has ended".into());
                    }
                }
            }
        }
    }
}
