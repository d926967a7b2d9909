//! What there is to know.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Names and what is said of them.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    records: Vec<(String, Data)>,
}

/// What is said of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An address.
    A(Ipv4Addr),
    /// An address.
    Aaaa(Ipv6Addr),
    /// A server: priority, weight, port, host.
    Srv(u16, u16, u16, String),
    /// The question fails, and so do those about names beneath it.
    ServFail,
    /// There is no answer, nor are there any about names beneath it.
    Silence,
}

/// What a question finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// What is said of the name: nothing, if it is only there.
    Name(Vec<&'a Data>),
    /// There is no such name.
    NoName,
    /// The question fails.
    ServFail,
    /// Nothing is answered.
    Silence,
}

impl Zone {
    /// Reads lines of `NAME TYPE DATA`.
    ///
    /// # Errors
    /// The line that is not understood.
    pub fn read(text: &str) -> Result<Zone, String> {
        let lines = text.lines().map(str::trim);
        let records = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| record(line).ok_or_else(|| format!("not understood: {line}")))
            .collect::<Result<_, _>>()?;
        Ok(Zone { records })
    }

    /// What there is about a name, in lower case and without the root's dot.
    pub fn find(&self, name: &str) -> Found<'_> {
        for (owner, data) in &self.records {
            match data {
                Data::ServFail if beneath(name, owner) => return Found::ServFail,
                Data::Silence if beneath(name, owner) => return Found::Silence,
                _ => {}
            }
        }
        if !self.records.iter().any(|(owner, _)| beneath(owner, name)) {
            return Found::NoName;
        }
        let of_name = self.records.iter().filter(|(owner, _)| owner == name);
        Found::Name(of_name.map(|(_, data)| data).collect())
    }
}

/// Whether `name` is `parent` or ends in it.
fn beneath(name: &str, parent: &str) -> bool {
    parent.is_empty()
        || name
            .strip_suffix(parent)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn record(line: &str) -> Option<(String, Data)> {
    let mut words = line.split_whitespace();
    let name = words.next()?.trim_end_matches('.').to_ascii_lowercase();
    let kind = words.next()?;
    let rest: Vec<&str> = words.collect();
    let data = match (kind, &*rest) {
        ("A", [address]) => Data::A(address.parse().ok()?),
        ("AAAA", [address]) => Data::Aaaa(address.parse().ok()?),
        ("SRV", [priority, weight, port, host]) => Data::Srv(
            priority.parse().ok()?,
            weight.parse().ok()?,
            port.parse().ok()?,
            host.trim_end_matches('.').to_owned(),
        ),
        ("SERVFAIL", []) => Data::ServFail,
        ("SILENCE", []) => Data::Silence,
        _ => return None,
    };
    Some((name, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_absent_empty_and_broken() {
        let zone = Zone::read(
            "a.Test. A 127.0.0.1\n\n # nothing\n_x._tcp.b.test SRV 1 2 3 a.test.\nc.test SERVFAIL\nd.test SILENCE",
        )
        .unwrap();
        let a = Data::A(Ipv4Addr::LOCALHOST);
        assert_eq!(zone.find("a.test"), Found::Name(vec![&a]));
        assert_eq!(zone.find("b.test"), Found::Name(vec![]), "names beneath it");
        assert_eq!(zone.find("xa.test"), Found::NoName);
        assert_eq!(zone.find("x.a.test"), Found::NoName);
        assert_eq!(zone.find("_x._tcp.c.test"), Found::ServFail);
        assert_eq!(zone.find("d.test"), Found::Silence);
        assert_eq!(zone.find("bd.test"), Found::NoName);
        let srv = Data::Srv(1, 2, 3, "a.test".to_owned());
        assert_eq!(zone.find("_x._tcp.b.test"), Found::Name(vec![&srv]));
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        for line in [
            "a.test",
            "a.test A ::1",
            "a.test MX 1 b.test",
            "a.test SRV 1 2 b",
        ] {
            assert!(Zone::read(line).unwrap_err().contains(line));
        }
    }
}
