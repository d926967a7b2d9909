//! A stream of which a copy is kept: what its client knows, the copy has.

use std::sync::{Mutex, Weak};

use xmpp_core::session::SessionId;
use xmpp_core::standby::{Copied, Copies, Name, Op, Opening, Progress, Queued, Replica};

use super::*;

/// What the port does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It says that something is safe before it is.
    Hasty,
    /// It does not count what is sent.
    DeafToSent,
    /// It does not hear how many are handled.
    DeafToHandled,
    /// It does not hear what is acknowledged.
    DeafToAcked,
}

/// What was told, in its order; and the copy has it up to `safe`.
#[derive(Default)]
struct Log {
    told: Vec<Told>,
    safe: usize,
    fault: Option<Fault>,
    progress: Option<Progress>,
}

#[derive(Clone, Debug, PartialEq)]
enum Told {
    Sent(Option<String>),
    Op(Op),
}

/// What whoever takes over goes on with.
#[derive(Debug, Default, PartialEq)]
struct Taken {
    handled: u32,
    acked: u32,
    sent: VecDeque<Option<String>>,
    waits: bool,
}

#[derive(Clone, Default)]
struct Port(Arc<Mutex<Log>>);

impl Port {
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.0.lock().unwrap()
    }

    fn told(&self, told: Told) -> u64 {
        let mut log = self.log();
        let deaf = matches!(
            (log.fault, &told),
            (Some(Fault::DeafToSent), Told::Sent(_))
                | (Some(Fault::DeafToHandled), Told::Op(Op::Handled(_)))
                | (Some(Fault::DeafToAcked), Told::Op(Op::Acked(_)))
        );
        if !deaf {
            log.told.push(told);
        }
        let n = log.told.len() as u64;
        if log.fault == Some(Fault::Hasty)
            && let Some(progress) = &log.progress
        {
            progress.safe(n);
        }
        n
    }

    /// The copy has all up to there.
    fn reaches(&self, safe: usize) -> u64 {
        let mut log = self.log();
        log.safe = safe.min(log.told.len()).max(log.safe);
        let safe = log.safe as u64;
        log.progress.as_ref().unwrap().safe(safe);
        safe
    }

    fn taken(&self) -> Taken {
        let log = self.log();
        let mut taken = Taken::default();
        for told in &log.told[..log.safe] {
            match told {
                Told::Sent(id) => taken.sent.push_back(id.clone()),
                Told::Op(Op::Begin { handled, acked, .. }) => {
                    (taken.handled, taken.acked) = (*handled, *acked);
                }
                Told::Op(Op::Handled(h)) => taken.handled = *h,
                Told::Op(Op::Acked(h)) => {
                    while taken.acked < *h {
                        taken.acked += 1;
                        taken.sent.pop_front();
                    }
                }
                Told::Op(Op::Until(_)) => taken.waits = true,
                Told::Op(Op::Resumed) => taken.waits = false,
                Told::Op(_) => {}
            }
        }
        taken
    }
}

impl Copies for Port {
    fn open(&self, _: Opening, progress: Progress) -> Box<dyn Replica> {
        self.log().progress = Some(progress);
        Box::new(self.clone())
    }
}

impl Replica for Port {
    fn queue(&self, _: &Envelope) -> Queued {
        Queued::New(Name { run: 1, n: 1 }, self.told(Told::Op(Op::Resumed)))
    }

    fn sent(&self, envelope: &Envelope, _: Timestamp) -> u64 {
        self.told(Told::Sent(envelope.stanza.id().map(str::to_owned)))
    }

    fn tell(&self, op: Op) -> u64 {
        self.told(Told::Op(op))
    }
}

fn opened(port: &Port) -> Copied {
    // What a server says of it is nothing to the stream.
    let opening = Opening::new(SessionId { run: 1, n: 1 }, ID.into(), Vec::new().into());
    Copied::open(port, opening, Weak::new())
}

/// A stream with a copy that has all that was told so far.
fn copied(fault: Option<Fault>) -> (Bench, Port) {
    let mut bench = Bench::new().after(&[log_in, bind, enable_resume]);
    let port = Port::default();
    port.log().fault = fault;
    let copied = opened(&port);
    assert!(bench.input(Input::Copied(copied)).is_empty());
    (bench, port)
}

fn words(outputs: &[Output]) -> Vec<String> {
    outputs.iter().map(word).collect()
}

#[test]
fn nothing_is_written_before_it_is_safe_and_then_in_its_order() {
    let (mut b, port) = copied(None);
    port.reaches(9);
    assert!(b.send("<message id='1'/>").is_empty());
    assert!(b.send("<message id='2'/>").is_empty());
    assert!(
        words(&flush(&mut b)).is_empty(),
        "there is nothing to ask for"
    );
    // Nobody has it, so nobody can acknowledge it.
    let (mut early, second) = copied(None);
    second.reaches(9);
    early.send("<message id='1'/>");
    let error = words(&early.receive(&format!("<a {SM} h='1'/>"))).concat();
    assert!(error.contains("h='1' send-count='0'"), "{error}");

    let safe = port.reaches(2);
    assert_eq!(words(&b.input(Input::Safe(safe))), ["send 1"]);
    assert_eq!(words(&flush(&mut b)).len(), 1, "asked for");
    let safe = port.reaches(9);
    assert_eq!(words(&b.input(Input::Safe(safe))), ["send 2"]);
    assert!(b.input(Input::Safe(safe)).is_empty());
    assert!(b.receive(&format!("<a {SM} h='2'/>")).is_empty());
    assert_eq!(port.log().told.last(), Some(&Told::Op(Op::Acked(2))));
    // What is safe at once goes at once.
    port.log().fault = Some(Fault::Hasty);
    assert_eq!(words(&b.send("<message id='3'/>")), ["send 3"]);
}

/// XEP-0198 §4: "The response … MUST NOT be withheld for any condition other than a timeout."
#[test]
fn a_request_is_answered_at_once_with_what_is_safe() {
    let (mut b, port) = copied(None);
    port.reaches(9);
    message(&mut b);
    b.input(Input::Settled);
    let ask = |b: &mut Bench| words(&b.receive(&format!("<r {SM}/>"))).concat();
    assert_eq!(ask(&mut b), "<a h='0'/>");
    let safe = port.reaches(9);
    assert_eq!(
        words(&b.input(Input::Safe(safe))),
        ["<a h='1'/>"],
        "what it asked for"
    );
    assert_eq!(ask(&mut b), "<a h='1'/>");
}

/// Else its client would send once more what is counted already.
#[test]
fn a_stream_goes_on_when_all_that_is_handled_is_safe() {
    let (mut b, port) = copied(None);
    port.reaches(9);
    message(&mut b);
    b.input(Input::Settled);
    b.send("<message id='1'/>");
    cut(&mut b);
    b.send("<message id='2'/>");
    assert!(resumed(&mut b, 0).is_empty());
    let safe = port.reaches(3);
    let on = words(&b.input(Input::Safe(safe)));
    assert_eq!(on, ["reattach <resumed previd='ID' h='1'/>", "send 1"]);
    assert!(!port.taken().waits);
    let safe = port.reaches(99);
    assert_eq!(words(&b.input(Input::Safe(safe))), ["send 2"]);
    drop(b);
    assert_eq!(Arc::strong_count(&port.0), 1, "it has ended");
}

#[test]
fn a_copy_that_begins_late_is_told_what_there_is() {
    let mut b = Bench::new().after(&[log_in, bind, enable_resume, send, send, message]);
    b.input(Input::Settled);
    b.receive(&format!("<a {SM} h='1'/>"));
    let port = Port::default();
    b.input(Input::Copied(opened(&port)));
    port.reaches(9);
    let taken = port.taken();
    assert_eq!((taken.handled, taken.acked, taken.sent.len()), (1, 1, 1));
}

/// Runs a stream and its client, whose events come in any order, and gives what it finds wrong.
fn run(seed: u64, fault: Option<Fault>) -> Result<(), String> {
    let (mut b, port) = copied(fault);
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    // What the client has got, has acknowledged and has been told; whether it is there.
    let (mut got, mut acked, mut told, mut there) = (0_u32, 0_u32, 0_u32, true);
    let (mut open, mut ids) = (0_u32, 0_u32);
    for _ in 0..200 {
        let outputs = match random(9) {
            0 | 1 if got - acked < 2 => {
                ids += 1;
                b.send(&format!("<message id='{ids}'/>"))
            }
            2 if there => {
                open += 1;
                message(&mut b)
            }
            3 if open > 0 => {
                open -= 1;
                b.input(Input::Settled)
            }
            4 if there => b.receive(&format!("<r {SM}/>")),
            5 if there => {
                acked = got;
                b.receive(&format!("<a {SM} h='{got}'/>"))
            }
            6 if there => {
                there = false;
                cut(&mut b)
            }
            7 if !there => resumed(&mut b, got),
            _ => {
                let to = port.log().safe + random(4) as usize;
                let safe = port.reaches(to);
                b.input(Input::Safe(safe))
            }
        };
        for output in &outputs {
            let text = word(output);
            match output {
                Output::Send(_) if there => got += 1,
                Output::Send(_) => return Err("written to nobody".into()),
                Output::Refuse(_) | Output::Close(_) => return Err(text),
                Output::Reattach(_) => {
                    there = true;
                    acked = got;
                }
                _ => {}
            }
            if let Some((_, h)) = text.split_once("h='")
                && let Some((h, _)) = h.split_once('\'')
            {
                told = told.max(h.parse().unwrap());
            }
        }
        let taken = port.taken();
        let reached = taken.acked + taken.sent.len() as u32;
        if got > reached {
            return Err(format!("{got} written, {reached} safe"));
        }
        if told > taken.handled {
            return Err(format!("{told} told, {} safe", taken.handled));
        }
    }
    // In the end the copy has what the stream has; which may have gone on for that.
    for _ in 0..2 {
        let safe = port.reaches(usize::MAX);
        b.input(Input::Safe(safe));
    }
    let State::Managed(running) = &b.stream.state else {
        return Err("it has ended".into());
    };
    let taken = port.taken();
    let waits: Vec<_> = running.outbound.waiting().iter().collect();
    let ids = waits
        .iter()
        .map(|s| s.envelope.stanza.id().map(str::to_owned));
    let here = Taken {
        handled: running.inbound.count().0,
        acked: running.outbound.acked().0,
        sent: ids.collect(),
        waits: running.detached.is_some(),
    };
    match here == taken {
        true => Ok(()),
        false => Err(format!("{here:?}, but {taken:?}")),
    }
}

#[test]
fn whoever_takes_over_has_what_the_client_knows() {
    for seed in 0..500 {
        assert_eq!(run(seed, None), Ok(()), "seed {seed}");
    }
}

#[test]
fn planted_faults_are_found() {
    let faults = [
        Fault::Hasty,
        Fault::DeafToSent,
        Fault::DeafToHandled,
        Fault::DeafToAcked,
    ];
    for fault in faults {
        let found = (0..50).any(|seed| run(seed, Some(fault)).is_err());
        assert!(found, "{fault:?}");
    }
}
