//! A client that says exactly what it is told to.

use std::collections::VecDeque;
use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::xml::{self, StreamReader};

mod ledger;
mod login;

pub use ledger::{Ledger, SM};
pub use login::{Account, LoginError};

/// Bytes read at once.
const CHUNK: usize = 4096;

/// A stream over a simulated link, over TCP, over anything.
#[derive(Debug)]
pub struct Client<S> {
    io: S,
    ears: Ears,
}

/// What a client hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// XML.
    Xml(xml::Heard),
    /// The end of the connection, in good order.
    End,
    /// The end of the connection by an error.
    Broken(io::ErrorKind),
}

/// The reading half of a client's mind.
#[derive(Debug, Default)]
pub struct Ears {
    reader: StreamReader,
    heard: VecDeque<xml::Heard>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// A client on a fresh connection. It has said nothing yet.
    pub fn new(io: S) -> Client<S> {
        Client {
            io,
            ears: Ears::default(),
        }
    }

    /// Says these very bytes.
    pub async fn send(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.io.write_all(text.as_ref()).await?;
        self.io.flush().await
    }

    /// Opens a stream to a domain, or opens it anew.
    pub async fn open(&mut self, domain: &str) -> io::Result<()> {
        self.ears = Ears::default();
        self.send(header(domain)).await
    }

    /// The next thing that the server says. Cancel safe.
    pub async fn hear(&mut self) -> Heard {
        self.ears.hear(&mut self.io).await
    }

    /// The next first-level element; anything else is an error.
    pub async fn element(&mut self) -> Result<xml::Tree, Heard> {
        match self.hear().await {
            Heard::Xml(xml::Heard::Element(tree)) => Ok(tree),
            other => Err(other),
        }
    }

    /// Everything that comes until the connection ends, and how it ends.
    pub async fn rest(&mut self) -> Vec<Heard> {
        let mut rest = Vec::new();
        loop {
            let heard = self.hear().await;
            let over = !matches!(heard, Heard::Xml(_));
            rest.push(heard);
            if over {
                return rest;
            }
        }
    }

    /// Sends no more, and still listens.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.io.shutdown().await
    }

    /// The connection itself.
    pub fn io(&self) -> &S {
        &self.io
    }

    /// The connection, and what has been heard on it, to be used apart.
    pub fn into_parts(self) -> (S, Ears) {
        (self.io, self.ears)
    }
}

impl Ears {
    /// Whether there is more that has been read.
    pub fn have_heard(&self) -> bool {
        !self.heard.is_empty()
    }

    /// The next thing that comes. Cancel safe.
    pub async fn hear(&mut self, io: &mut (impl AsyncRead + Unpin)) -> Heard {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Heard::Xml(heard);
            }
            let mut bytes = [0; CHUNK];
            match io.read(&mut bytes).await {
                Ok(0) => return Heard::End,
                Ok(read) => self.heard.extend(self.reader.feed(&bytes[..read])),
                Err(error) => return Heard::Broken(error.kind()),
            }
        }
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Heard::Xml(xml) => write!(f, "{xml}"),
            Heard::End => f.write_str("the end of the connection"),
            Heard::Broken(error) => write!(f, "a broken connection ({error})"),
        }
    }
}

/// A stream header to a domain.
pub fn header(domain: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream to='{}' version='1.0' xmlns='{}' xmlns:stream='{}'>",
        xml::escaped(domain),
        xml::CLIENT,
        xml::STREAM
    )
}
