//! Where in a configuration a setting stands.

use anyhow::anyhow;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line of a setting in a text, by its path: `limits.xml.depth`, `domains.0.name`. `None`
/// if it is not there, which leaves it at its default.
pub fn line(text: &str, path: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut at = 0;
    let mut found: Option<&Spanned<DeValue<'_>>> = None;
    for step in path.split('.') {
        let value = match found.map(Spanned::get_ref) {
            None => entry(table.get_ref(), step)?,
            Some(DeValue::Table(table)) => entry(table, step)?,
            Some(DeValue::Array(list)) => {
                let value = list.get(step.parse::<usize>().ok()?)?;
                (value.span().start, value)
            }
            Some(_) => return None,
        };
        at = value.0;
        found = Some(value.1);
    }
    line_at(text, at)
}

/// An error of a text, with its line and without what stands there, which may be a password.
pub fn told(text: &str, error: &toml::de::Error) -> anyhow::Error {
    let message = error.message().trim_end();
    match error.span().and_then(|span| line_at(text, span.start)) {
        Some(line) => anyhow!("line {line}: {message}"),
        None => anyhow!("{message}"),
    }
}

fn line_at(text: &str, at: usize) -> Option<usize> {
    let before = text.get(..at)?;
    Some(before.matches('\n').count() + 1)
}

/// Where a key stands, and its value.
fn entry<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<(usize, &'a Spanned<DeValue<'i>>)> {
    let mut all = table.iter();
    let (key, value) = all.find(|(key, _)| key.get_ref() == name)?;
    Some((key.span().start, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_found_in_every_way_to_write_it() {
        let text = "a = 1\n\
            b.c = { d = 2 }\n\
            list = [\n 1,\n 2,\n]\n\
            [[domains]]\nname = \"x\"\n\
            [[domains]]\nname = \"y\"\n[domains.account]\nvcard = 1\n";
        for (path, expected) in [
            ("a", Some(1)),
            ("b.c", Some(2)),
            ("b.c.d", Some(2)),
            ("list", Some(3)),
            ("list.1", Some(5)),
            ("domains.0.name", Some(8)),
            ("domains.1.name", Some(10)),
            ("domains.1.account.vcard", Some(12)),
            ("domains.0.account.vcard", None),
            ("domains.2.name", None),
            ("a.b", None),
            ("missing", None),
        ] {
            assert_eq!(line(text, path), expected, "{path}");
        }
        assert_eq!(line("a =", "a"), None);
    }
}
