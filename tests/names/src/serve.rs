//! Sockets and threads.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;

use crate::{Zone, answer};

/// RFC 1035 §4.2.1: "Messages carried by UDP are restricted to 512 bytes".
const UDP_MAX: usize = 512;
const TCP_MAX: usize = 65_535;
/// Ports that are tried until one is free for both.
const TRIES: usize = 64;

/// Answers at this address, until the process ends, from the zone as it is when a question comes. Port 0 is one that is free.
///
/// # Errors
/// The address cannot be had.
pub fn serve(
    address: SocketAddr,
    zone: impl Fn() -> Zone + Send + Sync + 'static,
) -> io::Result<SocketAddr> {
    let (udp, tcp) = bind(address)?;
    let address = udp.local_addr()?;
    let zone = Arc::new(zone);
    let shared = zone.clone();
    thread::spawn(move || datagrams(&udp, &*shared));
    thread::spawn(move || {
        for stream in tcp.incoming().flatten() {
            let zone = zone.clone();
            thread::spawn(move || messages(stream, &*zone));
        }
    });
    Ok(address)
}

fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = TRIES;
    loop {
        let udp = UdpSocket::bind(address)?;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(_) if address.port() == 0 && tries > 0 => tries -= 1,
            Err(error) => return Err(error),
        }
    }
}

fn datagrams(socket: &UdpSocket, zone: &dyn Fn() -> Zone) {
    let mut bytes = [0; UDP_MAX];
    loop {
        // An error is of the one whom the last answer did not reach.
        let Ok((len, peer)) = socket.recv_from(&mut bytes) else {
            continue;
        };
        if let Some(answer) = answer(&bytes[..len], &zone(), UDP_MAX) {
            let _ = socket.send_to(&answer, peer);
        }
    }
}

/// §4.2.2: "The message is prefixed with a two byte length field".
fn messages(mut stream: TcpStream, zone: &dyn Fn() -> Zone) -> Option<()> {
    loop {
        let mut len = [0; 2];
        stream.read_exact(&mut len).ok()?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut message).ok()?;
        let Some(answer) = answer(&message, &zone(), TCP_MAX) else {
            continue;
        };
        let len = u16::try_from(answer.len()).expect("cut if longer");
        stream.write_all(&len.to_be_bytes()).ok()?;
        stream.write_all(&answer).ok()?;
    }
}
