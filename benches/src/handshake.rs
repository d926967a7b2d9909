//! What a TLS handshake costs a server that does nothing else: both ends of rustls in one process, the server's share timed alone.

use std::{io, sync::Arc, time::Instant};

use rustls::{ClientConnection, ConnectionCommon, ServerConnection, pki_types::ServerName};

use crate::{
    latency::Histogram,
    report::Report,
    tls::{self, Handshakes, Identity},
};

/// Makes `count` full handshakes (TLS 1.3, a P-256 certificate). The cost is the median, which other processes on the machine disturb least.
pub fn measure(count: usize) -> io::Result<Report> {
    let server = Identity::generate("localhost")?.server()?;
    let client = tls::client(Handshakes::Full);
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let mut histogram = Histogram::default();
    let begin = Instant::now();
    for _ in 0..count {
        let mut server = ServerConnection::new(Arc::clone(&server)).map_err(io::Error::other)?;
        let mut client =
            ClientConnection::new(client.clone(), name.clone()).map_err(io::Error::other)?;
        let mut spent = std::time::Duration::ZERO;
        while server.is_handshaking() || client.is_handshaking() {
            let flight = take(&mut client)?;
            let begin = Instant::now();
            give(&mut server, &flight)?;
            let answer = take(&mut server)?;
            spent += begin.elapsed();
            give(&mut client, &answer)?;
        }
        histogram.record(spent);
    }
    Ok(Report {
        load: format!("handshake, {count} in one process, server's side, median"),
        operations: count as u64,
        seconds: begin.elapsed().as_secs_f64(),
        server_cpu_seconds_per_million: Some(histogram.quantile(0.5).as_secs_f64() * 1e6),
        latency: histogram.summary(),
        ..Report::default()
    })
}

fn take<D>(from: &mut ConnectionCommon<D>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes)?;
    }
    Ok(bytes)
}

fn give<D: rustls::SideData>(to: &mut ConnectionCommon<D>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.read_tls(&mut bytes)?;
        to.process_new_packets().map_err(io::Error::other)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_has_a_cost() {
        let report = measure(3).unwrap();
        assert_eq!(report.operations, 3);
        assert!(report.server_cpu_seconds_per_million.unwrap() > 1.0);
    }
}
