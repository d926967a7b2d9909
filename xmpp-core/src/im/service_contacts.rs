//! Contact addresses of the service (XEP-0157), in the server's disco answer.

use std::sync::Arc;

use super::form;
use crate::module::{Hooks, Module, Scope};

/// The `FORM_TYPE`.
pub const FORM_TYPE: &str = "http://jabber.org/network/serverinfo";

/// The module. Each address is a URI (`mailto:`, `xmpp:`, `https:`); a kind without
/// addresses is left out.
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
        on.form(Scope::Server, form::result(FORM_TYPE, fields));
    }
}
