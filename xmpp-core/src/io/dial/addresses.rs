//! Which addresses a domain may make us connect to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Which addresses are dialled.
///
/// Anybody can send a stanza to a domain of theirs whose records name an address within our own network. What is not of the
/// public internet is therefore not dialled unless it is allowed here: private, shared (RFC 6598) and unique local addresses,
/// loopback, link-local, those for documentation, benchmarks and protocols, and IPv6 addresses that stand for such an IPv4 one
/// (mapped, 6to4, NAT64). Multicast, unspecified, broadcast and reserved ones are never dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Addresses {
    /// Whether addresses that are not of the public internet are dialled. Default: no.
    pub private: bool,
    /// Networks whose addresses are dialled even so. Default: none.
    pub allow: Vec<Network>,
    /// Networks whose addresses are not dialled, whatever else is said. Default: none.
    pub deny: Vec<Network>,
}

impl Addresses {
    /// Whether this one is dialled.
    pub fn allow(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let reached = translated(address).unwrap_or(address);
        let is_either = |network: &Network| network.contains(address) || network.contains(reached);
        let within = |networks: &[Network]| networks.iter().any(is_either);
        match Scope::of(address) {
            Scope::Nowhere => false,
            _ if within(&self.deny) => false,
            Scope::Public => true,
            Scope::Private => self.private || within(&self.allow),
        }
    }
}

/// The addresses that begin with the same bits, as RFC 4632 §3.1 writes them: `10.0.0.0/8`, `2001:db8::/32`, or one address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// Those whose first `bits` are those of `address`; `None` if it has not so many.
    pub fn new(address: IpAddr, bits: u8) -> Option<Network> {
        let first = match address {
            IpAddr::V4(v4) if bits <= 32 => {
                let zeros = u32::from(32 - bits);
                let mask = u32::MAX.checked_shl(zeros).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) if bits <= 128 => {
                let zeros = u32::from(128 - bits);
                let mask = u128::MAX.checked_shl(zeros).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
            _ => return None,
        };
        Some(Network { first, bits })
    }

    /// Whether the address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        Network::new(address, self.bits).is_some_and(|network| network.first == self.first)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// Why a text is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network: an address, or an address, a slash and how many bits of it count")]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Network, NotANetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| NotANetwork)?,
            None if address.is_ipv4() => 32,
            None => 128,
        };
        Network::new(address, bits).ok_or(NotANetwork)
    }
}

/// The IPv4 address that this one of IPv6 leads to, by NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn translated(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let [high, low] = match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => [high, low],
        _ => return None,
    };
    let bits = u32::from(high) << 16 | u32::from(low);
    Some(Ipv4Addr::from_bits(bits).into())
}

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// It is no host's.
    Nowhere,
    /// It is some network's or host's own.
    Private,
    Public,
}

impl Scope {
    fn of(address: IpAddr) -> Scope {
        match address {
            IpAddr::V4(v4) => Scope::of_v4(v4),
            IpAddr::V6(v6) => Scope::of_v6(v6),
        }
    }

    /// By the registry of special-purpose addresses of IPv4 (RFC 6890).
    fn of_v4(address: Ipv4Addr) -> Scope {
        match address.octets() {
            // "This network" (RFC 791), which on some systems is loopback; multicast (RFC 5771); reserved, and broadcast (RFC 1112).
            [0 | 224..=255, ..] => Scope::Nowhere,
            // Private (RFC 1918), shared (RFC 6598), loopback (RFC 1122), link-local (RFC 3927).
            [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] => Scope::Private,
            [100, 64..=127, ..] | [169, 254, ..] => Scope::Private,
            // Protocols (RFC 6890), 6to4 relays (RFC 7526), benchmarks (RFC 2544), documentation (RFC 5737).
            [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => Scope::Private,
            [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Scope::Private,
            _ => Scope::Public,
        }
    }

    /// By the same of IPv6, outside 2000::/3 by the rule that nothing else is global unicast.
    fn of_v6(address: Ipv6Addr) -> Scope {
        if let Some(reached) = translated(address.into()) {
            return Scope::of(reached);
        }
        match address.segments() {
            // Unspecified (RFC 4291 §2.5.2), multicast (§2.7).
            [0, 0, 0, 0, 0, 0, 0, 0] | [0xff00..=0xffff, ..] => Scope::Nowhere,
            // Protocols, Teredo and benchmarks (RFC 2928, RFC 4380, RFC 5180), documentation (RFC 3849, RFC 9637).
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] => Scope::Private,
            [0x3fff, 0..=0xfff, ..] => Scope::Private,
            [0x2000..=0x3fff, ..] => Scope::Public,
            // Loopback, unique local (RFC 4193), link-local, local NAT64 (RFC 8215), and what is not given out.
            _ => Scope::Private,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &[&str] = &[
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
        "2002:101:101::1",
        "2001:200::1",
        "2606:4700::1111",
        "2a00::1",
        "3ffe::1",
    ];
    const PRIVATE: &[&str] = &[
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:2::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "2002:7f00:1::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
    ];
    const NOWHERE: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::ffff:0.0.0.0",
        "::ffff:224.0.0.1",
        "64:ff9b::0.0.0.0",
        "2002:e000:1::1",
        "ff02::1",
        "ff0e::1",
    ];

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn network(text: &str) -> Network {
        text.parse().expect(text)
    }

    #[test]
    fn only_what_is_public_is_dialled() {
        let addresses = Addresses::default();
        for text in PUBLIC {
            assert!(addresses.allow(address(text)), "{text}");
        }
        for text in PRIVATE.iter().chain(NOWHERE) {
            assert!(!addresses.allow(address(text)), "{text}");
        }
    }

    #[test]
    fn private_addresses_can_be_allowed_and_those_of_nobody_cannot() {
        let all = Addresses {
            private: true,
            allow: vec![network("0.0.0.0/0"), network("::/0")],
            deny: Vec::new(),
        };
        for text in PUBLIC.iter().chain(PRIVATE) {
            assert!(all.allow(address(text)), "{text}");
        }
        for text in NOWHERE {
            assert!(!all.allow(address(text)), "{text}");
        }
    }

    #[test]
    fn a_network_can_be_allowed_alone_and_a_part_of_it_denied() {
        let some = Addresses {
            allow: vec![network("10.1.0.0/16"), network("fd00::/8")],
            deny: vec![network("10.1.2.0/24"), network("1.1.1.1")],
            ..Addresses::default()
        };
        let cases = [
            ("10.1.0.1", true),
            ("::ffff:10.1.0.1", true),
            ("10.1.2.1", false),
            ("::ffff:10.1.2.1", false),
            ("10.2.0.1", false),
            ("fd00::1", true),
            ("fc00::1", false),
            ("1.1.1.1", false),
            ("1.1.1.2", true),
            // What leads to an address by way of a translator is that address.
            ("64:ff9b::1.1.1.1", false),
            ("2002:101:101::1", false),
            ("64:ff9b::10.1.0.1", true),
            ("64:ff9b::10.1.2.1", false),
            ("2002:a01:201::1", false),
        ];
        for (text, allowed) in cases {
            assert_eq!(some.allow(address(text)), allowed, "{text}");
        }
    }

    #[test]
    fn networks_are_read_and_written() {
        for (text, written) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8:1::/33", "2001:db8::/33"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(text).to_string(), written);
        }
        for text in [
            "",
            "/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/256",
            "10/8",
            "example.net",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text}");
        }
        assert!(!network("0.0.0.0/0").contains(address("::1")));
        assert!(!network("::/0").contains(address("1.1.1.1")));
    }
}
