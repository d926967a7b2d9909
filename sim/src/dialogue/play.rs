//! Playing scripts.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{fmt, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::time::timeout;

use super::pattern::{header_matches, matches};
use super::script::{Action, Order, Script};
use super::stage::Stage;
use super::text::Names;
use crate::client::{Account, Client, Heard};
use crate::rng::Rng;
use crate::xml::{self, Tree};

const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";

/// What became of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was played to its end.
    Played,
    /// It needs what this stage does not have.
    Skipped,
}

/// Where a script failed, and what had been said till then.
#[derive(Debug)]
pub struct Failure {
    script: String,
    line: usize,
    why: String,
    transcript: Vec<String>,
}

/// Plays a script.
pub async fn play(script: &Script, stage: &mut impl Stage, seed: u64) -> Result<Outcome, Failure> {
    let mut play = Play {
        rng: Rng::new(seed),
        stage,
        script,
        names: Names::default(),
        actors: Vec::new(),
        transcript: Vec::new(),
    };
    let mut line = 0;
    let played = play.all(&mut line).await;
    played.map_err(|why| Failure {
        script: script.name.clone(),
        line,
        why,
        transcript: play.transcript,
    })
}

struct Play<'a, S: Stage> {
    rng: Rng,
    stage: &'a mut S,
    script: &'a Script,
    names: Names,
    actors: Vec<Actor<S::Io>>,
    transcript: Vec<String>,
}

struct Actor<Io> {
    account: Option<Account>,
    client: Option<Client<Io>>,
}

impl<S: Stage> Play<'_, S> {
    async fn all(&mut self, line: &mut usize) -> Result<Outcome, String> {
        if self.script.needs_virtual_time() && !self.stage.has_virtual_time() {
            return Ok(Outcome::Skipped);
        }
        self.gather().await?;
        for step in &self.script.steps {
            *line = step.line;
            self.step(&step.action).await?;
        }
        for who in 0..self.actors.len() {
            if self.actors[who].client.is_some() {
                self.nothing(who).await?;
            }
        }
        Ok(Outcome::Played)
    }

    /// The cast: their accounts and names.
    async fn gather(&mut self) -> Result<(), String> {
        self.names.set("domain", self.stage.domain());
        let mut accounts: BTreeMap<&str, Account> = BTreeMap::new();
        for role in &self.script.cast {
            let mut account = None;
            if let Some(name) = &role.account {
                let known = match accounts.get(name.as_str()) {
                    Some(known) => known.clone(),
                    None => {
                        let created = self.stage.account(name).await;
                        created.map_err(|error| format!("no account {name}: {error}"))?
                    }
                };
                accounts.insert(name, known.clone());
                self.introduce(&role.name, &known, role.resource.as_deref());
                account = Some(known);
            }
            let client = None;
            self.actors.push(Actor { account, client });
        }
        Ok(())
    }

    fn introduce(&mut self, name: &str, account: &Account, resource: Option<&str>) {
        let bare = account.jid.as_str();
        self.names.set(&format!("{name}'s account"), bare);
        if let Some(resource) = resource {
            self.names.set(name, &format!("{bare}/{resource}"));
        }
        for (what, password) in [
            ("PLAIN", account.password.as_str()),
            ("wrong PLAIN", "r0me0"),
        ] {
            let message = BASE64.encode(format!("\0{}\0{password}", account.name()));
            self.names.set(&format!("{name}'s {what}"), &message);
        }
    }

    async fn step(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Opens(who) => self.connect(*who).await,
            Action::Greets(who) => {
                self.connect(*who).await?;
                let domain = self.stage.domain().to_owned();
                let patience = self.stage.patience();
                let greeting = timeout(patience, self.client(*who)?.greet(&domain));
                let greeted = greeting.await.map_err(|_| "no features come")?;
                greeted
                    .map(drop)
                    .map_err(|error| format!("no features: {error}"))
            }
            Action::LogsIn(who) => self.log_in(*who).await,
            Action::Connects(who) => {
                self.log_in(*who).await?;
                self.bind(*who).await
            }
            Action::Sends(who, text) => {
                let text = self.names.expand(text)?;
                self.say(*who, &text).await
            }
            Action::Receives(who, order, patterns) => {
                let patterns = self.names.expand(patterns)?;
                self.receive(*who, *order, &patterns).await
            }
            Action::ReceivesNothing(who) => self.nothing(*who).await,
            Action::Disconnects(who) => {
                self.say(*who, "</stream:stream>").await?;
                self.end(*who).await
            }
            Action::Vanishes(who) => {
                self.actors[*who].client = None;
                self.note(*who, "vanishes");
                Ok(())
            }
            Action::Closed(who, None) => self.end(*who).await,
            Action::Closed(who, Some(condition)) => {
                let error = format!(
                    "<stream:error><{condition} xmlns='{STREAM_ERRORS}'/>{{any}}</stream:error>"
                );
                self.receive(*who, Order::Listed, &error).await?;
                self.end(*who).await
            }
            Action::Passes(seconds) => {
                tokio::time::sleep(Duration::from_secs(*seconds)).await;
                Ok(())
            }
        }
    }

    async fn connect(&mut self, who: usize) -> Result<(), String> {
        let connected = self.stage.connect().await.map_err(words)?;
        self.actors[who].client = Some(Client::new(connected));
        self.note(who, "connects");
        Ok(())
    }

    async fn log_in(&mut self, who: usize) -> Result<(), String> {
        self.connect(who).await?;
        let patience = self.stage.patience();
        let Actor {
            account: Some(account),
            client: Some(client),
        } = &mut self.actors[who]
        else {
            return Err("a stranger cannot log in".to_owned());
        };
        let login = timeout(patience, client.authenticate(account, &mut self.rng));
        let login = login.await.map_err(|_| "the login takes too long")?;
        login.map_err(|error| format!("the login failed: {error}"))?;
        self.note(who, "logs in");
        Ok(())
    }

    async fn bind(&mut self, who: usize) -> Result<(), String> {
        let role = &self.script.cast[who];
        let patience = self.stage.patience();
        let bind = self.client(who)?.bind(role.resource.as_deref());
        let bound = timeout(patience, bind)
            .await
            .map_err(|_| "binding takes too long")?;
        let jid = bound.map_err(|error| format!("no resource is bound: {error}"))?;
        if let Some(resource) = &role.resource
            && jid.resource() != resource
        {
            return Err(format!("bound {jid} instead of {resource}"));
        }
        self.names.set(&role.name, jid.as_str());
        self.note(who, &format!("binds {jid}"));
        Ok(())
    }

    async fn say(&mut self, who: usize, text: &str) -> Result<(), String> {
        self.note(who, &format!("> {}", shortened(text)));
        let sent = timeout(self.stage.patience(), self.client(who)?.send(text)).await;
        // Whether the server still listens is for the script to find out.
        sent.map(drop)
            .map_err(|_| "the server does not read".to_owned())
    }

    async fn receive(&mut self, who: usize, order: Order, patterns: &str) -> Result<(), String> {
        if patterns.starts_with("<stream:stream") {
            return self.receive_header(who, patterns).await;
        }
        let mut patterns = Tree::parse_all(patterns)?;
        while !patterns.is_empty() {
            let heard = self.hear(who).await?;
            let Heard::Xml(xml::Heard::Element(tree)) = &heard else {
                return Err(format!("{heard}\ninstead of {}", patterns[0]));
            };
            let most = match order {
                Order::Listed => 1,
                Order::Any => patterns.len(),
            };
            let mut why = String::new();
            let found = patterns[..most].iter().position(|pattern| {
                let matched = matches(pattern, tree, &mut self.names);
                matched
                    .map_err(|differs| why += &format!("\n{differs}"))
                    .is_ok()
            });
            match found {
                Some(found) => drop(patterns.remove(found)),
                None => return Err(format!("{tree}\ninstead of {}{why}", patterns[0])),
            }
        }
        Ok(())
    }

    async fn receive_header(&mut self, who: usize, pattern: &str) -> Result<(), String> {
        let known = format!(
            "<stream:stream xmlns='{}' xmlns:stream='{}'",
            xml::CLIENT,
            xml::STREAM
        );
        let pattern = pattern.replacen("<stream:stream", &known, 1);
        let pattern = match xml::StreamReader::new().feed(pattern.as_bytes()).pop() {
            Some(xml::Heard::Header(pattern)) => pattern,
            _ => return Err("this is no header".to_owned()),
        };
        match self.hear(who).await? {
            Heard::Xml(xml::Heard::Header(header)) => {
                header_matches(&pattern, &header, &mut self.names)
            }
            other => Err(format!("{other}\ninstead of a stream header")),
        }
    }

    async fn nothing(&mut self, who: usize) -> Result<(), String> {
        let silence = self.stage.silence();
        match timeout(silence, self.client(who)?.hear()).await {
            Err(_) => Ok(()),
            Ok(heard) => Err(format!("{heard}\ninstead of nothing")),
        }
    }

    /// The end of the stream and of the connection.
    async fn end(&mut self, who: usize) -> Result<(), String> {
        for expected in [Heard::Xml(xml::Heard::Footer), Heard::End] {
            let heard = self.hear(who).await?;
            if heard != expected {
                return Err(format!("{heard}\ninstead of {expected}"));
            }
        }
        self.actors[who].client = None;
        Ok(())
    }

    async fn hear(&mut self, who: usize) -> Result<Heard, String> {
        let heard = timeout(self.stage.patience(), self.client(who)?.hear()).await;
        let heard = heard.map_err(|_| "nothing comes".to_owned())?;
        self.note(who, &format!("< {heard}"));
        Ok(heard)
    }

    fn client(&mut self, who: usize) -> Result<&mut Client<S::Io>, String> {
        let client = self.actors[who].client.as_mut();
        client.ok_or_else(|| format!("{} is not connected", self.script.cast[who].name))
    }

    fn note(&mut self, who: usize, what: &str) {
        let name = &self.script.cast[who].name;
        self.transcript.push(format!("{name} {what}"));
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.transcript {
            writeln!(f, "    {line}")?;
        }
        write!(f, "{}.dialogue:{}: {}", self.script, self.line, self.why)
    }
}

impl std::error::Error for Failure {}

fn words(error: io::Error) -> String {
    error.to_string()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}
