//! A connection's bytes, with TLS or without.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

/// Anything that carries bytes both ways: a TCP connection, one end of
/// [`tokio::io::duplex`], what an embedder has.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

pub(super) type BoxIo = Box<dyn Io>;

pub(super) enum Wire {
    Plain(BoxIo),
    Tls(Box<TlsStream<BoxIo>>),
    /// The handshake has the bytes, or there are none.
    Gone,
}

impl Wire {
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Wire::Tls(_))
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Wire::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Wire::Tls(tls) => Pin::new(&mut **tls).poll_read(cx, buf),
            Wire::Gone => Poll::Pending,
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Wire::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Wire::Tls(tls) => Pin::new(&mut **tls).poll_write(cx, bytes),
            Wire::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Wire::Plain(io) => Pin::new(io).poll_flush(cx),
            Wire::Tls(tls) => Pin::new(&mut **tls).poll_flush(cx),
            Wire::Gone => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Wire::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Wire::Tls(tls) => Pin::new(&mut **tls).poll_shutdown(cx),
            Wire::Gone => Poll::Ready(Ok(())),
        }
    }
}
