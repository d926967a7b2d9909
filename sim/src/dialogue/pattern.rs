//! Whether what was heard is what was expected.

use super::text::Names;
use crate::xml::{Node, Tree};

/// Compares an element with its pattern, and keeps what `{new …}` names. The rules
/// are those of the [module above](super).
pub fn matches(pattern: &Tree, actual: &Tree, names: &mut Names) -> Result<(), String> {
    let mut kept = names.clone();
    element(pattern, actual, &mut kept)?;
    *names = kept;
    Ok(())
}

fn element(pattern: &Tree, actual: &Tree, names: &mut Names) -> Result<(), String> {
    if !actual.is(&pattern.name, &pattern.ns) {
        return Err(format!(
            "<{} xmlns='{}'/> instead of <{} xmlns='{}'/>",
            actual.name, actual.ns, pattern.name, pattern.ns
        ));
    }
    for (key @ (_, name), expected) in &pattern.attributes {
        let there = actual.attributes.get(key).map(String::as_str);
        value(expected, there, names)
            .map_err(|why| format!("attribute '{name}' of <{}/> {why}", pattern.name))?;
    }
    content(pattern, actual, names)
}

fn content(pattern: &Tree, actual: &Tree, names: &mut Names) -> Result<(), String> {
    let text = pattern.text();
    let whatever = text.contains("{any}");
    let text = text.replace("{any}", "");
    if !whatever || !text.trim().is_empty() {
        value(text.trim(), Some(actual.text().trim()), names)
            .map_err(|why| format!("the text of <{}/> {why}", pattern.name))?;
    }
    let wanted: Vec<&Tree> = pattern.children().collect();
    let there: Vec<&Tree> = actual.children().collect();
    if !whatever && wanted.len() != there.len() {
        return Err(format!(
            "<{}/> has {} children instead of {}",
            pattern.name,
            there.len(),
            wanted.len()
        ));
    }
    children(&wanted, &there, names).map_err(|why| format!("in <{}/>: {why}", pattern.name))
}

/// Finds a child for each that is wanted, whatever their order.
fn children(wanted: &[&Tree], there: &[&Tree], names: &mut Names) -> Result<(), String> {
    let Some((first, others)) = wanted.split_first() else {
        return Ok(());
    };
    let mut nearest = format!("{first} is missing");
    for i in 0..there.len() {
        let mut kept = names.clone();
        let tried = element(first, there[i], &mut kept).and_then(|()| {
            let mut rest = there.to_vec();
            rest.remove(i);
            children(others, &rest, &mut kept)
        });
        match tried {
            Ok(()) => {
                *names = kept;
                return Ok(());
            }
            Err(why) if first.name == there[i].name => nearest = why,
            Err(_) => {}
        }
    }
    Err(nearest)
}

fn value(expected: &str, actual: Option<&str>, names: &mut Names) -> Result<(), String> {
    match (expected, actual) {
        ("{none}", None) => Ok(()),
        ("{none}", Some(actual)) => Err(format!("is there: '{actual}'")),
        (_, None) => Err("is missing".to_owned()),
        ("{any}", Some(_)) => Ok(()),
        (expected, Some(actual)) => {
            let new = expected
                .strip_prefix("{new ")
                .and_then(|rest| rest.strip_suffix('}'));
            if let Some(name) = new {
                names.set(name, actual);
                return Ok(());
            }
            if expected == actual {
                return Ok(());
            }
            Err(format!("is '{actual}' instead of '{expected}'"))
        }
    }
}

/// A header has no content, whatever the pattern's.
pub fn header_matches(pattern: &Tree, actual: &Tree, names: &mut Names) -> Result<(), String> {
    let mut pattern = pattern.clone();
    pattern.nodes = vec![Node::Text("{any}".to_owned())];
    matches(&pattern, actual, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, actual: &str) -> Result<Names, String> {
        let mut names = Names::default();
        matches(&Tree::parse(pattern)?, &Tree::parse(actual)?, &mut names)?;
        Ok(names)
    }

    #[test]
    fn what_is_listed_has_to_be_there() {
        let actual = "<message from='a' id='1'><body>Hi</body><x xmlns='urn:x'/></message>";
        for pattern in [
            "<message><body>Hi</body><x xmlns='urn:x'/></message>",
            "<message id='1' type='{none}'> <x xmlns='urn:x'/> <body> Hi </body> </message>",
            "<message from='{any}'>{any}</message>",
            "<message><body>{any}</body>{any}</message>",
        ] {
            check(pattern, actual).unwrap();
        }
        for (pattern, why) in [
            (
                "<iq/>",
                "<message xmlns='jabber:client'/> instead of <iq xmlns='jabber:client'/>",
            ),
            (
                "<message id='2'>{any}</message>",
                "attribute 'id' of <message/> is '1' instead of '2'",
            ),
            (
                "<message to='{any}'>{any}</message>",
                "attribute 'to' of <message/> is missing",
            ),
            (
                "<message id='{none}'>{any}</message>",
                "attribute 'id' of <message/> is there: '1'",
            ),
            (
                "<message><body>Hi</body></message>",
                "<message/> has 2 children instead of 1",
            ),
            (
                "<message>{any}<y/></message>",
                "in <message/>: <y/> is missing",
            ),
            (
                "<message>{any}<body>Ho</body></message>",
                "in <message/>: the text of <body/> is 'Hi' instead of 'Ho'",
            ),
        ] {
            assert_eq!(check(pattern, actual).unwrap_err(), why);
        }
    }

    #[test]
    fn children_are_told_apart_by_all_they_have() {
        let actual = "<q><i n='1'><a/></i><i n='1'><b/></i></q>";
        check("<q><i n='1'>{any}</i><i><a/></i></q>", actual).unwrap();
        assert!(check("<q><i><a/></i><i><a/></i></q>", actual).is_err());
    }

    #[test]
    fn values_are_kept() {
        let names = check("<a v='{new v}'><b>{new w}</b></a>", "<a v='1'><b>2</b></a>").unwrap();
        assert_eq!(names.expand("{v}{w}").unwrap(), "12");
    }
}
