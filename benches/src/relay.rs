//! The lower bound: a server that moves lines between sockets and knows no XML.
//!
//! A client says `<relay id='N'/>` and gets `<ok/>`; each later line goes to the connection named by its first `to='N'`. `<enter room='N'/>` is
//! answered with `<entered/>`, and a line with `room='N'` goes to all who have entered. Whatever an XMPP server
//! costs above this is its own work; what this costs is the kernel's and the runtime's.

use std::{cell::RefCell, collections::HashMap, future::poll_fn, io, pin::Pin, rc::Rc};

use memchr::{memchr_iter, memmem};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::spawn_local,
};
use tokio_rustls::TlsAcceptor;

type Id = u32;
type Sink = Rc<Mutex<Box<dyn AsyncWrite + Unpin>>>;
type Sinks = Rc<RefCell<Connections>>;

/// Where lines go.
#[derive(Default)]
struct Connections {
    one: HashMap<Id, Sink>,
    rooms: HashMap<Id, Vec<(Id, Sink)>>,
}

/// Whom a line is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    One(Id),
    Room(Id),
}

/// The most one read takes.
const READ: usize = 64 * 1024;
/// The longest line.
const MAX_LINE: usize = 1024 * 1024;

thread_local! {
    /// One read buffer for all connections: an idle one holds none.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Serves forever, on the current thread; call it inside a `LocalSet`.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>) -> io::Result<()> {
    let sinks = Sinks::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        match &tls {
            None => spawn_local(serve_plain(stream, sinks.clone())),
            Some(tls) => spawn_local(serve_tls(stream, tls.clone(), sinks.clone())),
        };
    }
}

async fn serve_plain(stream: TcpStream, sinks: Sinks) {
    let (reader, writer) = stream.into_split();
    let _ = relay(reader, Box::new(writer), sinks).await;
}

async fn serve_tls(stream: TcpStream, tls: TlsAcceptor, sinks: Sinks) {
    // The handshake's state is large; boxed, it is gone when the session begins.
    if let Ok(stream) = Box::pin(tls.accept(stream)).await {
        spawn_local(async move {
            let (reader, writer) = tokio::io::split(stream);
            let _ = relay(reader, Box::new(writer), sinks).await;
        });
    }
}

async fn relay(
    mut reader: impl AsyncRead + Unpin,
    writer: Box<dyn AsyncWrite + Unpin>,
    sinks: Sinks,
) -> io::Result<()> {
    let own = Rc::new(Mutex::new(writer));
    let mut id = None;
    let mut partial = Vec::new();
    let ended = loop {
        match read(&mut reader, &mut partial).await {
            Ok(Some(lines)) => {
                let done = forward(&lines, &mut id, &own, &sinks).await;
                recycle(lines);
                if let Err(error) = done {
                    break Err(error);
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if let Some(id) = id {
        let mut sinks = sinks.borrow_mut();
        sinks.one.remove(&id);
        for room in sinks.rooms.values_mut() {
            room.retain(|(other, _)| *other != id);
        }
    }
    ended
}

/// The next whole lines; what is behind them waits in `partial`.
async fn read(
    reader: &mut (impl AsyncRead + Unpin),
    partial: &mut Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    loop {
        let mut bytes = poll_fn(|cx| {
            let mut scratch = SCRATCH.take();
            scratch.resize(READ, 0);
            let mut buffer = ReadBuf::new(&mut scratch);
            let polled = Pin::new(&mut *reader).poll_read(cx, &mut buffer);
            let length = buffer.filled().len();
            match polled {
                std::task::Poll::Ready(Ok(())) => {
                    scratch.truncate(length);
                    std::task::Poll::Ready(Ok(scratch))
                }
                std::task::Poll::Ready(Err(error)) => std::task::Poll::Ready(Err(error)),
                std::task::Poll::Pending => {
                    recycle(scratch);
                    std::task::Poll::Pending
                }
            }
        })
        .await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if !partial.is_empty() {
            bytes.splice(0..0, partial.drain(..));
        }
        let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
        partial.extend_from_slice(&bytes[whole..]);
        bytes.truncate(whole);
        if whole > 0 {
            return Ok(Some(bytes));
        }
        recycle(bytes);
        if partial.len() > MAX_LINE {
            return Err(io::Error::other("a line without end"));
        }
    }
}

/// Passes each run of lines with one receiver on in one write.
async fn forward(lines: &[u8], id: &mut Option<Id>, own: &Sink, sinks: &Sinks) -> io::Result<()> {
    let mut begin = 0;
    let mut run: Option<(To, usize)> = None;
    for end in memchr_iter(b'\n', lines) {
        let line = &lines[begin..end];
        let Some(own_id) = *id else {
            let name = number(line, b" id='").ok_or(io::ErrorKind::InvalidData)?;
            sinks.borrow_mut().one.insert(name, own.clone());
            *id = Some(name);
            write(own, b"<ok/>\n").await?;
            begin = end + 1;
            continue;
        };
        if line.starts_with(b"<enter ") {
            let room = number(line, b" room='").ok_or(io::ErrorKind::InvalidData)?;
            enter(sinks, room, (own_id, own.clone()));
            write(own, b"<entered/>\n").await?;
        } else if let Some(to) = to(line) {
            match run {
                Some((same, _)) if same == to => {}
                Some((other, from)) => {
                    send(sinks, other, &lines[from..begin]).await?;
                    run = Some((to, begin));
                }
                None => run = Some((to, begin)),
            }
        }
        begin = end + 1;
    }
    match run {
        Some((to, from)) => send(sinks, to, &lines[from..]).await,
        None => Ok(()),
    }
}

/// From now on what is said in the room goes there too.
fn enter(sinks: &Sinks, room: Id, who: (Id, Sink)) {
    sinks.borrow_mut().rooms.entry(room).or_default().push(who);
}

async fn send(sinks: &Sinks, to: To, lines: &[u8]) -> io::Result<()> {
    match to {
        To::One(id) => {
            let sink = sinks.borrow().one.get(&id).cloned();
            match sink {
                Some(sink) => write(&sink, lines).await,
                None => Ok(()),
            }
        }
        To::Room(id) => {
            let all = sinks.borrow().rooms.get(&id).cloned().unwrap_or_default();
            for (_, sink) in all {
                write(&sink, lines).await?;
            }
            Ok(())
        }
    }
}

async fn write(sink: &Sink, lines: &[u8]) -> io::Result<()> {
    let mut writer = sink.lock().await;
    writer.write_all(lines).await?;
    writer.flush().await
}

fn recycle(buffer: Vec<u8>) {
    SCRATCH.set(buffer);
}

fn to(line: &[u8]) -> Option<To> {
    let one = number(line, b" to='").map(To::One);
    one.or_else(|| number(line, b" room='").map(To::Room))
}

/// The number behind `key` in `line`.
fn number(line: &[u8], key: &[u8]) -> Option<Id> {
    let digits = line.get(memmem::find(line, key)? + key.len()..)?;
    let end = memchr::memchr(b'\'', digits)?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_behind_its_key() {
        assert_eq!(number(b"<message id='9' to='12'>", b" to='"), Some(12));
        for bad in [
            "<message>",
            "<m to='x'>",
            "<m to='1",
            "<m to='99999999999'>",
        ] {
            assert_eq!(number(bad.as_bytes(), b" to='"), None, "{bad}");
        }
    }
}
