use std::time::Instant;

use futures::StreamExt;
use futures::executor::block_on;
use futures::future::{BoxFuture, FutureExt, ready};
use xmpp_core::time::{Now, Timestamp};

use super::*;
use crate::frame::VERSIONS;
use crate::node::{Incarnation, Life};
use crate::transport::conformance;

/// A clock on which every wait is over at once.
struct Impatient;

impl Clock for Impatient {
    fn now(&self) -> Now {
        Now {
            #[allow(clippy::disallowed_methods)] // nobody looks at it
            instant: Instant::now(),
            utc: Timestamp(0),
        }
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }
}

/// One on which no wait is ever over.
struct Patient;

impl Clock for Patient {
    fn now(&self) -> Now {
        Impatient.now()
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        futures::future::pending().boxed()
    }
}

fn seat(net: &Net, name: &str, room: usize) -> (Local, NodeId, mpsc::Receiver<Event>) {
    let local = net.node(Arc::new(Impatient));
    let (sender, events) = mpsc::channel(room);
    let info = NodeInfo {
        life: Life {
            node: name.parse().unwrap(),
            incarnation: Incarnation(1),
        },
        site: "home".parse().unwrap(),
        versions: VERSIONS,
    };
    let node = info.life.node.clone();
    block_on(local.join(info, sender)).unwrap();
    (local, node, events)
}

#[test]
fn it_does_what_every_engine_has_to() {
    let net = Net::new();
    block_on(conformance::transport(|| net.node(Arc::new(Patient))));
}

/// An engine that forgets every hundredth frame, to see that it would be noticed.
#[test]
#[should_panic(expected = "frame 99")]
fn an_engine_that_loses_frames_is_found_out() {
    struct Forgetful(Local, std::sync::atomic::AtomicU32);

    #[async_trait]
    impl Transport for Forgetful {
        async fn join(&self, me: NodeInfo, events: mpsc::Sender<Event>) -> Result<(), JoinError> {
            self.0.join(me, events).await
        }

        fn send(&self, to: &NodeId, class: Class, frame: Bytes) -> Result<(), SendError> {
            let n = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            match n % 100 == 99 {
                true => Ok(()),
                false => self.0.send(to, class, frame),
            }
        }

        async fn request(
            &self,
            to: &NodeId,
            frame: Bytes,
            within: Duration,
        ) -> Result<Bytes, RequestError> {
            self.0.request(to, frame, within).await
        }

        fn publish(&self, scope: Scope, frame: Bytes) -> Result<(), SendError> {
            self.0.publish(scope, frame)
        }

        async fn leave(&self) {
            self.0.leave().await;
        }
    }

    let net = Net::new();
    let make = || Forgetful(net.node(Arc::new(Patient)), Default::default());
    block_on(conformance::transport(make));
}

#[test]
fn a_cut_is_silent_and_of_one_direction() {
    let net = Net::new();
    let (a, a_id, mut to_a) = seat(&net, "a", 16);
    let (b, b_id, mut to_b) = seat(&net, "b", 16);
    net.cut(&a_id, &b_id);
    let frame = || Bytes::from_static(b"x");
    assert_eq!(
        a.send(&b_id, Class::Live, frame()),
        Ok(()),
        "nobody is told"
    );
    assert_eq!(b.send(&a_id, Class::Live, frame()), Ok(()));
    assert_eq!(
        block_on(a.request(&b_id, frame(), Duration::ZERO)),
        Err(RequestError::Late)
    );
    net.heal();
    a.send(&b_id, Class::Live, Bytes::from_static(b"y"))
        .unwrap();
    block_on(async {
        assert!(matches!(to_a.next().await, Some(Event::Up(_))));
        assert!(matches!(to_a.next().await, Some(Event::Frame(_, _))));
        assert!(matches!(to_b.next().await, Some(Event::Up(_))));
        let Some(Event::Frame(_, frame)) = to_b.next().await else {
            panic!("no frame");
        };
        assert_eq!(frame, "y", "what went into the cut is lost");
    });
}

#[test]
fn who_does_not_read_holds_up_nobody() {
    let net = Net::new();
    let (a, _, _to_a) = seat(&net, "a", 16);
    let (_b, b_id, _to_b) = seat(&net, "b", 4);
    let send = || a.send(&b_id, Class::Live, Bytes::new());
    let taken = std::iter::repeat_with(send)
        .take_while(Result::is_ok)
        .count();
    assert!((1..10).contains(&taken), "{taken}");
    assert_eq!(send(), Err(SendError::Full));
}

#[test]
fn a_node_that_is_dropped_is_gone() {
    let net = Net::new();
    let (a, _, _to_a) = seat(&net, "a", 16);
    let (b, b_id, _to_b) = seat(&net, "b", 16);
    drop(b);
    let sent = a.send(&b_id, Class::Live, Bytes::new());
    assert_eq!(sent, Err(SendError::Unreachable));
    let _ = seat(&net, "b", 16);
}
