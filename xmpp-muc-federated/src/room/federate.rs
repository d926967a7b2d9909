//! What a room has to do with its being federated: it keeps how it is, and has others know. All else is [`fmuc::Node`](crate::fmuc::Node)'s.

use std::sync::Arc;

use xmpp_core::stanza::Condition;

use super::{Config, Output, Room};
use crate::fmuc::Federation;

/// Who says how a room is federated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FederatedBy {
    /// Nobody: its service federates no rooms.
    #[default]
    Nobody,
    /// Its owners, who find it in the form of the configuration.
    Owners,
    /// Those who run the service, in this way.
    Operator(Arc<Federation>),
}

impl Room {
    /// Who says how the room is federated: to be told before anything happens to it. By default nobody does.
    pub fn federate(&mut self, by: FederatedBy) {
        self.federated = by;
    }

    /// How the room is federated; `None` if it is not. Only a persistent room is: what it knows of others would be lost with it, and others
    /// would not know.
    pub fn federation(&self) -> Option<&Arc<Federation>> {
        let federation = match &self.federated {
            FederatedBy::Nobody => return None,
            FederatedBy::Owners => &self.config.federation,
            FederatedBy::Operator(federation) => federation,
        };
        (self.is_kept() && !federation.is_none()).then_some(federation)
    }

    /// Makes the room as those who run the service want it: persistent, and not waiting for its first owner.
    pub fn establish(&mut self, out: &mut Vec<Output>) {
        (self.locked, self.setup) = (false, None);
        self.config.persistent = true;
        out.extend(self.all().into_iter().map(Output::Store));
    }

    /// What owners may change in the form.
    pub(super) fn offered_federation(&self) -> Option<&Federation> {
        (self.federated == FederatedBy::Owners).then_some(&*self.config.federation)
    }

    /// Whether an owner may have it so: if it is not theirs to say, it stays as it is, and so does the room.
    pub(super) fn check_federation(&self, config: &mut Config) -> Result<(), Condition> {
        let is_theirs = self.federated == FederatedBy::Owners;
        if !is_theirs {
            config.federation = self.config.federation.clone();
        }
        let federation = &config.federation;
        let joins_itself = is_theirs && federation.parents.contains(&self.jid);
        let is_federated = match is_theirs {
            true => !federation.is_none(),
            false => self.federation().is_some(),
        };
        let is_lost = !config.persistent && is_federated;
        match joins_itself || is_lost {
            true => Err(Condition::NotAcceptable),
            false => Ok(()),
        }
    }
}
