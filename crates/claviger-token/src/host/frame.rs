//! Frames on a stream: four bytes of length, big-endian, and so many bytes. They hold PINs and keys: every buffer is wiped.

use std::io::{self, Read, Write};
use zeroize::{Zeroize as _, Zeroizing};

/// The most bytes of a frame: an anchor's 64 values of 4 KiB, with room to spare.
const MOST: usize = 512 << 10;
/// What is read at once: most frames are shorter, and then one call brings all of one.
const AT_ONCE: usize = 4 << 10;
const LENGTH: usize = 4;

/// Writes one frame, in one piece where the stream takes it.
pub(super) fn write(out: &mut impl Write, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MOST);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a frame is too long"))?;
    let mut frame = Zeroizing::new(Vec::with_capacity(LENGTH + body.len()));
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(body);
    out.write_all(&frame)
}

/// Reads frames from a stream.
pub(super) struct Frames<R> {
    pub(super) stream: R,
    // What was read and not given out yet: from `start` to `end`.
    buffer: Zeroizing<Vec<u8>>,
    start: usize,
    end: usize,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, buffer: Zeroizing::new(vec![0; AT_ONCE]), start: 0, end: 0 }
    }

    /// The next frame; `None` where the stream ended before it began.
    pub(super) fn next(&mut self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        while self.held().len() < LENGTH {
            if self.fill()? == 0 {
                return if self.held().is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
        let mut length = [0; LENGTH];
        self.take(&mut length);
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
        }
        let mut body = Zeroizing::new(vec![0; length]);
        let held = self.held().len().min(length);
        if let Some((from_buffer, from_stream)) = body.split_at_mut_checked(held) {
            self.take(from_buffer);
            // A frame that stops in its middle is the end of all: what was read of it is gone.
            let cut = |error: io::Error| io::Error::new(io::ErrorKind::UnexpectedEof, error);
            self.stream.read_exact(from_stream).map_err(cut)?;
        }
        Ok(Some(body))
    }

    fn held(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Moves bytes that are held, and wipes where they were.
    fn take(&mut self, out: &mut [u8]) {
        let stop = self.start + out.len();
        if let Some(from) = self.buffer.get_mut(self.start..stop) {
            out.copy_from_slice(from);
            from.zeroize();
            self.start = stop;
        }
    }

    /// Reads more; how much that was.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        loop {
            match self.stream.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests;
