//! Where clients are listened for.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use xmpp_core::io::{Driver, Security};

use crate::config::{Addresses, Config, Door, Encryption, Listen};

const NOWHERE: &str = "listen: there is no address for clients";

/// What is listened on, and how it is called in the configuration.
pub type Bound = Vec<(&'static str, SocketAddr)>;

pub async fn listen(driver: &Driver, config: &Config, insecure: bool) -> anyhow::Result<Bound> {
    if !insecure && !config.listen.plaintext.is_empty() {
        tracing::warn!("listen.plaintext is served only with --insecure-plaintext");
    }
    let mut bound = Bound::new();
    for wanted in wanted(config, insecure) {
        let Wanted {
            kind,
            address,
            by_default,
            security,
        } = wanted;
        match driver.listen(address, security).await {
            Ok(address) => {
                if let Security::OptionalTls = security {
                    tracing::warn!(%address, "clients may log in without TLS");
                }
                bound.push((kind, address));
            }
            Err(error) if by_default && is_without_ipv6(address, &error) => {
                tracing::warn!(%address, %error, "not listening");
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot listen on {address} ({kind})"));
            }
        }
    }
    ensure!(!bound.is_empty(), NOWHERE);
    Ok(bound)
}

/// Refuses settings by which nobody could connect.
pub fn ensure_some(config: &Config, insecure: bool) -> anyhow::Result<()> {
    ensure!(!wanted(config, insecure).is_empty(), NOWHERE);
    Ok(())
}

/// Refuses to show passwords to a network.
pub fn ensure_loopback(config: &Config) -> anyhow::Result<()> {
    let listen = &config.listen;
    let starttls = listen.starttls.iter().map(|door| &door.address);
    for address in starttls.chain(listen.plaintext.iter()) {
        ensure!(
            address.ip().to_canonical().is_loopback(),
            "--insecure-plaintext: {address} is not a loopback address"
        );
    }
    Ok(())
}

/// An address of the settings.
struct Wanted {
    kind: &'static str,
    address: SocketAddr,
    /// Of the default ones a machine has those that it has; of a list of the operator's own
    /// all are wanted.
    by_default: bool,
    security: Security,
}

fn wanted(config: &Config, insecure: bool) -> Vec<Wanted> {
    let listen = &config.listen;
    let mut wanted: Vec<Wanted> = Vec::new();
    // Whoever copies the documented settings has these, and perhaps no IPv6.
    let default = Listen::default();
    let by_default = listen.starttls == default.starttls;
    for Door { address, tls } in listen.starttls.iter() {
        let (kind, security) = match tls {
            Encryption::Required => ("starttls", Security::StartTls),
            Encryption::Optional => ("starttls, TLS optional", Security::OptionalTls),
        };
        wanted.push(Wanted {
            kind,
            address: *address,
            by_default,
            security,
        });
    }
    let mut add = |kind, addresses: &Addresses, default: &Addresses, security| {
        let by_default = addresses == default;
        wanted.extend(addresses.iter().map(|address| Wanted {
            kind,
            address: *address,
            by_default,
            security,
        }));
    };
    let (kind, direct_tls) = ("direct_tls", &listen.direct_tls);
    add(kind, direct_tls, &default.direct_tls, Security::Direct);
    if insecure {
        let (kind, plaintext) = ("plaintext", &listen.plaintext);
        add(kind, plaintext, &default.plaintext, Security::Plain);
    }
    wanted
}

/// Whether this is what a machine without IPv6 says to an address of IPv6. That has many
/// words for it, by how IPv6 was turned off; a port that is taken or forbidden is another matter.
pub fn is_without_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    let other = matches!(
        error.kind(),
        ErrorKind::AddrInUse | ErrorKind::PermissionDenied
    );
    address.is_ipv6() && !other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_addresses_are_the_default_ones_and_a_list_of_ones_own_is_not() {
        let by_default = |text| {
            let config = Config::parse(text, Vec::new()).unwrap();
            let all = wanted(&config, true);
            let all = all.iter().map(|one| (one.kind, one.by_default));
            all.collect::<Vec<_>>()
        };
        let (starttls, direct_tls) = (("starttls", true), ("direct_tls", true));
        let default = [starttls, starttls, direct_tls, direct_tls];
        assert_eq!(by_default(""), default);
        assert_eq!(by_default(include_str!("../server.toml")), default);
        let own = "[listen]\nstarttls = [\"[::1]:5222\"]\nplaintext = [\"[::1]:1\"]";
        let expected = [
            ("starttls", false),
            direct_tls,
            direct_tls,
            ("plaintext", false),
        ];
        assert_eq!(by_default(own), expected);
    }

    #[test]
    fn only_an_ipv6_address_can_be_missing_for_want_of_ipv6() {
        let (four, six) = ("127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap());
        for kind in [ErrorKind::AddrNotAvailable, ErrorKind::Unsupported] {
            assert!(is_without_ipv6(six, &kind.into()), "{kind}");
            assert!(!is_without_ipv6(four, &kind.into()), "{kind}");
        }
        // EAFNOSUPPORT of Linux, which the standard library has no kind for.
        assert!(is_without_ipv6(six, &io::Error::from_raw_os_error(97)));
        for kind in [ErrorKind::AddrInUse, ErrorKind::PermissionDenied] {
            assert!(!is_without_ipv6(six, &kind.into()), "{kind}");
        }
    }
}
