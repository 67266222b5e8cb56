//! BER-TLV as cards write it (ISO/IEC 7816-4, annex E), with tags of one byte or two and lengths up to 65535.

/// The value of the first element, which must have this tag, and what comes after it.
pub(super) fn take(bytes: &[u8], tag: u16) -> Option<(&[u8], &[u8])> {
    let (found, value, rest) = next(bytes)?;
    (found == tag).then_some((value, rest))
}

/// The value of the element of this tag, which is all there is.
pub(super) fn only(bytes: &[u8], tag: u16) -> Option<&[u8]> {
    take(bytes, tag).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}

/// The value of the first element of this tag among others; `None` also where they cannot be read up to it.
pub(super) fn find(mut bytes: &[u8], tag: u16) -> Option<&[u8]> {
    while !bytes.is_empty() {
        let (found, value, rest) = next(bytes)?;
        if found == tag {
            return Some(value);
        }
        bytes = rest;
    }
    None
}

/// An element.
pub(super) fn element(tag: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 6);
    match tag.to_be_bytes() {
        [0, low] => bytes.push(low),
        high => bytes.extend(high),
    }
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    match (length, length.to_be_bytes()) {
        (..0x80, [_, short]) => bytes.push(short),
        (..0x100, [_, short]) => bytes.extend([0x81, short]),
        (_, [high, low]) => bytes.extend([0x82, high, low]),
    }
    bytes.extend(value);
    bytes
}

fn next(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    let mut tag = u16::from(first);
    if first & 0x1f == 0x1f {
        let (&second, after) = rest.split_first()?;
        (tag, rest) = (tag << 8 | u16::from(second), after);
    }
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match (length, rest) {
        (0..=0x7f, rest) => (usize::from(length), rest),
        (0x81, [length, rest @ ..]) => (usize::from(*length), rest),
        (0x82, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

#[cfg(test)]
mod tests;
