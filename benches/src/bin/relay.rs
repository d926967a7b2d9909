//! The bare relay: the lower bound of what a server can cost.

use std::{io, net::SocketAddr};

use benches::{relay, tls::Identity};
use clap::Parser;
use tokio::{net::TcpListener, runtime, task::LocalSet};
use tokio_rustls::TlsAcceptor;

/// Moves lines between sockets by their `to='N'`, without XML: what no server can undercut. For `loadgen --peer relay`.
#[derive(Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:5299")]
    listen: SocketAddr,
    /// Make a TLS handshake first, with a fresh P-256 certificate.
    #[arg(long)]
    tls: bool,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let tls = match options.tls {
        true => Some(TlsAcceptor::from(
            Identity::generate("localhost")?.server()?,
        )),
        false => None,
    };
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(options.listen).await?;
        println!("listening on {}", listener.local_addr()?);
        relay::serve(listener, tls).await
    })
}
