//! Bursts, and what comes before and behind them.

use super::*;
use crate::mailbox::Origin;
use crate::stanza::{MessageType, Stanza};

fn queue(stanzas: usize) -> Queue {
    let limits = QueueLimits {
        stanzas,
        ..QueueLimits::default()
    };
    Queue::new(limits, Arc::new(Budget::new(usize::MAX)))
}

fn push(queue: &Queue, id: &str) {
    let stanza = Stanza::message(MessageType::Groupchat).with_id(id);
    let _ = queue.push(Envelope::new(stanza, Origin::ENTITY));
}

/// What the reader is given until there is nothing, bursts by their names.
fn read(queue: &Queue, bursts: &mut VecDeque<&'static str>) -> Vec<String> {
    let mut read = Vec::new();
    loop {
        if let Some(burst) = queue.take_burst(|| bursts.pop_front()) {
            read.push(burst.to_owned());
        } else if let Some(Some(taken)) = queue.take_in_turn(usize::MAX) {
            let ids = taken.iter().filter_map(|envelope| envelope.stanza.id());
            read.extend(ids.map(str::to_owned));
        } else {
            return read;
        }
    }
}

/// RFC 6120 §10.1: who enters a room again hears first that he has left it.
#[test]
fn a_burst_comes_after_what_was_there_and_before_what_comes() {
    let queue = queue(9);
    let mut bursts = VecDeque::new();
    push(&queue, "left");
    for (burst, turn) in [("enters", Turn::Last), ("stored", Turn::First)] {
        queue.add_burst(turn, || {
            bursts.push_back(burst);
            true
        });
    }
    push(&queue, "said");
    assert_eq!(
        read(&queue, &mut bursts),
        ["left", "enters", "stored", "said"]
    );
}

#[test]
fn a_queue_that_has_overflowed_does_not_overtake_the_burst_before_it() {
    let queue = queue(3);
    let mut bursts = VecDeque::new();
    push(&queue, "left");
    for (burst, turn) in [("stored", Turn::First), ("enters", Turn::Last)] {
        queue.add_burst(turn, || {
            bursts.push_back(burst);
            true
        });
    }
    for id in ["said", "again", "lost"] {
        push(&queue, id);
    }
    assert!(queue.is_overflowed());
    let all = ["left", "stored", "enters", "said", "again"];
    assert_eq!(read(&queue, &mut bursts), all);
}
