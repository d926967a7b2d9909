//! What has changed of accounts whose stores the nodes share.

use prost::Message;
use xmpp_core::BareJid;
use xmpp_core::account::AccountChange;

use super::Error;

/// An account has changed in the store: who has something of it in memory loads it anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountChanged {
    /// Which; `None` if it may be any.
    pub account: Option<BareJid>,
    /// What of it.
    pub change: AccountChange,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WireAccountChanged {
    #[prost(string, optional, tag = "1")]
    account: Option<String>,
    /// 0 data, 1 removed, 2 messages.
    #[prost(uint32, tag = "2")]
    change: u32,
}

impl From<&AccountChanged> for WireAccountChanged {
    fn from(changed: &AccountChanged) -> WireAccountChanged {
        let account = changed.account.as_ref();
        WireAccountChanged {
            account: account.map(|account| account.as_str().to_owned()),
            change: match changed.change {
                AccountChange::Removed => 1,
                AccountChange::Messages => 2,
                _ => 0,
            },
        }
    }
}

impl TryFrom<WireAccountChanged> for AccountChanged {
    type Error = Error;

    fn try_from(changed: WireAccountChanged) -> Result<AccountChanged, Error> {
        let read = |text: String| {
            let account = BareJid::new(&text).ok();
            let account = account.filter(|account| account.as_str() == text);
            account.ok_or(Error::Without("account"))
        };
        Ok(AccountChanged {
            account: changed.account.map(read).transpose()?,
            change: match changed.change {
                1 => AccountChange::Removed,
                2 => AccountChange::Messages,
                // Whatever a later release tells apart, what is here is out of date.
                _ => AccountChange::Data,
            },
        })
    }
}
