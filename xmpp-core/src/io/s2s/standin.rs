//! Temporary: as little of a link manager as sends a stanza.
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::machine::Machine;
use crate::mailbox::{Budget, Envelope};
use crate::s2s::links::{Input, Limits, LinkId, Output};
use crate::s2s::{self, Ask, Pair, Verdict, Verify};
use crate::server::Random;
use crate::stanza::Condition;
use crate::stream;
use crate::time::Now;

pub struct Links {
    next: u64,
    pairs: HashMap<Pair, (LinkId, bool, VecDeque<Envelope>)>,
    verifies: Vec<(LinkId, Verify, LinkId)>,
    dialled: HashMap<LinkId, Pair>,
    all: Vec<LinkId>,
}

impl Links {
    pub fn new(_: Limits, _: Arc<dyn Random>, _: Arc<Budget>) -> Links {
        Links {
            next: 0,
            pairs: HashMap::new(),
            verifies: Vec::new(),
            dialled: HashMap::new(),
            all: vec![],
        }
    }
    fn dial(&mut self, pair: Pair, out: &mut Vec<Output>) -> LinkId {
        self.next += 1;
        let id = LinkId::Out(self.next);
        self.dialled.insert(id, pair.clone());
        out.push(Output::Dial(id, pair));
        id
    }
}

impl Machine for Links {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, _now: Now, out: &mut Vec<Output>) {
        match input {
            Input::Send(envelope) => {
                let pair = Pair::new(
                    &envelope.stanza.from().unwrap().to_bare(),
                    &envelope.stanza.to().unwrap().to_bare(),
                );
                if !self.pairs.contains_key(&pair) {
                    let id = self.dial(pair.clone(), out);
                    self.pairs
                        .insert(pair.clone(), (id, false, VecDeque::new()));
                }
                let (id, up, queue) = self.pairs.get_mut(&pair).unwrap();
                match up {
                    true => out.push(Output::Stream(*id, stream::Input::Send(envelope))),
                    false => queue.push_back(envelope),
                }
            }
            Input::Accepted(id) => self.all.push(id),
            Input::Connected(id) => {
                self.all.push(id);
                let pair = self.dialled[&id].clone();
                if self.pairs.get(&pair).is_some_and(|(link, ..)| *link == id) {
                    out.push(Output::Stream(
                        id,
                        stream::Input::S2s(s2s::Input::Request(pair)),
                    ));
                }
                for (_, verify, on) in &self.verifies {
                    if *on == id {
                        let input = s2s::Input::Verify(verify.clone());
                        out.push(Output::Stream(id, stream::Input::S2s(input)));
                    }
                }
                out.push(Output::Stream(id, stream::Input::S2s(s2s::Input::Open)));
            }
            Input::NotConnected(id, condition) => {
                let pair = self.dialled.remove(&id).unwrap();
                if self.pairs.get(&pair).is_some_and(|(link, ..)| *link == id) {
                    let (_, _, queue) = self.pairs.remove(&pair).unwrap();
                    for envelope in queue {
                        out.push(Output::Return(envelope, condition));
                    }
                }
                for (asker, verify, on) in std::mem::take(&mut self.verifies) {
                    if on == id {
                        let input = s2s::Input::Verified(verify, Verdict::NotFound);
                        out.push(Output::Stream(asker, stream::Input::S2s(input)));
                    } else {
                        self.verifies.push((asker, verify, on));
                    }
                }
            }
            Input::Stream(id, output) => match output {
                s2s::Output::Granted(pair) => {
                    let entry = self
                        .pairs
                        .entry(pair)
                        .or_insert((id, true, VecDeque::new()));
                    entry.0 = id;
                    entry.1 = true;
                    for envelope in entry.2.drain(..) {
                        out.push(Output::Stream(id, stream::Input::Send(envelope)));
                    }
                }
                s2s::Output::Refused(pair, why) => {
                    if self
                        .pairs
                        .get(&pair)
                        .is_some_and(|(link, up, _)| *link == id && !up)
                    {
                        let (_, _, queue) = self.pairs.remove(&pair).unwrap();
                        for envelope in queue {
                            out.push(Output::Return(envelope, why.condition()));
                        }
                    }
                }
                s2s::Output::Ask(Ask::Verify(verify)) => {
                    let on = self.dial(verify.pair.inverse(), out);
                    self.verifies.push((id, verify, on));
                }
                s2s::Output::Verified(verify, verdict) => {
                    if let Some(at) = self.verifies.iter().position(|(_, v, _)| *v == verify) {
                        let (asker, verify, on) = self.verifies.remove(at);
                        let input = s2s::Input::Verified(verify, verdict);
                        out.push(Output::Stream(asker, stream::Input::S2s(input)));
                        out.push(Output::Stream(on, stream::Input::Close(None)));
                    }
                }
                s2s::Output::Unsent(envelope) => {
                    out.push(Output::Return(envelope, Condition::RemoteServerTimeout));
                }
                _ => {}
            },
            Input::Lost(_, envelope) => {
                out.push(Output::Return(envelope, Condition::RemoteServerTimeout));
            }
            Input::Ended(id, ended) => {
                self.all.retain(|other| *other != id);
                for envelope in ended.returned {
                    out.push(Output::Return(envelope, Condition::RemoteServerTimeout));
                }
                self.pairs.retain(|_, (link, ..)| *link != id);
            }
            Input::Close => {
                for id in &self.all {
                    out.push(Output::Stream(*id, stream::Input::Close(None)));
                }
            }
            _ => {}
        }
    }
    fn handle_timeout(&mut self, _: Now, _: &mut Vec<Output>) {}
    fn next_timeout(&self) -> Option<Instant> {
        None
    }
}
