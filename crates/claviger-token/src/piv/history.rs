//! The key history object (SP 800-73-4 part 1, section 3.3.3): how many of the retired slots have a certificate. OpenSC looks at
//! no more of them than it says.

use super::{fault::Failure, session::Session, slot::Slot, tlv};

const HISTORY: u32 = 0x5f_c10c;
const ON_CARD: u16 = 0xc1;
const OFF_CARD: u16 = 0xc2;
const URL: u16 = 0xf3;
const CHECKSUM: u16 = 0xfe;

/// Has the history reach as far as this slot. One that cannot be read is somebody else's, and stays.
pub(super) fn cover(session: &mut Session<'_>, slot: Slot) -> Result<(), Failure> {
    let Some(number) = slot.retired_number() else { return Ok(()) };
    let present = session.object(HISTORY)?;
    let (covered, off_card, url) = match &present {
        None => (0, [0].to_vec(), Vec::new()),
        Some(present) => match (tlv::find(present, ON_CARD), tlv::find(present, OFF_CARD)) {
            (Some([covered]), Some(off_card)) => {
                (*covered, off_card.to_vec(), tlv::find(present, URL).unwrap_or_default().to_vec())
            }
            _ => return Ok(()),
        },
    };
    if covered >= number {
        return Ok(());
    }
    let url = if url.is_empty() { Vec::new() } else { tlv::element(URL, &url) };
    let parts = [tlv::element(ON_CARD, &[number]), tlv::element(OFF_CARD, &off_card), url];
    session.put_object(HISTORY, &[parts.concat(), tlv::element(CHECKSUM, &[])].concat())
}
