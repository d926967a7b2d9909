//! Stream limits (XEP-0478): the client is told how large its stanzas may be and how long
//! it may be silent.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::module::{Hooks, Module};
use crate::server::{Config, Server};
use crate::stream::{Feature, FeatureContext};
use crate::xml::Element;

/// The namespace.
pub const NS: &str = "urn:xmpp:stream-limits:0";

/// The module.
#[derive(Debug, Default)]
pub struct StreamLimits {
    limits: OnceLock<Limits>,
}

#[derive(Debug)]
struct Limits {
    before_login: Element,
    after_login: Element,
}

impl Module for StreamLimits {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.stream_feature(self);
    }

    fn ready(&self, server: &Server) {
        self.limits.get_or_init(|| Limits::of(server.config()));
    }
}

impl Feature for StreamLimits {
    /// §4: "It is acceptable for the limits on a stream to change whenever new stream
    /// features are announced - such as before and after authentication".
    fn advertise(&self, to: &FeatureContext<'_>) -> Option<Element> {
        let limits = self.limits.get()?;
        Some(match to.account {
            None => limits.before_login.clone(),
            Some(_) => limits.after_login.clone(),
        })
    }
}

impl Limits {
    fn of(config: &Config) -> Limits {
        let times = config.timeouts;
        // §3.1: "after which the server may consider the stream idle, and either perform
        // liveness checks … or terminate the stream"
        let idle = times.idle.unwrap_or(times.keepalive).min(times.keepalive);
        Limits {
            before_login: limits(config.xml_before_login.stanza_bytes, times.login),
            after_login: limits(config.xml.stanza_bytes, idle),
        }
    }
}

fn limits(bytes: usize, idle: Duration) -> Element {
    let child = |name, value: u64| Element::new(name, NS).with_text(&value.to_string());
    Element::new("limits", NS)
        .with_child(child("max-bytes", bytes as u64))
        .with_child(child("idle-seconds", idle.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::{World, bare};

    /// XEP-0478 §3.1, §4
    #[test]
    fn limits_are_those_of_the_configuration_before_and_after_login() {
        let module = Arc::new(StreamLimits::default());
        World::with(vec![module.clone()], |config| {
            config.xml.stanza_bytes = 100_000;
            config.timeouts.idle = Some(Duration::from_secs(77));
        });
        let (domain, account) = (bare("example.org"), bare("romeo@example.org"));
        let told = |account| {
            let context = FeatureContext {
                domain: &domain,
                account,
                tls: true,
                passwords: true,
            };
            module.advertise(&context).unwrap().to_string()
        };
        assert_eq!(
            told(None),
            "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes>\
             <idle-seconds>60</idle-seconds></limits>"
        );
        assert_eq!(
            told(Some(&account)),
            "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>100000</max-bytes>\
             <idle-seconds>77</idle-seconds></limits>"
        );
    }
}
