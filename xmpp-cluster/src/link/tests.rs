//! Two links beside a record of all that was given to them, over a way that loses, repeats and reorders.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use xmpp_core::machine::Machine;
use xmpp_core::time::{Now, Timestamp};
use xmpp_sm::Counter;

use super::{EPOCHS, Input, Limits, Link, Output};
use crate::frame::{Ack, Body, Data};

/// A step of the world.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// One side is given a parcel of so many bytes.
    Send(usize, usize),
    /// One side is at the end of a batch.
    Flush(usize),
    /// The oldest frame to that side arrives.
    Arrive(usize),
    /// The newest arrives, before the others.
    Overtake(usize),
    /// The oldest arrives, and once more later.
    Double(usize),
    /// The oldest is lost.
    Lose(usize),
    /// Both know that they cannot be reached; all that is under way is lost.
    Cut,
    /// They can again.
    Heal,
    /// One side gives up what it has not got rid of.
    GiveUp(usize),
    /// Time passes, in milliseconds.
    Wait(u64),
}

/// What is broken on purpose, to see whether it would be noticed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Nothing,
    /// A frame is acknowledged and then dropped.
    AckEarly,
    /// Frames seem to be one further than they are.
    Skip,
    /// What is given up is sent under the old epoch.
    OldEpoch,
}

struct World {
    sides: [Link; 2],
    /// Frames to each side.
    wires: [VecDeque<Body>; 2],
    /// What was given to each side and was not given back.
    given: [Vec<u32>; 2],
    /// What of that has come.
    had: [Vec<u32>; 2],
    /// The last that has come from each side.
    last: [Option<u32>; 2],
    acked: [usize; 2],
    /// How often each was told that the other has given up.
    resets: [u32; 2],
    next: u32,
    now: Now,
    fault: Fault,
}

fn start() -> Now {
    Now {
        #[allow(clippy::disallowed_methods)] // only differences count
        instant: Instant::now(),
        utc: Timestamp(0),
    }
}

fn small() -> Limits {
    Limits {
        window: 64,
        frame: 24,
        backlog: 256,
        parcels: 40,
        ..Limits::default()
    }
}

impl World {
    fn new(fault: Fault) -> World {
        World {
            sides: [
                Link::new(small(), Timestamp(0)),
                Link::new(small(), Timestamp(0)),
            ],
            wires: Default::default(),
            given: Default::default(),
            had: Default::default(),
            last: [None; 2],
            acked: [0; 2],
            resets: [0; 2],
            next: 0,
            now: start(),
            fault,
        }
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Send(side, size) => {
                let number = self.next;
                self.next += 1;
                let mut parcel = number.to_be_bytes().to_vec();
                parcel.resize(size.max(4), 0);
                let before = self.sides[side].bytes();
                let fits = self.sides[side].send(parcel.into()).is_ok();
                if fits {
                    self.given[side].push(number);
                }
                let limits = small();
                if self.sides[side].bytes() > limits.backlog + limits.window.max(size) {
                    return Err(format!("holds more than it may: {before} and {size}"));
                }
            }
            Step::Flush(side) => self.input(side, Input::Flush)?,
            Step::Arrive(side) => {
                if let Some(frame) = self.wires[side].pop_front() {
                    self.arrive(side, frame)?;
                }
            }
            Step::Overtake(side) => {
                if let Some(frame) = self.wires[side].pop_back() {
                    self.arrive(side, frame)?;
                }
            }
            Step::Double(side) => {
                if let Some(frame) = self.wires[side].pop_front() {
                    self.wires[side].push_back(frame.clone());
                    self.arrive(side, frame)?;
                }
            }
            Step::Lose(side) => {
                self.wires[side].pop_front();
            }
            Step::Cut => {
                self.wires = Default::default();
                self.input(0, Input::Down)?;
                self.input(1, Input::Down)?;
            }
            Step::Heal => {
                self.input(0, Input::Up)?;
                self.input(1, Input::Up)?;
            }
            Step::GiveUp(side) => {
                let back = self.sides[side].give_up();
                let first = back.front().map(number);
                // They may have arrived, and only their acknowledgement not: all that came back were behind what was acknowledged.
                if let Some(first) = first {
                    self.given[side].retain(|n| *n < first);
                    self.had[side].retain(|n| *n < first);
                }
                if self.fault == Fault::OldEpoch {
                    self.sides[side].epoch -= 1;
                }
                self.acked[side] = self.given[side].len();
            }
            Step::Wait(ms) => {
                self.now.instant += Duration::from_millis(ms);
                for side in [0, 1] {
                    let mut out = Vec::new();
                    self.sides[side].handle_timeout(self.now, &mut out);
                    self.outputs(side, out)?;
                }
            }
        }
        Ok(())
    }

    fn arrive(&mut self, side: usize, frame: Body) -> Result<(), String> {
        match frame {
            Body::Data(mut data) => {
                match self.fault {
                    Fault::Skip if data.parcels.len() > 1 => {
                        data.parcels.remove(0);
                    }
                    Fault::AckEarly => {
                        let handled = data.after.plus(data.parcels.len() as u32);
                        let epoch = data.epoch;
                        let gap = false;
                        self.wires[1 - side].push_back(Body::Ack(Ack {
                            epoch,
                            handled,
                            gap,
                        }));
                        return Ok(());
                    }
                    _ => {}
                }
                self.input(side, Input::Data(data))
            }
            Body::Ack(ack) => self.input(side, Input::Ack(ack)),
            other => Err(format!("no frame of a link: {other:?}")),
        }
    }

    fn input(&mut self, side: usize, input: Input) -> Result<(), String> {
        let mut out = Vec::new();
        self.sides[side].handle(input, self.now, &mut out);
        self.outputs(side, out)
    }

    fn outputs(&mut self, side: usize, out: Vec<Output>) -> Result<(), String> {
        let other = 1 - side;
        for output in out {
            match output {
                Output::Transmit(frame) => self.wires[other].push_back(frame),
                Output::Deliver(parcel) => {
                    let number = number(&parcel);
                    // What was given up may come yet; once, and before anything later.
                    if self.last[other].is_some_and(|last| last >= number) {
                        return Err(format!("{number} after {:?}", self.last[other]));
                    }
                    self.last[other] = Some(number);
                    if self.given[other].contains(&number) {
                        let turn = self.had[other].len();
                        if self.given[other].get(turn) != Some(&number) {
                            return Err(format!("{number} is not the next"));
                        }
                        self.had[other].push(number);
                    }
                }
                Output::Acked(n) => {
                    self.acked[side] += n;
                    if self.acked[side] > self.had[side].len() {
                        return Err("acknowledged and not there".into());
                    }
                }
                Output::Reset => self.resets[side] += 1,
                Output::Nonsense(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// All is well again: everything has to arrive.
    fn settle(&mut self) -> Result<(), String> {
        self.step(Step::Heal)?;
        for _ in 0..200 {
            for side in [0, 1] {
                self.step(Step::Flush(side))?;
            }
            while self.wires.iter().any(|wire| !wire.is_empty()) {
                for side in [0, 1] {
                    self.step(Step::Arrive(side))?;
                    if self.wires[side].is_empty() {
                        self.step(Step::Flush(side))?;
                    }
                }
            }
            self.step(Step::Wait(500))?;
        }
        for side in [0, 1] {
            if self.had[side] != self.given[side] || !self.sides[side].is_empty() {
                return Err(format!("{:?} of {:?}", self.had[side], self.given[side]));
            }
            if self.sides[side].next_timeout().is_some() {
                return Err("does not come to rest".into());
            }
        }
        Ok(())
    }

    fn run(fault: Fault, steps: &[Step]) -> Result<(), String> {
        let mut world = World::new(fault);
        world.step(Step::Heal)?;
        for step in steps {
            world.step(*step)?;
        }
        world.settle()
    }
}

fn number(parcel: &Bytes) -> u32 {
    u32::from_be_bytes([parcel[0], parcel[1], parcel[2], parcel[3]])
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let side = || 0..2usize;
    let step = prop_oneof![
        8 => (side(), 4..40usize).prop_map(|(side, size)| Step::Send(side, size)),
        4 => side().prop_map(Step::Flush),
        8 => side().prop_map(Step::Arrive),
        1 => side().prop_map(Step::Overtake),
        1 => side().prop_map(Step::Double),
        2 => side().prop_map(Step::Lose),
        1 => Just(Step::Cut),
        2 => Just(Step::Heal),
        1 => side().prop_map(Step::GiveUp),
        2 => (1..2000u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..150)
}

proptest! {
    #[test]
    fn whatever_the_way_does_all_arrives_once_and_in_order(steps in steps()) {
        World::run(Fault::Nothing, &steps).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn planted_faults_are_found() {
    for fault in [Fault::AckEarly, Fault::Skip, Fault::OldEpoch] {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let found = runner.run(&steps(), |steps| {
            World::run(fault, &steps).map_err(TestCaseError::fail)
        });
        assert!(found.is_err(), "{fault:?}");
    }
}

fn data(epoch: u64, after: u32, parcels: &[&'static [u8]]) -> Input {
    Input::Data(Data {
        epoch,
        after: Counter(after),
        parcels: parcels.iter().map(|p| Bytes::from_static(p)).collect(),
        ack: None,
    })
}

fn ack(epoch: u64, handled: u32, gap: bool) -> Ack {
    let handled = Counter(handled);
    Ack {
        epoch,
        handled,
        gap,
    }
}

fn turn(link: &mut Link, now: Now, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    link.handle(input, now, &mut out);
    out
}

#[test]
fn an_acknowledgement_rides_on_what_is_sent() {
    let now = start();
    let mut link = Link::new(Limits::default(), Timestamp(0));
    turn(&mut link, now, Input::Up);
    assert_eq!(
        turn(&mut link, now, data(7 * EPOCHS, 0, &[b"one", b"two"])),
        [
            Output::Deliver(Bytes::from_static(b"one")),
            Output::Deliver(Bytes::from_static(b"two"))
        ]
    );
    link.send(Bytes::from_static(b"three")).unwrap();
    let with_it = Output::Transmit(Body::Data(Data {
        epoch: EPOCHS,
        after: Counter(0),
        parcels: vec![Bytes::from_static(b"three")],
        ack: Some(ack(7 * EPOCHS, 2, false)),
    }));
    assert_eq!(turn(&mut link, now, Input::Flush), [with_it]);
    assert_eq!(turn(&mut link, now, Input::Flush), []);
}

#[test]
fn what_is_missing_is_asked_for_and_sent_at_once_but_not_for_every_frame_behind_it() {
    let now = start();
    let mut link = Link::new(Limits::default(), Timestamp(0));
    turn(&mut link, now, Input::Up);
    assert_eq!(turn(&mut link, now, data(EPOCHS, 3, &[b"late"])), []);
    let gap = Output::Transmit(Body::Ack(ack(EPOCHS, 0, true)));
    assert_eq!(turn(&mut link, now, Input::Flush), [gap]);
    assert_eq!(link.counts().early, 1);

    link.send(Bytes::from_static(b"x")).unwrap();
    turn(&mut link, now, Input::Flush);
    let again = turn(&mut link, now, Input::Ack(ack(EPOCHS, 0, true)));
    assert!(matches!(&again[..], [Output::Transmit(Body::Data(_))]));
    assert_eq!(turn(&mut link, now, Input::Ack(ack(EPOCHS, 0, true))), []);
    assert_eq!(link.counts().resent, 1);
}

#[test]
fn an_acknowledgement_of_more_than_was_sent_changes_nothing() {
    let now = start();
    let mut link = Link::new(Limits::default(), Timestamp(0));
    turn(&mut link, now, Input::Up);
    link.send(Bytes::from_static(b"x")).unwrap();
    turn(&mut link, now, Input::Flush);
    let out = turn(&mut link, now, Input::Ack(ack(EPOCHS, 2, false)));
    assert!(matches!(&out[..], [Output::Nonsense(_)]));
    assert_eq!(link.len(), 1);
    assert_eq!(
        turn(&mut link, now, Input::Ack(ack(9, 1, false))),
        [],
        "another epoch"
    );
    assert_eq!(
        turn(&mut link, now, Input::Ack(ack(EPOCHS, 1, false))),
        [Output::Acked(1)]
    );
}

#[test]
fn silence_is_met_ever_more_slowly() {
    let mut now = start();
    let mut link = Link::new(Limits::default(), Timestamp(0));
    turn(&mut link, now, Input::Up);
    link.send(Bytes::from_static(b"x")).unwrap();
    turn(&mut link, now, Input::Flush);
    let mut waits = Vec::new();
    for _ in 0..5 {
        let at = link.next_timeout().unwrap();
        waits.push((at - now.instant).as_millis());
        now.instant = at;
        link.handle_timeout(now, &mut Vec::new());
    }
    assert_eq!(waits, [500, 1000, 2000, 4000, 4000]);
    turn(&mut link, now, Input::Down);
    assert_eq!(link.next_timeout(), None, "nobody would hear it");
}

#[test]
fn a_parcel_beyond_the_bounds_is_refused() {
    let mut link = Link::new(small(), Timestamp(0));
    let mut taken = 0;
    while link.send(Bytes::from_static(&[0; 10])).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, 25, "of 256 bytes");
    let mut link = Link::new(small(), Timestamp(0));
    while link.send(Bytes::new()).is_ok() {}
    assert_eq!(link.len(), 40);
}
