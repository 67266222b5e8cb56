//! What can fail, and how.

use super::bench::Work;
use softhsm_fixtures::{At, CardAction, PcscFault};

/// One fault.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// At a command of the card.
    Card(u8, At, CardAction),
    /// At a call of PC/SC.
    Service(&'static str, At, PcscFault),
}

/// One fault in one work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) work: Work,
    pub(super) fault: Fault,
}

/// Every command that the driver sends. What is new in it is to be in one of the works, too.
pub(super) const COMMANDS: [u8; 14] =
    [0x20, 0x24, 0x2c, 0x47, 0x87, 0xa4, 0xc0, 0xcb, 0xdb, 0xf6, 0xf7, 0xf8, 0xf9, 0xfd];

/// Of each kind that ISO/IEC 7816-4 and YubiKeys have.
pub(super) const ALL: [u16; 21] = [
    0x6100, 0x6300, 0x63c0, 0x63c2, 0x6700, 0x6982, 0x6983, 0x6985, 0x6a80, 0x6a81, 0x6a82, 0x6a84, 0x6a86,
    0x6a88, 0x6b00, 0x6c10, 0x6d00, 0x6e00, 0x6f00, 0x9000, 0x9100,
];
/// One of each kind that the driver tells apart.
pub(super) const SOME: [u16; 9] = [0x6300, 0x63c0, 0x63c2, 0x6982, 0x6a80, 0x6a82, 0x6a88, 0x6d00, 0x9000];
/// Fewer still.
pub(super) const FEW: [u16; 3] = [0x6982, 0x6a82, 0x6f00];

/// Codes of PC/SC: those of a loss of the card, of the service, and others.
pub(super) const CODES: [u32; 20] = [
    0x8010_0001, // SCARD_F_INTERNAL_ERROR
    0x8010_0002, // SCARD_E_CANCELLED
    0x8010_0003, // SCARD_E_INVALID_HANDLE
    0x8010_0004, // SCARD_E_INVALID_PARAMETER
    0x8010_0006, // SCARD_E_NO_MEMORY
    0x8010_0008, // SCARD_E_INSUFFICIENT_BUFFER
    0x8010_0009, // SCARD_E_UNKNOWN_READER
    0x8010_000a, // SCARD_E_TIMEOUT
    SHARED,
    0x8010_000c, // SCARD_E_NO_SMARTCARD
    0x8010_000f, // SCARD_E_PROTO_MISMATCH
    0x8010_0013, // SCARD_F_COMM_ERROR
    0x8010_0016, // SCARD_E_NOT_TRANSACTED
    0x8010_0017, // SCARD_E_READER_UNAVAILABLE
    0x8010_001d, // SCARD_E_NO_SERVICE
    0x8010_001e, // SCARD_E_SERVICE_STOPPED
    0x8010_0066, // SCARD_W_UNRESPONSIVE_CARD
    0x8010_0067, // SCARD_W_UNPOWERED_CARD
    RESET,
    0x8010_0069, // SCARD_W_REMOVED_CARD
];
/// `SCARD_E_SHARING_VIOLATION`.
pub(super) const SHARED: u32 = 0x8010_000b;
/// `SCARD_W_RESET_CARD`.
pub(super) const RESET: u32 = 0x8010_0068;
pub(super) const FEW_CODES: [u32; 6] = [0x8010_0006, SHARED, 0x8010_0016, 0x8010_001d, RESET, 0x8010_0069];

/// Whether one use goes well although one call gives this once: the way is set up anew.
pub(super) const fn is_survived(code: u32) -> bool {
    !matches!(code, 0x8010_0004 | 0x8010_0006 | 0x8010_0008 | SHARED | 0x8010_000f)
}

impl Case {
    /// Whether a key may stay: the way to the card was gone as it was made, or the card itself keeps what it was told to give
    /// up, or never shows it.
    pub(super) fn may_keep(&self) -> bool {
        match self.fault {
            Fault::Card(0xf6, _, _)
            | Fault::Card(_, _, CardAction::Remove | CardAction::RemoveAfter)
            | Fault::Card(_, At::Every, _)
            | Fault::Service("transmit", _, PcscFault::After(_) | PcscFault::Drop)
            | Fault::Service(_, At::Every, _) => true,
            _ => self.work == Work::Destroy && matches!(self.fault, Fault::Service(..)),
        }
    }

    /// How often the PIN may be asked for. A loss in between takes a login away; pcscd resets the card for whom it loses in a
    /// transaction.
    pub(super) fn pins(&self) -> usize {
        match self.fault {
            Fault::Service(_, _, PcscFault::Drop) => 2,
            _ => {
                if self.work.changes_keys() {
                    2
                } else {
                    1
                }
            }
        }
    }
}

/// Once in the first, once in the last of so many, and always.
pub(super) fn occasions(count: u64) -> Vec<At> {
    let mut occasions = vec![At::Nth(1), At::Every];
    if count > 1 {
        occasions.push(At::Nth(count));
    }
    occasions
}
