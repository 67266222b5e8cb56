//! Commands and answers as ISO 7816-4 writes them.

/// What a card says at the end of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sw(pub(crate) u16);

impl Sw {
    pub(crate) const OK: Self = Self(0x9000);
    /// Also what a YubiKey says when a wanted touch did not come.
    pub(crate) const SECURITY_STATUS: Self = Self(0x6982);
    pub(crate) const BLOCKED: Self = Self(0x6983);
    pub(crate) const CONDITIONS: Self = Self(0x6985);
    /// Also what a YubiKey says of a slot without a key, when it is to be used.
    pub(crate) const WRONG_DATA: Self = Self(0x6a80);
    pub(crate) const NOT_FOUND: Self = Self(0x6a82);
    pub(crate) const WRONG_P1P2: Self = Self(0x6a86);
    /// Of a slot without a key, when it is asked for.
    pub(crate) const NO_REFERENCE: Self = Self(0x6a88);
    pub(crate) const WRONG_LENGTH: Self = Self(0x6700);
    pub(crate) const INSTRUCTION: Self = Self(0x6d00);
    pub(crate) const CLASS: Self = Self(0x6e00);

    /// A wrong PIN, and how often one may try again.
    pub(crate) fn tries(left: u8) -> Self {
        Self(0x63c0 | u16::from(left & 0x0f))
    }
}

/// An answer's data, or why there is none.
pub(crate) type Answer = Result<Vec<u8>, Sw>;

/// One command.
#[derive(Debug, Clone, Default)]
pub(crate) struct Apdu {
    pub(crate) class: u8,
    pub(crate) ins: u8,
    pub(crate) p1: u8,
    pub(crate) p2: u8,
    pub(crate) data: Vec<u8>,
    /// How much the caller takes at once.
    pub(crate) expected: usize,
}

impl Apdu {
    pub(crate) fn parse(raw: &[u8]) -> Result<Self, Sw> {
        let [class, ins, p1, p2, body @ ..] = raw else { return Err(Sw::WRONG_LENGTH) };
        let apdu = |data: &[u8], expected: usize| Self {
            class: *class,
            ins: *ins,
            p1: *p1,
            p2: *p2,
            data: data.to_vec(),
            expected,
        };
        let long = |high: u8, low: u8| usize::from(u16::from_be_bytes([high, low]));
        let all = |expected: usize, most: usize| if expected == 0 { most } else { expected };
        match body {
            [] => Ok(apdu(&[], 256)),
            [le] => Ok(apdu(&[], all(usize::from(*le), 256))),
            [0, high, low] => Ok(apdu(&[], all(long(*high, *low), 65536))),
            [0, high, low, rest @ ..] => {
                let (data, le) = rest.split_at_checked(long(*high, *low)).ok_or(Sw::WRONG_LENGTH)?;
                match le {
                    [] => Ok(apdu(data, 65536)),
                    [high, low] => Ok(apdu(data, all(long(*high, *low), 65536))),
                    _ => Err(Sw::WRONG_LENGTH),
                }
            }
            [length, rest @ ..] => {
                let (data, le) = rest.split_at_checked(usize::from(*length)).ok_or(Sw::WRONG_LENGTH)?;
                match le {
                    [] => Ok(apdu(data, 256)),
                    [le] => Ok(apdu(data, all(usize::from(*le), 256))),
                    _ => Err(Sw::WRONG_LENGTH),
                }
            }
        }
    }
}

/// One field, with the length in as few bytes as it takes.
pub(crate) fn tlv(tag: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = tag.to_vec();
    match value.len() {
        length @ ..=0x7f => out.push(length as u8),
        length @ ..=0xff => out.extend([0x81, length as u8]),
        length => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(value);
    out
}

/// The fields of data whose tags have one byte.
pub(crate) fn fields(mut data: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut fields = Vec::new();
    while let [tag, rest @ ..] = data {
        let (length, rest) = match rest {
            [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            [0x81, length, rest @ ..] | [length @ ..=0x7f, rest @ ..] => (usize::from(*length), rest),
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        fields.push((*tag, value));
        data = rest;
    }
    Some(fields)
}

/// The first field with this tag.
pub(crate) fn field(data: &[u8], tag: u8) -> Option<&[u8]> {
    fields(data)?.into_iter().find_map(|(found, value)| (found == tag).then_some(value))
}
