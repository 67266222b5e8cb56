//! How fast a credential is sealed and opened again: envelope, context and plaintext included, with a data key whose id
//! was checked once.
//!
//! `bench_envelope [SIZE]...` prints one line for each algorithm and size (64 and 4096 bytes unless told), AES-256-GCM
//! last: `alg=A256GCM size=4096 pairs_per_second=... bytes_per_second=... seal_ns=... open_ns=...`. A pair is one seal
//! and one open; `bytes_per_second` counts the bytes that the cipher works through, twice the size for each pair, as
//! `openssl speed` counts them for each encryption.

use claviger_envelope::{
    ContentAlg, CredentialContext, DataKey, EnvelopeError, open_credential, seal_credential,
};
use claviger_types::{CredentialId, Kind, OsEntropy, SecretBytes, ServiceId, Value, VaultId};
use std::{hint::black_box, time::Duration, time::Instant};

/// How long each operation is measured, and how many calls make one sample: few enough to lie between two interruptions
/// by other programs. The median of the samples counts.
const MEASURED: Duration = Duration::from_millis(400);
const CALLS: u32 = 16;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sizes = std::env::args().skip(1).map(|size| size.parse()).collect::<Result<Vec<usize>, _>>()?;
    if sizes.is_empty() {
        sizes = vec![64, 4096];
    }
    for alg in [ContentAlg::ChaCha20Poly1305, ContentAlg::A256Gcm] {
        for &size in &sizes {
            measure(alg, size)?;
        }
    }
    Ok(())
}

fn measure(alg: ContentAlg, size: usize) -> Result<(), EnvelopeError> {
    let entropy = OsEntropy;
    let key = DataKey::generate(alg, &entropy)?;
    let context = CredentialContext {
        vault: VaultId::random(&entropy)?,
        service: ServiceId::random(&entropy)?,
        credential: CredentialId::random(&entropy)?,
        n: 1,
    };
    let value = Value::single(Kind::ApiKey, SecretBytes::new(vec![0x5a; size]));
    let sealed = seal_credential(&key, context, &value, &entropy)?;
    let seal = seconds(|| seal_credential(&key, context, black_box(&value), &entropy))?;
    let open = seconds(|| open_credential(&key, context, black_box(&sealed)))?;
    let pair =
        seconds(|| open_credential(&key, context, &seal_credential(&key, context, &value, &entropy)?))?;
    println!(
        "alg={alg} size={size} pairs_per_second={:.0} bytes_per_second={:.0} seal_ns={:.0} open_ns={:.0}",
        1.0 / pair,
        2.0 * f64::from(u32::try_from(size).unwrap_or(u32::MAX)) / pair,
        seal * 1e9,
        open * 1e9,
    );
    Ok(())
}

/// The time of one call.
fn seconds<T>(mut call: impl FnMut() -> Result<T, EnvelopeError>) -> Result<f64, EnvelopeError> {
    let (begin, mut samples) = (Instant::now(), Vec::new());
    while begin.elapsed() < MEASURED {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(call()?);
        }
        samples.push(start.elapsed());
    }
    samples.sort_unstable();
    let median = samples.get(samples.len() / 2).copied().unwrap_or_default();
    Ok(median.as_secs_f64() / f64::from(CALLS))
}
