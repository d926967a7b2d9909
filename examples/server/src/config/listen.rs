//! `[listen]`: addresses, by what is spoken there.

use std::fmt;
use std::net::SocketAddr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::Encryption;

/// `[listen]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Clients that begin in the clear and secure the stream by STARTTLS.
    pub starttls: Addresses<Door>,
    /// Clients that begin with TLS (XEP-0368).
    pub direct_tls: Addresses,
    /// Clients without TLS.
    pub plaintext: Addresses,
    /// Metrics and health over HTTP.
    pub monitoring: Addresses,
}

impl Default for Listen {
    fn default() -> Listen {
        Listen {
            starttls: loopback(5222).map(Door::from).into(),
            direct_tls: loopback(5223).into(),
            plaintext: [].into(),
            monitoring: [].into(),
        }
    }
}

/// A list of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses<T = SocketAddr>(Vec<T>);

impl<T> Addresses<T> {
    /// One after another.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T, const N: usize> From<[T; N]> for Addresses<T> {
    fn from(all: [T; N]) -> Addresses<T> {
        Addresses(all.into())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Addresses<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Addresses)
    }
}

impl<T: Serialize> Serialize for Addresses<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// An address with STARTTLS: `"[::]:5222"`, or
/// `{ address = "[::]:5222", tls = "optional" }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    pub address: SocketAddr,
    pub tls: Encryption,
}

impl From<SocketAddr> for Door {
    fn from(address: SocketAddr) -> Door {
        Door {
            address,
            tls: Encryption::Required,
        }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct DoorTable {
    address: SocketAddr,
    #[serde(default)]
    tls: Encryption,
}

impl<'de> Deserialize<'de> for Door {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Door, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Door;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a socket address, or a table with `address` and `tls`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Door, E> {
                let address: Result<SocketAddr, _> = text.parse();
                let error = |error| E::custom(format!("{text:?}: {error}"));
                address.map(Door::from).map_err(error)
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Door, A::Error> {
                let table = DoorTable::deserialize(MapAccessDeserializer::new(table))?;
                let DoorTable { address, tls } = table;
                Ok(Door { address, tls })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Door {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Door { address, tls } = *self;
        match tls {
            Encryption::Required => address.serialize(serializer),
            Encryption::Optional => DoorTable { address, tls }.serialize(serializer),
        }
    }
}

pub(super) fn loopback(port: u16) -> [SocketAddr; 2] {
    [
        ([127, 0, 0, 1], port).into(),
        ([0u16, 0, 0, 0, 0, 0, 0, 1], port).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Listen, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.to_string())
    }

    #[test]
    fn a_starttls_address_can_leave_tls_to_the_client() {
        let text = "starttls = [\"127.0.0.1:1\", { address = \"[::1]:2\", tls = \"optional\" }, \
            { address = \"[::1]:3\" }]";
        let listen = read(text).unwrap();
        let doors: Vec<_> = listen.starttls.iter().map(|d| (d.address, d.tls)).collect();
        let expected = [
            ("127.0.0.1:1".parse().unwrap(), Encryption::Required),
            ("[::1]:2".parse().unwrap(), Encryption::Optional),
            ("[::1]:3".parse().unwrap(), Encryption::Required),
        ];
        assert_eq!(doors, expected);
        let again = toml::to_string(&listen).unwrap();
        assert_eq!(read(&again).unwrap(), listen, "{again}");
    }

    #[test]
    fn an_address_that_is_none_is_told_with_its_place() {
        for (text, reason) in [
            ("\nstarttls = [5222]", "a socket address, or a table"),
            ("\nstarttls = [\"localhost\"]", "invalid socket address"),
            ("\nstarttls = [{ address = \"x\" }]", "socket address"),
            ("\nstarttls = [{ tls = \"optional\" }]", "missing field"),
            (
                "\nstarttls = [{ address = \"[::1]:1\", tls = \"no\" }]",
                "unknown variant",
            ),
            (
                "\nstarttls = [{ address = \"[::1]:1\", tsl = 1 }]",
                "unknown field",
            ),
            ("\ndirect_tls = [{ address = \"[::1]:1\" }]", "socket"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("line 2"), "{error}");
            assert!(error.contains(reason), "{error}");
        }
    }
}
