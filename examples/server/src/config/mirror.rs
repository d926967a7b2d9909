//! Tables that mirror the settings of the libraries, field by field and by the same names.

use serde::{Deserialize, Serialize};
use xmpp_core::im::service_contacts::ServiceContacts;
use xmpp_core::io::s2s::Config as Federation;
use xmpp_core::s2s::links;
use xmpp_core::{io, mailbox, s2s, server, xml};
use xmpp_muc_federated as muc;

use super::s2s::Proof;
use super::value::{OptionalSpan, Size, Span, Uris};

/// A table with the fields of a struct of a library, its values by default, and the
/// way back to it.
macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident of $core:ty = $default:expr, { $($field:ident: $unit:ty),* $(,)? } but $exceptions:ident) => {
        mirror!($(#[$doc])* $name of $core = $default, { $($field: $unit),* });

        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $exceptions { $(pub $field: Option<$unit>),* }

        impl $exceptions {
            /// The table with these exceptions from it.
            pub fn from(&self, table: &$name) -> $name {
                $name { $($field: self.$field.as_ref().unwrap_or(&table.$field).to_owned()),* }
            }
        }
    };
    ($(#[$doc:meta])* $name:ident of $core:ty = $default:expr, { $($field:ident: $unit:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $(pub $field: $unit),* }

        impl Default for $name {
            fn default() -> $name {
                <$name>::from($default)
            }
        }

        impl From<$core> for $name {
            fn from(core: $core) -> $name {
                $name { $($field: core.$field.into()),* }
            }
        }

        impl From<$name> for $core {
            #[allow(clippy::field_reassign_with_default)] // some cannot be written otherwise
            fn from(table: $name) -> $core {
                let mut core: $core = $default;
                $(core.$field = table.$field.into();)*
                core
            }
        }
    };
}

mirror!(
    /// `[limits]`: everything of `server::Config` that is a bound.
    Limits of server::Config = server::Config::default(), {
        memory: Size,
        account: Account,
        session_queue: SessionQueue,
        xml_before_login: BeforeLogin,
        xml: Xml,
    }
);

mirror!(
    /// What one account may take up; of a domain, what differs from that.
    Account of server::AccountLimits = server::AccountLimits::default(), {
        resources: usize,
        roster_items: usize,
        roster_name: Size,
        roster_groups: usize,
        subscription_requests: usize,
        subscription_request: Size,
        blocked: usize,
        directed_presences: usize,
        offline_messages: usize,
        offline_octets: Size,
        private_xml: Size,
        vcard: Size,
    } but AccountExceptions
);

mirror!(
    /// What XML a client may send before login.
    BeforeLogin of xml::Limits = xml::Limits::before_login(), {
        stanza_bytes: Size,
        header_bytes: Size,
        depth: usize,
        attributes: usize,
        bindings: usize,
        children: usize,
    }
);

mirror!(
    /// What XML a client may send after login.
    Xml of xml::Limits = xml::Limits::default(), {
        stanza_bytes: Size,
        header_bytes: Size,
        depth: usize,
        attributes: usize,
        bindings: usize,
        children: usize,
    }
);

mirror!(
    /// What waits for one session.
    SessionQueue of mailbox::QueueLimits = mailbox::QueueLimits::default(), {
        stanzas: usize,
        bytes: Size,
    }
);

mirror!(
    /// `[accept]`: how many connections are taken.
    Accept of io::AcceptLimits = io::AcceptLimits::default(), {
        connections: usize,
        before_login: usize,
        before_login_per_address: usize,
    }
);

mirror!(
    /// `[throttle]`: how failed logins are slowed.
    Throttle of io::ThrottleLimits = io::ThrottleLimits::default(), {
        first: Span,
        most: Span,
        forget: Span,
        pending: u32,
        remembered: usize,
    }
);

mirror!(
    /// `[timeouts]`: times in the life of a stream.
    Timeouts of server::Timeouts = server::Timeouts::default(), {
        header: Span,
        login: Span,
        keepalive: Span,
        idle: OptionalSpan,
        close: Span,
        settle: Span,
    }
);

mirror!(
    /// `[stream_management]`: streams that are acknowledged and can be resumed (XEP-0198).
    StreamManagement of xmpp_sm::Options = xmpp_sm::Options::default(), {
        max: Span,
        stanzas: usize,
        bytes: Size,
        requests: Requests,
    }
);

mirror!(
    /// When a client is asked what it has handled.
    Requests of xmpp_sm::RequestPolicy = xmpp_sm::RequestPolicy::default(), {
        stanzas: u32,
        interval: Span,
        patience: Span,
    }
);

mirror!(
    /// `[contacts]`: whom to turn to (XEP-0157); of a domain, what differs from that.
    Contacts of ServiceContacts = ServiceContacts::default(), {
        abuse: Uris,
        admin: Uris,
        feedback: Uris,
        sales: Uris,
        security: Uris,
        status: Uris,
        support: Uris,
    } but ContactExceptions
);

mirror!(
    /// `[s2s.policy]`: what other servers are held to.
    PeerPolicy of s2s::Policy = s2s::Policy::default(), {
        tls: bool,
        proof: Proof,
        bidi: bool,
    }
);

mirror!(
    /// `[s2s.limits]`: times and bounds of connections with other servers.
    S2sLimits of Federation = Federation::default(), {
        stall: Span,
        accept: S2sAccept,
        timeouts: S2sTimeouts,
        stream: S2sStream,
        links: Links,
        outbox: Outbox,
        xml_before_proof: BeforeProof,
        xml: S2sXml,
    }
);

mirror!(
    /// How many connections are taken.
    S2sAccept of io::AcceptLimits = Federation::default().accept, {
        connections: usize,
        before_login: usize,
        before_login_per_address: usize,
    }
);

mirror!(
    /// Times in the life of a stream between servers.
    S2sTimeouts of server::Timeouts = Federation::default().timeouts, {
        header: Span,
        login: Span,
        keepalive: Span,
        idle: OptionalSpan,
        close: Span,
        settle: Span,
    }
);

mirror!(
    /// What one stream may hold.
    S2sStream of s2s::Limits = s2s::Limits::default(), {
        pairs: usize,
        verifies: usize,
        answer: Span,
        attempts: u32,
    }
);

mirror!(
    /// What may wait for other servers, and how often they are tried.
    Links of links::Limits = links::Limits::default(), {
        connect: Span,
        pair: PairQueue,
        domain: DomainQueue,
        total: TotalQueue,
        window: Size,
        pairs: usize,
        domains: usize,
        outgoing: usize,
        outgoing_domain: usize,
        incoming_domain: usize,
        verifies: usize,
        key_dials: usize,
        verify: Span,
        held: usize,
        sessions: Sessions,
        backoff: Backoff,
        stable: Span,
    }
);

mirror!(
    /// What waits for one pair of domains.
    PairQueue of mailbox::QueueLimits = links::Limits::default().pair, {
        stanzas: usize,
        bytes: Size,
    }
);

mirror!(
    /// What waits for one domain.
    DomainQueue of mailbox::QueueLimits = links::Limits::default().domain, {
        stanzas: usize,
        bytes: Size,
    }
);

mirror!(
    /// What waits for all domains together.
    TotalQueue of mailbox::QueueLimits = links::Limits::default().total, {
        stanzas: usize,
        bytes: Size,
    }
);

mirror!(
    /// What is kept in the store until another server has it.
    Outbox of mailbox::QueueLimits = Federation::default().outbox, {
        stanzas: usize,
        bytes: Size,
    }
);

mirror!(
    /// Sessions that others have with us.
    Sessions of s2s::SessionLimits = s2s::SessionLimits::default(), {
        waiting: usize,
        ended: usize,
        domain: usize,
    }
);

mirror!(
    /// `[s2s.stream_management]`: streams between servers that are acknowledged and can be resumed.
    PeerManagement of xmpp_sm::server::Options = xmpp_sm::server::Options::default(), {
        max: Span,
        stanzas: usize,
        bytes: Size,
        requests: PeerRequests,
        answer: Span,
        grace: Span,
    }
);

mirror!(
    /// When another server is asked what it has handled.
    PeerRequests of xmpp_sm::RequestPolicy = xmpp_sm::server::Options::default().requests, {
        stanzas: u32,
        interval: Span,
        patience: Span,
    }
);

mirror!(
    /// How long to wait after a failure.
    Backoff of links::Backoff = links::Backoff::default(), {
        start: Span,
        factor: u32,
        max: Span,
    }
);

mirror!(
    /// What XML a peer may send that has proven nothing.
    BeforeProof of xml::Limits = Federation::default().xml_before_proof, {
        stanza_bytes: Size,
        header_bytes: Size,
        depth: usize,
        attributes: usize,
        bindings: usize,
        children: usize,
    }
);

mirror!(
    /// What XML a peer may send.
    S2sXml of xml::Limits = Federation::default().xml, {
        stanza_bytes: Size,
        header_bytes: Size,
        depth: usize,
        attributes: usize,
        bindings: usize,
        children: usize,
    }
);

mirror!(
    /// `[rooms.new]`: what a new room is like.
    NewRoom of muc::room::Config = muc::room::Config::default(), {
        persistent: bool,
        public: bool,
        members_only: bool,
        moderated: bool,
        change_subject: bool,
        allow_invites: bool,
        history: usize,
    }
);

mirror!(
    /// `[rooms.room]`: what one room may hold.
    Room of muc::Limits = muc::Limits::default(), {
        occupants: usize,
        sessions: usize,
        affiliations: usize,
        applicants: usize,
        history: usize,
        history_bytes: Size,
        nick: Size,
        subject: Size,
        presence: Size,
        text: Size,
        page: Size,
        setup: Span,
        requests: usize,
        request: Span,
        burst: u32,
        rate: u32,
    }
);

mirror!(
    /// `[rooms.limits]`: what all rooms of a domain may hold.
    RoomService of muc::service::Limits = muc::service::Limits::default(), {
        rooms: usize,
        loading: usize,
        stored: usize,
        user: usize,
        domain: usize,
        listed: usize,
        page: usize,
        queue: RoomQueue,
        unsaved: usize,
        idle: Span,
        retry: Span,
    }
);

mirror!(
    /// `[rooms.federation.limits]`: what one link between rooms may take.
    FederationLimits of muc::fmuc::Limits = muc::fmuc::Limits::default(), {
        children: usize,
        path: usize,
        nodes: usize,
        occupants: usize,
        stanza: Size,
        burst: u32,
        rate: u32,
        requests: u32,
        joins: u32,
        refusals: u32,
        outbox: usize,
        outbox_bytes: Size,
        history: usize,
        history_age: Span,
        text: usize,
        dedupe: usize,
        dedupe_age: Span,
        pending: usize,
    }
);

mirror!(
    /// `[rooms.federation.log]`: what a room keeps for those who have missed it.
    FederationLog of muc::log::Retention = muc::log::Retention::default(), {
        events: usize,
        bytes: Size,
        age: Span,
    }
);

mirror!(
    /// What waits for one room.
    RoomQueue of mailbox::QueueLimits = muc::service::Limits::default().queue, {
        stanzas: usize,
        bytes: Size,
    }
);
