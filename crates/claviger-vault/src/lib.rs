//! claviger: vault.
