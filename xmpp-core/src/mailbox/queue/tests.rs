use super::*;
use crate::stanza::{MessageType, PresenceType};

const LIMITS: QueueLimits = QueueLimits {
    stanzas: 8,
    bytes: 1 << 20,
};

fn queue(memory: usize) -> (Queue, Arc<Budget>) {
    let budget = Arc::new(Budget::new(memory));
    (Queue::new(LIMITS, budget.clone()), budget)
}

/// One whose reader has asked more than will be answered.
fn asking(memory: usize) -> (Queue, Arc<Budget>) {
    let (queue, budget) = queue(memory);
    asks(&queue, 100);
    (queue, budget)
}

fn asks(queue: &Queue, requests: usize) {
    for _ in 0..requests {
        queue.sent(&Stanza::iq(IqType::Get, "1"));
    }
}

fn takes(queue: &Queue, stanza: Stanza) -> bool {
    let origin = Origin::session(crate::session::SessionId { run: 1, n: 1 });
    !matches!(
        queue.push(Envelope::new(stanza, origin)),
        Settlement::Failed(_)
    )
}

fn message() -> Stanza {
    Stanza::message(MessageType::Chat)
}

fn answer() -> Stanza {
    Stanza::iq(IqType::Result, "1")
}

#[test]
fn answers_have_room_of_their_own() {
    let (queue, budget) = asking(1 << 20);
    for _ in 0..LIMITS.stanzas {
        assert!(takes(&queue, message()));
    }
    assert!(!takes(&queue, message()), "it is full");
    assert!(!takes(&queue, Stanza::iq(IqType::Get, "1")));
    assert!(!takes(&queue, Stanza::presence(PresenceType::Available)));
    assert!(!queue.is_crowded());
    let error = message().error_reply(&crate::stanza::Condition::NotAllowed.into());
    assert!(takes(&queue, error.unwrap()));
    assert!(!queue.is_crowded(), "half of it");
    assert!(takes(&queue, answer()));
    assert!(queue.is_crowded());
    assert!(!takes(&queue, answer()), "it has a bound");
    assert_eq!(queue.depth().0, 10);

    // What is taken makes room, in the order in which it came.
    let all = queue.take(usize::MAX).unwrap().unwrap();
    assert!(matches!(all[9].stanza.kind(), Kind::Iq(IqType::Result)));
    assert_eq!(budget.used(), 0);
    assert!(!queue.is_crowded() && takes(&queue, message()));
}

/// The room was counted as used until all was read, so that the next answer found none in a queue that was almost empty.
#[test]
fn what_is_read_makes_room_for_answers_though_not_for_what_it_would_overtake() {
    let (queue, budget) = asking(1 << 20);
    for _ in 0..=LIMITS.stanzas {
        takes(&queue, message());
    }
    assert!(takes(&queue, answer()) && takes(&queue, answer()));
    assert!(!takes(&queue, answer()) && queue.is_crowded());
    queue.take(1).unwrap().unwrap();
    assert!(!queue.is_crowded());
    while queue.depth().0 > 2 {
        queue.take(1).unwrap().unwrap();
    }
    assert!(!takes(&queue, message()), "it has overflowed");
    for _ in 0..LIMITS.stanzas {
        assert!(takes(&queue, answer()));
    }
    assert!(!takes(&queue, answer()), "it has a bound");
    drop(queue);
    assert_eq!(budget.used(), 0);
}

/// A broadcast to contacts whose server is dead comes back as hundreds of errors, and nobody waits for these.
#[test]
fn the_error_for_presence_has_no_room_where_presence_has_none() {
    let (queue, _) = queue(10);
    let presence = Stanza::presence(PresenceType::Available);
    let error = presence.error_reply(&crate::stanza::Condition::RemoteServerNotFound.into());
    assert!(!takes(&queue, error.unwrap()));
}

#[test]
fn an_answer_is_taken_also_when_the_memory_of_all_is_used() {
    let (queue, budget) = asking(1 << 20);
    while budget.take(1) {}
    let others = budget.used();
    assert!(!takes(&queue, message()));
    assert!(takes(&queue, answer()) && takes(&queue, answer()));
    assert!(budget.used() > others);
    assert_eq!(queue.close().len(), 2);
    assert_eq!(budget.used(), others);
}

/// Each queue took its answers whatever all of them held, so that there was no bound on the memory of all.
#[test]
fn answers_share_a_reserve_of_the_memory() {
    const CAP: usize = 1 << 20;
    const QUEUES: usize = 100;
    let budget = Arc::new(Budget::new(CAP));
    while budget.take(1) {}
    let queues: Vec<_> = (0..QUEUES)
        .map(|_| Queue::new(QueueLimits::default(), budget.clone()))
        .collect();
    let large =
        || answer().with_child(&crate::xml::Element::new("q", "q").with_text(&"x".repeat(3000)));
    for queue in &queues {
        asks(queue, 1000);
        while takes(queue, large()) {}
    }
    let beyond = budget.used().saturating_sub(CAP);
    assert!(beyond <= QUEUES * 4096, "{beyond}");
    for queue in &queues {
        assert!(queue.depth().0 > 0, "each has a little");
        assert!(queue.is_crowded(), "and asks for no more");
    }
    let idle = Queue::new(LIMITS, budget.clone());
    assert!(!idle.is_crowded(), "it would not know when to ask again");
}

/// Else whoever knows a full JID could fill it, and what is asked for or has to be known would be lost.
#[test]
fn what_was_not_asked_for_has_half_of_the_room() {
    let (queue, budget) = queue(1 << 20);
    for _ in 0..LIMITS.stanzas {
        takes(&queue, message());
    }
    assert!(takes(&queue, answer()));
    assert!(!takes(&queue, answer()) && !takes(&queue, Stanza::message(MessageType::Error)));
    asks(&queue, 1);
    assert!(queue.may_await(&answer(), &Origin::ENTITY));
    assert!(takes(&queue, answer()));
    assert!(!queue.may_await(&answer(), &Origin::ENTITY), "it came");

    // Nor has it a part in the reserve of the memory.
    queue.take(usize::MAX).unwrap().unwrap();
    while budget.take(1) {}
    assert!(!takes(&queue, answer()));
    asks(&queue, 1);
    assert!(takes(&queue, answer()));
}

#[cfg(feature = "io")]
#[test]
fn of_what_was_asked_in_an_earlier_run_nothing_is_known() {
    let (queue, _) = queue(1 << 20);
    assert!(!queue.may_await(&answer(), &Origin::ENTITY));
    queue.restore(VecDeque::new(), false);
    assert!(queue.may_await(&answer(), &Origin::ENTITY));
}

/// A roster push has nobody who would hear of its loss; a request of somebody else has.
#[test]
fn what_the_server_asks_counts_as_an_answer() {
    let (queue, _) = queue(10);
    let set = || Stanza::iq(IqType::Set, "1");
    assert!(!takes(&queue, set()));
    let push = queue.push(set().into());
    assert!(matches!(push, Settlement::Done));
}
