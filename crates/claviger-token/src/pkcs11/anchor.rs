//! Anchors: small private data objects that a token keeps for the vault.
//!
//! A new value is an object of its own, and only then are the earlier ones destroyed: some modules refuse to change an
//! object, and a cut between the two steps leaves both. A writer destroys nothing but what it saw before it made its own
//! object, so that of several that write at once, whatever their order, the last one's value stays.

mod shelf;

use self::shelf::{SessionShelf, Shelf};
use super::{
    fault::{Failure, Fault, two_objects},
    ffi::Session,
    login::Login,
    module::{Module, with_patience},
    pool::Pool,
    token::Pkcs11Token,
};
use crate::{Access, AnchorSlot, TokenError, Uri, software::MAX_ANCHOR_BYTES as MAX_BYTES};
use cryptoki::error::RvError;
use std::{sync::Arc, thread, time::Duration};

/// The most values under one name: far more than writers that were cut short, or write at once, leave behind.
const MAX_VALUES: usize = 64;
/// How often what another process disturbed starts over.
const ROUNDS: usize = 12;
/// How often a search must find nothing again before nothing is there: some 60 ms in all. SoftHSM lists the files before
/// it reads them, and finds nothing where all are replaced in between; on a busy machine that comes several times in a row.
const CONFIRMATIONS: usize = 6;

/// The place on one PKCS#11 token where anchors are kept, reached without any key.
#[derive(Debug)]
pub(super) struct Pkcs11AnchorSlot {
    pool: Pool,
    location: String,
}

/// See [`crate::Driver::open_anchors`].
pub(super) fn open(module: Arc<Module>, uri: &Uri, access: &Access) -> Result<Pkcs11AnchorSlot, TokenError> {
    let pool = Pool::attach(module, uri.clone(), Login::new(&access.pin), None)?;
    Pkcs11AnchorSlot::on(pool)
}

impl Pkcs11Token {
    /// See [`crate::Kek::anchors`].
    pub(super) fn anchor_slot(&self) -> Result<Pkcs11AnchorSlot, TokenError> {
        Pkcs11AnchorSlot::on(self.pool.beside(&self.description.token_serial, None)?)
    }
}

impl Pkcs11AnchorSlot {
    fn on(pool: Pool) -> Result<Self, TokenError> {
        let token = pool.summary()?;
        let location = format!("token `{}`, serial number {}", token.label, token.serial);
        Ok(Self { pool, location })
    }

    fn shelf<'a>(&'a self, session: &'a Session) -> SessionShelf<'a> {
        SessionShelf::new(self.pool.module(), session)
    }
}

impl AnchorSlot for Pkcs11AnchorSlot {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn read(&self, name: &str) -> Result<Vec<Vec<u8>>, TokenError> {
        let found = self.pool.run(|session, _| values(&self.shelf(session), name));
        Ok(found?.into_iter().map(|(_, value)| value).collect())
    }

    fn write(&self, name: &str, value: &[u8]) -> Result<(), TokenError> {
        if !(1..=MAX_BYTES).contains(&value.len()) {
            return Err(unusable(name, "a value has 1 to 4,096 bytes"));
        }
        Ok(self.pool.run_writing(|session| write(&self.shelf(session), name, value))?)
    }

    fn remove(&self, name: &str) -> Result<(), TokenError> {
        Ok(self.pool.run_writing(|session| remove(&self.shelf(session), name))?)
    }
}

/// An object and its value.
type Kept<S> = (<S as Shelf>::Object, Vec<u8>);

fn unusable(name: &str, reason: &'static str) -> TokenError {
    TokenError::AnchorUnusable { name: name.to_owned(), reason: reason.into() }
}

/// Whether another process destroyed an object under the call. SoftHSM says so; kryoptic answers `CKR_GENERAL_ERROR`.
const fn disturbed(fault: &Fault) -> bool {
    matches!(fault.rv, RvError::ObjectHandleInvalid) || fault.may_pass()
}

/// Longer from round to round: in all well below a second.
fn pause(round: usize) {
    thread::sleep(Duration::from_millis(1 << round.min(6)));
}

/// All that is kept under the name. What another process disturbs starts over, and that nothing is there must be seen
/// more than once: a search that meets a replacement may see neither the old object nor the new one.
fn values<S: Shelf>(shelf: &S, name: &str) -> Result<Vec<Kept<S>>, Failure> {
    let (mut round, mut empty) = (0, 0);
    loop {
        let last = round + 1 == ROUNDS;
        match values_at_once(shelf, name) {
            Ok(values) if values.is_empty() && empty < CONFIRMATIONS && !last => empty += 1,
            Err(Failure::Call(fault)) if disturbed(&fault) && !last => {}
            outcome => return outcome,
        }
        pause(round);
        round += 1;
    }
}

fn values_at_once<S: Shelf>(shelf: &S, name: &str) -> Result<Vec<Kept<S>>, Failure> {
    let objects = shelf.find(name, MAX_VALUES + 1)?;
    if objects.len() > MAX_VALUES {
        return Err(unusable(name, "more than 64 objects have its name").into());
    }
    let mut values = Vec::with_capacity(objects.len());
    for object in objects {
        match shelf.read(object) {
            Ok(value) => values.push((object, value)),
            Err(Fault { rv: RvError::BufferTooSmall, .. }) => {
                return Err(unusable(name, "its value has more than 4,096 bytes").into());
            }
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(values)
}

fn write<S: Shelf>(shelf: &S, name: &str, value: &[u8]) -> Result<(), Failure> {
    for round in 0..ROUNDS {
        let earlier = values(shelf, name)?;
        // It alone is there: nothing to do, and a token that wears is spared.
        if !earlier.is_empty() && earlier.iter().all(|(_, kept)| kept == value) {
            return Ok(());
        }
        let new = with_patience(|| shelf.create(name, value)).map_err(full)?;
        if earlier.iter().any(|(known, _)| *known == new) {
            // They have one handle: it is the elder's until that is gone.
            destroy(shelf, name, new)?;
            match &values(shelf, name)?[..] {
                [(_, kept)] if kept == value => return Ok(()),
                _ => return Err(two_objects().into()),
            }
        }
        // Nothing earlier is given up for a value that is not there.
        let now = values(shelf, name)?;
        match now.iter().find(|(object, _)| *object == new) {
            Some((_, kept)) if kept == value => {}
            Some(_) => {
                destroy(shelf, name, new)?;
                return Err(Fault { function: "C_CreateObject", rv: RvError::FunctionFailed }.into());
            }
            // A later writer has put its own in this one's place.
            None if now.iter().any(|(object, _)| earlier.iter().all(|(known, _)| known != object)) => {}
            None => {
                pause(round);
                continue;
            }
        }
        for (object, _) in earlier {
            destroy(shelf, name, object)?;
        }
        return Ok(());
    }
    Err(Fault { function: "C_CreateObject", rv: RvError::ObjectHandleInvalid }.into())
}

fn remove<S: Shelf>(shelf: &S, name: &str) -> Result<(), Failure> {
    for round in 0..ROUNDS {
        let objects = match shelf.find(name, MAX_VALUES) {
            Ok(objects) => objects,
            Err(fault) if disturbed(&fault) => {
                pause(round);
                continue;
            }
            Err(fault) => return Err(fault.into()),
        };
        if objects.is_empty() {
            return Ok(());
        }
        for object in objects {
            destroy(shelf, name, object)?;
        }
    }
    Err(unusable(name, "it is still there after it was removed").into())
}

/// Destroys what has this name, and nothing else. What is gone already is destroyed, if it is: a call that says so is not
/// taken at its word.
fn destroy<S: Shelf>(shelf: &S, name: &str, object: S::Object) -> Result<(), Failure> {
    let mut round = 0;
    loop {
        let outcome = match shelf.is_named(object, name) {
            Ok(true) => shelf.destroy(object),
            Ok(false) => return Err(two_objects().into()),
            Err(fault) => Err(fault),
        };
        match outcome {
            Err(fault) if disturbed(&fault) => {
                if !shelf.find(name, MAX_VALUES)?.contains(&object) {
                    return Ok(());
                }
                if round + 1 == ROUNDS {
                    return Err(fault.into());
                }
            }
            outcome => return Ok(outcome?),
        }
        pause(round);
        round += 1;
    }
}

fn full(fault: Fault) -> Failure {
    match fault.rv {
        RvError::DeviceMemory => TokenError::TokenFull.into(),
        _ => fault.into(),
    }
}

#[cfg(test)]
mod tests;
