//! The machine beside a model that remembers everything and is too simple to be wrong.

use proptest::prelude::*;

use super::*;

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// The client sends a stanza.
    Receive,
    /// One that the stream answers itself.
    Ping,
    /// The oldest that is open is settled.
    Settle,
    /// The session has a stanza for the client.
    Send,
    /// The client acknowledges so many of those that it has been given.
    Ack(u8),
    /// The client asks.
    Request,
    Flush,
    Cut,
    /// The client comes back, and has received so many of those that it was sent.
    Resume(u8),
    Wait(u16),
    /// The server is restarted, and this takes so many seconds.
    Restart(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Receive),
        1 => Just(Step::Ping),
        4 => Just(Step::Settle),
        4 => Just(Step::Send),
        2 => any::<u8>().prop_map(Step::Ack),
        1 => Just(Step::Request),
        2 => Just(Step::Flush),
        2 => Just(Step::Cut),
        3 => any::<u8>().prop_map(Step::Resume),
        1 => (0..400u16).prop_map(Step::Wait),
        1 => any::<u8>().prop_map(Step::Restart),
    ]
}

/// All that was ever sent, each way.
#[derive(Default)]
struct Model {
    /// From the client: whether each is settled.
    inbound: Vec<bool>,
    /// To the client, by their ids, and how many it has acknowledged.
    outbound: Vec<String>,
    acked: usize,
    detached: bool,
    /// What the client said when it came back, while it waits.
    waits: Option<usize>,
    ended: bool,
}

impl Model {
    fn handled(&self) -> usize {
        self.inbound.iter().take_while(|settled| **settled).count()
    }

    fn waiting(&self) -> &[String] {
        &self.outbound[self.acked..]
    }

    /// Takes a step, unless it makes no sense now; gives what the machine does.
    fn step(&mut self, i: usize, step: &Step, bench: &mut Bench) -> Option<Vec<Output>> {
        let out = match step {
            Step::Receive if !self.detached => {
                self.inbound.push(false);
                message(bench)
            }
            Step::Ping if !self.detached => {
                self.inbound.push(true);
                self.outbound.push(format!("ping{i}"));
                let ping = "<ping xmlns='urn:xmpp:ping'/>";
                bench.receive(&format!("<iq type='get' id='ping{i}'>{ping}</iq>"))
            }
            Step::Settle => {
                let open = self.inbound.iter_mut().find(|settled| !**settled)?;
                *open = true;
                bench.input(Input::Settled)
            }
            // Whoever is told to hold on does.
            Step::Send if self.waiting().len() < FULL => {
                self.outbound.push(format!("out{i}"));
                bench.send(&format!("<message id='out{i}'/>"))
            }
            Step::Ack(n) if !self.detached => {
                self.acked += usize::from(*n) % (self.waiting().len() + 1);
                bench.receive(&format!("<a {SM} h='{}'/>", self.acked))
            }
            Step::Request if !self.detached => bench.receive(&format!("<r {SM}/>")),
            Step::Flush => flush(bench),
            Step::Cut => {
                self.detached = true;
                cut(bench)
            }
            Step::Restart(seconds) => {
                // What was not settled the client sends again.
                self.inbound.truncate(self.handled());
                self.detached = true;
                self.waits = None;
                let mut out = next_run(bench);
                out.extend(bench.wait(Duration::from_secs((*seconds).into())));
                out
            }
            Step::Resume(n) if self.detached => {
                let h = self.acked + usize::from(*n) % (self.waiting().len() + 1);
                self.waits = Some(h);
                resumed(bench, h as u32)
            }
            Step::Wait(seconds) => {
                let out = bench.wait(Duration::from_secs((*seconds).into()));
                // A client that does not answer for a minute has gone.
                self.detached |= out.iter().any(|output| matches!(output, Output::Detach));
                out
            }
            _ => return None,
        };
        Some(out)
    }

    /// Compares what the machine does with what it has to do.
    fn check(&mut self, out: &[Output]) -> Result<(), TestCaseError> {
        let (mut again, mut returned) = (Vec::new(), Vec::new());
        let mut reattached = false;
        for output in out {
            match output {
                Output::Write(bytes) => {
                    prop_assert!(!self.detached, "nobody reads {}", word(output));
                    let text = String::from_utf8_lossy(bytes);
                    if let Some(h) = text.strip_prefix("<a xmlns='urn:xmpp:sm:3' h='") {
                        prop_assert_eq!(h, format!("{}'/>", self.handled()));
                    }
                }
                Output::Reattach(_) => {
                    let expected =
                        format!("reattach <resumed previd='ID' h='{}'/>", self.handled());
                    prop_assert_eq!(word(output), expected);
                    prop_assert_eq!(self.handled(), self.inbound.len(), "in flight");
                    self.acked = self.waits.take().unwrap();
                    self.detached = false;
                    reattached = true;
                }
                Output::Send(envelope) if reattached => {
                    again.push(envelope.stanza.id().unwrap().to_owned());
                }
                Output::Return(envelope) => {
                    returned.push(envelope.stanza.id().unwrap().to_owned());
                }
                Output::Close(_) => {
                    prop_assert_eq!(&returned[..], self.waiting(), "what comes back");
                    self.ended = true;
                }
                _ => {}
            }
        }
        if reattached {
            prop_assert_eq!(&again[..], self.waiting(), "sent once more");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_does_what_the_model_does(steps in prop::collection::vec(step(), 1..80)) {
        let mut bench = Bench::new().after(&[log_in, bind, enable_resume]);
        let mut model = Model::default();
        for (i, step) in steps.iter().enumerate() {
            if model.ended {
                break;
            }
            if let Some(out) = model.step(i, step, &mut bench) {
                model.check(&out)?;
            }
        }
        let Bench { stream, budget, .. } = bench;
        drop(stream);
        prop_assert_eq!(budget.used(), 0);
    }
}
