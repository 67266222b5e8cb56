//! How long work tells where it stands.

/// Told by long work as it goes on; shown by whoever asked for it. May be called from several threads.
pub trait Progress: Sync {
    /// A stage of the work begins; `total` steps where that is known.
    fn begin(&self, stage: &'static str, total: Option<u64>);

    /// So many more steps are done.
    fn advance(&self, steps: u64);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: &'static str, _total: Option<u64>) {}

    fn advance(&self, _steps: u64) {}
}
