//! Reading scripts.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// A script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The name of its file, without the extension.
    pub name: String,
    /// Its first remark.
    pub title: String,
    /// Who takes part.
    pub cast: Vec<Role>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// Somebody who takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// A name with a capital letter.
    pub name: String,
    /// The account; none for a stranger.
    pub account: Option<String>,
    /// The resource to bind.
    pub resource: Option<String>,
}

/// A line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it stands, from 1.
    pub line: usize,
    /// What happens.
    pub action: Action,
}

/// What happens; `usize` is the place of somebody in the cast.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the table of the module says it
pub enum Action {
    Connects(usize),
    LogsIn(usize),
    Opens(usize),
    Greets(usize),
    Sends(usize, String),
    Receives(usize, Order, String),
    ReceivesNothing(usize),
    Disconnects(usize),
    Vanishes(usize),
    Closed(usize, Option<String>),
    Passes(u64),
}

/// Whether things come as they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// They do.
    Listed,
    /// They come in any order.
    Any,
}

/// What is wrong with a script, and where.
#[derive(Debug, thiserror::Error)]
#[error("{script}:{line}: {what}")]
pub struct ScriptError {
    script: String,
    line: usize,
    what: String,
}

impl Script {
    /// Reads a script from its text.
    pub fn parse(name: &str, text: &str) -> Result<Script, ScriptError> {
        let mut script = Script {
            name: name.to_owned(),
            title: String::new(),
            cast: Vec::new(),
            steps: Vec::new(),
        };
        let mut lines = text.lines().enumerate().peekable();
        while let Some((at, line)) = lines.next() {
            let error = |what: String| ScriptError {
                script: name.to_owned(),
                line: at + 1,
                what,
            };
            if let Some(remark) = line.strip_prefix('#') {
                if script.title.is_empty() {
                    script.title = remark.trim().to_owned();
                }
                continue;
            }
            if line.trim().is_empty() {
                continue;
            }
            let mut below = Vec::new();
            while let Some((_, more)) = lines.next_if(|(_, line)| line.starts_with([' ', '\t'])) {
                below.push(more.trim());
            }
            let (line, inline) = line
                .split_once(": ")
                .unwrap_or((line.trim_end_matches(':'), ""));
            let mut words = vec![inline.trim()];
            words.append(&mut below);
            let content = words.join("\n").trim().to_owned();
            script.line(at + 1, line.trim(), content).map_err(error)?;
        }
        Ok(script)
    }

    /// Reads a script from its file.
    pub fn read(path: &Path) -> io::Result<Script> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Script::parse(&name, &fs::read_to_string(path)?).map_err(io::Error::other)
    }

    /// The scripts of this crate, in the order of their names.
    pub fn all() -> io::Result<Vec<Script>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        paths.retain(|path| path.extension().is_some_and(|ext| ext == "dialogue"));
        paths.sort();
        paths.iter().map(|path| Script::read(path)).collect()
    }

    /// Whether it needs a clock that can be turned forward.
    pub fn needs_virtual_time(&self) -> bool {
        let passes = |step: &Step| matches!(step.action, Action::Passes(_));
        self.steps.iter().any(passes)
    }

    fn line(&mut self, line: usize, text: &str, content: String) -> Result<(), String> {
        let (who, what) = text.split_once(' ').unwrap_or((text, ""));
        if let Some(part) = what.strip_prefix("is ")
            && !part.starts_with("closed")
        {
            return self.enter(who, part);
        }
        let action = match text {
            "A minute passes" => Action::Passes(60),
            "An hour passes" => Action::Passes(3600),
            _ => {
                let known = self.cast.iter().position(|role| role.name == who);
                let who = known.ok_or_else(|| format!("who is {who}?"))?;
                act(who, what, &content)?
            }
        };
        let speaks = matches!(action, Action::Sends(..) | Action::Receives(..));
        if speaks == content.is_empty() {
            let what = if speaks { "what?" } else { "too many words" };
            return Err(format!("{text}: {what}"));
        }
        self.steps.push(Step { line, action });
        Ok(())
    }

    fn enter(&mut self, name: &str, part: &str) -> Result<(), String> {
        if !self.steps.is_empty() || self.cast.iter().any(|role| role.name == name) {
            return Err(format!("{name} comes too late, or twice"));
        }
        let (account, resource) = match part.split_once('/') {
            _ if part == "a stranger" => (None, None),
            Some((account, resource)) => (Some(account), Some(resource)),
            None => (Some(part), None),
        };
        self.cast.push(Role {
            name: name.to_owned(),
            account: account.map(str::to_owned),
            resource: resource.map(str::to_owned),
        });
        Ok(())
    }
}

fn act(who: usize, what: &str, content: &str) -> Result<Action, String> {
    Ok(match what {
        "connects" => Action::Connects(who),
        "logs in" => Action::LogsIn(who),
        "opens" => Action::Opens(who),
        "greets" => Action::Greets(who),
        "sends" => Action::Sends(who, content.to_owned()),
        "receives" => Action::Receives(who, Order::Listed, content.to_owned()),
        "receives in any order" => Action::Receives(who, Order::Any, content.to_owned()),
        "receives nothing" => Action::ReceivesNothing(who),
        "disconnects" => Action::Disconnects(who),
        "vanishes" => Action::Vanishes(who),
        "is closed" => Action::Closed(who, None),
        other => {
            let condition = other
                .strip_prefix("is closed with <")
                .and_then(|rest| rest.strip_suffix("/>"));
            let condition = condition.ok_or_else(|| format!("nobody can do this: {other}"))?;
            Action::Closed(who, Some(condition.to_owned()))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_its_cast_and_its_steps() {
        let text = "# Title\n# More\n\nRomeo is romeo/garden\nNurse is a stranger\n\
            Romeo sends: <a/>\nNurse receives in any order:\n    <a>\n    </a>\n\n    <b/>\n\
            Nurse is closed with <reset/>\nA minute passes\n";
        // A blank line ends what belongs to a step.
        assert!(Script::parse("x", text).is_err());
        let script = Script::parse("x", &text.replace("\n\n    <b", "\n    <b")).unwrap();
        assert_eq!(script.title, "Title");
        let cast: Vec<_> = script
            .cast
            .iter()
            .map(|role| role.account.as_deref())
            .collect();
        assert_eq!(cast, [Some("romeo"), None]);
        let actions: Vec<_> = script.steps.into_iter().map(|step| step.action).collect();
        assert_eq!(
            actions,
            [
                Action::Sends(0, "<a/>".into()),
                Action::Receives(1, Order::Any, "<a>\n</a>\n<b/>".into()),
                Action::Closed(1, Some("reset".into())),
                Action::Passes(60),
            ]
        );
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, told) in [
            ("Romeo connects", "x:1: who is Romeo?"),
            (
                "Romeo is romeo\nRomeo sings",
                "x:2: nobody can do this: sings",
            ),
            ("Romeo is romeo\nRomeo sends", "x:2: Romeo sends: what?"),
            (
                "Romeo is romeo\nRomeo opens: <a/>",
                "x:2: Romeo opens: too many words",
            ),
            (
                "Romeo is romeo\nRomeo is romeo",
                "x:2: Romeo comes too late, or twice",
            ),
        ] {
            assert_eq!(Script::parse("x", text).unwrap_err().to_string(), told);
        }
    }
}
