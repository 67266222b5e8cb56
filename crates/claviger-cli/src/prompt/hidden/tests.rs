use super::*;

fn typed(keys: &[u8]) -> io::Result<Vec<u8>> {
    let mut keys = keys.iter().copied();
    line(|| Ok(keys.next())).map(|answer| answer.expose().to_vec())
}

#[test]
fn a_line_is_edited_as_a_line_is() {
    for (keys, meant) in [
        (&b"secret\n"[..], &b"secret"[..]),
        (b"secret\r", b"secret"),
        (b"\n", b""),
        (b"wrong\x15right\n", b"right"),
        (b"secrex\x7ft\n", b"secret"),
        (b"\x7f\x08secret\n", b"secret"),
        ("naïé\u{7f}\u{7f}ve\n".as_bytes(), b"nave"),
        (b"se\x1b[1;5Ccr\x1bOPet\x01\n", b"secret"),
        (b"without an end", b"without an end"),
    ] {
        assert_eq!(typed(keys).unwrap(), meant, "{:?}", String::from_utf8_lossy(keys));
    }
}

#[test]
fn giving_up_is_no_answer() {
    assert_eq!(typed(b"half\x03").unwrap_err().kind(), io::ErrorKind::Interrupted);
    assert_eq!(typed(b"\x04").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(typed(b"").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_long_line_has_an_end() {
    let mut keys = vec![b'x'; MAX_BYTES];
    keys.push(b'\n');
    assert_eq!(typed(&keys).unwrap().len(), MAX_BYTES);
    keys.insert(0, b'x');
    assert_eq!(typed(&keys).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}
