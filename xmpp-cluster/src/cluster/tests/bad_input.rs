//! What nobody should send: each is refused, told once and counted, and the others go on.

use super::*;
use crate::frame::{Beat, Heard};
use crate::membership::Refusal;
use crate::node::Versions;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// The heartbeat of a node that has heard of nobody, on this clock.
fn beat(of: NodeInfo, now: Now) -> Frame {
    let mut out = Vec::new();
    Node::new(of, Limits::default()).handle_timeout(now, &mut out);
    let Some(Output::Publish(beat)) = out.pop() else {
        panic!("a heartbeat comes first: {out:?}");
    };
    Frame::decode(beat).unwrap()
}

/// The same one, about which something is different.
fn changed(mut frame: Frame, change: impl FnOnce(&mut Beat)) -> Bytes {
    let Body::Beat(beat) = &mut frame.body else {
        panic!("no heartbeat: {frame:?}");
    };
    change(beat);
    frame.encode()
}

fn data(n: u64) -> Body {
    Body::Data(Data {
        epoch: u64::MAX,
        after: Counter(0),
        parcels: vec![parcel(n).encode()],
        ack: None,
    })
}

impl World {
    /// Three nodes that know each other, of which nobody has been told since.
    fn settled() -> World {
        let mut world = World::new(&["a", "b", "c"]);
        world.run(3 * SECOND);
        world.told.clear();
        world
    }

    /// Gives a frame to `a` ten times, in the name of the node that has brought it.
    fn bring(&mut self, hop: &str, frame: Bytes) {
        for _ in 0..10 {
            self.input(&id("a"), Input::Frame(id(hop), frame.clone()));
        }
    }

    /// The others are up for `a` as ever, and what they send comes.
    #[track_caller]
    fn all_is_well(&mut self) {
        self.run(10 * SECOND);
        let told = self.told("a");
        assert_eq!(told, [], "nothing has become of anybody");
        for (n, name) in (7..).zip(["b", "c"]) {
            let (a, other) = (info("a", 1).life, info(name, 1).life);
            self.node(name).send(&a, &parcel(n)).unwrap();
            self.node("a").send(&other, &parcel(n)).unwrap();
            self.run(SECOND);
            assert_eq!(self.parcels("a"), [n], "of {name}");
            assert_eq!(self.parcels(name), [n], "for {name}");
        }
    }
}

#[test]
fn frames_that_are_cut_short_are_dropped() {
    let mut world = World::settled();
    let (a, b) = (info("a", 1).life, info("b", 1).life);
    world.node("b").send(&a, &parcel(1)).unwrap();
    world.input(&id("b"), Input::Flush);
    let (.., frame) = world.wires.pop_back().unwrap();
    assert!(matches!(
        Frame::decode(frame.clone()).unwrap().body,
        Body::Data(_)
    ));
    for end in 0..frame.len() {
        let cut = frame.slice(..end);
        world.input(&id("a"), Input::Frame(id("b"), cut));
    }
    // Without its last field a frame is one of a kind that nobody knows.
    let told = world.told("a");
    let dropped = |fault| Event::Dropped(b.node.clone(), fault);
    assert_eq!(told, [dropped(Fault::Damaged), dropped(Fault::Unknown)]);
    let counts = world.node("a").counts();
    assert_eq!(counts.damaged + counts.unknown, frame.len() as u64);
    // The whole one was lost; it is sent again.
    world.run(2 * SECOND);
    assert_eq!(world.parcels("a"), [1]);
    world.all_is_well();
}

/// No engine does that to what goes in one class; whatever one does, nothing is lost or doubled.
#[test]
fn frames_that_come_in_any_order_are_put_in_order() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut world = World::settled();
    let a = info("a", 1).life;
    let mut n = 0;
    for _ in 0..50 {
        for _ in 0..20 {
            n += 1;
            world.node("b").send(&a, &parcel(n)).unwrap();
            world.input(&id("b"), Input::Flush);
        }
        let mut wires: Vec<_> = world.wires.drain(..).collect();
        random.shuffle(&mut wires);
        world.wires.extend(wires);
        world.run(SECOND / 20);
    }
    world.run(10 * SECOND);
    assert_eq!(world.parcels("a"), (1..=n).collect::<Vec<_>>());
    let traffic = world.node("a").traffic(&id("b")).unwrap();
    assert!(traffic.link.early > 0, "counted: {traffic:?}");
    world.all_is_well();
}

#[test]
fn a_version_that_nobody_reads_is_not_let_in() {
    let mut world = World::settled();
    let x = info("x", 1);
    let versions = Versions {
        oldest: 7,
        newest: 9,
    };
    let frame = changed(beat(x.clone(), world.now), |beat| beat.versions = versions);
    world.bring("x", frame);
    let refused = Event::Refused(x.life.clone(), Refusal::Version);
    assert_eq!(world.told("a"), [refused]);
    assert_eq!(world.node("a").counts().refused, 10);
    // Nor is anything else that it sends looked at.
    world.bring("x", forged(x.life.clone(), "a", data(1)));
    let dropped = Event::Dropped(x.life.node, Fault::Stray);
    assert_eq!(world.told("a"), [dropped]);
    world.all_is_well();
}

#[test]
fn who_is_not_of_the_cluster_is_not_heard() {
    let mut world = World::settled();
    let before = world.node("a").counts().strays;
    let x = info("x", 1).life;
    let pull = crate::frame::Pull {
        of: info("a", 1).life,
        from: None,
        round: 1,
    };
    let carried = world.wires.len();
    world.bring("x", forged(x.clone(), "a", data(1)));
    world.bring("x", forged(x.clone(), "a", Body::Pull(pull)));
    world.bring("x", forged(x.clone(), "b", data(2)));
    assert_eq!(
        world.wires.len(),
        carried,
        "nothing is answered or handed on"
    );
    assert_eq!(world.told("a"), [Event::Dropped(x.node, Fault::Stray)]);
    assert_eq!(world.node("a").counts().strays - before, 30);
    world.all_is_well();
}

#[test]
fn who_has_gone_is_not_heard_any_more() {
    let mut world = World::settled();
    world.start("d", 1);
    world.run(3 * SECOND);
    world.told.clear();
    let d = info("d", 1);
    world.input(&d.life.node, Input::Leave);
    world.nodes.remove(&d.life.node);
    world.run(SECOND);
    let down = Event::Down(d.life.clone(), Why::Left);
    assert_eq!(world.told("a"), [down]);
    // Its heartbeats do not bring that life back, and nothing else does.
    let frame = beat(d.clone(), world.now).encode();
    world.bring("d", frame);
    world.bring("d", forged(d.life.clone(), "a", data(1)));
    assert_eq!(
        world.told("a"),
        [
            Event::Refused(d.life.clone(), Refusal::Earlier),
            Event::Dropped(d.life.node.clone(), Fault::Stray),
        ]
    );
    assert!(!world.node("a").is_up(&d.life));
    world.all_is_well();
    // A later one is welcome.
    world.start("d", 2);
    world.run(3 * SECOND);
    assert!(world.told("a").contains(&Event::Up(info("d", 2))));
}

#[test]
fn a_life_that_is_made_up_takes_nobody_s_place() {
    let mut world = World::settled();
    let now = world.now;
    let later = now.utc.plus(YEAR).0 as u64;
    for (name, incarnation) in [("b", u64::MAX), ("b", later), ("x", later), ("a", later)] {
        let made_up = info(name, incarnation);
        world.bring(name, beat(made_up.clone(), now).encode());
        let refused = Event::Refused(made_up.life.clone(), Refusal::Future);
        assert_eq!(world.told("a"), [refused], "{name}");
        // The last of them would have its own mind about `a`: it is not `a`'s to hear.
        if name != "a" {
            world.bring(name, forged(made_up.life, "a", data(1)));
            let dropped = Event::Dropped(id(name), Fault::Stray);
            let first = incarnation == u64::MAX || name == "x";
            assert_eq!(world.told("a"), if first { vec![dropped] } else { vec![] });
        }
    }
    assert_eq!(world.node("a").counts().refused, 40);
    world.all_is_well();
}

#[test]
fn a_clock_that_is_a_year_ahead_lets_nobody_in() {
    let mut world = World::settled();
    let mut ahead = world.now;
    ahead.utc = ahead.utc.plus(YEAR);
    for name in ["x", "y"] {
        let x = info(name, 1);
        for _ in 0..10 {
            ahead.instant += SECOND;
            ahead.utc = ahead.utc.plus(SECOND / 1000);
            let frame = beat(x.clone(), ahead).encode();
            world.input(&id("a"), Input::Frame(id(name), frame));
        }
        let told = world.told("a");
        let [Event::Refused(life, Refusal::Clock(apart))] = &told[..] else {
            panic!("once: {told:?}");
        };
        assert!(*life == x.life && *apart >= YEAR);
    }
    assert_eq!(world.node("a").counts().refused, 20);
    assert_eq!(world.node("a").members().count(), 2);
    world.all_is_well();
}

#[test]
fn a_clock_may_be_five_seconds_off_and_no_more() {
    let step = Duration::from_millis(1);
    let drift = Limits::default().timers.drift;
    assert_eq!(drift, 5 * SECOND);
    for (name, off, lets_in) in [("x", drift, true), ("y", drift + step, false)] {
        for ahead in [true, false] {
            let mut world = World::settled();
            let mut clock = world.now;
            clock.utc = match ahead {
                true => clock.utc.plus(off),
                false => Timestamp(clock.utc.0 - off.as_millis() as i64),
            };
            world.bring(name, beat(info(name, 1), clock).encode());
            let refused = Event::Refused(info(name, 1).life, Refusal::Clock(off));
            let told = if lets_in { vec![] } else { vec![refused] };
            assert_eq!(world.told("a"), told, "{name} {ahead}");
            let known = world.node("a").members().count();
            assert_eq!(known, 2 + usize::from(lets_in));
        }
    }
}

#[test]
fn acknowledgements_of_what_was_not_sent_change_nothing() {
    let mut world = World::settled();
    let (a, b) = (info("a", 1).life, info("b", 1).life);
    world.node("a").send(&b, &parcel(1)).unwrap();
    world.input(&id("a"), Input::Flush);
    let (.., frame) = world.wires.pop_back().unwrap();
    let Body::Data(sent) = Frame::decode(frame).unwrap().body else {
        panic!("no parcels");
    };
    let ack = crate::frame::Ack {
        epoch: sent.epoch,
        handled: Counter(sent.after.0.wrapping_add(1000)),
        gap: false,
    };
    let frame = Frame {
        from: b.clone(),
        to: Some((a.node, Some(a.incarnation))),
        body: Body::Ack(ack),
    };
    world.bring("b", frame.encode());
    let dropped = Event::Dropped(b.node, Fault::Nonsense);
    assert_eq!(world.told("a"), [dropped]);
    assert_eq!(world.node("a").counts().nonsense, 10);
    world.run(2 * SECOND);
    assert_eq!(world.parcels("b"), [1], "what was lost is sent again");
    world.all_is_well();
}

/// It loses its place as if it were silent, and has it again when the clock is right.
#[test]
fn a_clock_that_goes_wrong_costs_only_its_node_its_place() {
    let mut world = World::settled();
    let b = info("b", 1);
    world.cut("b", "a");
    world.cut("b", "c");
    for _ in 0..8 {
        world.run(SECOND);
        let mut ahead = world.now;
        ahead.utc = ahead.utc.plus(YEAR);
        let a = Heard {
            life: info("a", 1).life,
            ago: 0,
            mutual: true,
        };
        let frame = changed(beat(b.clone(), ahead), |beat| beat.hears = vec![a]);
        world.input(&id("a"), Input::Frame(id("b"), frame));
    }
    let told = world.told("a");
    let [
        Event::Refused(refused, Refusal::Clock(_)),
        Event::Down(down, Why::Silent),
    ] = &told[..]
    else {
        panic!("refused once, and down: {told:?}");
    };
    assert_eq!((refused, down), (&b.life, &b.life));
    world.cut.clear();
    world.run(3 * SECOND);
    assert!(world.told("a").contains(&Event::Up(b)));
    world.all_is_well();
}

/// Whatever comes from a node that is up, the others are served.
#[test]
fn bytes_of_chance_do_nobody_harm() {
    let mut random = fastrand::Rng::with_seed(11);
    let mut world = World::settled();
    for _ in 0..2000 {
        let mut bytes: Vec<u8> = match world.wires.back() {
            Some((.., frame)) if random.bool() => frame.to_vec(),
            _ => (0..random.usize(..80)).map(|_| random.u8(..)).collect(),
        };
        if let Some(byte) = random.choice(&mut bytes) {
            *byte ^= 1 << random.u8(..8);
        }
        world.input(&id("a"), Input::Frame(id("x"), bytes.into()));
        if random.u8(..20) == 0 {
            world.run(STEP);
        }
    }
    let dropped = world.told("a");
    let of_x = |event: &Event| matches!(event, Event::Dropped(by, _) if by.as_str() == "x");
    assert!(
        dropped.iter().all(of_x) && dropped.len() <= 5,
        "{dropped:?}"
    );
    world.all_is_well();
}
