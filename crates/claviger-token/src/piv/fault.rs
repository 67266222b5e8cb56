//! How talking to a card fails, and what that means for the caller.

use super::apdu::Status;
use crate::TokenError;

/// Why what was asked of a card did not happen.
#[derive(Debug)]
pub(super) enum Failure {
    /// The card said no, or something else than was asked.
    Refused { command: &'static str, status: Status },
    /// What it answered has not the form that the command's answer has.
    Nonsense { command: &'static str },
    /// The way to it failed.
    Pcsc { call: &'static str, error: pcsc::Error },
    /// It wants its PIN first. The tries that it says are left.
    PinWanted { left: u8 },
    /// Something else.
    Token(TokenError),
}

impl Failure {
    /// Whether the way to the card went away under the call, so that it may work once it is set up anew.
    pub(super) fn is_loss(&self) -> bool {
        use pcsc::Error as E;

        self.is_loss_of_card()
            || self.is_loss_of_service()
            || self.is_reset()
            || matches!(
                self,
                Self::Pcsc {
                    error: E::NotReady
                        | E::InternalError
                        | E::UnknownError
                        | E::Timeout
                        | E::Cancelled
                        | E::SystemCancelled,
                    ..
                }
            )
    }

    /// Whether it came from the card or its reader.
    pub(super) const fn is_loss_of_card(&self) -> bool {
        use pcsc::Error as E;

        self.is_absence()
            || matches!(
                self,
                Self::Pcsc {
                    error: E::UnpoweredCard
                        | E::UnresponsiveCard
                        | E::NoReadersAvailable
                        | E::ReaderUnavailable
                        | E::NotTransacted
                        | E::CommError
                        | E::CommDataLost
                        // Somebody turned the card off, and nobody has agreed with it on one since.
                        | E::ProtoMismatch,
                    ..
                }
            )
    }

    /// Whether the reader is empty, or gone with its card.
    pub(super) const fn is_absence(&self) -> bool {
        use pcsc::Error as E;

        matches!(self, Self::Pcsc { error: E::NoSmartcard | E::RemovedCard | E::UnknownReader, .. })
    }

    /// Whether it may pass by itself in a moment: others reset the card or turn it off, and one that was pulled is like that
    /// until the service notices.
    pub(super) fn may_pass(&self) -> bool {
        self.is_loss() && !self.is_absence() && !self.is_loss_of_service()
    }

    /// Whether it was the service that went away, which may be just starting again.
    pub(super) fn is_loss_of_service(&self) -> bool {
        use pcsc::Error as E;

        match self {
            // What somebody may, the service says as it is connected to. Later this is a connection that ended under a question.
            Self::Pcsc { call, error: E::SecurityViolation } => {
                ["SCardBeginTransaction", "SCardTransmit"].contains(call)
            }
            Self::Pcsc { error, .. } => {
                matches!(error, E::NoService | E::ServiceStopped | E::InvalidHandle | E::Shutdown)
            }
            _ => false,
        }
    }

    /// Whether the card is there, and somebody else reset it.
    const fn is_reset(&self) -> bool {
        matches!(self, Self::Pcsc { error: pcsc::Error::ResetCard, .. })
    }

    pub(super) const fn status(&self) -> Option<Status> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<claviger_types::EntropyError> for Failure {
    fn from(error: claviger_types::EntropyError) -> Self {
        Self::Token(error.into())
    }
}

impl From<Failure> for TokenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { command, status } => {
                Self::CardFailed { command: command.into(), answer: format!("status {status}") }
            }
            Failure::Nonsense { command } => Self::CardFailed {
                command: command.into(),
                answer: "something that is no answer to it".to_owned(),
            },
            Failure::Pcsc { error: pcsc::Error::SharingViolation, .. } => {
                Self::CardHeld { by: super::culprits::holding() }
            }
            Failure::Pcsc {
                call: "SCardEstablishContext" | "SCardListReaders" | "SCardConnect",
                error: pcsc::Error::SecurityViolation,
            } => Self::CardServiceDenied,
            Failure::Pcsc { error: pcsc::Error::NoService | pcsc::Error::ServiceStopped, .. } => {
                Self::CardServiceDown
            }
            Failure::Pcsc { call, error } => {
                Self::CardFailed { command: call.into(), answer: error.to_string() }
            }
            Failure::PinWanted { .. } => {
                Self::PinUnavailable { reason: "the card wants it at each use".to_owned() }
            }
            Failure::Token(error) => error,
        }
    }
}

#[cfg(test)]
mod tests;
