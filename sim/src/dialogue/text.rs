//! What stands between braces.

use std::collections::BTreeMap;

/// What is known by name.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// Makes `{name}` stand for `value`.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// The text with all names replaced, but for those that only a pattern has
    /// (`{any}`, `{none}`, `{new …}`).
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a brace is not closed")?;
            out.push_str(before);
            out.push_str(&self.value(name)?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&self, name: &str) -> Result<String, String> {
        if let Some(value) = self.0.get(name) {
            return Ok(crate::xml::escaped(value));
        }
        if name == "any" || name == "none" || name.starts_with("new ") {
            return Ok(format!("{{{name}}}"));
        }
        let repeated = name
            .strip_prefix("repeat ")
            .and_then(|words| words.split_once(' '));
        if let Some((times, text)) = repeated
            && let Ok(times) = times.parse()
        {
            return Ok(text.repeat(times));
        }
        Err(format!("what is {{{name}}}?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_values() {
        let mut names = Names::default();
        names.set("Romeo", "o'romeo@example.org");
        let expanded = names.expand("<a to='{Romeo}' b='{any}'>{repeat 3 xy}</a>");
        assert_eq!(
            expanded.unwrap(),
            "<a to='o&apos;romeo@example.org' b='{any}'>xyxyxy</a>"
        );
        for text in ["{Juliet}", "{Romeo", "{repeat x y}"] {
            assert!(names.expand(text).is_err(), "{text}");
        }
    }
}
