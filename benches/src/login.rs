//! From a TCP connection to a bound resource: RFC 6120 §4 to §7, as a client takes the road.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use clap::ValueEnum;
use rustls::ClientConfig;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    account,
    connection::Connection,
    management::{self, Management},
    meter::Meter,
    scanner,
    scram::{Cache, Exchange, Hash},
    session::{Session, unexpected},
};

/// How a connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Security {
    /// Not at all.
    None,
    /// RFC 6120 §5.
    Starttls,
    /// XEP-0368.
    Direct,
}

/// The SASL mechanism to log in with; it must be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mechanism {
    /// RFC 5802.
    #[value(name = "SCRAM-SHA-1")]
    ScramSha1,
    /// RFC 7677.
    #[value(name = "SCRAM-SHA-256")]
    ScramSha256,
    /// RFC 4616.
    #[value(name = "PLAIN")]
    Plain,
}

/// Who is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// An XMPP server.
    Server,
    /// The bare relay (`crate::relay`): no stream, no login, addresses are numbers.
    Relay,
}

/// Everything a login needs to know but whose it is.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The domain of the accounts.
    pub domain: String,
    /// How connections are secured.
    pub security: Security,
    /// How accounts prove themselves.
    pub mechanism: Mechanism,
    /// Who is spoken to.
    pub peer: Peer,
    /// The TLS client.
    pub tls: Arc<ClientConfig>,
    /// Loopback addresses to connect from, 127.0.0.1 upwards; 0 leaves the choice to the system.
    pub sources: u8,
    /// Whether streams are managed (XEP-0198).
    pub managed: bool,
    /// The resource to ask for; the server's choice if there is none.
    pub resource: Option<String>,
    /// SCRAM keys known so far.
    pub keys: Cache,
}

/// What makes a session available.
pub const AVAILABLE: &[u8] = b"<presence/>";

/// How long a whole login may take: servers under load are slow, not dead.
const LOGIN: Duration = Duration::from_secs(60);
/// Logins under way at once when many sessions are needed.
const AT_ONCE: usize = 50;

impl Target {
    /// Logs in as account `index`.
    pub async fn login(&self, index: usize) -> io::Result<Session> {
        timeout(LOGIN, self.enter(index))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|e| {
                io::Error::new(
                    e.kind(),
                    format!("{} could not log in: {e}", account::user(index)),
                )
            })
    }

    /// Logs in accounts 0 to `count`, several at a time, and makes each available.
    pub async fn enter_all(&self, count: usize, meter: &Meter) -> io::Result<Vec<Session>> {
        let mut sessions: Vec<(usize, Session)> = Vec::with_capacity(count);
        let each = |index, session| sessions.push((index, session));
        self.enter_each(count, meter, each).await?;
        sessions.sort_by_key(|(index, _)| *index);
        Ok(sessions.into_iter().map(|(_, session)| session).collect())
    }

    /// The same, and gives each away as it comes: it may have to answer before the last is there.
    pub async fn enter_each(
        &self,
        count: usize,
        meter: &Meter,
        mut each: impl FnMut(usize, Session),
    ) -> io::Result<()> {
        let mut logins = JoinSet::new();
        let (mut next, mut entered) = (0, 0);
        while entered < count {
            while next < count && logins.len() < AT_ONCE {
                let (target, index) = (self.clone(), next);
                logins.spawn_local(async move { Ok((index, target.available(index).await?)) });
                next += 1;
            }
            if let Some(ended) = logins.join_next().await {
                let login: io::Result<_> = ended.map_err(io::Error::other)?;
                let (index, session) = login?;
                each(index, session);
                entered += 1;
            }
            if entered.is_multiple_of(AT_ONCE) {
                meter.show(format!("{entered} of {count} logged in"));
            }
        }
        Ok(())
    }

    async fn available(&self, index: usize) -> io::Result<Session> {
        let mut session = self.login(index).await?;
        if self.peer == Peer::Server {
            session.connection.outbox().extend_from_slice(AVAILABLE);
            if let Some(management) = &mut session.management {
                management.sent(1);
            }
            session.connection.flush().await?;
        }
        Ok(session)
    }

    /// Logs in as account `index` and goes on with its stream `id`, of which `h` stanzas have come (XEP-0198 §5). Gives how many of ours have been
    /// handled; `None` if there is no such stream.
    pub async fn resume(
        &self,
        index: usize,
        id: &str,
        h: u32,
    ) -> io::Result<(Connection, Option<u32>)> {
        let resumed = async {
            let connection = Connection::open(self.address, self.source(index)).await?;
            let mut connection = self.enter_account(connection, index).await?;
            let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>");
            connection.outbox().extend_from_slice(resume.as_bytes());
            let answer = connection.stanza().await?;
            let handled = match scanner::name(answer) {
                b"failed" => None,
                b"resumed" => Some(management::count(answer)?),
                _ => return Err(unexpected("an answer to <resume/>", answer)),
            };
            Ok((connection, handled))
        };
        timeout(LOGIN, resumed)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn enter(&self, index: usize) -> io::Result<Session> {
        let connection = Connection::open(self.address, self.source(index)).await?;
        if self.peer == Peer::Relay {
            return self.enter_relay(connection, index).await;
        }
        let mut connection = self.enter_account(connection, index).await?;
        let wish = self
            .resource
            .as_ref()
            .map_or_else(String::new, |wish| format!("<resource>{wish}</resource>"));
        let bind = format!(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{wish}</bind></iq>"
        );
        connection.outbox().extend_from_slice(bind.as_bytes());
        let result = connection.stanza().await?;
        let jid = scanner::text(result, "jid").ok_or_else(|| unexpected("a bound JID", result))?;
        let jid = String::from_utf8_lossy(jid).into_owned();
        let (mut management, mut early) = (None, Vec::new());
        if self.managed {
            connection.outbox().extend_from_slice(management::ENABLE);
            management = Some(loop {
                let answer = connection.stanza().await?;
                match scanner::name(answer) {
                    b"message" | b"presence" | b"iq" => early.push(answer.to_vec()),
                    _ => break Management::enabled(answer)?,
                }
            });
        }
        Ok(Session {
            connection,
            jid,
            management,
            early,
        })
    }

    /// Secures the connection, logs in and waits for the features behind that.
    async fn enter_account(
        &self,
        mut connection: Connection,
        index: usize,
    ) -> io::Result<Connection> {
        match self.security {
            Security::None => {}
            Security::Direct => connection.secure(self.tls.clone(), &self.domain).await?,
            Security::Starttls => {
                self.open_stream(&mut connection, "<starttls").await?;
                connection
                    .outbox()
                    .extend_from_slice(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
                expect(&mut connection, "proceed").await?;
                connection.secure(self.tls.clone(), &self.domain).await?;
                connection.restart();
            }
        }
        let offered = format!(">{}<", self.mechanism);
        self.open_stream(&mut connection, &offered).await?;
        self.authenticate(&mut connection, index).await?;
        connection.restart();
        self.open_stream(&mut connection, "<bind").await?;
        Ok(connection)
    }

    async fn enter_relay(&self, mut connection: Connection, index: usize) -> io::Result<Session> {
        if self.security != Security::None {
            connection.secure(self.tls.clone(), &self.domain).await?;
        }
        connection.headless();
        let jid = index.to_string();
        connection
            .outbox()
            .extend_from_slice(format!("<relay id='{jid}'/>\n").as_bytes());
        expect(&mut connection, "ok").await?;
        Ok(Session {
            connection,
            jid,
            management: None,
            early: Vec::new(),
        })
    }

    /// Sends a stream header and waits for features that have `wanted` among them.
    async fn open_stream(&self, connection: &mut Connection, wanted: &str) -> io::Result<()> {
        let header = format!(
            "<?xml version='1.0'?><stream:stream to='{}' version='1.0' xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
            self.domain
        );
        connection.outbox().extend_from_slice(header.as_bytes());
        connection.header().await?;
        let features = connection.stanza().await?;
        if scanner::contains(features, wanted) {
            Ok(())
        } else {
            Err(unexpected(wanted, features))
        }
    }

    async fn authenticate(&self, connection: &mut Connection, index: usize) -> io::Result<()> {
        let user = account::user(index);
        let hash = match self.mechanism {
            Mechanism::ScramSha1 => Hash::Sha1,
            Mechanism::ScramSha256 => Hash::Sha256,
            Mechanism::Plain => {
                let initial = format!("\0{user}\0{}", account::PASSWORD);
                self.send_auth(connection, &initial);
                return expect(connection, "success").await.map(drop);
            }
        };
        let exchange = Exchange::new(hash, &user, account::PASSWORD, nonce()?);
        self.send_auth(connection, &exchange.first());
        let challenge = expect(connection, "challenge").await?;
        let last = exchange
            .answer(&challenge, &self.keys)
            .ok_or_else(|| io::Error::other(format!("bad SCRAM challenge {challenge}")))?;
        let response = format!(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</response>",
            BASE64.encode(&last.message)
        );
        connection.outbox().extend_from_slice(response.as_bytes());
        let success = expect(connection, "success").await?;
        if last.verify(&success) {
            Ok(())
        } else {
            Err(io::Error::other("the server's SCRAM signature is wrong"))
        }
    }

    fn send_auth(&self, connection: &mut Connection, initial: &str) {
        let auth = format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{}'>{}</auth>",
            self.mechanism,
            BASE64.encode(initial)
        );
        connection.outbox().extend_from_slice(auth.as_bytes());
    }

    fn source(&self, index: usize) -> Option<SocketAddr> {
        let IpAddr::V4(Ipv4Addr::LOCALHOST) = self.address.ip() else {
            return None;
        };
        let host = index.checked_rem(self.sources.into())? + 1;
        let host = u8::try_from(host).expect("a remainder of a u8, plus one, below 256");
        Some((Ipv4Addr::new(127, 0, 0, host), 0).into())
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::Plain => "PLAIN",
        })
    }
}

/// Waits for an element called `wanted`; gives its text, decoded from Base64.
async fn expect(connection: &mut Connection, wanted: &str) -> io::Result<String> {
    let stanza = connection.stanza().await?;
    if scanner::name(stanza) != wanted.as_bytes() {
        return Err(unexpected(wanted, stanza));
    }
    let text = scanner::text(stanza, wanted).unwrap_or_default();
    let decoded = BASE64.decode(text).map_err(io::Error::other)?;
    String::from_utf8(decoded).map_err(io::Error::other)
}

fn nonce() -> io::Result<String> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(BASE64.encode(bytes))
}
