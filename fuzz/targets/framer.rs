//! A stream of bytes, cut anywhere: the reader makes the same of it however it is cut.
//!
//! The input is the number of cuts (one byte), the cuts (two bytes each), and the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xmpp_core::xml::{Error, Limits, Reader, Received};

fuzz_target!(|input: &[u8]| {
    let Some((&cuts, rest)) = input.split_first() else {
        return;
    };
    let Some((cuts, stream)) = rest.split_at_checked(2 * usize::from(cuts % 16)) else {
        return;
    };
    let cuts = cuts.chunks_exact(2);
    let cuts = cuts.map(|cut| usize::from(u16::from_be_bytes([cut[0], cut[1]])));

    let whole = read(stream, Vec::new());
    for other in [
        read(stream, cuts.collect()),
        read(stream, (0..stream.len()).collect()),
    ] {
        // Broken XML may be seen as broken before its frame is whole, or not until then.
        let known = whole.len().min(other.len());
        assert_eq!(whole[..known], other[..known]);
        assert!(whole.len() == other.len() || whole.last().is_some_and(|last| last.is_err()));
    }
});

/// What a reader makes of a stream that is cut before each of the given positions, but for
/// white space.
fn read(stream: &[u8], mut cuts: Vec<usize>) -> Vec<Result<String, Error>> {
    let mut reader = Reader::new(Limits::before_login());
    let mut received = Vec::new();
    for cut in &mut cuts {
        *cut %= stream.len() + 1;
    }
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    for piece in cuts.windows(2) {
        let mut input = &stream[piece[0]..piece[1]];
        loop {
            match reader.next(&mut input) {
                Ok(Some(Received::Whitespace)) => {}
                Ok(Some(other)) => received.push(Ok(format!("{other:?}"))),
                Ok(None) => break assert!(input.is_empty(), "the reader takes all it is given"),
                Err(error) => {
                    assert_eq!(reader.next(&mut input).err(), Some(error), "it repeats it");
                    received.push(Err(error));
                    return received;
                }
            }
        }
    }
    received
}
