//! Settings from the environment: `XMPP__section__key=value`.

use std::ffi::OsString;
use std::fmt;

use anyhow::{Context as _, bail};
use toml::{Table, Value};

use super::Config;

const PREFIX: &str = "XMPP__";

/// One variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    name: String,
    value: String,
}

impl Override {
    /// Whether it sets this, or a table or list that this is in.
    pub fn sets(&self, setting: &str) -> bool {
        let path = self.path();
        let rest = setting.strip_prefix(&path.join("."));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    fn path(&self) -> Vec<String> {
        let path = self.name[PREFIX.len()..].to_ascii_lowercase();
        path.split("__").map(str::to_owned).collect()
    }
}

/// As it is called.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Those among the variables that are settings, in the order of their names.
pub fn overrides(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<Override> {
    let mut found: Vec<Override> = variables
        .filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let value = value.to_string_lossy().into_owned();
            name.starts_with(PREFIX).then_some(Override { name, value })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The settings in `text` with these over them.
pub fn apply(text: &str, overrides: Vec<Override>) -> anyhow::Result<Config> {
    let mut settings = Value::Table(toml::from_str(text)?);
    for one in &overrides {
        put(&mut settings, &one.path(), read(&one.value))
            .with_context(|| format!("environment: {one}"))?;
    }
    settings.try_into().with_context(|| {
        let names: Vec<&str> = overrides.iter().map(|one| &*one.name).collect();
        format!("environment: {}", names.join(", "))
    })
}

/// `5`, `true`, `"text"` and `["a", "b"]` are what TOML takes them for; all else is text.
fn read(value: &str) -> Value {
    toml::from_str::<Table>(&format!("value = {value}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_owned()))
}

fn put(into: &mut Value, path: &[String], value: Value) -> anyhow::Result<()> {
    let Some((first, rest)) = path.split_first() else {
        *into = value;
        return Ok(());
    };
    let empty = || Value::Table(Table::new());
    match into {
        Value::Table(table) => {
            // A list is begun by its first index.
            let list = rest
                .first()
                .is_some_and(|next| next.parse::<usize>().is_ok());
            let entry = table.entry(first.clone());
            let next = entry.or_insert_with(|| {
                if list {
                    Value::Array(Vec::new())
                } else {
                    empty()
                }
            });
            put(next, rest, value)
        }
        Value::Array(list) => {
            let index: usize = first.parse().context("a list takes an index")?;
            if index == list.len() {
                list.push(empty());
            }
            match list.get_mut(index) {
                Some(next) => put(next, rest, value),
                None => bail!("the list has only {} entries", list.len()),
            }
        }
        _ => bail!("no such setting"),
    }
}
