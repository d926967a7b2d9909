//! Dialogues: scripts of who says what to whom, in the spirit of Prosody's scansion.
//!
//! ```text
//! # A second login with the same resource replaces the first.
//! Romeo is romeo/garden
//! Twin is romeo/garden
//!
//! Romeo connects
//! Twin connects
//! Romeo is closed with <conflict/>
//! Twin sends:
//!     <iq type='get' id='1' to='{domain}'><query xmlns='urn:example:none'/></iq>
//! Twin receives:
//!     <iq type='error' id='1' from='{domain}' to='{Twin}'>{any}</iq>
//! ```
//!
//! A script begins with its cast: `Romeo is romeo/garden` (an account and the
//! resource that he binds), `Romeo is romeo` (a resource made up by the server), or
//! `Nurse is a stranger`. Then come steps, one a line; what is indented under a step
//! belongs to it. Lines that begin with `#` are remarks, the first is the title.
//!
//! | step | what happens |
//! |---|---|
//! | `Romeo connects` | opens a connection, logs in, binds his resource |
//! | `Romeo logs in` | the same without binding; the features have been read |
//! | `Romeo opens` | opens a connection and says nothing |
//! | `Romeo greets` | opens a connection and a stream; the features have been read |
//! | `Romeo sends: …` | sends these bytes as they are |
//! | `Romeo receives: …` | the next things he hears are these |
//! | `Romeo receives in any order: …` | the same, in any order |
//! | `Romeo receives nothing` | he hears nothing for a while |
//! | `Romeo disconnects` | closes his stream; the server does the same |
//! | `Romeo vanishes` | his connection closes without a word |
//! | `Romeo is closed` | the server closes stream and connection |
//! | `Romeo is closed with <conflict/>` | the same, with this stream error before |
//! | `A minute passes` | in the simulator; elsewhere the script is skipped |
//!
//! What is received has to be what is expected: the same names, the attributes that
//! are listed (others may be there too), the same text but for white space around it,
//! and the same children in any order, no more and no less. `{any}` stands for any
//! value, or, among children, for whatever else there is; `{none}` for an attribute
//! that is not there. At the end nothing may be left unread.
//!
//! `{Romeo}` is his full JID, `{Romeo's account}` the bare one, `{domain}` the
//! server's. `{new v}` as a value keeps it, `{v}` is what was kept. `{repeat 1000 x}`
//! repeats, and `{Romeo's PLAIN}` or `{Romeo's wrong PLAIN}` is what mechanism PLAIN
//! says with his or with another password.

mod pattern;
mod play;
mod script;
mod stage;
mod text;

pub use play::{Failure, Outcome, play};
pub use script::{Action, Order, Role, Script, ScriptError, Step};
pub use stage::{Simulated, Stage, Tcp};
