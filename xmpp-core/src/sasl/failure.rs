//! Why an exchange failed, in the words of RFC 6120 §6.5.

use std::fmt;

/// A failed exchange: what goes into `<failure/>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{condition}")]
pub struct Failure {
    /// The element inside `<failure/>`.
    pub condition: Condition,
    /// A remark for `<text/>`, in English, for whoever debugs the client. A SCRAM failure that is not about
    /// the account bears its `server-error-value` of RFC 5802 §7 here, because XMPP has no other place for it.
    pub text: Option<&'static str>,
}

impl Failure {
    pub(super) const fn with_text(condition: Condition, text: &'static str) -> Self {
        Self {
            condition,
            text: Some(text),
        }
    }
}

impl From<Condition> for Failure {
    fn from(condition: Condition) -> Self {
        Self {
            condition,
            text: None,
        }
    }
}

/// The conditions of RFC 6120 §6.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The client sent `<abort/>` (§6.5.1).
    Aborted,
    /// The account is known but switched off (§6.5.2).
    AccountDisabled,
    /// The password or certificate has run out (§6.5.3).
    CredentialsExpired,
    /// The mechanism needs TLS first (§6.5.4).
    EncryptionRequired,
    /// What should be base64 is not (§6.5.5).
    IncorrectEncoding,
    /// The authorization identity is malformed or not the client's to use (§6.5.6).
    InvalidAuthzid,
    /// The mechanism is not one that was offered (§6.5.7).
    InvalidMechanism,
    /// The message breaks the mechanism's syntax (§6.5.8).
    MalformedRequest,
    /// The mechanism is weaker than policy wants for this account (§6.5.9).
    MechanismTooWeak,
    /// Wrong credentials, or a fault that is better not told (§6.5.10).
    NotAuthorized,
    /// The server cannot decide now (§6.5.11).
    TemporaryAuthFailure,
}

impl Condition {
    /// The element's local name, in `urn:ietf:params:xml:ns:xmpp-sasl`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::AccountDisabled => "account-disabled",
            Self::CredentialsExpired => "credentials-expired",
            Self::EncryptionRequired => "encryption-required",
            Self::IncorrectEncoding => "incorrect-encoding",
            Self::InvalidAuthzid => "invalid-authzid",
            Self::InvalidMechanism => "invalid-mechanism",
            Self::MalformedRequest => "malformed-request",
            Self::MechanismTooWeak => "mechanism-too-weak",
            Self::NotAuthorized => "not-authorized",
            Self::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
