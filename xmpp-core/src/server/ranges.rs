//! Within what the settings make a server that works.

use std::time::Duration;

use super::{BuildError, Config, Timeouts};
use crate::xml;

/// RFC 6120 §13.12: "A deployed server's maximum stanza size MUST NOT be smaller than 10000
/// bytes".
const SMALLEST_STANZA: usize = 10_000;
/// A header with the longest domain that there can be (RFC 7622 §3.2), and as much again.
const SMALLEST_HEADER: usize = 2048;
/// Places in a stanza are kept in 32 bits; what the server adds to one has to fit as well.
const MOST_BYTES: usize = 1 << 30;
/// Less depth, attributes, namespaces or children than logging in and chatting come to.
const FEWEST: usize = 8;
/// Elements and namespaces are gone through one within, or one after, another.
const DEEPEST: usize = 1024;
/// A shorter time is over before a client can do anything.
const SHORTEST: Duration = Duration::from_secs(1);
/// Nothing runs so long, and clocks can still be reckoned with.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Config {
    /// Whether every setting is within its range, as [`Builder::build`](super::Builder::build)
    /// wants it.
    ///
    /// # Errors
    /// [`BuildError::Setting`] names the first that is not.
    pub fn check(&self) -> Result<(), BuildError> {
        check_xml(BEFORE_LOGIN, &self.xml_before_login)?;
        check_xml(AFTER_LOGIN, &self.xml)?;
        let (stanza, queue) = (self.xml.stanza_bytes, self.session_queue);
        at_least("session_queue.stanzas", queue.stanzas, 1)?;
        if queue.bytes < stanza {
            let reason = format!("a stanza of xml.stanza_bytes ({stanza}) would never fit");
            return Err(setting("session_queue.bytes", reason));
        }
        if self.memory < queue.bytes {
            let queue = queue.bytes;
            let reason = format!("one full queue (session_queue.bytes, {queue}) would not fit");
            return Err(setting("memory", reason));
        }
        let accounts = self.domains.iter().filter_map(|d| d.account.as_ref());
        for account in accounts.chain([&self.account]) {
            at_least("account.resources", account.resources, 1)?;
        }
        // Each of them, or this does not compile.
        let Timeouts {
            header,
            login,
            keepalive,
            idle,
            close,
            settle,
        } = self.timeouts;
        lasts("timeouts.header", header, SHORTEST)?;
        lasts("timeouts.login", login, SHORTEST)?;
        lasts("timeouts.keepalive", keepalive, SHORTEST)?;
        if let Some(idle) = idle {
            lasts("timeouts.idle", idle, SHORTEST)?;
        }
        lasts("timeouts.close", close, Duration::ZERO)?;
        lasts("timeouts.settle", settle, Duration::ZERO)?;
        match self.login_attempts {
            0 => Err(setting("login_attempts", "nobody could log in without one")),
            _ => Ok(()),
        }
    }
}

/// How the settings of one [`xml::Limits`] are called, in the order of its fields.
type Names = [&'static str; 6];

const BEFORE_LOGIN: Names = [
    "xml_before_login.stanza_bytes",
    "xml_before_login.header_bytes",
    "xml_before_login.depth",
    "xml_before_login.attributes",
    "xml_before_login.bindings",
    "xml_before_login.children",
];

const AFTER_LOGIN: Names = [
    "xml.stanza_bytes",
    "xml.header_bytes",
    "xml.depth",
    "xml.attributes",
    "xml.bindings",
    "xml.children",
];

fn check_xml(names: Names, limits: &xml::Limits) -> Result<(), BuildError> {
    let [stanza, header, depth, attributes, bindings, children] = names;
    within(stanza, limits.stanza_bytes, SMALLEST_STANZA, MOST_BYTES)?;
    within(header, limits.header_bytes, SMALLEST_HEADER, MOST_BYTES)?;
    within(depth, limits.depth, FEWEST, DEEPEST)?;
    within(attributes, limits.attributes, FEWEST, DEEPEST)?;
    within(bindings, limits.bindings, FEWEST, DEEPEST)?;
    at_least(children, limits.children, FEWEST)
}

fn at_least(name: &'static str, value: usize, least: usize) -> Result<(), BuildError> {
    within(name, value, least, usize::MAX)
}

fn within(name: &'static str, value: usize, least: usize, most: usize) -> Result<(), BuildError> {
    if value < least {
        return Err(setting(name, format!("{value} is less than {least}")));
    }
    if value > most {
        return Err(setting(name, format!("{value} is more than {most}")));
    }
    Ok(())
}

fn lasts(name: &'static str, value: Duration, least: Duration) -> Result<(), BuildError> {
    if value < least {
        return Err(setting(name, format!("{value:?} is less than {least:?}")));
    }
    if value > LONGEST {
        return Err(setting(name, "that is longer than 10 years"));
    }
    Ok(())
}

fn setting(name: &'static str, reason: impl Into<String>) -> BuildError {
    BuildError::Setting {
        name,
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::World;
    use crate::server::{AccountLimits, Domain};

    type Change = fn(&mut Config);

    fn refused(change: Change) -> Option<(&'static str, String)> {
        let mut config = Config::default();
        change(&mut config);
        match config.check() {
            Ok(()) => None,
            Err(BuildError::Setting { name, reason }) => Some((name, reason)),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn each_setting_has_a_range() {
        let cases: [(Change, &str); 27] = [
            // RFC 6120 §13.12
            (|c| c.xml.stanza_bytes = 9_999, "xml.stanza_bytes"),
            (|c| c.xml.stanza_bytes = (1 << 30) + 1, "xml.stanza_bytes"),
            (|c| c.xml.header_bytes = 2047, "xml.header_bytes"),
            (|c| c.xml.header_bytes = usize::MAX, "xml.header_bytes"),
            (|c| c.xml.depth = 7, "xml.depth"),
            (|c| c.xml.depth = 1025, "xml.depth"),
            (|c| c.xml.attributes = 0, "xml.attributes"),
            (|c| c.xml.bindings = 1025, "xml.bindings"),
            (|c| c.xml.children = 7, "xml.children"),
            (
                |c| c.xml_before_login.stanza_bytes = 0,
                "xml_before_login.stanza_bytes",
            ),
            (|c| c.xml_before_login.depth = 0, "xml_before_login.depth"),
            (|c| c.session_queue.stanzas = 0, "session_queue.stanzas"),
            (|c| c.session_queue.bytes = 0, "session_queue.bytes"),
            (
                |c| c.session_queue.bytes = c.xml.stanza_bytes - 1,
                "session_queue.bytes",
            ),
            (|c| c.memory = 0, "memory"),
            (|c| c.memory = c.session_queue.bytes - 1, "memory"),
            (|c| c.account.resources = 0, "account.resources"),
            (
                |c| {
                    let mut domain = Domain::new("a".parse().unwrap(), [0; 32].into());
                    domain.account = Some(AccountLimits {
                        resources: 0,
                        ..AccountLimits::default()
                    });
                    c.domains.push(domain);
                },
                "account.resources",
            ),
            (
                |c| c.timeouts.header = Duration::from_millis(999),
                "timeouts.header",
            ),
            (|c| c.timeouts.header = Duration::MAX, "timeouts.header"),
            (
                |c| c.timeouts.login = Duration::from_millis(999),
                "timeouts.login",
            ),
            (|c| c.timeouts.login = Duration::MAX, "timeouts.login"),
            (
                // It would send spaces without end.
                |c| c.timeouts.keepalive = Duration::ZERO,
                "timeouts.keepalive",
            ),
            (|c| c.timeouts.idle = Some(Duration::ZERO), "timeouts.idle"),
            (|c| c.timeouts.close = Duration::MAX, "timeouts.close"),
            (|c| c.timeouts.settle = Duration::MAX, "timeouts.settle"),
            (|c| c.login_attempts = 0, "login_attempts"),
        ];
        for (change, name) in cases {
            let (named, reason) = refused(change).expect(name);
            assert_eq!(named, name, "{reason}");
        }
    }

    #[test]
    fn the_defaults_and_the_ends_of_a_range_are_within_it() {
        let changes: [Change; 6] = [
            |_| {},
            |c| {
                c.session_queue.bytes = c.xml.stanza_bytes;
                c.memory = c.session_queue.bytes;
            },
            |c| c.xml = xml::Limits::before_login(),
            |c| {
                c.xml.stanza_bytes = 1 << 30;
                c.session_queue.bytes = 1 << 30;
            },
            |c| c.timeouts.idle = Some(LONGEST),
            |c| c.account.offline_messages = 0,
        ];
        for change in changes {
            assert_eq!(refused(change), None);
        }
    }

    #[test]
    #[should_panic(expected = "0ns is less than 1s")]
    fn a_server_is_not_built_of_what_is_out_of_range() {
        World::with(Vec::new(), |c| c.timeouts.keepalive = Duration::ZERO);
    }
}
