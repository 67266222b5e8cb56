//! What a call gives back, and how that is spoilt.
#![allow(unsafe_code)]

use crate::give_up;
use cryptoki_sys::{CK_ATTRIBUTE, CK_ULONG};
use std::{mem, slice};

/// Where a function puts its result. The pointers are the caller's, valid during the call where they are not null.
#[derive(Clone, Copy)]
pub(crate) enum Output {
    /// Nowhere.
    None,
    /// Into something of a fixed size, in bytes.
    Fixed(*mut u8, usize),
    /// Into bytes, and their number.
    Bytes(*mut u8, *mut CK_ULONG),
    /// Into bytes of a number that the caller says.
    Filled(*mut u8, CK_ULONG),
    /// Into slots, objects or mechanisms, and their number.
    Numbers(*mut CK_ULONG, *mut CK_ULONG),
    /// Into so many attributes.
    Attributes(*mut CK_ATTRIBUTE, CK_ULONG),
}

impl Output {
    pub(crate) fn fixed<T>(to: *mut T) -> Self {
        Self::Fixed(to.cast(), mem::size_of::<T>())
    }

    /// Announces another length or count.
    pub(crate) fn set_length(self, function: &str, length: CK_ULONG) {
        let place = match self {
            Self::Bytes(_, count) | Self::Numbers(_, count) => count,
            Self::Attributes(attributes, 1..) => {
                // SAFETY: the caller has so many attributes there, and at least one.
                unsafe { &raw mut (*attributes).ulValueLen }
            }
            Self::None | Self::Fixed(..) | Self::Filled(..) | Self::Attributes(..) => {
                give_up(&format!("{function} gives back no length"))
            }
        };
        if !place.is_null() {
            // SAFETY: the caller's place for the length, which the real call has just written.
            unsafe { *place = length };
        }
    }

    /// Flips this bit of what was written, counted around its end.
    pub(crate) fn flip(self, function: &str, bit: u64) {
        let (start, length) = match self {
            Self::None => give_up(&format!("{function} gives nothing back")),
            Self::Fixed(to, length) => (to, length),
            Self::Filled(to, length) => (to, bytes(length)),
            // SAFETY: the real call has just written the count.
            Self::Bytes(to, count) => (to, bytes(unsafe { *count })),
            Self::Numbers(to, count) => {
                // SAFETY: the real call has just written the count.
                (to.cast(), bytes(unsafe { *count }) * mem::size_of::<CK_ULONG>())
            }
            Self::Attributes(_, 0) => return,
            Self::Attributes(attributes, _) => {
                // SAFETY: the caller has at least one attribute there.
                let first = unsafe { &*attributes };
                (first.pValue.cast(), bytes(first.ulValueLen))
            }
        };
        // A caller that asks for the length only.
        if start.is_null() || length == 0 {
            return;
        }
        // SAFETY: the real call, which succeeded, has written so many bytes there.
        let written = unsafe { slice::from_raw_parts_mut(start, length) };
        let byte = usize::try_from(bit / 8).unwrap_or_default() % length;
        if let Some(byte) = written.get_mut(byte) {
            *byte ^= 1 << (bit % 8);
        }
    }
}

fn bytes(length: CK_ULONG) -> usize {
    usize::try_from(length).unwrap_or_default()
}
