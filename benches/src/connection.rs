//! A socket, plain or TLS: writes gathered until somebody waits, reads large, stanzas cut out of what came.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::scanner::{Part, Scanner};

/// The most one read takes.
const READ: usize = 64 * 1024;
/// What a stanza may grow to before the server is thought to be mad.
const MAX_PENDING: usize = 4 * 1024 * 1024;

thread_local! {
    /// Where reads land first, so that ten thousand idle connections do not hold ten thousand buffers.
    static SCRATCH: std::cell::RefCell<Box<[u8]>> = std::cell::RefCell::new(vec![0; READ].into());
}

/// One client connection.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    inbox: Vec<u8>,
    scanner: Scanner,
    outbox: Vec<u8>,
    written: usize,
    /// Bytes may wait inside the TLS layer.
    dirty: bool,
}

/// A part of the stream that came in.
#[derive(Debug)]
pub enum Event<'a> {
    /// The stream's opening tag.
    Header(&'a [u8]),
    /// A child of the stream element, whole.
    Stanza(&'a [u8]),
    /// The stream's closing tag.
    Close,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Between the two, while a handshake owns the socket.
    Upgrading,
}

impl Connection {
    /// Connects to `address`, from `source` if given: one loopback address has too few ports for a login bench.
    pub async fn open(address: SocketAddr, source: Option<SocketAddr>) -> io::Result<Connection> {
        let stream = match source {
            Some(source) => {
                let socket = match address {
                    SocketAddr::V4(_) => TcpSocket::new_v4(),
                    SocketAddr::V6(_) => TcpSocket::new_v6(),
                }?;
                socket.bind(source)?;
                socket.connect(address).await?
            }
            None => TcpStream::connect(address).await?,
        };
        stream.set_nodelay(true)?;
        Ok(Connection {
            transport: Transport::Plain(stream),
            inbox: Vec::new(),
            scanner: Scanner::default(),
            outbox: Vec::new(),
            written: 0,
            dirty: false,
        })
    }

    /// Makes a TLS handshake. Bytes that came in clear before it are an error: nobody may speak behind `<proceed/>`.
    pub async fn secure(&mut self, config: Arc<ClientConfig>, domain: &str) -> io::Result<()> {
        if self.inbox.len() > self.scanner.consumed() {
            return Err(io::Error::other("the server sent bytes behind <proceed/>"));
        }
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other)?;
        match std::mem::replace(&mut self.transport, Transport::Upgrading) {
            Transport::Plain(stream) => {
                let stream = TlsConnector::from(config).connect(name, stream).await?;
                self.transport = Transport::Tls(Box::new(stream));
                Ok(())
            }
            _ => Err(io::Error::other("this connection is secured already")),
        }
    }

    /// Expects a new stream header next.
    pub fn restart(&mut self) {
        self.scanner.restart();
    }

    /// Expects stanzas without a stream header: the relay's dialect.
    pub fn headless(&mut self) {
        self.scanner = Scanner::headless();
    }

    /// The bytes to send with the next [`Connection::poll`] or [`Connection::flush`]; append to them.
    pub fn outbox(&mut self) -> &mut Vec<u8> {
        &mut self.outbox
    }

    /// The next whole part of what was read, if there is one.
    pub fn event(&mut self) -> io::Result<Option<Event<'_>>> {
        match self.part()? {
            None => Ok(None),
            Some(Part::Header(range)) => Ok(Some(Event::Header(&self.inbox[range]))),
            Some(Part::Stanza(range)) => Ok(Some(Event::Stanza(&self.inbox[range]))),
            Some(Part::Close) => Ok(Some(Event::Close)),
        }
    }

    /// The next stream header. A stanza in its place is an error.
    pub async fn header(&mut self) -> io::Result<()> {
        match self.wait().await? {
            Part::Header(_) => Ok(()),
            _ => Err(io::Error::other("the server sent no stream header")),
        }
    }

    /// The next stanza. The end of the stream is an error.
    pub async fn stanza(&mut self) -> io::Result<&[u8]> {
        match self.wait().await? {
            Part::Stanza(range) => Ok(&self.inbox[range]),
            Part::Header(_) => Err(io::Error::other("the server sent a second stream header")),
            Part::Close => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Writes what is in the outbox as far as the socket takes it, and reads once. Ready when something came: `false` means the end of the
    /// stream.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if let Poll::Ready(Err(error)) = self.poll_write_out(cx) {
            return Poll::Ready(Err(error));
        }
        self.compact();
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(&mut self.transport).poll_read(cx, &mut buffer) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if self.inbox.len() > MAX_PENDING => {
                    Poll::Ready(Err(io::Error::other("a stanza without end")))
                }
                Poll::Ready(Ok(())) => {
                    self.inbox.extend_from_slice(buffer.filled());
                    Poll::Ready(Ok(!buffer.filled().is_empty()))
                }
            }
        })
    }

    /// Writes what is in the outbox, and reads once.
    pub async fn exchange(&mut self) -> io::Result<bool> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Writes everything in the outbox.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write_out(cx)).await
    }

    /// Cuts the connection: the server is told by a reset.
    pub fn reset(self) -> io::Result<()> {
        match &self.transport {
            Transport::Plain(stream) => stream.set_zero_linger(),
            Transport::Tls(stream) => stream.get_ref().0.set_zero_linger(),
            Transport::Upgrading => Ok(()),
        }
    }

    /// Gives back buffers that a connection at rest does not need.
    pub fn rest(&mut self) {
        self.compact();
        self.inbox.shrink_to_fit();
        self.outbox.shrink_to_fit();
    }

    async fn wait(&mut self) -> io::Result<Part> {
        loop {
            if let Some(part) = self.part()? {
                return Ok(part);
            }
            if !self.exchange().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn part(&mut self) -> io::Result<Option<Part>> {
        self.scanner
            .next(&self.inbox)
            .map_err(|_| io::Error::other("the server sent what cannot be cut into stanzas"))
    }

    fn compact(&mut self) {
        let consumed = self.scanner.consumed();
        self.scanner.shift(consumed);
        drop(self.inbox.drain(..consumed));
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.outbox.len() {
            let rest: Range<usize> = self.written..self.outbox.len();
            match Pin::new(&mut self.transport).poll_write(cx, &self.outbox[rest]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.dirty = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.outbox.clear();
        self.written = 0;
        if self.dirty {
            std::task::ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Upgrading => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Upgrading => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Upgrading => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Upgrading => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}
