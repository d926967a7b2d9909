//! Logs, to standard error.

use std::io::{self, IsTerminal as _};

use anyhow::{Context as _, ensure};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// What may be logged, the least first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Starts to write the log.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(log)?)
        .with_writer(io::stderr);
    match log.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}

/// What is logged.
pub fn filter(log: &Log) -> anyhow::Result<EnvFilter> {
    known_levels(&log.level).context("log.level")?;
    EnvFilter::try_new(&log.level).with_context(|| format!("log.level: {:?}", log.level))
}

/// Refuses a word that stands alone and is no level. The filter would take `inof` for a module
/// of that name, show all of it and nothing else.
fn known_levels(levels: &str) -> anyhow::Result<()> {
    for word in levels.split(',') {
        let is_module = word.contains(['=', '[', ']']) || word.contains("::");
        let is_level = LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level));
        ensure!(
            is_module || is_level,
            "{word:?} is none of {}",
            LEVELS.join(", ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(level: &str) -> Result<String, String> {
        let log = Log {
            level: level.into(),
            ..Log::default()
        };
        let filter = filter(&log).map_err(|error| format!("{error:#}"))?;
        Ok(filter.to_string())
    }

    #[test]
    fn a_level_stands_alone_or_belongs_to_a_module() {
        for level in [
            "error",
            "WARN",
            "info",
            "debug",
            "trace",
            "off",
            "info,xmpp_core::io=debug,rustls=off",
            "warn,xmpp_core::im",
        ] {
            assert!(filtered(level).is_ok(), "{level}");
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_by_its_name() {
        for (level, word) in [
            ("inof", "\"inof\" is none of off, error"),
            ("info,degub", "\"degub\""),
            ("", "\"\""),
            ("info,", "\"\""),
            ("xmpp_core=inof", "log.level"),
        ] {
            let error = filtered(level).unwrap_err();
            assert!(error.contains(word), "{level}: {error}");
        }
    }
}
