//! The stream of one client: RFC 6120 §4–§7 as a machine, from `<stream:stream>`
//! over TLS, SASL and resource binding to `</stream:stream>`.
//!
//! The driver reads bytes through an [`xml::Reader`] and hands
//! in what comes out as [`Input::Received`]; it writes what [`Output`] says. What
//! the machine has to know of the world it asks for ([`Output::Ask`]) and is told
//! ([`Input::Answered`]); there is one question at a time, and what the client
//! sends meanwhile waits.
//!
//! Extensions that act on the stream itself (XEP-0198, XEP-0352) are [`Layer`]s
//! around this machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::machine::Machine;
use crate::mailbox::{Envelope, SmPoint};
use crate::s2s;
use crate::sasl::{self, Channel, Mechanism, Negotiation};
use crate::server::{Domain, Random, Timeouts};
use crate::standby::Copied;
use crate::stanza::{Condition, IqType, Kind, Stanza, StanzaError};
use crate::time::Now;
use crate::xml::{self, Received};
use crate::{BareJid, FullJid, Jid};

mod bind;
mod error;
mod features;
mod header;
mod login;
mod suspended;
#[cfg(test)]
mod tests;

pub use error::{StreamCondition, StreamError};
pub use features::{Feature, FeatureContext};
pub use suspended::{Resumption, Sent, Suspended};

/// A client's stream, perhaps in layers.
pub type BoxStream = Box<dyn Machine<Input = Input, Output = Output>>;

/// Wraps the stream of every client, to see its inputs first and its outputs last.
pub trait Layer: Send + Sync + 'static {
    /// The stream in this layer.
    fn wrap(&self, inner: BoxStream) -> BoxStream;

    /// What the layer advertises in `<stream:features/>`.
    fn feature(&self) -> Option<Arc<dyn Feature>> {
        None
    }
}

/// What happens to a stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// The client sent this.
    Received(Received),
    /// The client sent what cannot be read.
    Unreadable(xml::Error),
    /// Bytes stood behind `<starttls/>`, where the handshake should begin.
    Injected,
    /// The TLS handshake is over, and this is what it gave.
    Secured(Channel),
    /// The answer to the last [`Output::Ask`].
    Answered(Answer),
    /// The session has this for the client.
    Send(Envelope),
    /// A layer has been asked by the client to go on with an earlier stream (XEP-0198 §5). Where
    /// that makes no sense, nothing comes of it.
    Resume(Resume),
    /// Another connection, whose stream asks for this, takes the place of the one that carries
    /// this stream or has carried it. For a layer that resumes; without one it is refused.
    Resumed(Resume),
    /// Say what is to be written down of this stream, so that it can go on in another process
    /// ([`Output::Suspended`]). If it does not get that far, it goes on as if
    /// nothing had been asked, or ends ([`Input::Close`]).
    Suspend,
    /// First of all inputs: go on with a stream that was suspended, without a connection. Whoever
    /// resumes streams says [`Output::Resumable`] and [`Output::Detach`].
    Restore(Box<Suspended>),
    /// What a [`Output::Deliver`] led to is safe (or has come back to its sender);
    /// they settle in order.
    Settled,
    /// From now on a copy of the stream is kept, and told of what happens. Nothing is to be done at once. For a layer that resumes.
    Copied(Copied),
    /// All that was told of it up to this number is safe.
    Safe(u64),
    /// The driver is about to flush: what should ride on it is written now.
    Flush,
    /// The server wants the stream to end, with an error or without.
    Close(Option<StreamError>),
    /// What happens only to streams between servers; a client's ignores it.
    S2s(s2s::Input),
    /// The connection is gone.
    Eof,
}

/// What a stream wants done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// These bytes go to the client.
    Write(Vec<u8>),
    /// This stanza goes to the client. Whoever waits for it hears when it is written, unless a
    /// layer has [told](Envelope::settled) earlier.
    Send(Envelope),
    /// The client sent this stanza, `from` stamped; and its place in the stream, if the stream
    /// acknowledges what it has received when that is settled.
    Deliver(Stanza, Option<SmPoint>),
    /// From now on another connection can resume this stream by that name.
    Resumable(Arc<str>),
    /// The connection is gone, and the stream waits for another one. Nothing is read or
    /// written until [`Input::Resumed`].
    ///
    /// Of a stream between servers: what is written goes out, and the connection is closed. Nothing comes after it but what
    /// [`Input::Settled`] leads to: the [session](s2s::Output::Session), and [`Output::Close`].
    Detach,
    /// The other connection is taken ([`Input::Resumed`]), and this goes to it first.
    Reattach(Vec<u8>),
    /// The other connection is not taken.
    Refuse(NotResumed),
    /// What is to be written down of this stream ([`Input::Suspend`]).
    Suspended(Box<Suspended>),
    /// Whether the session should keep to itself what it has for the client
    /// ([`Input::Send`]): enough waits to be acknowledged.
    Hold(bool),
    /// The client was sent this and may not have received it; the stream ends.
    Return(Envelope),
    /// The stream ends and cannot be resumed any more; so many stanzas were handled on it.
    NotResumable(u32),
    /// The client, not logged in, sent this request; `to` is the domain of the stream.
    Stranger(Stanza),
    /// If nothing stands behind what was read, write these bytes and do the TLS
    /// handshake; else [`Input::Injected`].
    StartTls(&'static [u8]),
    /// A new stream header comes next.
    Restart,
    /// The client has logged in: the limits for it are those after login.
    LoggedIn {
        /// Who.
        account: BareJid,
        /// How.
        mechanism: Mechanism,
    },
    /// Find out.
    Ask(Ask),
    /// What only streams between servers want done.
    S2s(s2s::Output),
    /// Hand this connection over to an earlier stream of this account. If that is possible this
    /// stream hears nothing more, else [`Answer::NotResumed`].
    Resume {
        /// The account.
        account: BareJid,
        /// What to go on with.
        resume: Resume,
    },
    /// Flush, and close the connection; the stream error that was written, if there
    /// was one, is for the log.
    Close(Option<StreamCondition>),
}

/// A question.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ask {
    /// SASL wants to know ([`Answer::Sasl`]).
    Sasl(sasl::Ask),
    /// A login failed: when may the client be told? ([`Answer::Failed`])
    Failed {
        /// The account that was tried, as far as it is known.
        account: Option<BareJid>,
        /// The domain.
        domain: BareJid,
        /// How.
        mechanism: Mechanism,
    },
    /// Bind a resource ([`Answer::Bound`]).
    Bind {
        /// The account.
        account: BareJid,
        /// The resource asked for.
        resource: Option<String>,
    },
}

/// A request to go on with an earlier stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The name of that stream ([`Output::Resumable`]).
    pub id: String,
    /// How many stanzas the client has received on it.
    pub h: u32,
    /// `xml:lang` of the new connection's stream.
    pub lang: Option<Arc<str>>,
}

/// Why an earlier stream does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotResumed {
    /// There is none of that name; if there was, the count of stanzas handled on it.
    Unknown(Option<u32>),
    /// The client says it has received more than it was sent.
    TooHigh {
        /// What it says.
        h: u32,
        /// What it was sent.
        sent: u32,
    },
}

/// An answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// To [`Ask::Sasl`].
    Sasl(sasl::Answer),
    /// To [`Ask::Failed`]: now.
    Failed,
    /// To [`Ask::Bind`].
    Bound(Result<FullJid, StanzaError>),
    /// To [`Output::Resume`].
    NotResumed(NotResumed),
    /// To [`Output::Stranger`].
    Stranger(Stanza),
}

/// What all streams of a server share.
pub struct Settings {
    /// The domains.
    pub domains: Vec<Domain>,
    /// Times.
    pub timeouts: Timeouts,
    /// Failed logins before the stream is closed.
    pub login_attempts: u32,
    /// What modules and layers advertise.
    pub features: Vec<Arc<dyn Feature>>,
    /// Namespaces of requests that are answered before login.
    pub strangers: Vec<&'static str>,
    /// Randomness for stream ids and nonces.
    pub random: Arc<dyn Random>,
}

/// The machine. See the [module](self).
pub struct Stream {
    settings: Arc<Settings>,
    state: State,
    progress: Progress,
    /// Whether our header has been sent; an error before it needs one first.
    greeted: bool,
    /// What is not needed once a resource is bound.
    before: Option<Box<BeforeBound>>,
    /// `xml:lang` of the client's header: what its stanzas are in by default.
    lang: Option<Arc<str>>,
    heard: Instant,
    deadline: Instant,
}

struct BeforeBound {
    domain: Option<Domain>,
    /// When the login is to be over, until the first header has come.
    login_by: Option<Instant>,
    channel: Channel,
    starttls: StartTls,
    mechanism: Option<Mechanism>,
    tried: Option<BareJid>,
    attempts: u32,
}

impl BeforeBound {
    /// Whether a client may log in here: there is TLS, or it may do without.
    fn may_log_in(&self) -> bool {
        let may_do_without = |domain: &Domain| {
            let here = self.starttls != StartTls::Required;
            domain.plaintext.unwrap_or(here)
        };
        self.channel.tls || self.domain.as_ref().is_some_and(may_do_without)
    }

    /// Whether a password may be sent here as it is.
    fn may_send_passwords(&self) -> bool {
        let allowed = |domain: &Domain| domain.sasl.plain_without_tls;
        self.channel.tls || self.may_log_in() && self.domain.as_ref().is_some_and(allowed)
    }
}

/// Whether this connection can be secured by STARTTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// It can, and must before a login, unless the domain says otherwise
    /// ([`Domain::plaintext`]).
    Required,
    /// It can, and need not, unless the domain says otherwise.
    Optional,
    /// It cannot: TLS is there already, or is not wanted; then a client may log in without,
    /// unless the domain says otherwise.
    Unavailable,
}

/// How far the stream has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    Connected,
    LoggedIn(BareJid),
}

enum State {
    /// A header is to come.
    Opening,
    /// Features are out; the client chooses.
    Negotiating,
    /// `<starttls/>` came.
    Securing,
    /// SASL waits for the client.
    Authenticating(Box<Negotiation>),
    /// SASL waits for an answer.
    AskedSasl(Box<Negotiation>),
    /// A failed login waits for the time to be told.
    Failing(sasl::Failure),
    /// A request before login is being answered.
    AskedStranger,
    /// A resource is being bound.
    Binding(Stanza),
    /// An earlier stream is being looked for.
    Resuming,
    /// Stanzas flow.
    Bound(FullJid),
    /// Our `</stream:stream>` is out, the client's is to come; what a bound client
    /// sends until then counts.
    Closing(Option<FullJid>),
    /// The end.
    Closed,
}

impl Stream {
    /// A stream on a new connection. `channel` says whether TLS is there already
    /// (XEP-0368) and what it gave.
    pub fn new(settings: Arc<Settings>, channel: Channel, starttls: StartTls, now: Now) -> Stream {
        let starttls = if channel.tls {
            StartTls::Unavailable
        } else {
            starttls
        };
        Stream {
            deadline: now.instant + settings.timeouts.header.min(settings.timeouts.login),
            state: State::Opening,
            progress: Progress::Connected,
            greeted: false,
            before: Some(Box::new(BeforeBound {
                domain: None,
                login_by: Some(now.instant + settings.timeouts.login),
                channel,
                starttls,
                mechanism: None,
                tried: None,
                attempts: 0,
            })),
            lang: None,
            heard: now.instant,
            settings,
        }
    }

    fn received(&mut self, received: Received, now: Now, out: &mut Vec<Output>) {
        self.heard = now.instant;
        let state = std::mem::replace(&mut self.state, State::Closed);
        match (state, received) {
            (State::Bound(jid), Received::Stanza(stanza)) => self.stanza(jid, stanza, out),
            (state, Received::Whitespace) => self.state = state,
            (State::Closed, _) => {}
            (State::Closing(_), Received::Close) => self.closed(out),
            // RFC 6120 §4.4: what the peer sends until it closes its side is still processed.
            (State::Closing(Some(jid)), Received::Stanza(stanza)) => {
                out.extend(
                    self.stamped(&jid, stanza)
                        .map(|stanza| Output::Deliver(stanza, None)),
                );
                self.state = State::Closing(Some(jid));
            }
            (closing @ State::Closing(_), _) => self.state = closing,
            // Stanzas and nonzas of RFC 6120 §4.4: "the other entity MUST … send a closing
            // </stream> tag"
            (_, Received::Close) => {
                self.footer(out);
                self.closed(out);
            }
            (State::Opening, Received::Header(header)) => self.open(header, out),
            (State::Negotiating, Received::Element(element)) => self.choose(&element, out),
            (State::Negotiating, Received::Stanza(stanza)) => self.early_stanza(stanza, out),
            (State::Authenticating(sasl), Received::Element(element)) => {
                self.continue_login(sasl, &element, out);
            }
            (State::Bound(jid), Received::Malformed(malformed)) => {
                if let Some(reply) = malformed.reply() {
                    out.push(Output::Send(reply.with_to(Jid::from(jid.clone())).into()));
                }
                self.state = State::Bound(jid);
            }
            // A second header where none is expected.
            (_, Received::Header(_)) => self.fail(StreamCondition::BadFormat, out),
            // RFC 6120 §4.9.3.12: "the initiating entity has attempted to send … any
            // elements … before it has negotiated SASL / resource binding"
            (
                State::Negotiating | State::Authenticating(_) | State::Opening,
                Received::Stanza(_) | Received::Malformed(_),
            ) => self.fail(StreamCondition::NotAuthorized, out),
            // While a question is open the driver holds back what the client sends,
            // and after <starttls/> nothing may come.
            (
                State::Securing
                | State::AskedSasl(_)
                | State::Failing(_)
                | State::AskedStranger
                | State::Binding(_)
                | State::Resuming,
                _,
            ) => self.fail(StreamCondition::PolicyViolation, out),
            // RFC 6120 §4.9.3.24: "a first-level child of the stream that is not supported"
            (_, Received::Element(_)) => self.fail(StreamCondition::UnsupportedStanzaType, out),
        }
    }

    /// A stanza of a client that has bound its resource.
    fn stanza(&mut self, jid: FullJid, stanza: Stanza, out: &mut Vec<Output>) {
        // RFC 6120 §8.1.2.1: "if the value of the 'from' attribute … does not match …
        // the server MUST return an <invalid-from/> stream error"
        let Some(stanza) = self.stamped(&jid, stanza) else {
            return self.fail(StreamCondition::InvalidFrom, out);
        };
        if !bind::answer(&stanza, out) {
            out.push(Output::Deliver(stanza, None));
        }
        self.state = State::Bound(jid);
    }

    /// The stanza with its sender and its language, unless it claims another sender.
    fn stamped(&self, jid: &FullJid, mut stanza: Stanza) -> Option<Stanza> {
        if let Some(from) = stanza.from()
            && from.as_str() != jid.as_str()
            && from.as_str() != jid.bare_str()
        {
            return None;
        }
        stanza.set_from(Jid::from(jid.clone()));
        // RFC 6120 §8.1.5: what has no language is in the stream's.
        if stanza.lang().is_none()
            && let Some(lang) = &self.lang
        {
            stanza.set_lang(Some(lang.clone()));
        }
        Some(stanza)
    }

    /// A stanza before a resource is bound.
    fn early_stanza(&mut self, stanza: Stanza, out: &mut Vec<Output>) {
        let request = matches!(stanza.kind(), Kind::Iq(IqType::Get | IqType::Set));
        let safe = self.before().may_send_passwords();
        match &self.progress {
            Progress::LoggedIn(account) if bind::is_request(&stanza) => {
                let account = account.clone();
                let resource = bind::resource(&stanza);
                out.push(Output::Ask(Ask::Bind { account, resource }));
                self.state = State::Binding(stanza);
            }
            Progress::Connected
                if request
                    && stanza
                        .payload()
                        .children()
                        .any(|child| self.settings.strangers.contains(&child.ns()))
                    && safe =>
            {
                self.stranger(stanza, out);
            }
            // RFC 6120 §7.1: "the server MUST NOT process the stanza and MUST close the
            // stream with a <not-authorized/> stream error"
            _ => self.fail(StreamCondition::NotAuthorized, out),
        }
    }

    /// A request of a client that has not logged in, which is for the domain of the stream.
    fn stranger(&mut self, mut stanza: Stanza, out: &mut Vec<Output>) {
        let domain = self.before().domain.as_ref().map(|domain| &domain.name);
        let domain = domain.map(Jid::from);
        if stanza.to().is_some() && stanza.to() != domain.as_ref() {
            let error = StanzaError::new(Condition::ServiceUnavailable);
            out.extend(
                stanza
                    .error_reply(&error)
                    .map(|error| Output::Send(error.into())),
            );
            self.state = State::Negotiating;
            return;
        }
        stanza.set_to(domain);
        out.push(Output::Stranger(stanza));
        self.state = State::AskedStranger;
    }

    fn resume(&mut self, resume: Resume, out: &mut Vec<Output>) {
        if let (State::Negotiating, Progress::LoggedIn(account)) = (&self.state, &self.progress) {
            let account = account.clone();
            let lang = self.lang.clone();
            let resume = Resume { lang, ..resume };
            out.push(Output::Resume { account, resume });
            self.state = State::Resuming;
        }
    }

    /// A layer around this one has agreed to it, else nobody could have been told the name.
    fn resumed(&mut self, resume: Resume, now: Now, out: &mut Vec<Output>) {
        if matches!(self.state, State::Bound(_)) {
            self.lang = resume.lang;
            self.heard = now.instant;
            self.deadline = now.instant;
        } else {
            out.push(Output::Refuse(NotResumed::Unknown(None)));
        }
    }

    fn suspend(&self, out: &mut Vec<Output>) {
        if let State::Bound(jid) = &self.state {
            out.push(Output::Suspended(Box::new(Suspended {
                jid: jid.clone(),
                lang: self.lang.clone(),
                resumption: None,
                parts: Vec::new(),
            })));
        }
    }

    fn restore(&mut self, suspended: Suspended, now: Now) {
        if matches!(self.state, State::Opening) && !self.greeted {
            self.state = State::Bound(suspended.jid);
            self.lang = suspended.lang;
            self.before = None;
            self.greeted = true;
            self.heard = now.instant;
            self.deadline = now.instant;
        }
    }

    fn answered(&mut self, answer: Answer, out: &mut Vec<Output>) {
        let state = std::mem::replace(&mut self.state, State::Closed);
        match (state, answer) {
            (State::AskedSasl(sasl), Answer::Sasl(answer)) => {
                self.step(sasl, sasl::Input::Answer(answer), out);
            }
            (State::Failing(failure), Answer::Failed) => self.tell_failure(&failure, out),
            (State::AskedStranger, Answer::Stranger(reply)) => {
                out.push(Output::Send(reply.into()));
                self.state = State::Negotiating;
            }
            (State::Binding(request), Answer::Bound(result)) => self.bound(&request, result, out),
            // XEP-0198 §5: "the server SHOULD allow the client to bind a resource at this point"
            (State::Resuming, Answer::NotResumed(_)) => self.state = State::Negotiating,
            // The stream ended while the answer was on its way.
            (state, _) => self.state = state,
        }
    }

    /// Ends the stream with an error: RFC 6120 §4.9.1.1, "the entity … MUST close the stream".
    fn fail(&mut self, error: impl Into<StreamError>, out: &mut Vec<Output>) {
        if !self.greeted {
            self.greet(None, out);
        }
        let error = error.into();
        let mut bytes = Vec::new();
        error.write(&mut bytes);
        out.push(Output::Write(bytes));
        self.footer(out);
        out.push(Output::Close(Some(error.condition)));
        self.state = State::Closed;
    }

    fn footer(&mut self, out: &mut Vec<Output>) {
        if self.greeted {
            out.push(Output::Write(b"</stream:stream>".to_vec()));
        }
    }

    fn closed(&mut self, out: &mut Vec<Output>) {
        out.push(Output::Close(None));
        self.state = State::Closed;
    }

    fn close(&mut self, error: Option<StreamError>, now: Now, out: &mut Vec<Output>) {
        match (std::mem::replace(&mut self.state, State::Closed), error) {
            (State::Closed, _) => {}
            (State::Closing(_), Some(_)) => self.closed(out),
            (closing @ State::Closing(_), None) => self.state = closing,
            (_, Some(error)) => self.fail(error, out),
            (_, None) if !self.greeted => self.closed(out),
            (state, None) => {
                self.footer(out);
                self.state = State::Closing(match state {
                    State::Bound(jid) => Some(jid),
                    _ => None,
                });
                self.deadline = now.instant + self.settings.timeouts.close;
            }
        }
    }

    fn silent_since(&self, keepalive: Duration, now: Instant) -> bool {
        now >= self.deadline.max(self.heard + keepalive)
    }

    fn before(&mut self) -> &mut BeforeBound {
        self.before.get_or_insert_with(|| {
            Box::new(BeforeBound {
                domain: None,
                login_by: None,
                channel: Channel::default(),
                starttls: StartTls::Unavailable,
                mechanism: None,
                tried: None,
                attempts: 0,
            })
        })
    }
}

impl Machine for Stream {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        match input {
            Input::Received(received) => self.received(received, now, out),
            Input::Send(envelope) => {
                if matches!(self.state, State::Bound(_)) {
                    out.push(Output::Send(envelope));
                }
            }
            Input::Resume(resume) => self.resume(resume, out),
            Input::Resumed(resume) => self.resumed(resume, now, out),
            Input::Suspend => self.suspend(out),
            Input::Restore(suspended) => self.restore(*suspended, now),
            Input::Flush | Input::Settled | Input::S2s(_) => {}
            Input::Copied(_) | Input::Safe(_) => {}
            Input::Answered(answer) => self.answered(answer, out),
            Input::Secured(channel) => self.secured(channel),
            Input::Unreadable(error) => match self.state {
                State::Closed => {}
                State::Closing(_) => self.closed(out),
                _ => self.fail(error, out),
            },
            Input::Injected => {
                if matches!(self.state, State::Securing) {
                    let error = StreamError::new(StreamCondition::PolicyViolation);
                    self.fail(error.with_text("data behind <starttls/>"), out);
                }
            }
            Input::Close(error) => self.close(error, now, out),
            Input::Eof => {
                if !matches!(self.state, State::Closed) {
                    self.closed(out);
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Now, out: &mut Vec<Output>) {
        let now = now.instant;
        match self.state {
            State::Closed => {}
            State::Bound(_) => {
                let times = self.settings.timeouts;
                if times.idle.is_some_and(|idle| now >= self.heard + idle) {
                    self.fail(StreamCondition::ConnectionTimeout, out);
                } else if self.silent_since(times.keepalive, now) {
                    // RFC 6120 §4.6.1: whitespace keeps the connection, or finds it dead.
                    out.push(Output::Write(b" ".to_vec()));
                    self.deadline = now + times.keepalive;
                }
            }
            State::Closing(_) if now >= self.deadline => self.closed(out),
            State::Closing(_) => {}
            _ if now >= self.deadline => self.fail(StreamCondition::ConnectionTimeout, out),
            _ => {}
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Bound(_) => {
                // Lazily: a client that speaks is not asked whether it is there.
                let space = self
                    .deadline
                    .max(self.heard + self.settings.timeouts.keepalive);
                Some(match self.settings.timeouts.idle {
                    Some(idle) => space.min(self.heard + idle),
                    None => space,
                })
            }
            _ => Some(self.deadline),
        }
    }
}
