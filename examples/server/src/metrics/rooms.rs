//! Figures of rooms, those of all services together.

use xmpp_core::metrics::Counter;
use xmpp_muc_federated::fmuc::Stage;
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

    let counters: [(&str, &str, Find); 8] = [
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
        (
            "xmpp_room_syncs_total",
            "Times that two federated rooms have come to know the same.",
            |metrics| &metrics.synced,
        ),
        (
            "xmpp_rooms_refused_total",
            "Times that a room of another server was not let in.",
            |metrics| &metrics.refused,
        ),
        (
            "xmpp_rooms_rejected_total",
            "Times that a room of this server was not let in, or not answered.",
            |metrics| &metrics.rejected,
        ),
        (
            "xmpp_room_nodes_dropped_total",
            "Stanzas of other rooms that were dropped.",
            |metrics| &metrics.dropped,
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

    let name = "xmpp_room_nodes_stanzas_total";
    let help = "Stanzas between federated rooms.";
    text.family(name, "counter", help);
    for (direction, value) in [
        ("received", sum(|metrics| metrics.nodes_received.value())),
        ("sent", sum(|metrics| metrics.nodes_sent.value())),
    ] {
        text.sample(name, &[("direction", direction)], value);
    }

    let name = "xmpp_room_links";
    text.family(name, "gauge", "Links between federated rooms.");
    for stage in Stage::ALL {
        let services = rooms.services().iter();
        let value: u64 = services.map(|service| service.metrics().links(stage)).sum();
        text.sample(name, &[("stage", stage.name())], value);
    }
}
