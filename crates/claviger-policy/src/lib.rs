//! claviger: policy.
