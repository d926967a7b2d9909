//! Lists, page by page (XEP-0059): each page is one stanza, which has to find its way through other servers.

use xmpp_core::xml::Element;

use super::Room;
use super::request::Refusal;
use crate::ns;
use crate::page::{self, Asked};

impl Room {
    /// Answers with the page of a list that the request asks for, in the order of the ids; without such a wish with the first, which is all of it
    /// unless it is large.
    ///
    /// §6.3 of another list: "the service MAY return only a partial list of rooms. If it does so, it SHOULD include a <set/> element [...] to
    /// indicate that the list is not the full result set."
    pub(super) fn page<T>(
        &self,
        answer: &mut Element,
        request: &Element,
        mut all: Vec<&T>,
        id: impl Fn(&T) -> &str,
        item: impl Fn(&T) -> Element,
    ) -> Result<(), Refusal> {
        let asked = Asked::of(request)?;
        all.sort_unstable_by(|a, b| id(a).cmp(id(b)));
        let (most, bytes) = (asked.most(all.len()), self.settings.limits.page);
        let (mut taken, mut used) = (0, 0);
        let range = page::page(
            &all,
            asked.from(),
            |one| id(one),
            |one| {
                taken += 1;
                used += item(one).to_string().len();
                // One that is larger than a page is one.
                taken <= most && (used <= bytes || taken == 1)
            },
        );
        let (index, count) = (range.start, all.len());
        let page = &all[range];
        let is_part = page.len() < count || request.child("set", ns::RSM).is_some();
        page.iter().for_each(|one| answer.push(item(one)));
        if is_part {
            let ends = page.first().zip(page.last());
            let ends = ends.map(|(first, last)| (id(first), id(last)));
            answer.push(page::set(ends, index, count));
        }
        Ok(())
    }
}
