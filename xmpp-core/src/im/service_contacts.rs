//! Contact addresses of the service (XEP-0157), in the server's disco answer.

use std::sync::Arc;

use super::form;
use crate::BareJid;
use crate::module::{Hooks, Module, Scope};
use crate::server::{BuildError, Server};

/// The `FORM_TYPE`.
pub const FORM_TYPE: &str = "http://jabber.org/network/serverinfo";

/// The module; one for each domain, or one for all of them. Each address is a URI (`mailto:`,
/// `xmpp:`, `https:`); a kind without addresses is left out.
///
/// ```
/// use xmpp_core::im::service_contacts::ServiceContacts;
///
/// let mut contacts = ServiceContacts::default();
/// contacts.abuse = vec!["mailto:abuse@example.org".into()];
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceContacts {
    /// Whose these are, one of the domains that are served; default `None`, of all of them.
    pub domain: Option<BareJid>,
    /// For abusive traffic.
    pub abuse: Vec<String>,
    /// The administrators.
    pub admin: Vec<String>,
    /// For customers' feedback.
    pub feedback: Vec<String>,
    /// For sales and marketing.
    pub sales: Vec<String>,
    /// For security concerns.
    pub security: Vec<String>,
    /// Where the service's status is told.
    pub status: Vec<String>,
    /// For customers' support.
    pub support: Vec<String>,
}

impl Module for ServiceContacts {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        let fields = [
            ("abuse-addresses", &self.abuse),
            ("admin-addresses", &self.admin),
            ("feedback-addresses", &self.feedback),
            ("sales-addresses", &self.sales),
            ("security-addresses", &self.security),
            ("status-addresses", &self.status),
            ("support-addresses", &self.support),
        ];
        let fields = fields
            .into_iter()
            .filter(|(_, addresses)| !addresses.is_empty())
            .map(|(var, addresses)| (var, addresses.iter().map(String::as_str).collect()));
        let form = form::result(FORM_TYPE, fields);
        match &self.domain {
            Some(domain) => on.domain_form(domain.clone(), form),
            None => on.form(Scope::Server, form),
        }
    }

    fn ready(&self, server: &Server) -> Result<(), BuildError> {
        match &self.domain {
            Some(domain) if !server.is_local(domain.as_str()) => Err(BuildError::Module(format!(
                "contact addresses of {domain}, which is not served"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::im::caps::Caps;
    use crate::im::disco::Disco;
    use crate::server::Domain;
    use crate::server::testing::{World, bare};
    use crate::store::Stores;

    fn contacts(domain: Option<&str>, abuse: &str) -> Arc<dyn Module> {
        Arc::new(ServiceContacts {
            domain: domain.map(bare),
            abuse: vec![abuse.to_owned()],
            ..ServiceContacts::default()
        })
    }

    fn world(mut modules: Vec<Arc<dyn Module>>) -> World {
        modules.extend([Arc::new(Disco) as _, Arc::new(Caps::default()) as _]);
        World::with(modules, |config| {
            let other = Domain::new(bare("example.net"), [0; 32].into());
            config.domains.push(other);
        })
    }

    /// What a domain says of itself, and its capabilities.
    #[track_caller]
    fn told(world: &World, domain: &str) -> (String, String) {
        let client = world.login(&format!("romeo@{domain}/orchard"));
        client.send(&format!(
            "<iq type='get' to='{domain}' id='d'>\
             <query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        ));
        let answer = client.read();
        let [answer] = &answer[..] else {
            panic!("{answer:?}");
        };
        let account = bare(&format!("romeo@{domain}"));
        let features = world.server.hooks().stream_features();
        let context = crate::stream::FeatureContext {
            domain: &bare(domain),
            account: Some(&account),
            tls: true,
            passwords: true,
        };
        let caps = features
            .iter()
            .find_map(|feature| feature.advertise(&context));
        let form = answer.payload().elements().map(|e| e.to_string()).collect();
        (form, caps.unwrap().attr("ver").unwrap().to_owned())
    }

    /// XEP-0157 §2, example 2
    #[test]
    fn addresses_are_told_in_the_disco_answer_and_empty_kinds_left_out() {
        let world = world(vec![contacts(None, "mailto:abuse@shakespeare.lit")]);
        let form = "<x xmlns='jabber:x:data' type='result'>\
            <field var='FORM_TYPE' type='hidden'>\
            <value>http://jabber.org/network/serverinfo</value></field>\
            <field var='abuse-addresses'><value>mailto:abuse@shakespeare.lit</value></field></x>";
        let (org, net) = (told(&world, "example.org"), told(&world, "example.net"));
        assert!(org.0.contains(form), "{}", org.0);
        assert_eq!(org, net);
    }

    #[test]
    fn domains_have_contacts_and_so_capabilities_of_their_own() {
        let world = world(vec![
            contacts(Some("example.org"), "mailto:org"),
            contacts(Some("example.net"), "mailto:net"),
        ]);
        let (org, net) = (told(&world, "example.org"), told(&world, "example.net"));
        assert!(org.0.contains("mailto:org") && !org.0.contains("mailto:net"));
        assert!(net.0.contains("mailto:net") && !net.0.contains("mailto:org"));
        assert_ne!(org.1, net.1);
    }

    #[test]
    fn they_are_of_a_domain_that_is_served() {
        let of = |domain| {
            let contacts = contacts(Some(domain), "mailto:a");
            World::build(Stores::memory(), vec![contacts], |_| {}).map(drop)
        };
        assert!(matches!(of("example.org"), Ok(())));
        assert!(matches!(of("example.com"), Err(BuildError::Module(_))));
    }

    /// XEP-0115 §5.4
    #[test]
    fn no_domain_has_two_of_them() {
        let refused = |modules: [Arc<dyn Module>; 2]| {
            let mut hooks = Hooks::default();
            for module in modules {
                module.register(&mut hooks);
            }
            matches!(hooks.error, Some(BuildError::Clash(_)))
        };
        let of = |domain| contacts(domain, "mailto:a");
        assert!(refused([of(None), of(None)]));
        assert!(refused([of(None), of(Some("a"))]));
        assert!(refused([of(Some("a")), of(None)]));
        assert!(refused([of(Some("a")), of(Some("a"))]));
        assert!(!refused([of(Some("a")), of(Some("b"))]));
    }
}
