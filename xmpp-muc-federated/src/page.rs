//! Pages of a result (XEP-0059).

use std::borrow::Cow;
use std::ops::Range;

use xmpp_core::stanza::{Condition, StanzaError};
use xmpp_core::xml::Element;

use crate::ns;

/// Which page is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
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
    pub(crate) fn of(request: &'a Element) -> Result<Asked<'a>, StanzaError> {
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
    pub(crate) fn from(&self) -> From<'_> {
        match &self.from {
            Where::After(after) => From::After(after.as_deref()),
            Where::Before(before) => From::Before(before.as_deref()),
            Where::Index(index) => From::Index(*index),
        }
    }

    /// At most so many, of the most that there may be.
    pub(crate) fn most(&self, bound: usize) -> usize {
        self.most.map_or(bound, |most| most.min(bound))
    }
}

/// Where a page begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From<'a> {
    /// The first after this one, which need not exist; the very first.
    After(Option<&'a str>),
    /// The last before this one, which need not exist; the very last.
    Before(Option<&'a str>),
    /// The one at this place.
    Index(usize),
}

/// The page of a list that is in the order of its ids: as much from there as fits, one after the other.
pub(crate) fn page<T>(
    all: &[T],
    from: From<'_>,
    id: impl Fn(&T) -> &str,
    mut fits: impl FnMut(&T) -> bool,
) -> Range<usize> {
    let start = match from {
        From::After(None) => 0,
        From::After(Some(after)) => all.partition_point(|item| id(item) <= after),
        From::Index(index) => index.min(all.len()),
        From::Before(before) => {
            let end = before.map_or(all.len(), |before| {
                all.partition_point(|item| id(item) < before)
            });
            let taken = all[..end].iter().rev().take_while(|item| fits(item));
            return end - taken.count()..end;
        }
    };
    let taken = all[start..].iter().take_while(|item| fits(item));
    start..start + taken.count()
}

/// What is said of a page: the ids of its ends with the place of the first, if there is anything in it; and how many there are in all.
pub(crate) fn set(ends: Option<(&str, &str)>, index: usize, count: usize) -> Element {
    let child = |name, text: &str| Element::new(name, ns::RSM).with_text(text);
    let mut set = Element::new("set", ns::RSM);
    if let Some((first, last)) = ends {
        set.push(child("first", first).with_attr("index", &index.to_string()));
        set.push(child("last", last));
    }
    set.with_child(child("count", &count.to_string()))
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

    #[test]
    fn a_page_is_what_fits_from_there_on() {
        let all = ["a", "b", "c", "d"];
        for (from, most, wanted) in [
            (From::After(None), 2, 0..2),
            (From::After(None), 9, 0..4),
            (From::After(Some("b")), 1, 2..3),
            (From::After(Some("bb")), 1, 2..3),
            (From::After(Some("d")), 1, 4..4),
            (From::Before(None), 3, 1..4),
            (From::Before(Some("c")), 1, 1..2),
            (From::Before(Some("bb")), 9, 0..2),
            (From::Before(Some("a")), 9, 0..0),
            (From::Index(3), 2, 3..4),
            (From::Index(usize::MAX), 2, 4..4),
            (From::Index(0), 0, 0..0),
        ] {
            let mut taken = 0;
            let fits = |_: &&str| {
                taken += 1;
                taken <= most
            };
            assert_eq!(page(&all, from, |id| *id, fits), wanted, "{from:?} {most}");
        }
    }
}
