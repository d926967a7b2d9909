//! Connecting to one of several addresses, without waiting for those that do not answer (RFC 8305, "Happy Eyeballs").

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{sleep, timeout};

use super::DialError;

/// The first connection there is to any of these; what else has been begun is dropped.
///
/// RFC 8305 §5: attempts begin one after another, `stagger` apart, or as soon as the one before has failed. Each has `attempt` time.
pub(super) async fn race<T, F>(
    addresses: &[SocketAddr],
    stagger: Duration,
    attempt: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<(T, SocketAddr), DialError>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = interleave(addresses).into_iter();
    let mut begun = FuturesUnordered::new();
    let mut failure = DialError::NotFound;
    loop {
        let next = waiting.next();
        let has_next = next.is_some();
        begun.extend(next.map(|address| {
            let connecting = timeout(attempt, connect(address));
            async move { (address, connecting.await) }
        }));
        let (address, done) = tokio::select! {
            Some(done) = begun.next() => done,
            () = sleep(stagger), if has_next => continue,
            else => return Err(failure),
        };
        let error = match done {
            Ok(Ok(connection)) => return Ok((connection, address)),
            Ok(Err(error)) => {
                tracing::debug!(%address, %error, "no connection");
                DialError::Unreachable
            }
            Err(_) => {
                tracing::debug!(%address, "no answer in time");
                DialError::TimedOut
            }
        };
        failure = failure.max(error);
    }
}

/// RFC 8305 §4: "the client SHOULD [...] interleave address families", beginning with IPv6.
fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut v6 = addresses.iter().filter(|address| address.is_ipv6());
    let mut v4 = addresses.iter().filter(|address| address.is_ipv4());
    let mut mixed = Vec::with_capacity(addresses.len());
    while mixed.len() < addresses.len() {
        mixed.extend(v6.next());
        mixed.extend(v4.next());
    }
    mixed
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::time::Instant;

    use super::*;

    const STAGGER: Duration = Duration::from_millis(250);
    const ATTEMPT: Duration = Duration::from_secs(10);

    /// What an address does: after how many milliseconds, and whether it connects.
    type Does = (&'static str, u64, bool);

    /// Races them; the outcome, the milliseconds it took, and when each was begun.
    async fn run(does: &[Does]) -> (Result<SocketAddr, DialError>, u64, Vec<(String, u64)>) {
        let began = Instant::now();
        let passed = move || u64::try_from(began.elapsed().as_millis()).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let addresses: Vec<SocketAddr> = does.iter().map(|(a, ..)| a.parse().unwrap()).collect();
        let outcome = race(&addresses, STAGGER, ATTEMPT, |address| {
            let (name, after, connects) = *does
                .iter()
                .find(|(name, ..)| name.parse() == Ok(address))
                .unwrap();
            log.lock().unwrap().push((name.to_owned(), passed()));
            async move {
                sleep(Duration::from_millis(after)).await;
                match connects {
                    true => Ok(()),
                    false => Err(io::ErrorKind::ConnectionRefused.into()),
                }
            }
        })
        .await;
        let log = log.lock().unwrap().clone();
        (outcome.map(|((), address)| address), passed(), log)
    }

    fn begun(log: &[(String, u64)]) -> Vec<(&str, u64)> {
        log.iter().map(|(name, at)| (name.as_str(), *at)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn families_take_turns_and_an_attempt_begins_each_quarter_of_a_second() {
        let (outcome, took, log) = run(&[
            ("192.0.2.1:1", 5_000, true),
            ("192.0.2.2:1", 5_000, true),
            ("[2001:db8::1]:1", 5_000, true),
            ("192.0.2.3:1", 100, true),
        ])
        .await;
        assert_eq!(outcome, Ok("192.0.2.3:1".parse().unwrap()));
        assert_eq!(
            begun(&log),
            [
                ("[2001:db8::1]:1", 0),
                ("192.0.2.1:1", 250),
                ("192.0.2.2:1", 500),
                ("192.0.2.3:1", 750),
            ]
        );
        assert_eq!(took, 850);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_one_does_not_wait_for_its_turn_when_one_has_failed() {
        let (outcome, took, log) = run(&[
            ("192.0.2.1:1", 10, false),
            ("192.0.2.2:1", 10, false),
            ("192.0.2.3:1", 10, true),
        ])
        .await;
        assert_eq!(outcome, Ok("192.0.2.3:1".parse().unwrap()));
        assert_eq!(
            begun(&log),
            [("192.0.2.1:1", 0), ("192.0.2.2:1", 10), ("192.0.2.3:1", 20)]
        );
        assert_eq!(took, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_begun_first_wins_if_it_answers_first() {
        let (outcome, took, log) =
            run(&[("[2001:db8::1]:1", 300, true), ("192.0.2.1:1", 100, true)]).await;
        assert_eq!(outcome, Ok("[2001:db8::1]:1".parse().unwrap()));
        assert_eq!((took, log.len()), (300, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_ends_in_time_and_says_more_than_a_refusal() {
        let (outcome, took, _) = run(&[
            ("192.0.2.1:1", 60_000, true),
            ("192.0.2.2:1", 20, false),
            ("192.0.2.3:1", 20, false),
        ])
        .await;
        assert_eq!(outcome, Err(DialError::TimedOut));
        assert_eq!(took, 10_000);
        let (outcome, ..) = run(&[("192.0.2.2:1", 20, false)]).await;
        assert_eq!(outcome, Err(DialError::Unreachable));
    }

    #[tokio::test(start_paused = true)]
    async fn no_address_is_no_connection() {
        assert_eq!(run(&[]).await.0, Err(DialError::NotFound));
    }
}
