//! Pages of a result (XEP-0059).

use std::borrow::Cow;

use xmpp_core::stanza::{Condition, StanzaError};
use xmpp_core::xml::Element;

use super::catalogue::{From, Part};
use crate::ns;

/// Which page is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    from: Where<'a>,
    /// At most so many.
    most: Option<usize>,
}

#[derive(Debug, PartialEq, Eq)]
enum Where<'a> {
    After(Option<Cow<'a, str>>),
    Before(Option<Cow<'a, str>>),
    Index(usize),
}

impl Default for Where<'_> {
    fn default() -> Self {
        Where::After(None)
    }
}

impl<'a> Asked<'a> {
    /// What the `<set/>` in a request says; everything, if there is none.
    pub(super) fn of(request: &'a Element) -> Result<Asked<'a>, StanzaError> {
        let Some(set) = request.child("set", ns::RSM) else {
            return Ok(Asked::default());
        };
        let text = |name| {
            let child = set.child(name, ns::RSM);
            child.map(|child| Some(child.text()).filter(|text| !text.is_empty()))
        };
        let number = |name| match text(name).flatten() {
            None => Ok(None),
            Some(text) => match text.trim().parse() {
                Ok(number) => Ok(Some(number)),
                // §8: it is a number.
                Err(_) => Err(StanzaError::from(Condition::BadRequest)),
            },
        };
        let from = match (text("before"), text("after"), number("index")?) {
            // §2.5: "by including in its request an empty <before/> element"
            (Some(before), ..) => Where::Before(before),
            (None, Some(after), _) => Where::After(after),
            (None, None, Some(index)) => Where::Index(index),
            (None, None, None) => Where::default(),
        };
        Ok(Asked {
            from,
            most: number("max")?,
        })
    }

    /// Where the page begins or ends.
    pub(super) fn from(&self) -> From<'_> {
        match &self.from {
            Where::After(after) => From::After(after.as_deref()),
            Where::Before(before) => From::Before(before.as_deref()),
            Where::Index(index) => From::Index(*index),
        }
    }

    /// At most so many, of the most that there may be.
    pub(super) fn most(&self, bound: usize) -> usize {
        self.most.map_or(bound, |most| most.min(bound))
    }
}

/// What is said of a page.
pub(super) fn set(part: &Part) -> Element {
    let child = |name, text: &str| Element::new(name, ns::RSM).with_text(text);
    let mut set = Element::new("set", ns::RSM);
    if let (Some(first), Some(last)) = (part.rooms.first(), part.rooms.last()) {
        let index = part.index.to_string();
        set.push(child("first", first.room.as_str()).with_attr("index", &index));
        set.push(child("last", last.room.as_str()));
    }
    set.with_child(child("count", &part.count.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(set: &str) -> Result<String, StanzaError> {
        let text =
            format!("<query><set xmlns='http://jabber.org/protocol/rsm'>{set}</set></query>");
        let element = Element::parse(&text).unwrap();
        Asked::of(&element).map(|asked| format!("{:?} {}", asked.from(), asked.most(50)))
    }

    #[test]
    fn a_page_is_asked_for_in_many_ways() {
        for (set, wanted) in [
            ("", "After(None) 50"),
            ("<max>10</max>", "After(None) 10"),
            ("<max>99</max>", "After(None) 50"),
            ("<max>0</max>", "After(None) 0"),
            ("<max>1</max><after>a@b</after>", "After(Some(\"a@b\")) 1"),
            ("<max>1</max><after/>", "After(None) 1"),
            (
                "<max>1</max><before>a@b</before>",
                "Before(Some(\"a@b\")) 1",
            ),
            ("<max>1</max><before/>", "Before(None) 1"),
            ("<max>1</max><index>7</index>", "Index(7) 1"),
        ] {
            assert_eq!(asked(set).unwrap(), wanted, "{set}");
        }
        for bad in ["<max>many</max>", "<index>-1</index>"] {
            let error = asked(bad).unwrap_err();
            assert_eq!(error.condition, Condition::BadRequest, "{bad}");
        }
    }
}
