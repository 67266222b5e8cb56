//! Choices that differ from run to run and can be made again.

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

const SEED: &str = "CLAVIGER_TEST_SEED";

/// A stream of numbers (`SplitMix64`); a failed test shows the seed that makes it again.
pub struct Dice(u64);

impl Dice {
    /// Dice with a seed of their own, or the one in the environment.
    pub fn throw() -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos().into());
        let seed = env::var(SEED).map_or_else(
            |_| now(),
            |text| text.parse().unwrap_or_else(|error| panic!("{SEED}={text}: {error}")),
        );
        eprintln!("seed: {SEED}={seed}");
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(bound.max(1)).unwrap_or(1)).unwrap_or(0)
    }
}
