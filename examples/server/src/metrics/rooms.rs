//! Figures of rooms, those of all services together.

use xmpp_core::metrics::Counter;
use xmpp_muc_federated::service::Metrics;

use super::Text;
use crate::rooms::Rooms;

type Find = fn(&Metrics) -> &Counter;

pub(super) fn rooms(rooms: &Rooms, text: &mut Text) {
    let sum = |of: fn(&Metrics) -> u64| -> u64 {
        let services = rooms.services().iter();
        services.map(|service| of(service.metrics())).sum()
    };

    text.family("xmpp_rooms", "gauge", "Rooms in memory.");
    text.sample("xmpp_rooms", &[], sum(|metrics| metrics.rooms.value()));
    let name = "xmpp_room_occupants";
    text.family(name, "gauge", "Occupants of all rooms.");
    text.sample(name, &[], sum(Metrics::occupants));

    let counters: [(&str, &str, Find); 4] = [
        (
            "xmpp_rooms_created_total",
            "Rooms that were made.",
            |metrics| &metrics.created,
        ),
        (
            "xmpp_room_messages_total",
            "Messages to all occupants of a room.",
            |metrics| &metrics.messages,
        ),
        (
            "xmpp_room_store_errors_total",
            "Times that the store failed a room.",
            |metrics| &metrics.store_errors,
        ),
        (
            "xmpp_unreadable_rooms_total",
            "Times that a stored room could not be read; it stays in the store.",
            |metrics| &metrics.unreadable,
        ),
    ];
    for (name, help, counter) in counters {
        text.family(name, "counter", help);
        let services = rooms.services().iter();
        let value: u64 = services
            .map(|service| counter(service.metrics()).value())
            .sum();
        text.sample(name, &[], value);
    }

    let name = "xmpp_room_stanzas_total";
    let help = "Stanzas that rooms have been sent, and have sent.";
    text.family(name, "counter", help);
    for (direction, value) in [
        ("received", sum(|metrics| metrics.received.value())),
        ("sent", sum(|metrics| metrics.sent.value())),
    ] {
        text.sample(name, &[("direction", direction)], value);
    }
}
