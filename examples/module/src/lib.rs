//! A XEP in a crate of its own: External Service Discovery (XEP-0215), by which clients
//! learn of the STUN and TURN servers that go with their server.
//!
//! A [`Module`] registers handlers; `Server::builder().module(ExternalServices::new(…))`
//! is all that the embedder writes. What nobody answers, the server does, so there is
//! nothing here about other requests.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp_core::module::{Hooks, IqHandler, Module, Request, Scope, Verb};
use xmpp_core::server::Server;
use xmpp_core::stanza::{Condition, StanzaError};
use xmpp_core::xml::Element;

/// The namespace of XEP-0215.
pub const NS: &str = "urn:xmpp:extdisco:2";

/// A service beside the XMPP server (XEP-0215 §2).
#[derive(Clone, Debug)]
pub struct Service {
    /// For example `stun` or `turn`.
    pub kind: &'static str,
    /// A domain name or an IP address.
    pub host: String,
    /// The port at the host.
    pub port: u16,
    /// `udp` or `tcp`.
    pub transport: &'static str,
}

/// Tells our own clients which services there are.
#[derive(Clone, Debug)]
pub struct ExternalServices(Vec<Service>);

impl ExternalServices {
    /// The module for these services.
    pub fn new(services: Vec<Service>) -> ExternalServices {
        ExternalServices(services)
    }
}

impl Module for ExternalServices {
    fn register(self: Arc<Self>, on: &mut Hooks) {
        on.feature(Scope::Server, NS);
        on.iq(Scope::Server, "services", NS, self);
    }
}

#[async_trait]
impl IqHandler for ExternalServices {
    async fn handle(
        &self,
        request: &Request,
        _server: &Server,
    ) -> Result<Option<Element>, StanzaError> {
        request.must_be(Verb::Get)?;
        // XEP-0215 §2: "forbidden if the requesting entity does not have permission"
        if request.session.is_none() {
            return Err(Condition::Forbidden.into());
        }
        let mut answer = Element::new("services", NS);
        // XEP-0215 §3.2: "a 'type' attribute specifying the service type of interest"
        let wanted = request.payload.attr("type");
        answer.set_attr("type", wanted);
        for service in &self.0 {
            if wanted.is_none_or(|kind| kind == service.kind) {
                answer.push(service.to_element());
            }
        }
        Ok(Some(answer))
    }
}

impl Service {
    fn to_element(&self) -> Element {
        Element::new("service", NS)
            .with_attr("type", self.kind)
            .with_attr("host", &self.host)
            .with_attr("port", &self.port.to_string())
            .with_attr("transport", self.transport)
    }
}
