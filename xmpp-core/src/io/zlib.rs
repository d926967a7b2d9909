//! ZLIB (RFC 1950) as a stream is compressed with it (XEP-0138): one stream of it in each direction, from the first byte of XML to the last.

use std::io;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use crate::s2s::compression::Failure;
use crate::stream::{StreamCondition, StreamError};

/// Bytes that may come of one that came, for ever. A run of one letter gives 1030, a message that goes to a thousand occupants of a room, each copy with
/// another address, 100 to 200.
const EXPANSION: u64 = 256;
/// Stanzas of the largest size that may come of nothing, beyond [`EXPANSION`].
const SURPLUS: u64 = 8;
/// What the state of one direction takes, in bytes; that of packing is mostly what was written last and where to find it again.
const PACKER: usize = 320 * 1024;
const UNPACKER: usize = 44 * 1024;
/// By so much the packed form grows at a time.
const STEP: usize = 4 * 1024;

/// Packs what is written.
pub(super) struct Packer(Compress);

impl Packer {
    /// At the beginning of a stream. It packs as small as it can: it is there for links that are slower than any of that.
    pub(super) fn new() -> Packer {
        Packer(Compress::new(flate2::Compression::best(), true))
    }

    /// Packs all of this, so that the other side can unpack all of it. XEP-0138 §6: "the sending application SHOULD complete a partial flush
    /// of ZLIB when its current send is complete". What that costs, some five bytes, is spent for what is written at once, however many
    /// stanzas that is.
    pub(super) fn pack(&mut self, mut xml: &[u8], packed: &mut Vec<u8>) -> io::Result<()> {
        loop {
            packed.reserve(STEP);
            let before = self.0.total_in();
            let status = self.0.compress_vec(xml, packed, FlushCompress::Sync);
            status.map_err(io::Error::other)?;
            let taken = usize::try_from(self.0.total_in() - before);
            xml = &xml[taken.unwrap_or(xml.len())..];
            // Had there been more, it would have been filled.
            if xml.is_empty() && packed.len() < packed.capacity() {
                return Ok(());
            }
        }
    }

    /// Bytes that it holds.
    pub(super) fn held(&self) -> usize {
        PACKER
    }
}

/// Unpacks what is read, never more at a time than there is room for.
pub(super) struct Unpacker {
    state: Decompress,
    /// What came, and how much of it is unpacked.
    packed: Vec<u8>,
    at: usize,
    /// The last room was filled, so that there may be more behind it.
    filled: bool,
    ended: bool,
    /// Bytes that may come out before more goes in.
    credit: u64,
    credit_max: u64,
}

/// What is wrong with what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not ZLIB, or does not end where it says.
    Garbage,
    /// So little cannot stand for so much.
    Bomb,
}

/// What one call has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unpacked {
    /// Bytes that were unpacked.
    pub(super) read: u64,
    /// Bytes that they have become.
    pub(super) written: usize,
}

impl From<Fault> for StreamError {
    fn from(fault: Fault) -> StreamError {
        match fault {
            // XEP-0138 §2: "If compression processing fails after the new (compressed) stream has been established, the entity that
            // detects the error SHOULD generate a stream error and close the stream"
            Fault::Garbage => StreamError::new(StreamCondition::UndefinedCondition)
                .with_detail(Failure::Processing.element()),
            // RFC 6120 §4.9.3.14: "The entity has violated some local service policy"
            Fault::Bomb => {
                StreamError::new(StreamCondition::PolicyViolation).with_text("expands too much")
            }
        }
    }
}

impl Unpacker {
    /// At the beginning of a stream on which no stanza is larger than that.
    pub(super) fn new(stanza_bytes: usize) -> Unpacker {
        let credit = SURPLUS * stanza_bytes as u64;
        Unpacker {
            state: Decompress::new(true),
            packed: Vec::new(),
            at: 0,
            filled: false,
            ended: false,
            credit,
            credit_max: credit,
        }
    }

    /// This came. Nothing more is to come before all of it is [unpacked](Unpacker::has_more).
    pub(super) fn take(&mut self, packed: &[u8]) {
        self.packed.drain(..self.at);
        self.at = 0;
        self.packed.extend_from_slice(packed);
    }

    /// Whether there may be something to [unpack](Unpacker::unpack).
    pub(super) fn has_more(&self) -> bool {
        self.filled || self.at < self.packed.len()
    }

    /// Unpacks as much as there is room for.
    pub(super) fn unpack(&mut self, room: &mut [u8]) -> Result<Unpacked, Fault> {
        if self.ended {
            return match self.has_more() {
                true => Err(Fault::Garbage),
                false => Ok(Unpacked {
                    read: 0,
                    written: 0,
                }),
            };
        }
        let (read, written) = (self.state.total_in(), self.state.total_out());
        let rest = &self.packed[self.at..];
        let status = self.state.decompress(rest, room, FlushDecompress::None);
        let status = status.map_err(|_| Fault::Garbage)?;
        let read = self.state.total_in() - read;
        let written = self.state.total_out() - written;
        let credit = self.credit.saturating_add(read.saturating_mul(EXPANSION));
        self.credit = credit.checked_sub(written).ok_or(Fault::Bomb)?;
        self.credit = self.credit.min(self.credit_max);
        // Neither is more than a slice has bytes.
        let written = written as usize;
        self.at += read as usize;
        if self.at == self.packed.len() {
            (self.packed, self.at) = (Vec::new(), 0);
        }
        self.filled = written == room.len();
        self.ended = status == Status::StreamEnd;
        if self.ended {
            self.filled = false;
        }
        // Nothing went in and nothing came out, though both could have.
        if read == 0 && written == 0 && !self.packed.is_empty() && !self.ended {
            return Err(Fault::Garbage);
        }
        Ok(Unpacked { read, written })
    }

    /// Bytes that it holds.
    pub(super) fn held(&self) -> usize {
        UNPACKER + self.packed.capacity()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STANZA: usize = 16 * 1024;

    fn packed(xml: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        Packer::new().pack(xml, &mut packed).unwrap();
        packed
    }

    /// Unpacks what there is, in rooms of this size.
    fn unpack_all(unpacker: &mut Unpacker, room: usize) -> Result<Vec<u8>, Fault> {
        let (mut all, mut room) = (Vec::new(), vec![0; room]);
        while unpacker.has_more() {
            let length = unpacker.unpack(&mut room)?.written;
            all.extend_from_slice(&room[..length]);
        }
        Ok(all)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// However it is cut, and however little room there is.
        #[test]
        fn each_batch_can_be_unpacked_when_it_is_there(
            batches in proptest::collection::vec(
                prop_oneof![
                    "[a-c<>/ ]{1,400}".prop_map(String::into_bytes),
                    proptest::collection::vec(any::<u8>(), 1..400),
                    (1usize..40_000).prop_map(|length| vec![b'x'; length]),
                ],
                1..12,
            ),
            piece in 1usize..2000,
            room in 1usize..5000,
        ) {
            let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new(STANZA));
            for batch in batches {
                let mut packed = Vec::new();
                packer.pack(&batch, &mut packed).unwrap();
                let mut came = Vec::new();
                for piece in packed.chunks(piece) {
                    unpacker.take(piece);
                    came.extend(unpack_all(&mut unpacker, room).unwrap());
                }
                prop_assert_eq!(came, batch);
            }
        }

        #[test]
        fn nothing_that_comes_makes_it_fail_or_go_on_for_ever(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20),
            header: bool,
        ) {
            let mut unpacker = Unpacker::new(STANZA);
            if header {
                unpacker.take(&packed(b"<a/>"));
                unpack_all(&mut unpacker, 1000).unwrap();
            }
            for piece in pieces {
                unpacker.take(&piece);
                if unpack_all(&mut unpacker, 1000).is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// The whole of a stream is one stream of ZLIB: what was said before is said in fewer bytes.
    #[test]
    fn what_was_said_before_costs_little() {
        let mut packer = Packer::new();
        let mut size = |text: &str| {
            let mut packed = Vec::new();
            packer.pack(text.as_bytes(), &mut packed).unwrap();
            packed.len()
        };
        let message = |id: u32, body: &str| {
            format!(
                "<message from='romeo@montague.example/orchard' to='juliet@capulet.example' type='chat' id='{id}'>\
                 <body>{body}</body></message>"
            )
        };
        let first = size(&message(1, "But soft, what light"));
        let second = size(&message(2, "through yonder window breaks?"));
        assert!(first > 100, "{first}");
        assert!(second < 60, "{second}");
    }

    #[test]
    fn a_bomb_is_found_before_it_has_filled_anything() {
        let bomb = packed(&vec![b' '; 64 << 20]);
        assert!(bomb.len() < 80 * 1024, "{}", bomb.len());
        let mut unpacker = Unpacker::new(STANZA);
        let (mut room, mut came) = (vec![0; 16 * 1024], 0);
        let fault = 'bomb: {
            for piece in bomb.chunks(16 * 1024) {
                unpacker.take(piece);
                while unpacker.has_more() {
                    match unpacker.unpack(&mut room) {
                        Ok(unpacked) => came += unpacked.written,
                        Err(fault) => break 'bomb Some(fault),
                    }
                }
            }
            None
        };
        assert_eq!(fault, Some(Fault::Bomb));
        // It has gained a fourth of what it has brought.
        assert!(came < 2 * SURPLUS as usize * STANZA, "{came}");
        assert!(unpacker.held() < UNPACKER + 32 * 1024);
    }

    /// What is allowed for nothing is not saved up.
    #[test]
    fn who_has_behaved_for_long_cannot_send_a_larger_bomb() {
        let (mut packer, mut unpacker) = (Packer::new(), Unpacker::new(STANZA));
        let mut noise = 1u32;
        for _ in 0..200 {
            let batch: Vec<u8> = std::iter::repeat_with(|| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            })
            .take(5000)
            .collect();
            let mut packed = Vec::new();
            packer.pack(&batch, &mut packed).unwrap();
            unpacker.take(&packed);
            assert_eq!(unpack_all(&mut unpacker, 1000).unwrap(), batch);
        }
        let mut packed = Vec::new();
        packer
            .pack(&vec![b' '; 2 * SURPLUS as usize * STANZA], &mut packed)
            .unwrap();
        unpacker.take(&packed);
        assert_eq!(unpack_all(&mut unpacker, 1000), Err(Fault::Bomb));
    }

    /// A stanza as large as may be, of one letter, is nobody's fault; nor is one message to a thousand occupants.
    #[test]
    fn what_happens_to_be_small_is_no_bomb() {
        let mut unpacker = Unpacker::new(STANZA);
        let mut packer = Packer::new();
        let body =
            "Two households, both alike in dignity, in fair Verona, where we lay our scene. "
                .repeat(25);
        let copies: String = (0..1000)
            .map(|n| {
                format!(
                    "<message from='hall@rooms.example/chorus' to='person{}@example.com/{:x}' type='groupchat'>\
                     <body>{body}</body></message>",
                    n * 7919 % 1000,
                    n * 7919 % 65_521
                )
            })
            .collect();
        for xml in [vec![b'x'; STANZA], copies.into_bytes()] {
            for batch in xml.chunks(64 * 1024) {
                let mut packed = Vec::new();
                packer.pack(batch, &mut packed).unwrap();
                unpacker.take(&packed);
                assert_eq!(unpack_all(&mut unpacker, 16 * 1024).unwrap(), batch);
            }
        }
    }

    #[test]
    fn what_is_not_zlib_is_found_out() {
        for garbage in [
            &b"<stream:stream xmlns='jabber:server'>"[..],
            // A preset dictionary, which nobody has agreed on.
            &[0x78, 0xbb, 1, 2, 3, 4, 5, 6],
        ] {
            let mut unpacker = Unpacker::new(STANZA);
            unpacker.take(garbage);
            assert_eq!(unpack_all(&mut unpacker, 1000), Err(Fault::Garbage));
        }
    }

    #[test]
    fn nothing_stands_behind_its_end() {
        let mut ended = Vec::new();
        let mut packer = Compress::new(flate2::Compression::best(), true);
        ended.reserve(1000);
        packer
            .compress_vec(b"<a/>", &mut ended, FlushCompress::Finish)
            .unwrap();
        let mut unpacker = Unpacker::new(STANZA);
        unpacker.take(&ended);
        assert_eq!(unpack_all(&mut unpacker, 1000).unwrap(), b"<a/>");
        unpacker.take(b"\n");
        assert_eq!(unpack_all(&mut unpacker, 1000), Err(Fault::Garbage));
    }
}
