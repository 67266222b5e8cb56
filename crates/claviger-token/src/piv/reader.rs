//! The readers of this machine, and which of them hold a YubiKey.

use super::{
    fault::Failure,
    session::{Firmware, Seen, Session},
};
use std::{
    ffi::CString,
    mem, process, thread,
    time::{Duration, Instant},
};

/// How long a card is looked at that others reset or turn off meanwhile, and how often.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// A connection to a card that others share. It is left as it is, never reset: a reset takes the PIN away from them.
pub(super) struct Handle {
    // Absent only while it is taken apart.
    card: Option<pcsc::Card>,
    context: Option<pcsc::Context>,
    // Whose it is: in a forked child the socket to the service is the parent's.
    process: u32,
    // Whether a transaction could not be begun or ended. Then the card may still be kept from all others, as long as this
    // connection is there.
    spoiled: bool,
}

impl Handle {
    fn connect(context: &pcsc::Context, reader: &CString) -> Result<Self, Failure> {
        let card = context
            .connect(reader, pcsc::ShareMode::Shared, pcsc::Protocols::ANY)
            .map_err(|error| Failure::Pcsc { call: "SCardConnect", error })?;
        Ok(Self { card: Some(card), context: Some(context.clone()), process: process::id(), spoiled: false })
    }

    /// Whether it is to be used once more.
    pub(super) fn is_usable(&self) -> bool {
        self.is_of_this_process() && !self.spoiled
    }

    fn is_of_this_process(&self) -> bool {
        self.process == process::id()
    }

    /// Does something with the card while nobody else can.
    pub(super) fn transact<T>(
        &mut self,
        work: impl FnOnce(&pcsc::Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Self { card: Some(card), spoiled, .. } = self else { return Err(GONE) };
        let transaction = card.transaction().map_err(|error| {
            *spoiled = true;
            Failure::Pcsc { call: "SCardBeginTransaction", error }
        })?;
        let done = work(&transaction);
        // Neither is what went well undone by its end, nor does that say more of what went wrong.
        if let Err((transaction, _)) = transaction.end(pcsc::Disposition::LeaveCard) {
            mem::forget(transaction);
            *spoiled = true;
        }
        done
    }
}

const GONE: Failure = Failure::Pcsc { call: "SCardConnect", error: pcsc::Error::InvalidHandle };

impl Drop for Handle {
    fn drop(&mut self) {
        use pcsc::Error as E;

        if !self.is_of_this_process() {
            // To say anything would be to speak in the parent's name.
            mem::forget((self.card.take(), self.context.take()));
        } else if let Some(card) = self.card.take()
            && let Err((card, error)) = card.disconnect(pcsc::Disposition::LeaveCard)
            && !matches!(error, E::NoService | E::ServiceStopped | E::InvalidHandle)
        {
            // Dropping it would try once more, with a reset; which does nothing where the service is gone.
            mem::forget(card);
        }
    }
}

/// A YubiKey that is plugged in.
pub(super) struct Plugged {
    pub(super) handle: Handle,
    pub(super) seen: Seen,
    pub(super) reader: String,
    pub(super) firmware: Firmware,
    pub(super) serial: u32,
}

/// What a look at all readers found.
pub(super) struct Present {
    pub(super) keys: Vec<Plugged>,
    /// Why others could not be looked at: somebody has them alone, or they are sick.
    pub(super) unseen: Vec<Failure>,
}

/// The YubiKeys that are there; each keeps the application that it has selected, if that is PIV. Where one of them is what is
/// looked for, nothing is waited for.
pub(super) fn present(is_wanted: impl Fn(&Plugged) -> bool) -> Result<Present, Failure> {
    let context = pcsc::Context::establish(pcsc::Scope::System)
        .map_err(|error| Failure::Pcsc { call: "SCardEstablishContext", error })?;
    let readers = match context.list_readers_owned() {
        Err(pcsc::Error::NoReadersAvailable) => Vec::new(),
        readers => readers.map_err(|error| Failure::Pcsc { call: "SCardListReaders", error })?,
    };
    let mut seen: Vec<_> = readers.iter().map(|reader| look(&context, reader)).collect();
    let deadline = Instant::now() + PATIENCE;
    while seen.iter().any(may_pass)
        && !seen.iter().any(|seen| matches!(seen, Ok(Some(key)) if is_wanted(key)))
        && Instant::now() < deadline
    {
        thread::sleep(PAUSE);
        for (reader, seen) in readers.iter().zip(&mut seen).filter(|(_, seen)| may_pass(seen)) {
            *seen = look(&context, reader);
        }
    }
    let mut present = Present { keys: Vec::new(), unseen: Vec::new() };
    for seen in seen {
        match seen {
            Ok(key) => present.keys.extend(key),
            Err(failure) => present.unseen.push(failure),
        }
    }
    Ok(present)
}

fn may_pass(seen: &Result<Option<Plugged>, Failure>) -> bool {
    matches!(seen, Err(failure) if failure.may_pass())
}

/// The YubiKey in this reader, if there is a card, and it is one, and its PIV application is there.
fn look(context: &pcsc::Context, reader: &CString) -> Result<Option<Plugged>, Failure> {
    match look_closely(context, reader) {
        Err(failure) if failure.is_absence() => Ok(None),
        seen => seen,
    }
}

fn look_closely(context: &pcsc::Context, reader: &CString) -> Result<Option<Plugged>, Failure> {
    let mut handle = Handle::connect(context, reader)?;
    let mut seen = Seen::default();
    let known = handle.transact(|transaction| {
        let mut session = Session::new(transaction, &mut seen);
        match session.select() {
            Ok(true) => {}
            // Some other card.
            Ok(false) | Err(Failure::Refused { .. }) => return Ok(None),
            Err(failure) => return Err(failure),
        }
        let firmware = session.firmware()?;
        // Older ones tell their serial number only through another application, which costs the login to this one.
        if firmware.major < 5 {
            return Ok(None);
        }
        Ok(Some((firmware, session.serial()?)))
    })?;
    let Some((firmware, serial)) = known else { return Ok(None) };
    let reader = reader.to_string_lossy().into_owned();
    Ok(Some(Plugged { handle, seen, reader, firmware, serial }))
}
