//! What events of the cluster are for standbys.

use super::Input;
use crate::cluster::Event;
use crate::frame::Parcel;
use crate::node::SiteId;

impl Input {
    /// What an event is for the standbys of a site; `None` if it is nothing to them.
    pub fn of(event: &Event, site: &SiteId) -> Option<Input> {
        Some(match event {
            Event::Up(info) if info.site == *site => Input::Up(info.life.clone()),
            // Of those that are on other sites nothing is known.
            Event::Down(life, _) => Input::Down(life.clone()),
            Event::Reset(life) => Input::Reset(life.clone()),
            Event::HeldUp(_) => Input::HeldUp,
            Event::Put(life, entry) => {
                Input::Claimed(life.node.clone(), entry.session, entry.generation)
            }
            Event::Parcel(life, parcel) => match parcel {
                Parcel::Log(_)
                | Parcel::Logged(_)
                | Parcel::Yield(_)
                | Parcel::Yielded(_)
                | Parcel::Whose(_)
                | Parcel::Mine(_) => Input::Parcel(life.node.clone(), parcel.clone()),
                _ => return None,
            },
            _ => return None,
        })
    }
}
