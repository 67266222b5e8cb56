//! The words that every claviger crate speaks in: ids, digests, names, references, kinds, secrets, clock, entropy
//! and the vocabulary of key wrapping. No I/O but the operating system's random source and clock.

mod clock;
mod digest;
mod entropy;
mod ids;
mod keywrap;
mod name;
mod reference;
mod secret;
mod value;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use digest::{Digest, Link};
pub use entropy::{Entropy, EntropyError, OsEntropy, SeededEntropy};
pub use ids::{CredentialId, HostId, IdError, ObjectId, RecipientId, ServiceId, SignerId, VaultId};
pub use keywrap::{EcPoint, Scheme, UnknownScheme, WrappedCek};
pub use name::{CredentialName, MAX_NAME_BYTES, NameError, ServiceName};
pub use reference::{Reference, ReferenceError};
pub use secret::{Key256, Pin, SecretBytes};
pub use value::{FieldValue, Fields, Kind, MAX_VALUE_BYTES, UnknownKind, Value};
