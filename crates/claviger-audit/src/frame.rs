//! Frames: a body and the hash that chains it to everything before. Walking them needs no key.

use claviger_envelope::codec;
use claviger_types::{Digest, ServiceId, VaultId};
use serde_bytes::ByteBuf;

/// More than any body has.
const MAX_BODY: usize = 64 << 10;

/// The bytes of a frame beside its body.
pub(crate) const OVERHEAD: usize = 4 + TRAILER;

/// The bytes of a frame after its body: the chain hash, and the length again, by which the end of a file is checked
/// without reading it from the front.
pub(crate) const TRAILER: usize = 32 + 4;

/// The chain hash before the first frame of a log.
pub(crate) fn origin(vault: VaultId) -> Digest {
    Digest::of(vault.as_bytes())
}

/// The chain hash after a body.
pub(crate) fn chain(before: &Digest, body: &[u8]) -> Digest {
    Digest::of(&[before.as_bytes(), body].concat())
}

/// What a body says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// A segment begins.
    Segment { id: ServiceId, envelope: Vec<u8> },
    /// An entry of a segment.
    Entry { segment: ServiceId, index: u64, sealed: Vec<u8> },
}

type SegmentTuple = (u8, ServiceId, ByteBuf);
type EntryTuple = (u8, ServiceId, u64, ByteBuf);

impl Body {
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let bytes = match self {
            Self::Segment { id, envelope } => codec::to_vec(&(0_u8, *id, ByteBuf::from(envelope.as_slice()))),
            Self::Entry { segment, index, sealed } => {
                codec::to_vec(&(1_u8, *segment, *index, ByteBuf::from(sealed.as_slice())))
            }
        };
        bytes.ok()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if let Ok((0, id, envelope)) = codec::from_slice::<SegmentTuple>(bytes) {
            return Some(Self::Segment { id, envelope: envelope.into_vec() });
        }
        match codec::from_slice::<EntryTuple>(bytes) {
            Ok((1, segment, index, sealed)) => {
                Some(Self::Entry { segment, index, sealed: sealed.into_vec() })
            }
            _ => None,
        }
    }
}

/// Appends a frame to `out`, and says what the chain hash is after it.
pub(crate) fn write(out: &mut Vec<u8>, before: &Digest, body: &[u8]) -> Option<Digest> {
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_BODY)?;
    let after = chain(before, body);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(after.as_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    Some(after)
}

/// How a row of frames ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// After a whole frame.
    Whole,
    /// In the middle of a frame that begins at this offset: a crash while it was written.
    Torn(usize),
    /// At a frame whose chain hash does not fit, or that is none; it begins at this offset.
    Broken(usize),
}

/// One frame of a row.
pub(crate) struct Frame<'a> {
    /// Where it begins.
    pub(crate) offset: usize,
    /// The chain hash before it.
    pub(crate) before: Digest,
    /// What it holds.
    pub(crate) body: &'a [u8],
}

/// Walks the frames of one file and calls `visit` with each, which says whether it is in its place. Returns the chain
/// hash after the last good one.
pub(crate) fn walk(bytes: &[u8], before: Digest, visit: &mut dyn FnMut(Frame<'_>) -> bool) -> (Digest, End) {
    let mut chain_hash = before;
    let mut offset = 0;
    loop {
        let rest = bytes.get(offset..).unwrap_or_default();
        if rest.is_empty() {
            return (chain_hash, End::Whole);
        }
        let Some(length) = length(rest) else { return (chain_hash, End::Torn(offset)) };
        if length > MAX_BODY {
            return (chain_hash, End::Broken(offset));
        }
        let Some((frame, later)) = rest.split_at_checked(length + OVERHEAD) else {
            return (chain_hash, End::Torn(offset));
        };
        let body = body(frame);
        let after = chain(&chain_hash, body);
        let expected = [after.as_bytes().as_slice(), frame.get(..4).unwrap_or_default()].concat();
        let fits = frame.ends_with(&expected);
        if !fits || !visit(Frame { offset, before: chain_hash, body }) {
            // After a power cut a file can have its length, but zeros for what did not reach the disk.
            let zeros =
                later.iter().chain(frame.last_chunk::<4>().into_iter().flatten()).all(|byte| *byte == 0);
            let end = if zeros && !fits { End::Torn(offset) } else { End::Broken(offset) };
            return (chain_hash, end);
        }
        chain_hash = after;
        offset += frame.len();
    }
}

/// The length of the body at the beginning of a frame.
fn length(frame: &[u8]) -> Option<usize> {
    frame.first_chunk::<4>().map(|front| usize::try_from(u32::from_be_bytes(*front)).unwrap_or(usize::MAX))
}

/// The body of a whole frame.
fn body(frame: &[u8]) -> &[u8] {
    frame.get(4..frame.len().saturating_sub(TRAILER)).unwrap_or_default()
}

/// The chain hash at the end of a file of which `end` are the last bytes, at most [`LAST_BYTES`] of them; `None` where
/// that is no whole frame. `whole` says that there is nothing before them.
pub(crate) fn last_chain(end: &[u8], whole: bool) -> Option<Digest> {
    let (rest, back) = end.split_last_chunk::<4>()?;
    let (rest, hash) = rest.split_last_chunk::<32>()?;
    let length = usize::try_from(u32::from_be_bytes(*back)).ok()?;
    let (rest, body) = rest.split_at_checked(rest.len().checked_sub(length)?)?;
    let (rest, front) = rest.split_last_chunk::<4>()?;
    if front != back {
        return None;
    }
    let digest = Digest::from_bytes(*hash);
    if rest.is_empty() && whole {
        return Some(digest);
    }
    let (rest, _) = rest.split_last_chunk::<4>()?;
    let (_, before) = rest.split_last_chunk::<32>()?;
    (chain(&Digest::from_bytes(*before), body) == digest).then_some(digest)
}

/// How many bytes at the end of a file hold its last frame and the chain hash before it.
pub(crate) const LAST_BYTES: usize = MAX_BODY + OVERHEAD + TRAILER;
