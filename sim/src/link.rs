//! A link between a client and the server, as a machine without I/O: bytes and the
//! time go in, bytes come out when they are due, in the pieces that the line makes.
//!
//! Like TCP a link neither loses, doubles nor reorders bytes; it delays them, cuts
//! them up anew, holds them back, and ends. Only [`Mishap::Garble`] does what TCP's
//! checksum should prevent; it stands for a client that is broken or hostile.

mod end;

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

pub use end::{End, Switch, cable};

use crate::rng::Rng;

/// How long a side waits for the other to take what it wrote before it gives up: what
/// the driver sets as `TCP_USER_TIMEOUT` ("transmitted data may remain unacknowledged, or
/// buffered data may remain untransmitted", tcp(7)).
pub const GIVE_UP: Duration = Duration::from_secs(120);

/// How one direction of a link behaves.
#[derive(Clone, Debug)]
pub struct Line {
    /// How long a byte is on its way; default 0.
    pub latency: Duration,
    /// What comes on top of it, between nothing and this; default 0. Order is kept.
    pub jitter: Duration,
    /// Bytes per second; default unlimited.
    pub rate: Option<u64>,
    /// Into what pieces bytes are cut.
    pub pieces: Pieces,
    /// Bytes on the way or unread before the writer has to wait; default 64 KiB.
    pub window: usize,
    /// What goes wrong, in no order.
    pub mishaps: Vec<Mishap>,
}

/// Into what pieces bytes are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// As they were written.
    AsWritten,
    /// Of exactly this many bytes, at most. One cuts at every byte.
    Of(usize),
    /// Of one byte up to this many, at random.
    UpTo(usize),
}

/// What goes wrong in one direction of a link, when so many bytes (`after`) have
/// been sent over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The next byte is changed: these bits are flipped.
    Garble {
        /// Bytes that arrive unharmed before.
        after: u64,
        /// Bits to flip.
        flip: u8,
    },
    /// Nothing more arrives for a while; `None`: ever.
    Stall {
        /// Bytes that arrive before.
        after: u64,
        /// For how long.
        pause: Option<Duration>,
    },
    /// The link ends.
    Cut {
        /// Bytes that arrive before.
        after: u64,
        /// How it ends.
        how: Cut,
    },
}

/// How a link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// This direction is closed in good order; the other goes on.
    Finish,
    /// Both directions are reset.
    Reset,
    /// What is on its way arrives, but nothing that is written from now on, in either
    /// direction, and nobody is told. A side that writes gives up after [`GIVE_UP`].
    Vanish,
}

/// A side of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Client,
    /// The server's.
    Server,
}

/// What becomes of what a side writes.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// So many bytes were taken.
    Taken(usize),
    /// The window is full; perhaps the link fails at this moment.
    Full(Option<Instant>),
    /// An error.
    Failed(ErrorKind),
}

/// What a side reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing yet; perhaps at this moment.
    Nothing(Option<Instant>),
    /// The end.
    End,
    /// An error.
    Failed(ErrorKind),
}

/// Both directions. See the [module](self).
#[derive(Debug)]
pub struct Link {
    /// What the client, and what the server sends.
    pipes: [Pipe; 2],
    /// When the client's, and when the server's end fails.
    broken: [Option<(Instant, ErrorKind)>; 2],
    vanished: bool,
}

#[derive(Debug)]
struct Pipe {
    line: Line,
    rng: Rng,
    sent: u64,
    pieces: VecDeque<Piece>,
    /// Bytes in `pieces`.
    held: usize,
    /// Since when the writer has waited for room.
    full_since: Option<Instant>,
    /// When the line has carried what was sent; `None`: never.
    free_at: Option<Instant>,
    finished: Option<Option<Instant>>,
    /// Whether the reader has gone.
    deaf: bool,
}

#[derive(Debug)]
struct Piece {
    sent: Instant,
    due: Option<Instant>,
    bytes: Vec<u8>,
    read: usize,
}

impl Line {
    /// A line that does nothing to what it carries.
    pub fn perfect() -> Line {
        Line {
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            pieces: Pieces::AsWritten,
            window: 64 << 10,
            mishaps: Vec::new(),
        }
    }

    /// A line of some kind that people have, without mishaps.
    pub fn ordinary(rng: &mut Rng) -> Line {
        let latency = *rng.pick(&[0, 1, 20, 150, 600]);
        Line {
            latency: Duration::from_millis(latency),
            jitter: Duration::from_millis(rng.between(0..=latency)),
            rate: rng.one_in(3).then(|| rng.between(2_000..=200_000)),
            pieces: *rng.pick(&[
                Pieces::AsWritten,
                Pieces::Of(1),
                Pieces::UpTo(3),
                Pieces::UpTo(40),
                Pieces::UpTo(1460),
            ]),
            window: 1 << rng.between(8..=16),
            mishaps: Vec::new(),
        }
    }

    /// This line in these pieces.
    pub fn pieces(mut self, pieces: Pieces) -> Line {
        self.pieces = pieces;
        self
    }

    /// This line with one more mishap.
    pub fn mishap(mut self, mishap: Mishap) -> Line {
        self.mishaps.push(mishap);
        self
    }
}

impl Link {
    /// A link whose client sends over `up` and receives over `down`.
    pub fn new(up: Line, down: Line, mut rng: Rng, now: Instant) -> Link {
        Link {
            pipes: [up, down].map(|line| Pipe::new(line, rng.fork(), now)),
            broken: [None; 2],
            vanished: false,
        }
    }

    /// Takes bytes from a side.
    pub fn write(&mut self, side: Side, bytes: &[u8], now: Instant) -> Write {
        if let Some((at, error)) = self.breaks_at(side, now)
            && now >= at
        {
            return Write::Failed(error);
        }
        let pipe = &mut self.pipes[side as usize];
        if pipe.finished.is_some() {
            return Write::Failed(ErrorKind::BrokenPipe);
        }
        let room = pipe.line.window.saturating_sub(pipe.held);
        let taken = room.min(bytes.len());
        if taken == 0 {
            pipe.full_since.get_or_insert(now);
            return Write::Full(self.breaks_at(side, now).map(|(at, _)| at));
        }
        if pipe.deaf {
            let back = now + pipe.line.latency;
            self.breaks(side, back, ErrorKind::ConnectionReset);
        } else if let Some(cut) = pipe.carry(&bytes[..taken], now) {
            self.cut(side, cut, now);
        }
        Write::Taken(taken)
    }

    /// Gives a side what is due.
    pub fn read(&mut self, side: Side, buffer: &mut [u8], now: Instant) -> Read {
        let read = self.pipes[side.other() as usize].read(buffer, now);
        match (read, self.breaks_at(side, now)) {
            (Read::Nothing(_) | Read::End, Some((at, error))) if now >= at => Read::Failed(error),
            (Read::Nothing(due), Some((at, _))) => {
                Read::Nothing(Some(due.map_or(at, |due| due.min(at))))
            }
            (read, _) => read,
        }
    }

    /// A side sends no more.
    pub fn finish(&mut self, side: Side) {
        let pipe = &mut self.pipes[side as usize];
        if pipe.finished.is_none() {
            pipe.finished = Some(pipe.free_at.map(|at| at + pipe.line.latency));
        }
    }

    /// A side has gone: it sends no more, and hears nothing.
    pub fn leave(&mut self, side: Side) {
        self.finish(side);
        if !self.vanished {
            let pipe = &mut self.pipes[side.other() as usize];
            pipe.deaf = true;
            pipe.pieces.clear();
            pipe.held = 0;
        }
    }

    /// Both sides find the link reset.
    pub fn reset(&mut self, now: Instant) {
        for side in [Side::Client, Side::Server] {
            self.breaks(side, now, ErrorKind::ConnectionReset);
        }
    }

    /// From now on nothing that is written arrives, and nobody is told.
    pub fn vanish(&mut self) {
        self.vanished = true;
        for pipe in &mut self.pipes {
            pipe.free_at = None;
        }
    }

    fn cut(&mut self, side: Side, how: Cut, now: Instant) {
        match how {
            Cut::Finish => self.finish(side),
            Cut::Vanish => self.vanish(),
            Cut::Reset => {
                let pipe = &self.pipes[side as usize];
                if let Some(at) = pipe.free_at {
                    self.reset(now.max(at + pipe.line.latency));
                }
            }
        }
    }

    /// When a side finds the link broken, as things are: by the other side, or because
    /// what it wrote does not arrive, or finds no room.
    fn breaks_at(&self, side: Side, now: Instant) -> Option<(Instant, ErrorKind)> {
        let pipe = &self.pipes[side as usize];
        let waiting = pipe.unarrived(now).into_iter().chain(pipe.full_since);
        let gives_up = waiting.map(|since| (since + GIVE_UP, ErrorKind::TimedOut));
        let broken = self.broken[side as usize];
        gives_up.chain(broken).min_by_key(|(at, _)| *at)
    }

    fn breaks(&mut self, side: Side, at: Instant, error: ErrorKind) {
        self.broken[side as usize].get_or_insert((at, error));
    }
}

impl Side {
    /// The other one.
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

impl Pipe {
    fn new(line: Line, rng: Rng, now: Instant) -> Pipe {
        Pipe {
            line,
            rng,
            sent: 0,
            pieces: VecDeque::new(),
            held: 0,
            full_since: None,
            free_at: Some(now),
            finished: None,
            deaf: false,
        }
    }

    /// Sends bytes on their way, up to a cut. What vanishes is on its way for ever.
    fn carry(&mut self, mut bytes: &[u8], now: Instant) -> Option<Cut> {
        self.free_at = self.free_at.map(|at| at.max(now));
        let mut vanishes = None;
        while !bytes.is_empty() {
            let length = self.piece_length(bytes.len());
            let (piece, rest) = bytes.split_at(length);
            let mut piece = piece.to_vec();
            match self.mishap(&mut piece) {
                Some(Cut::Vanish) => {
                    vanishes = Some(Cut::Vanish);
                    self.free_at = None;
                }
                None => {}
                cut => return cut,
            }
            self.sent += length as u64;
            let carried = self.line.rate.map_or(Duration::ZERO, |rate| {
                Duration::from_nanos(length as u64 * 1_000_000_000 / rate.max(1))
            });
            let jitter = self.rng.between(0..=self.line.jitter.as_micros() as u64);
            let due = self.free_at.map(|at| {
                let due = at + carried + self.line.latency + Duration::from_micros(jitter);
                self.last_due().map_or(due, |last| due.max(last))
            });
            self.free_at = self.free_at.map(|at| at + carried);
            self.held += length;
            self.pieces.push_back(Piece {
                sent: now,
                due,
                bytes: piece,
                read: 0,
            });
            bytes = rest;
        }
        vanishes
    }

    /// Up to where nothing goes wrong and the line makes one piece.
    fn piece_length(&mut self, most: usize) -> usize {
        let length = match self.line.pieces {
            Pieces::AsWritten => most,
            Pieces::Of(length) => most.min(length.max(1)),
            Pieces::UpTo(longest) => most.min(1 + self.rng.below(longest)),
        };
        let next = self.line.mishaps.iter().map(Mishap::after);
        let next = next.filter(|&after| after > self.sent).min();
        next.map_or(length, |after| length.min((after - self.sent) as usize))
    }

    /// What goes wrong at the first byte of this piece.
    fn mishap(&mut self, piece: &mut [u8]) -> Option<Cut> {
        let mut cut = None;
        for mishap in &self.line.mishaps {
            match *mishap {
                mishap if mishap.after() != self.sent => {}
                Mishap::Garble { flip, .. } => piece[0] ^= flip,
                Mishap::Stall { pause, .. } => {
                    self.free_at = self.free_at.zip(pause).map(|(at, pause)| at + pause);
                }
                // Nobody hears of a cut behind which nothing arrives.
                Mishap::Cut { .. } if self.free_at.is_none() => {}
                Mishap::Cut { how, .. } => cut = Some(how),
            }
        }
        cut
    }

    /// When the first of what is still on its way was sent.
    fn unarrived(&self, now: Instant) -> Option<Instant> {
        let arrived = |piece: &Piece| piece.due.is_some_and(|due| due <= now);
        let first = self.pieces.partition_point(arrived);
        self.pieces.get(first).map(|piece| piece.sent)
    }

    fn last_due(&self) -> Option<Instant> {
        self.pieces.back().and_then(|piece| piece.due)
    }

    fn read(&mut self, buffer: &mut [u8], now: Instant) -> Read {
        let Some(piece) = self.pieces.front_mut() else {
            return match self.finished {
                Some(Some(at)) if now >= at => Read::End,
                Some(at) => Read::Nothing(at),
                None => Read::Nothing(None),
            };
        };
        if piece.due.is_none_or(|due| due > now) {
            return Read::Nothing(piece.due);
        }
        let rest = &piece.bytes[piece.read..];
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        piece.read += read;
        self.held -= read;
        self.full_since = None;
        if piece.read == piece.bytes.len() {
            self.pieces.pop_front();
        }
        Read::Bytes(read)
    }
}

impl Mishap {
    /// The same after so many bytes.
    pub fn at(self, after: u64) -> Mishap {
        match self {
            Mishap::Garble { flip, .. } => Mishap::Garble { after, flip },
            Mishap::Stall { pause, .. } => Mishap::Stall { after, pause },
            Mishap::Cut { how, .. } => Mishap::Cut { after, how },
        }
    }

    fn after(&self) -> u64 {
        match *self {
            Mishap::Garble { after, .. }
            | Mishap::Stall { after, .. }
            | Mishap::Cut { after, .. } => after,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // an instant cannot be made of nothing
    use super::*;

    fn link(up: Line) -> (Link, Instant) {
        let start = Instant::now();
        (Link::new(up, Line::perfect(), Rng::new(0), start), start)
    }

    /// Everything the server can read at once, piece by piece.
    fn pieces(link: &mut Link, now: Instant) -> (Vec<String>, Read) {
        let mut pieces = Vec::new();
        let mut buffer = [0; 100];
        loop {
            match link.read(Side::Server, &mut buffer, now) {
                Read::Bytes(n) => pieces.push(String::from_utf8_lossy(&buffer[..n]).into_owned()),
                end => return (pieces, end),
            }
        }
    }

    fn after(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn bytes_arrive_when_they_are_due_and_in_the_pieces_of_the_line() {
        let mut line = Line::perfect().pieces(Pieces::Of(2));
        line.latency = after(10);
        line.rate = Some(1000);
        let (mut link, start) = link(line);
        assert_eq!(link.write(Side::Client, b"abcde", start), Write::Taken(5));
        let (got, next) = pieces(&mut link, start);
        assert_eq!(
            (got.len(), next),
            (0, Read::Nothing(Some(start + after(12))))
        );
        let (got, next) = pieces(&mut link, start + after(14));
        assert_eq!(got, ["ab", "cd"]);
        assert_eq!(next, Read::Nothing(Some(start + after(15))));
    }

    #[test]
    fn a_full_window_makes_the_writer_wait_until_the_reader_reads() {
        let mut line = Line::perfect();
        line.window = 4;
        let (mut link, now) = link(line);
        assert_eq!(link.write(Side::Client, b"abcdef", now), Write::Taken(4));
        assert_eq!(
            link.write(Side::Client, b"ef", now),
            Write::Full(Some(now + GIVE_UP))
        );
        assert_eq!(pieces(&mut link, now).0, ["abcd"]);
        assert_eq!(link.write(Side::Client, b"ef", now), Write::Taken(2));
    }

    #[test]
    fn a_byte_is_garbled_where_it_is_said() {
        let (mut link, now) = link(Line::perfect().mishap(Mishap::Garble { after: 2, flip: 1 }));
        let _ = link.write(Side::Client, b"aaaa", now);
        assert_eq!(pieces(&mut link, now).0.concat(), "aa`a");
    }

    #[test]
    fn a_stall_holds_back_what_comes_after_it() {
        let pause = Some(after(500));
        let (mut link, now) = link(Line::perfect().mishap(Mishap::Stall { after: 1, pause }));
        let _ = link.write(Side::Client, b"abc", now);
        assert_eq!(pieces(&mut link, now).0, ["a"]);
        assert_eq!(pieces(&mut link, now + after(500)).0, ["bc"]);
    }

    #[test]
    fn what_was_sent_before_a_cut_arrives_and_nothing_else() {
        for (how, end) in [
            (Cut::Finish, Read::End),
            (Cut::Reset, Read::Failed(ErrorKind::ConnectionReset)),
            (Cut::Vanish, Read::Nothing(None)),
        ] {
            let (mut link, now) = link(Line::perfect().mishap(Mishap::Cut { after: 3, how }));
            let _ = link.write(Side::Client, b"abcdef", now);
            let (got, ended) = pieces(&mut link, now);
            assert_eq!((got.concat().as_str(), ended), ("abc", end), "{how:?}");
            let answer = link.write(Side::Server, b"x", now);
            assert_eq!(answer == Write::Taken(1), how != Cut::Reset, "{how:?}");
        }
    }

    #[test]
    fn who_writes_into_the_void_gives_up() {
        let how = Cut::Vanish;
        let (mut link, now) = link(Line::perfect().mishap(Mishap::Cut { after: 1, how }));
        let _ = link.write(Side::Client, b"ab", now);
        assert_eq!(link.read(Side::Server, &mut [0], now), Read::Bytes(1));
        let client = link.read(Side::Client, &mut [0], now);
        assert_eq!(client, Read::Nothing(Some(now + GIVE_UP)));
        let _ = link.write(Side::Server, b"b", now + after(1));
        let (_, next) = pieces(&mut link, now + after(1));
        let gives_up = now + after(1) + GIVE_UP;
        assert_eq!(next, Read::Nothing(Some(gives_up)));
        assert_eq!(
            pieces(&mut link, gives_up).1,
            Read::Failed(ErrorKind::TimedOut)
        );
    }

    #[test]
    fn who_finds_no_room_gives_up_but_not_on_one_who_reads_slowly() {
        let mut line = Line::perfect();
        line.window = 2;
        let (mut link, now) = link(line);
        assert_eq!(link.write(Side::Client, b"abc", now), Write::Taken(2));
        let later = now + GIVE_UP * 9;
        assert_eq!(
            link.write(Side::Client, b"c", later),
            Write::Full(Some(later + GIVE_UP))
        );
        assert_eq!(
            link.read(Side::Server, &mut [0], later + after(1)),
            Read::Bytes(1)
        );
        let later = later + GIVE_UP;
        assert_eq!(link.write(Side::Client, b"c", later), Write::Taken(1));
        assert!(matches!(
            link.write(Side::Client, b"d", later),
            Write::Full(_)
        ));
        assert_eq!(
            link.write(Side::Client, b"d", later + GIVE_UP),
            Write::Failed(ErrorKind::TimedOut)
        );
    }

    #[test]
    fn who_writes_to_one_that_has_gone_is_told_at_the_second_write() {
        let (mut link, now) = link(Line::perfect());
        let _ = link.write(Side::Client, b"last words", now);
        link.leave(Side::Client);
        let (got, end) = pieces(&mut link, now);
        assert_eq!((got.concat().as_str(), end), ("last words", Read::End));
        assert_eq!(link.write(Side::Server, b"what?", now), Write::Taken(5));
        assert_eq!(
            link.write(Side::Server, b"hello?", now),
            Write::Failed(ErrorKind::ConnectionReset)
        );
    }
}
