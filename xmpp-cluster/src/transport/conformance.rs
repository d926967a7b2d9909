//! What every engine has to do, for its own tests.
//!
//! ```
//! # use std::sync::Arc;
//! # use std::time::{Duration, Instant};
//! # use futures::future::{BoxFuture, FutureExt};
//! # use xmpp_cluster::transport::{conformance, local::Net};
//! # use xmpp_core::time::{Clock, Now, Timestamp};
//! # struct Endless;
//! # impl Clock for Endless {
//! #     fn now(&self) -> Now { Now { instant: Instant::now(), utc: Timestamp(0) } }
//! #     fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> { futures::future::pending().boxed() }
//! # }
//! # futures::executor::block_on(async {
//! let net = Net::new();
//! conformance::transport(|| net.node(Arc::new(Endless))).await;
//! # });
//! ```

use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt};

use super::{Class, Event, JoinError, RequestError, Scope, SendError, Transport};
use crate::frame::{FRAME, VERSIONS};
use crate::node::{Incarnation, Life, NodeId, NodeInfo};

/// How long an engine may take to carry something, and to notice who comes and goes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Events that a node of these tests has room for.
const ROOM: usize = 4096;

/// A node with its engine.
struct Node<T> {
    id: NodeId,
    transport: T,
    events: mpsc::Receiver<Event>,
}

/// Runs all cases. `make` gives the engine of one more node of the same cluster.
///
/// # Panics
///
/// With what is wrong.
pub async fn transport<T: Transport>(make: impl Fn() -> T) {
    let mut a = join(make(), "conformance-a", "north").await;
    let mut b = join(make(), "conformance-b", "north").await;
    let mut c = join(make(), "conformance-c", "south").await;
    names_are_unique(&a, &make).await;
    order_is_kept(&a, &mut b).await;
    order_is_kept_in_each_class(&a, &mut b).await;
    frames_are_whole(&a, &mut b).await;
    scopes_are_kept(&a, &mut b, &mut c).await;
    requests_are_answered(&a, &mut b).await;
    nobody_is_unreachable(&a).await;
    who_does_not_read_holds_up_nobody(&a, &mut b, &c).await;
    who_has_left_is_gone(&mut a, b, c, &make).await;
}

async fn join<T: Transport>(transport: T, name: &str, site: &str) -> Node<T> {
    let (sender, events) = mpsc::channel(ROOM);
    let info = info(name, site);
    let joined = transport.join(info.clone(), sender).await;
    assert_eq!(joined, Ok(()), "{name} joins");
    Node {
        id: info.life.node,
        transport,
        events,
    }
}

fn info(name: &str, site: &str) -> NodeInfo {
    let incarnation = Incarnation(1);
    NodeInfo {
        life: Life {
            node: name.parse().expect("a name"),
            incarnation,
        },
        site: site.parse().expect("a name"),
        versions: VERSIONS,
    }
}

async fn names_are_unique<T: Transport>(a: &Node<T>, make: &impl Fn() -> T) {
    let again = a
        .transport
        .join(info("conformance-x", "north"), mpsc::channel(1).0);
    assert_eq!(again.await, Err(JoinError::Joined), "a node joins once");
    let twin = make();
    let joined = twin.join(info(a.id.as_str(), "north"), mpsc::channel(1).0);
    assert_eq!(joined.await, Err(JoinError::Taken), "a name is one node's");
}

/// "Of what one node sends another in one class the order is kept as long as nothing is lost."
async fn order_is_kept<T: Transport>(a: &Node<T>, b: &mut Node<T>) {
    for n in 0..1000u32 {
        let frame = Bytes::copy_from_slice(&n.to_be_bytes());
        let sent = a.transport.send(&b.id, Class::Live, frame);
        assert_eq!(sent, Ok(()), "there is room for {n}");
    }
    for n in 0..1000u32 {
        let (from, frame) = b.frame().await;
        assert_eq!(from, a.id, "it says where it comes from");
        assert_eq!(frame, n.to_be_bytes()[..], "frame {n}");
    }
}

/// What goes first may pass the rest by, but not its own kind.
async fn order_is_kept_in_each_class<T: Transport>(a: &Node<T>, b: &mut Node<T>) {
    const CLASSES: [Class; 3] = [Class::Control, Class::Live, Class::CatchUp];
    for n in 0..200u8 {
        for class in CLASSES {
            let frame = Bytes::from(vec![class as u8, n]);
            assert_eq!(a.transport.send(&b.id, class, frame), Ok(()));
        }
    }
    let mut next = [0; CLASSES.len()];
    while next != [200; CLASSES.len()] {
        let frame = b.frame().await.1;
        let expected = &mut next[usize::from(frame[0])];
        assert_eq!(frame[1], *expected, "of the class {}", frame[0]);
        *expected += 1;
    }
}

/// "an engine drops frames when that is full, rather than to wait."
async fn who_does_not_read_holds_up_nobody<T: Transport>(
    a: &Node<T>,
    b: &mut Node<T>,
    deaf: &Node<T>,
) {
    for _ in 0..2 * ROOM {
        // Whether it goes or is refused: it comes back.
        let _ = a
            .transport
            .send(&deaf.id, Class::CatchUp, Bytes::from_static(&[0; 64]));
    }
    let sent = a
        .transport
        .send(&b.id, Class::Control, Bytes::from_static(b"heard"));
    assert_eq!(sent, Ok(()), "what goes first has room of its own");
    assert_eq!(b.frame().await.1, "heard");
}

/// "A frame is given to a node once at most, and whole."
async fn frames_are_whole<T: Transport>(a: &Node<T>, b: &mut Node<T>) {
    for size in [0, 1, 70_000, FRAME] {
        let frame = Bytes::from(vec![size as u8; size]);
        let sent = a.transport.send(&b.id, Class::CatchUp, frame.clone());
        assert_eq!(sent, Ok(()));
        assert!(b.frame().await.1 == frame, "a frame of {size} bytes");
    }
    let over = Bytes::from(vec![0; FRAME + 1]);
    let sent = a.transport.send(&b.id, Class::CatchUp, over.clone());
    assert_eq!(sent, Err(SendError::Full), "a frame that is too long");
    let published = a.transport.publish(Scope::All, over);
    assert_eq!(published, Err(SendError::Full), "one for all as well");
}

async fn scopes_are_kept<T: Transport>(a: &Node<T>, b: &mut Node<T>, c: &mut Node<T>) {
    let publish = |scope, text: &'static str| {
        let published = a
            .transport
            .publish(scope, Bytes::from_static(text.as_bytes()));
        assert_eq!(published, Ok(()));
    };
    publish(Scope::Site("north".parse().expect("a name")), "north");
    publish(Scope::All, "all");
    // In any order: they may go different ways.
    let mut heard = [b.frame().await.1, b.frame().await.1];
    heard.sort();
    assert_eq!(heard, ["all", "north"]);
    assert_eq!(c.frame().await.1, "all", "what is for one site stays there");
}

async fn requests_are_answered<T: Transport>(a: &Node<T>, b: &mut Node<T>) {
    let (id, question) = (b.id.clone(), Bytes::from_static(b"?"));
    let ask = || a.transport.request(&id, question.clone(), PATIENCE);
    let answer = async |b: &mut Node<T>| {
        loop {
            match b.events.next().await.expect("events go on") {
                Event::Request(from, frame, answer) => {
                    assert_eq!((&from, &frame), (&a.id, &question));
                    return answer;
                }
                Event::Frame(..) => panic!("a request is no frame"),
                _ => {}
            }
        }
    };
    let (answered, ()) = futures::join!(
        ask(),
        answer(b).map(|answer| answer.give(Bytes::from_static(b"!")))
    );
    assert_eq!(answered, Ok(Bytes::from_static(b"!")));
    let long = Bytes::from(vec![7; FRAME]);
    let (answered, ()) = futures::join!(ask(), answer(b).map(|answer| answer.give(long.clone())));
    assert!(answered == Ok(long), "an answer may be as long as a frame");
    let (answered, ()) = futures::join!(ask(), answer(b).map(drop));
    assert_eq!(
        answered,
        Err(RequestError::Unreachable),
        "that is no answer"
    );
}

async fn nobody_is_unreachable<T: Transport>(a: &Node<T>) {
    let nobody: NodeId = "conformance-nobody".parse().expect("a name");
    // An engine that does not know who listens may only find out that nobody answers.
    let sent = a.transport.send(&nobody, Class::Live, Bytes::new());
    assert_ne!(sent, Err(SendError::Full), "nothing waits for nobody");
    let asked = a
        .transport
        .request(&nobody, Bytes::new(), Duration::from_millis(500));
    let failed = asked.await.expect_err("nobody answers");
    assert!(matches!(
        failed,
        RequestError::Unreachable | RequestError::Late
    ));
}

/// "After `leave` nothing comes and nothing goes."
async fn who_has_left_is_gone<T: Transport>(
    a: &mut Node<T>,
    b: Node<T>,
    c: Node<T>,
    make: &impl Fn() -> T,
) {
    b.transport.leave().await;
    b.transport.leave().await;
    let sent = b
        .transport
        .send(&a.id, Class::Live, Bytes::from_static(b"late"));
    assert_eq!(sent, Err(SendError::Unreachable));
    let published = b.transport.publish(Scope::All, Bytes::from_static(b"late"));
    assert_eq!(published, Err(SendError::Unreachable));
    let asked = b.transport.request(&a.id, Bytes::new(), PATIENCE).await;
    assert_eq!(asked, Err(RequestError::Unreachable));
    let sent = c
        .transport
        .send(&a.id, Class::Live, Bytes::from_static(b"last"));
    assert_eq!(sent, Ok(()));
    assert_eq!(a.frame().await.1, "last", "nothing of who has left");
    // Its name is free, for itself and for its next life.
    for transport in [b.transport, make()] {
        let mut again = join(transport, b.id.as_str(), "north").await;
        let hello = Bytes::from_static(b"hello");
        let sent = a.transport.send(&again.id, Class::Live, hello.clone());
        assert_eq!(sent, Ok(()));
        assert_eq!(again.frame().await, (a.id.clone(), hello.clone()));
        let sent = again.transport.send(&a.id, Class::Live, hello.clone());
        assert_eq!(sent, Ok(()));
        assert_eq!(a.frame().await, (again.id.clone(), hello));
        again.transport.leave().await;
    }
    c.transport.leave().await;
    a.transport.leave().await;
}

impl<T> Node<T> {
    /// The next frame, behind hints.
    async fn frame(&mut self) -> (NodeId, Bytes) {
        loop {
            match self.events.next().await.expect("events go on") {
                Event::Frame(from, frame) => return (from, frame),
                Event::Request(..) => panic!("nobody has asked"),
                Event::Up(_) | Event::Down(_) => {}
            }
        }
    }
}
