//! What tests of engines need of a network: ports, and a way on which everything is lost.

#![allow(clippy::disallowed_methods)] // tasks of tests

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// An address that is free, outside the range from which a system gives ports to whoever asks for any.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() as u16).wrapping_mul(251);
    loop {
        let n = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", 20_000 + n % 10_000)) {
            return listener.local_addr().expect("it is bound");
        }
    }
}

/// Swallows bytes, without a word to anybody, as long as it is told to.
pub async fn swallower(to: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let listener = tokio::net::TcpListener::bind(free_address())
        .await
        .expect("it is free");
    let (address, mute) = (
        listener.local_addr().expect("it is bound"),
        Arc::new(AtomicBool::new(false)),
    );
    let muted = mute.clone();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = tokio::net::TcpStream::connect(to).await else {
                continue;
            };
            let ((nr, nw), (fr, fw)) = (near.into_split(), far.into_split());
            for (mut from, mut to) in [(nr, fw), (fr, nw)] {
                let muted = muted.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65_536];
                    while let Ok(n @ 1..) = from.read(&mut buffer).await {
                        // What has come meanwhile is gone, and with it the connection's sense.
                        if !muted.load(Ordering::Relaxed)
                            && to.write_all(&buffer[..n]).await.is_err()
                        {
                            return;
                        }
                    }
                });
            }
        }
    });
    (address, mute)
}
