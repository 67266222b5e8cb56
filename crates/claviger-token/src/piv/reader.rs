//! The readers of this machine, and which of them hold a YubiKey.

use super::{
    apdu::Status,
    fault::Failure,
    session::{Firmware, Session},
};
use std::{ffi::CString, mem, process};

/// A connection to a card that others share. It is left as it is, never reset: a reset takes the PIN away from them.
pub(super) struct Handle {
    // Absent only while it is taken apart.
    card: Option<pcsc::Card>,
    context: Option<pcsc::Context>,
    // Whose it is: in a forked child the socket to the service is the parent's.
    process: u32,
}

impl Handle {
    fn connect(context: &pcsc::Context, reader: &CString) -> Result<Self, pcsc::Error> {
        let card = context.connect(reader, pcsc::ShareMode::Shared, pcsc::Protocols::ANY)?;
        Ok(Self { card: Some(card), context: Some(context.clone()), process: process::id() })
    }

    pub(super) fn is_of_this_process(&self) -> bool {
        self.process == process::id()
    }

    /// Takes part in the card again after somebody reset it.
    pub(super) fn reconnect(&mut self) -> Result<(), Failure> {
        let card = self.card()?;
        let again =
            card.reconnect(pcsc::ShareMode::Shared, pcsc::Protocols::ANY, pcsc::Disposition::LeaveCard);
        again.map_err(|error| Failure::Pcsc { call: "SCardReconnect", error })
    }

    /// Does something with the card while nobody else can.
    pub(super) fn transact<T>(
        &mut self,
        work: impl FnOnce(&pcsc::Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let failed = |call| move |error| Failure::Pcsc { call, error };
        let transaction = self.card()?.transaction().map_err(failed("SCardBeginTransaction"))?;
        let done = work(&transaction);
        match (transaction.end(pcsc::Disposition::LeaveCard), done) {
            (Ok(()), done) => done,
            // What went wrong first says more. And what went well is not undone by the end: only the next call will see.
            (Err((transaction, _)), done) => {
                mem::forget(transaction);
                done
            }
        }
    }

    fn card(&mut self) -> Result<&mut pcsc::Card, Failure> {
        let gone = Failure::Pcsc { call: "SCardConnect", error: pcsc::Error::InvalidHandle };
        self.card.as_mut().ok_or(gone)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.is_of_this_process() {
            // To say anything would be to speak in the parent's name.
            mem::forget((self.card.take(), self.context.take()));
        } else if let Some(card) = self.card.take()
            && let Err((card, _)) = card.disconnect(pcsc::Disposition::LeaveCard)
        {
            // Dropping it would try once more, with a reset.
            mem::forget(card);
        }
    }
}

/// A YubiKey that is plugged in.
pub(super) struct Plugged {
    pub(super) handle: Handle,
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

/// The YubiKeys that are there; each keeps the application that it has selected, if that is PIV.
pub(super) fn present() -> Result<Present, Failure> {
    let mut present = Present { keys: Vec::new(), unseen: Vec::new() };
    let context = pcsc::Context::establish(pcsc::Scope::System)
        .map_err(|error| Failure::Pcsc { call: "SCardEstablishContext", error })?;
    let readers = match context.list_readers_owned() {
        Err(pcsc::Error::NoReadersAvailable) => Vec::new(),
        readers => readers.map_err(|error| Failure::Pcsc { call: "SCardListReaders", error })?,
    };
    for reader in readers {
        match look(&context, &reader) {
            Ok(Some(key)) => present.keys.push(key),
            Ok(None) => {}
            Err(failure) => present.unseen.push(failure),
        }
    }
    Ok(present)
}

/// The YubiKey in this reader, if there is a card, and it is one, and its PIV application is there.
fn look(context: &pcsc::Context, reader: &CString) -> Result<Option<Plugged>, Failure> {
    use pcsc::Error as E;

    let mut handle = match Handle::connect(context, reader) {
        Ok(handle) => handle,
        // An empty reader, or one whose card was just pulled.
        Err(
            E::NoSmartcard
            | E::RemovedCard
            | E::UnknownReader
            | E::ReaderUnavailable
            | E::UnpoweredCard
            | E::UnresponsiveCard,
        ) => return Ok(None),
        Err(error) => return Err(Failure::Pcsc { call: "SCardConnect", error }),
    };
    let known = handle.transact(|transaction| {
        let mut selected = false;
        let mut session = Session::new(transaction, &mut selected);
        if !session.select()? {
            return Ok(None);
        }
        let firmware = session.firmware()?;
        // Older ones tell their serial number only through another application, which costs the login to this one.
        if firmware.major < 5 {
            return Ok(None);
        }
        Ok(Some((firmware, session.serial()?)))
    });
    match known {
        Ok(Some((firmware, serial))) => {
            let reader = reader.to_string_lossy().into_owned();
            Ok(Some(Plugged { handle, reader, firmware, serial }))
        }
        // Some other card.
        Ok(None) | Err(Failure::Refused { status: Status(0x6d00 | 0x6e00), .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}
