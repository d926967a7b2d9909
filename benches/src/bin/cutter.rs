//! The cutter as a program, for clients that are not the load generator.

use std::{io, net::SocketAddr, time::Duration};

use benches::cutter::Cutter;
use clap::Parser;
use tokio::{net::TcpListener, runtime, task::LocalSet};

/// Carries TCP connections to a server and cuts each at random: by a reset, by closing, or by silence.
///
/// It says where it listens, runs until its standard input ends, and says what it has cut.
#[derive(Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The server.
    #[arg(long)]
    server: SocketAddr,
    /// Mean seconds until a connection is cut.
    #[arg(long, default_value_t = 1.0)]
    every: f64,
    /// What is random comes from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let every = Duration::try_from_secs_f64(options.every).map_err(io::Error::other)?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let input = std::thread::spawn(|| io::copy(&mut io::stdin(), &mut io::sink()));
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(options.listen).await?;
        println!("listening on {}", listener.local_addr()?);
        let cutter = Cutter::new(options.server, every, options.seed);
        cutter.arm(true);
        let over = async {
            while !input.is_finished() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            failed = cutter.clone().serve(listener) => failed?,
            () = over => {}
        }
        println!("{}", cutter.cuts());
        Ok(())
    })
}
