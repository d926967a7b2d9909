//! What became of each message of one sender: the judge of a run.

use std::ops::AddAssign;

/// The messages of one sender to one receiver: 0, 1, 2, …
#[derive(Debug, Default)]
pub struct Ledger {
    messages: Vec<Message>,
    /// The latest that has arrived.
    latest: Option<u64>,
    counted: Fates,
    /// The receiver's session now.
    receiver: u32,
    plant: Option<Plant>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Message {
    /// The sender's server has said that it has it.
    acknowledged: bool,
    /// It came back with an error.
    returned: bool,
    /// It has arrived, in this session of the receiver.
    arrived_in: Option<u32>,
    /// The sender's session.
    sent_in: u32,
    /// The receiver's session at that time.
    sent_to: u32,
}

/// What became of all of them.
///
/// Who has had to log in anew may get something twice or late (XEP-0198 §5 can give no more), which is counted apart.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Fates {
    /// Messages; what is sent once more counts once.
    pub sent: u64,
    /// Acknowledged to the sender.
    pub acknowledged: u64,
    /// Acknowledged, and neither arrived nor returned.
    pub lost: u64,
    /// Arrived again in one session of the receiver.
    pub duplicated: u64,
    /// Arrived after a later one, sender and receiver in the same sessions all the while.
    pub reordered: u64,
    /// Arrived again when the receiver had logged in anew.
    pub again: u64,
    /// Arrived after a later one, and the sender or the receiver had logged in anew meanwhile: what is stored for a session that is not there
    /// comes when the next one says that it is available, and what is sent to that one comes at once.
    pub late: u64,
    /// Came out of the store only when everything was over.
    pub stored: u64,
    /// Came back with an error.
    pub returned: u64,
    /// Not acknowledged and not arrived: their sender knows that it does not know.
    pub unknown: u64,
    /// For somebody else, or never sent.
    pub foreign: u64,
}

/// What is planted, to see the judge turn red.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Wrong {
    /// A client is not told of a message.
    Drop,
    /// A client is told of a message twice.
    Duplicate,
    /// A client is told of a message behind the next one.
    Reorder,
    /// A node acknowledges a message that it does not have.
    Early,
}

#[derive(Debug)]
struct Plant {
    wrong: Wrong,
    /// Events until it strikes.
    countdown: u32,
    held: Option<(u64, u32)>,
}

/// Events before a planted fault strikes.
const STRIKE: u32 = 10;

impl Ledger {
    /// A ledger, with something planted if the run is to show that it looks.
    pub fn new(plant: Option<Wrong>) -> Ledger {
        let plant = plant.map(|wrong| Plant {
            wrong,
            countdown: STRIKE,
            held: None,
        });
        Ledger {
            plant,
            ..Ledger::default()
        }
    }

    /// The number of the message that is sent now, in this session of its sender; and whether it is to be sent in truth.
    pub fn depart(&mut self, session: u32) -> (u64, bool) {
        let number = self.messages.len() as u64;
        let kept = self.strikes(|wrong| wrong == Wrong::Early);
        self.messages.push(Message {
            sent_in: session,
            sent_to: self.receiver,
            acknowledged: kept,
            ..Message::default()
        });
        (number, !kept)
    }

    /// The sender was told that its server has this one.
    pub fn acknowledged(&mut self, number: u64) {
        if let Some(message) = self.message(number) {
            message.acknowledged = true;
        }
    }

    /// It came back with an error.
    pub fn returned(&mut self, number: u64) {
        if let Some(message) = self.message(number) {
            message.returned = true;
        }
    }

    /// It came, in this session of its receiver.
    pub fn arrived(&mut self, number: u64, session: u32) {
        let held = self.plant.as_mut().and_then(|plant| plant.held.take());
        if let Some((number, session)) = held {
            self.count(number + 1, session);
            return self.count(number, session);
        }
        if !self.strikes(|wrong| wrong != Wrong::Early) {
            return self.count(number, session);
        }
        match self.plant.as_ref().map(|plant| plant.wrong) {
            Some(Wrong::Duplicate) => {
                self.count(number, session);
                self.count(number, session);
            }
            Some(Wrong::Reorder) => {
                if let Some(plant) = &mut self.plant {
                    plant.held = Some((number, session));
                }
            }
            _ => {}
        }
    }

    /// The receiver has logged in anew.
    pub fn anew(&mut self) {
        self.receiver += 1;
    }

    /// What is for somebody else came.
    pub fn foreign(&mut self) {
        self.counted.foreign += 1;
    }

    /// What comes from now on was stored.
    pub fn collect(&mut self) {
        self.counted.stored = self.arrivals();
    }

    /// Whether something that was sent has neither arrived nor come back.
    pub fn is_waiting(&self) -> bool {
        let is_open = |message: &Message| message.arrived_in.is_none() && !message.returned;
        self.messages.iter().any(is_open)
    }

    /// The verdict. Give it when everything was collected.
    pub fn fates(&self) -> Fates {
        let count = |is: fn(&Message) -> bool| {
            self.messages.iter().filter(|&message| is(message)).count() as u64
        };
        Fates {
            sent: self.messages.len() as u64,
            acknowledged: count(|message| message.acknowledged),
            lost: count(|m| m.acknowledged && !m.returned && m.arrived_in.is_none()),
            returned: count(|message| message.returned),
            unknown: count(|m| !m.acknowledged && !m.returned && m.arrived_in.is_none()),
            stored: self.arrivals() - self.counted.stored,
            ..self.counted
        }
    }

    /// The numbers of those that are lost.
    pub fn lost(&self) -> Vec<u64> {
        let lost = |m: &Message| m.acknowledged && !m.returned && m.arrived_in.is_none();
        let all = self.messages.iter().enumerate();
        all.filter(|(_, message)| lost(message))
            .map(|(number, _)| number as u64)
            .collect()
    }

    fn count(&mut self, number: u64, session: u32) {
        let latest = self.latest.and_then(|latest| self.message(latest).copied());
        let Some(message) = self.message(number) else {
            return self.foreign();
        };
        match message.arrived_in {
            Some(before) if before == session => self.counted.duplicated += 1,
            Some(_) => self.counted.again += 1,
            None => {
                message.arrived_in = Some(session);
                let (sent_in, sent_to) = (message.sent_in, message.sent_to);
                match latest {
                    Some(other) if self.latest > Some(number) => {
                        let same = (Some(session), sent_in) == (other.arrived_in, other.sent_in);
                        if same && sent_to == session {
                            self.counted.reordered += 1;
                        } else {
                            self.counted.late += 1;
                        }
                    }
                    _ => self.latest = Some(number),
                }
            }
        }
    }

    fn arrivals(&self) -> u64 {
        let arrived = |message: &&Message| message.arrived_in.is_some();
        self.messages.iter().filter(arrived).count() as u64
    }

    fn message(&mut self, number: u64) -> Option<&mut Message> {
        self.messages.get_mut(usize::try_from(number).ok()?)
    }

    /// Whether what is planted does its work at this event.
    fn strikes(&mut self, here: impl Fn(Wrong) -> bool) -> bool {
        let Some(plant) = self.plant.as_mut().filter(|plant| here(plant.wrong)) else {
            return false;
        };
        let strikes = plant.countdown == 1;
        plant.countdown = plant.countdown.saturating_sub(1);
        strikes
    }
}

impl Fates {
    /// Whether what was acknowledged arrived, once in each session, and in order.
    pub fn hold(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.reordered == 0 && self.foreign == 0
    }
}

impl AddAssign for Fates {
    fn add_assign(&mut self, other: Fates) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.again += other.again;
        self.late += other.late;
        self.stored += other.stored;
        self.returned += other.returned;
        self.unknown += other.unknown;
        self.foreign += other.foreign;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many messages of one session, all acknowledged, and what arrives of them.
    fn judge(
        plant: Option<Wrong>,
        sent: u64,
        arrivals: impl IntoIterator<Item = (u64, u32)>,
    ) -> Fates {
        let mut ledger = Ledger::new(plant);
        let mut kept = Vec::new();
        for _ in 0..sent {
            let (number, goes) = ledger.depart(0);
            ledger.acknowledged(number);
            kept.extend((!goes).then_some(number));
        }
        let arrivals = arrivals.into_iter();
        for (number, session) in arrivals.filter(|(number, _)| !kept.contains(number)) {
            ledger.arrived(number, session);
        }
        ledger.fates()
    }

    fn all(count: u64) -> impl Iterator<Item = (u64, u32)> {
        (0..count).map(|number| (number, 0))
    }

    #[test]
    fn once_and_in_order_holds() {
        let fates = judge(None, 5, all(5));
        assert!(fates.hold());
        assert_eq!((fates.sent, fates.acknowledged), (5, 5));
    }

    #[test]
    fn what_was_acknowledged_and_never_came_is_lost() {
        assert_eq!(judge(None, 5, all(4)).lost, 1);
    }

    #[test]
    fn what_came_back_or_was_not_acknowledged_is_not_lost() {
        let mut ledger = Ledger::new(None);
        for _ in 0..3 {
            ledger.depart(0);
        }
        ledger.acknowledged(0);
        ledger.returned(0);
        ledger.arrived(1, 0);
        assert!(ledger.is_waiting());
        let fates = ledger.fates();
        assert!(fates.hold());
        assert_eq!((fates.returned, fates.unknown), (1, 1));
    }

    #[test]
    fn a_copy_in_one_session_is_a_fault_and_in_the_next_is_told_apart() {
        let fates = judge(None, 2, [(0, 0), (0, 0), (1, 0), (1, 1)]);
        assert_eq!((fates.duplicated, fates.again), (1, 1));
    }

    #[test]
    fn order_is_that_of_one_session() {
        let fates = judge(None, 3, [(1, 0), (0, 0), (2, 0)]);
        assert_eq!((fates.reordered, fates.late), (1, 0));
        let fates = judge(None, 3, [(1, 0), (2, 0), (0, 1)]);
        assert_eq!((fates.reordered, fates.late), (0, 1));
        // Stored for the session before, it comes behind what the next one was sent at once.
        let fates = judge(None, 2, [(1, 1), (0, 1)]);
        assert_eq!((fates.reordered, fates.late), (0, 1));
    }

    #[test]
    fn what_comes_at_the_end_was_stored() {
        let mut ledger = Ledger::new(None);
        for _ in 0..2 {
            ledger.depart(0);
        }
        ledger.arrived(0, 0);
        ledger.collect();
        ledger.arrived(1, 1);
        assert_eq!(ledger.fates().stored, 1);
    }

    #[test]
    fn what_was_never_sent_is_foreign() {
        assert!(!judge(None, 1, [(7, 0), (0, 0)]).hold());
    }

    #[test]
    fn each_planted_fault_turns_it_red_in_its_own_colour() {
        let verdict = |wrong| {
            let fates = judge(Some(wrong), 40, all(40));
            assert!(!fates.hold(), "{wrong:?}");
            (fates.lost, fates.duplicated, fates.reordered)
        };
        assert_eq!(verdict(Wrong::Drop), (1, 0, 0));
        assert_eq!(verdict(Wrong::Duplicate), (0, 1, 0));
        assert_eq!(verdict(Wrong::Reorder), (0, 0, 1));
        assert_eq!(verdict(Wrong::Early), (1, 0, 0));
    }
}
