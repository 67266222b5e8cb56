use super::*;
use proptest::prelude::*;

#[test]
fn an_end_between_frames_is_an_end_and_one_inside_is_none() {
    let mut bytes = Vec::new();
    write(&mut bytes, b"one").unwrap();
    write(&mut bytes, b"").unwrap();
    let mut frames = Frames::new(&bytes[..]);
    assert_eq!(*frames.next().unwrap().unwrap(), b"one");
    assert_eq!(*frames.next().unwrap().unwrap(), b"");
    assert!(frames.next().unwrap().is_none());
    for cut in 1..7 {
        assert!(Frames::new(&bytes[..cut]).next().is_err(), "{cut} bytes");
    }
}

#[test]
fn no_room_is_made_for_what_a_length_promises() {
    assert!(Frames::new(&[0xff; 64][..]).next().is_err());
    assert!(Frames::new(&[0, 8, 0, 1][..]).next().is_err());
    assert!(write(&mut Vec::new(), &vec![0; MOST + 1]).is_err());
    write(&mut Vec::new(), &vec![0; MOST]).unwrap();
}

/// A stream that gives what it has in pieces of these sizes, over and over.
struct Pieces<'a>(&'a [u8], std::iter::Cycle<std::vec::IntoIter<usize>>);

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let size = self.1.next().unwrap_or(1).min(out.len());
        let (given, kept) = self.0.split_at(size.min(self.0.len()));
        out[..given.len()].copy_from_slice(given);
        self.0 = kept;
        Ok(given.len())
    }
}

/// Nothing of what was given out stays in the buffer.
#[test]
fn what_was_given_out_is_wiped() {
    let mut bytes = Vec::new();
    write(&mut bytes, b"secret").unwrap();
    write(&mut bytes, b"next").unwrap();
    let mut frames = Frames::new(&bytes[..]);
    frames.next().unwrap().unwrap();
    assert_eq!(frames.held(), b"\0\0\0\x04next");
    assert!(frames.buffer[..10].iter().all(|byte| *byte == 0));
}

proptest! {
    #[test]
    fn what_is_written_is_read_in_whatever_pieces_it_comes(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9000), 0..6),
        pieces in proptest::collection::vec(1..6000_usize, 1..5),
    ) {
        let mut bytes = Vec::new();
        for frame in &frames {
            write(&mut bytes, frame).unwrap();
        }
        let mut read = Frames::new(Pieces(&bytes, pieces.into_iter().cycle()));
        for frame in &frames {
            prop_assert_eq!(&*read.next().unwrap().unwrap(), frame);
        }
        prop_assert!(read.next().unwrap().is_none());
    }

    #[test]
    fn any_bytes_give_frames_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut frames = Frames::new(&bytes[..]);
        while let Ok(Some(_)) = frames.next() {}
    }
}
