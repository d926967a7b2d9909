//! Where a new password comes from.

use std::io::{self, BufRead as _, IsTerminal as _};

use anyhow::{Context as _, bail, ensure};
use xmpp_core::BareJid;

/// Longest line read from standard input, in bytes.
const MAX_LINE: u64 = 64 * 1024;

/// An option, standard input, or a person at a terminal.
pub enum Source {
    Given(String),
    Terminal,
}

impl Source {
    /// What the options say.
    pub fn new(given: Option<String>, stdin: bool) -> anyhow::Result<Source> {
        Ok(match (given, stdin) {
            (Some(password), _) => Source::Given(password),
            (None, true) => Source::Given(first_line()?),
            (None, false) => Source::Terminal,
        })
    }

    /// The new password of an account.
    pub fn new_password(&mut self, jid: &BareJid) -> anyhow::Result<String> {
        match self {
            Source::Given(password) => Ok(password.clone()),
            Source::Terminal => {
                if !io::stdin().is_terminal() {
                    bail!("there is no terminal to ask at: use --password-stdin");
                }
                let ask = |question: String| {
                    rpassword::prompt_password(question).context("cannot read from the terminal")
                };
                let password = ask(format!("Password for {jid}: "))?;
                let again = ask("Once more: ".into())?;
                ensure!(password == again, "the two are not the same");
                Ok(password)
            }
        }
    }
}

fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    let mut stdin = io::Read::take(io::stdin().lock(), MAX_LINE);
    stdin
        .read_line(&mut line)
        .context("cannot read the password from standard input")?;
    let password = line.trim_end_matches(['\n', '\r']);
    ensure!(!password.is_empty(), "no password on standard input");
    Ok(password.to_owned())
}
