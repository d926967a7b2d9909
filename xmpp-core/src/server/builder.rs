//! Wiring.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::{Config, Domain, Inner, Random, Server, Spawn};
use crate::account::{AccountEvents, Accounts};
use crate::directory::{Directory, LocalDirectory};
use crate::mailbox::{Budget, Mailbox};
use crate::metrics::Metrics;
use crate::module::{Hooks, Module};
use crate::router::{Router, Rules};
use crate::standby::Copies;
use crate::store::{Stores, memory};
use crate::time::Clock;

/// Builds a [`Server`]. What is not given is: memory stores, the directory of
/// this process, the rules of the RFCs, no other servers, no modules.
pub struct Builder {
    config: Config,
    stores: Option<Stores>,
    directory: Option<Arc<dyn Directory>>,
    router: Option<Box<MakeRouter>>,
    remote: Option<Mailbox>,
    events: Option<Arc<dyn AccountEvents>>,
    copies: Option<Arc<dyn Copies>>,
    modules: Vec<Arc<dyn Module>>,
}

type MakeRouter = dyn FnOnce(Arc<dyn Directory>, &Config) -> Arc<dyn Router>;

/// Why a server could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no domain to serve.
    #[error("no domain is configured")]
    NoDomain,
    /// A domain is there twice, or is no mere domain.
    #[error("bad domain: {0}")]
    Domain(String),
    /// A setting is out of its range.
    #[error("{name}: {reason}")]
    Setting {
        /// Which, by its fields in [`Config`]: `xml.stanza_bytes`.
        name: &'static str,
        /// What the range is.
        reason: String,
    },
    /// Two modules want the same.
    #[error("{0}")]
    Clash(String),
    /// A module refuses to start ([`Module::ready`]).
    #[error("{0}")]
    Module(String),
}

/// What a server takes from its surroundings: the clock, randomness, tasks. The
/// `io` module has those of tokio and the operating system, a simulation its own.
#[derive(Clone)]
pub struct Surroundings {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// Tasks.
    pub spawn: Arc<dyn Spawn>,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            config: Config::default(),
            stores: None,
            directory: None,
            router: None,
            remote: None,
            events: None,
            copies: None,
            modules: Vec::new(),
        }
    }

    /// Adds a domain. The first is the default one.
    pub fn domain(mut self, domain: Domain) -> Builder {
        self.config.domains.push(domain);
        self
    }

    /// Changes the configuration.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Builder {
        change(&mut self.config);
        self
    }

    /// Where data is kept.
    pub fn stores(mut self, stores: Stores) -> Builder {
        self.stores = Some(stores);
        self
    }

    /// Who is where, if not just in this process.
    pub fn directory(mut self, directory: Arc<dyn Directory>) -> Builder {
        self.directory = Some(directory);
        self
    }

    /// Another router; it is made when the directory and the domains are known.
    pub fn router(
        mut self,
        make: impl FnOnce(Arc<dyn Directory>, &Config) -> Arc<dyn Router> + 'static,
    ) -> Builder {
        self.router = Some(Box::new(make));
        self
    }

    /// Where stanzas for domains go that are not ours ([`Route::Remote`](crate::router::Route::Remote)), for instance
    /// [`io::s2s::Gate::mailbox`](crate::io::s2s::Gate::mailbox). Without it they come back with `<remote-server-not-found/>`.
    pub fn remote(mut self, mailbox: Mailbox) -> Builder {
        self.remote = Some(mailbox);
        self
    }

    /// Who tells other nodes of the same domains, with the same stores, what changes of accounts here. Without it this server has
    /// them alone.
    pub fn account_events(mut self, events: Arc<dyn AccountEvents>) -> Builder {
        self.events = Some(events);
        self
    }

    /// Who [keeps copies](crate::standby) of sessions that can be resumed. Without it each lives in this process alone.
    pub fn copies(mut self, copies: Arc<dyn Copies>) -> Builder {
        self.copies = Some(copies);
        self
    }

    /// Adds a module. Modules run in the order in which they are added.
    pub fn module(mut self, module: impl Module) -> Builder {
        self.modules.push(Arc::new(module));
        self
    }

    /// Adds several modules, for example [`im::all`](crate::im::all).
    pub fn modules(mut self, modules: impl IntoIterator<Item = Arc<dyn Module>>) -> Builder {
        self.modules.extend(modules);
        self
    }

    /// The server, if everything fits together.
    pub fn build(self, surroundings: Surroundings) -> Result<Server, BuildError> {
        let config = self.config;
        if config.domains.is_empty() {
            return Err(BuildError::NoDomain);
        }
        for (i, domain) in config.domains.iter().enumerate() {
            let name = &domain.name;
            if !name.is_domain() || config.domains[..i].iter().any(|other| other.name == *name) {
                return Err(BuildError::Domain(name.to_string()));
            }
        }
        config.check()?;
        let directory = self
            .directory
            .unwrap_or_else(|| Arc::new(LocalDirectory::new()));
        let router = match self.router {
            Some(make) => make(directory.clone(), &config),
            None => {
                let domains = config.domains.iter().map(|domain| domain.name.clone());
                Arc::new(Rules::new(directory.clone(), domains))
            }
        };
        let mut hooks = Hooks::default();
        for module in &self.modules {
            module.clone().register(&mut hooks);
        }
        if let Some(error) = hooks.error.take() {
            return Err(error);
        }
        let stores = self
            .stores
            .unwrap_or_else(|| Stores::from_one(Arc::new(memory::Memory::new())));
        let Surroundings {
            clock,
            random,
            spawn,
        } = surroundings;
        let mut run = [0; 8];
        random.fill(&mut run);
        let run = u64::from_le_bytes(run);
        let server = Server {
            inner: Arc::new(Inner {
                budget: Arc::new(Budget::new(config.memory)),
                config,
                directory,
                router,
                remote: self.remote,
                copies: self.copies,
                hooks,
                stores,
                accounts: Accounts::new(self.events),
                clock,
                random,
                spawn,
                tasks: Arc::default(),
                metrics: Metrics::default(),
                run,
                sessions: AtomicU64::new(1),
            }),
        };
        server.watch_accounts();
        for module in &self.modules {
            module.ready(&server)?;
        }
        Ok(server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::World;

    /// Cannot do without what `Other` would register.
    struct Needs;
    struct Other;

    impl Module for Needs {
        fn register(self: Arc<Self>, _: &mut Hooks) {}

        fn ready(&self, server: &Server) -> Result<(), BuildError> {
            match server
                .hooks()
                .stranger_handler("other", "urn:example:other")
            {
                Some(_) => Ok(()),
                None => Err(BuildError::Module("there is no other".into())),
            }
        }
    }

    impl Module for Other {
        fn register(self: Arc<Self>, on: &mut Hooks) {
            on.stranger_iq("other", "urn:example:other", self);
        }
    }

    #[async_trait::async_trait]
    impl crate::module::StrangerHandler for Other {
        async fn handle(
            &self,
            _: &crate::module::StrangerRequest,
            _: &Server,
        ) -> Result<Option<crate::xml::Element>, crate::stanza::StanzaError> {
            Ok(None)
        }
    }

    #[test]
    fn a_module_can_refuse_to_start() {
        let build = |modules: Vec<Arc<dyn Module>>| {
            World::build(Stores::memory(), modules, |_| {}).map(drop)
        };
        let refused = Err(BuildError::Module("there is no other".into()));
        assert_eq!(build(vec![Arc::new(Needs)]), refused);
        // All have registered before the first is asked.
        assert_eq!(build(vec![Arc::new(Needs), Arc::new(Other)]), Ok(()));
    }
}
