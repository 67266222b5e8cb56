//! What the vault reads under the hashes of its head: damage there must be an error, too.

use claviger_vault::untrusted;

/// A head's payload.
pub fn head_payload(data: &[u8]) {
    untrusted::head_payload(data);
}

/// An index node.
pub fn index_node(data: &[u8]) {
    untrusted::index_node(data);
}

/// A service object or a page.
pub fn service(data: &[u8]) {
    untrusted::service(data);
}

/// The register of recipients, hosts and backups.
pub fn recipients(data: &[u8]) {
    untrusted::recipients(data);
}

/// The state of a job in a head.
pub fn job(data: &[u8]) {
    untrusted::job(data);
}
