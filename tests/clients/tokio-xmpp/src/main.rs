//! A line-driven client on tokio-xmpp, for tests.
//!
//! Usage: `tokio-xmpp-client starttls|direct-tls ADDRESS:PORT JID PASSWORD`,
//! with the authorities to trust in the file that `$SSL_CERT_FILE` names.
//!
//! It prints `online JID`, `message FROM BODY`, `presence FROM TYPE`, `result ID`,
//! `error ID CONDITION` and `disconnected REASON` as these happen, and what the
//! library logs as an error as `failed TEXT`. It obeys the lines `say JID BODY`,
//! `subscribe JID`, `allow JID`, `roster`, `ping` and `quit`.

use std::error::Error;
use std::str::FromStr;

use futures::StreamExt;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio_xmpp::connect::DnsConfig;
use tokio_xmpp::jid::{BareJid, Jid};
use tokio_xmpp::parsers::iq::Iq;
use tokio_xmpp::parsers::message::{Lang, Message, MessageType};
use tokio_xmpp::parsers::ping::Ping;
use tokio_xmpp::parsers::presence::{Presence, Type};
use tokio_xmpp::parsers::roster::Roster;
use tokio_xmpp::rustls::crypto::ring;
use tokio_xmpp::xmlstream::Timeouts;
use tokio_xmpp::{Client, Event, Stanza};

type Failure = Box<dyn Error>;

const USAGE: &str = "usage: tokio-xmpp-client starttls|direct-tls ADDRESS:PORT JID PASSWORD";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    log::set_boxed_logger(Box::new(Failures))?;
    log::set_max_level(log::LevelFilter::Error);
    ring::default_provider()
        .install_default()
        .map_err(|_| "a TLS provider is installed already")?;
    let mut client = connect(std::env::args().skip(1).collect())?;
    let mut commands = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            event = client.next() => match event {
                Some(Event::Online { bound_jid, .. }) => {
                    println!("online {bound_jid}");
                    client.send_stanza(Presence::available().into()).await?;
                }
                Some(Event::Disconnected(reason)) => println!("disconnected {reason}"),
                Some(Event::Stanza(stanza)) => print(stanza),
                None => return Ok(()),
            },
            line = commands.next_line() => match line? {
                Some(line) if line != "quit" => client
                    .send_stanza(stanza(&line)?)
                    .await
                    .map(drop)?,
                _ => break,
            },
        }
    }
    client.send_end().await?;
    Ok(())
}

/// A client for these arguments, which connects when it is polled.
fn connect(arguments: Vec<String>) -> Result<Client, Failure> {
    let [kind, address, jid, password] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let jid = Jid::from_str(jid)?;
    let address = DnsConfig::Addr {
        addr: address.clone(),
    };
    let timeouts = Timeouts::default();
    match kind.as_str() {
        "starttls" => Ok(Client::new_starttls(jid, password, address, timeouts)),
        "direct-tls" => Ok(Client::new_direct_tls_with_config(
            jid, password, address, timeouts,
        )),
        _ => Err(USAGE.into()),
    }
}

/// The stanza that a command asks for.
fn stanza(line: &str) -> Result<Stanza, Failure> {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    Ok(match command {
        "say" => {
            let (to, body) = rest.split_once(' ').ok_or("say what?")?;
            let mut message = Message::new(Some(Jid::from_str(to)?));
            message.type_ = MessageType::Chat;
            message.bodies.insert(Lang::default(), body.to_owned());
            message.into()
        }
        "subscribe" => Presence::subscribe()
            .with_to(BareJid::from_str(rest)?)
            .into(),
        "allow" => Presence::subscribed()
            .with_to(BareJid::from_str(rest)?)
            .into(),
        "roster" => {
            let roster = Roster {
                ver: None,
                items: vec![],
            };
            Iq::from_get("roster", roster).into()
        }
        "ping" => Iq::from_get("ping", Ping).into(),
        _ => return Err(format!("no such command: {command}").into()),
    })
}

fn print(stanza: Stanza) {
    match stanza {
        Stanza::Message(message) => {
            let body = message.bodies.values().next();
            println!(
                "message {} {}",
                sender(&message.from),
                body.map_or("", |b| b)
            );
        }
        Stanza::Presence(presence) => {
            println!(
                "presence {} {}",
                sender(&presence.from),
                kind(&presence.type_)
            );
        }
        Stanza::Iq(Iq::Result { id, .. }) => println!("result {id}"),
        Stanza::Iq(Iq::Error { id, error, .. }) => {
            println!("error {id} {:?}", error.defined_condition);
        }
        Stanza::Iq(_) => {}
    }
}

fn sender(from: &Option<Jid>) -> &str {
    from.as_ref().map_or("", Jid::as_str)
}

fn kind(of: &Type) -> &'static str {
    match of {
        Type::None => "available",
        Type::Error => "error",
        Type::Probe => "probe",
        Type::Subscribe => "subscribe",
        Type::Subscribed => "subscribed",
        Type::Unavailable => "unavailable",
        Type::Unsubscribe => "unsubscribe",
        Type::Unsubscribed => "unsubscribed",
    }
}

/// Prints what the library logs; it retries failed logins and tells nobody else.
struct Failures;

impl log::Log for Failures {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Error
    }

    fn log(&self, record: &log::Record<'_>) {
        println!("failed {}", record.args());
    }

    fn flush(&self) {}
}
