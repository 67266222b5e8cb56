use super::*;
use proptest::prelude::*;

#[test]
fn an_end_between_frames_is_an_end_and_one_inside_is_none() {
    let mut bytes = Vec::new();
    write(&mut bytes, b"one").unwrap();
    write(&mut bytes, b"").unwrap();
    let mut stream = &bytes[..];
    assert_eq!(*read(&mut stream).unwrap().unwrap(), b"one");
    assert_eq!(*read(&mut stream).unwrap().unwrap(), b"");
    assert!(read(&mut stream).unwrap().is_none());
    for cut in 1..7 {
        assert!(read(&mut &bytes[..cut]).is_err(), "{cut} bytes");
    }
}

#[test]
fn no_room_is_made_for_what_a_length_promises() {
    assert!(read(&mut &[0xff; 64][..]).is_err());
    assert!(read(&mut &[0, 8, 0, 1][..]).is_err());
    assert!(write(&mut Vec::new(), &vec![0; MOST + 1]).is_err());
    write(&mut Vec::new(), &vec![0; MOST]).unwrap();
}

proptest! {
    #[test]
    fn what_is_written_is_read(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8)) {
        let mut bytes = Vec::new();
        for frame in &frames {
            write(&mut bytes, frame).unwrap();
        }
        let mut stream = &bytes[..];
        for frame in &frames {
            prop_assert_eq!(&*read(&mut stream).unwrap().unwrap(), frame);
        }
        prop_assert!(read(&mut stream).unwrap().is_none());
    }

    #[test]
    fn any_bytes_give_frames_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut stream = &bytes[..];
        while let Ok(Some(_)) = read(&mut stream) {}
    }
}
