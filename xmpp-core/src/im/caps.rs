//! The server's own entity capabilities (XEP-0115), as a stream feature (§6.3).

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::form;
use crate::BareJid;
use crate::module::{Hooks, Module, Scope};
use crate::server::{Domain, Server};
use crate::stream::{Feature, FeatureContext};
use crate::xml::Element;

/// The namespace.
pub const NS: &str = "http://jabber.org/protocol/caps";

/// The module.
#[derive(Debug, Default)]
pub struct Caps {
    /// What each domain says.
    features: OnceLock<HashMap<BareJid, Element>>,
}

impl Module for Caps {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        // XEP-0115 §7: "If an entity supports the entity capabilities protocol, it MUST
        // advertise that fact"
        on.feature(Scope::Server, NS);
        on.stream_feature(self);
    }

    fn ready(&self, server: &Server) {
        let feature = |domain: &Domain| {
            let feature = Element::new("c", NS)
                .with_attr("hash", "sha-1")
                .with_attr("node", &server.config().software.uri)
                .with_attr("ver", &verification(server.hooks(), &domain.name));
            (domain.name.clone(), feature)
        };
        let domains = &server.config().domains;
        self.features
            .get_or_init(|| domains.iter().map(feature).collect());
    }
}

impl Feature for Caps {
    fn advertise(&self, to: &FeatureContext<'_>) -> Option<Element> {
        to.account?;
        self.features.get()?.get(to.domain).cloned()
    }
}

/// The disco node that means the capabilities of this server as this domain (§6.2).
pub(super) fn node(server: &Server, domain: &BareJid) -> String {
    let uri = &server.config().software.uri;
    format!("{uri}#{}", verification(server.hooks(), domain))
}

fn verification(hooks: &Hooks, domain: &BareJid) -> String {
    let identities = hooks.identities(Scope::Server);
    let identities = identities.map(|identity| {
        let name = identity.name.as_deref().unwrap_or_default();
        [identity.category, identity.kind, "", name]
    });
    hash(
        identities.collect(),
        hooks.features(Scope::Server).collect(),
        hooks.forms(Scope::Server, domain.as_str()),
    )
}

/// §5.1. An identity is its category, type, language and name. "All sorting operations
/// MUST be performed using "i;octet" collation": as `str` is ordered.
fn hash<'a>(
    mut identities: Vec<[&str; 4]>,
    mut features: Vec<&str>,
    forms: impl Iterator<Item = &'a Element>,
) -> String {
    let mut text = String::new();
    let mut push = |part: &str| {
        text.push_str(part);
        text.push('<');
    };
    identities.sort_unstable();
    for identity in identities {
        push(&identity.join("/"));
    }
    features.sort_unstable();
    for feature in features {
        push(feature);
    }
    // §5.4: a form without FORM_TYPE is ignored
    let mut forms: Vec<_> = forms
        .filter_map(|form| Some((form::form_type(form)?, form)))
        .collect();
    forms.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    for (form_type, form) in forms {
        push(&form_type);
        let mut fields: Vec<_> = form::fields(form)
            .filter(|(var, _)| *var != "FORM_TYPE")
            .collect();
        fields.sort_unstable_by_key(|(var, _)| *var);
        for (var, field) in fields {
            push(var);
            let mut values: Vec<_> = form::values(field).collect();
            values.sort_unstable();
            values.iter().for_each(|value| push(value));
        }
    }
    STANDARD.encode(Sha1::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURES: [&str; 4] = [
        "http://jabber.org/protocol/muc",
        "http://jabber.org/protocol/disco#items",
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/caps",
    ];

    #[test]
    fn the_simple_example_of_5_2_comes_out() {
        let identities = vec![["client", "pc", "", "Exodus 0.9.1"]];
        assert_eq!(
            hash(identities, FEATURES.into(), [].iter()),
            "QgayPKawpkPSDYmwT/WM94uAlu0="
        );
    }

    #[test]
    fn the_complex_example_of_5_3_comes_out() {
        let identities = vec![
            ["client", "pc", "en", "Psi 0.11"],
            ["client", "pc", "el", "Ψ 0.11"],
        ];
        let form = form::result(
            "urn:xmpp:dataforms:softwareinfo",
            [
                ("software_version", vec!["0.11"]),
                ("ip_version", vec!["ipv6", "ipv4"]),
                ("os", vec!["Mac"]),
                ("os_version", vec!["10.5.1"]),
                ("software", vec!["Psi"]),
            ],
        );
        assert_eq!(
            hash(identities, FEATURES.into(), [form].iter()),
            "q07IKJEyjvHSyhy//CH0CxmKi8w="
        );
    }
}
