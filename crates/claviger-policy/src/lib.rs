//! Who may do what: a pure decision over a request, with no I/O and no clock of its own.
//!
//! As yet the one policy there is allows the owner everything and everybody else nothing.

use claviger_types::{Reference, ServiceName};
use std::fmt;

/// Who asks. Named as in Cedar: `Admin::"owner"`, `Plugin::"ci"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Principal {
    /// A person who administers the vault; the user who opens it with the token's PIN is `owner`.
    Admin(String),
    /// A program that was given a name and a token of its own.
    Plugin(String),
}

impl Principal {
    /// Whoever opens the vault with the token's PIN.
    pub fn owner() -> Self {
        Self::Admin("owner".to_owned())
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin(name) => write!(f, "Admin::{name:?}"),
            Self::Plugin(name) => write!(f, "Plugin::{name:?}"),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Read a value.
    Read,
    /// Write a new version.
    Write,
    /// Delete, undelete or destroy versions.
    Delete,
    /// See names, kinds and versions.
    List,
    /// Give keys successors.
    Rotate,
    /// Look after the vault: verify it, collect garbage, read the audit log.
    Admin,
}

impl Action {
    /// The action's name, as in Cedar policies and in the audit log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Rotate => "rotate",
            Self::Admin => "admin",
        }
    }
}

/// On what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The vault as a whole.
    Vault,
    /// A service and all its credentials.
    Service(&'a ServiceName),
    /// One credential, or the only one of a service.
    Credential(&'a Reference),
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault => f.write_str("the vault"),
            Self::Service(name) => write!(f, "`{}`", Reference { service: (*name).clone(), name: None }),
            Self::Credential(reference) => write!(f, "`{reference}`"),
        }
    }
}

/// One question to the policy.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// For what.
    pub action: Action,
    /// On what.
    pub resource: Resource<'a>,
}

/// The policy's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// It may go on.
    Allow,
    /// It may not.
    Deny,
}

/// What the vault's administrators decided. Default deny.
#[derive(Debug, Clone, Default)]
pub struct Policy(());

impl Policy {
    /// The policy of a vault in which none was set: the owner may do everything, and nobody else anything.
    pub const fn owner_only() -> Self {
        Self(())
    }

    /// Decides a request.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        if *request.principal == Principal::owner() { Decision::Allow } else { Decision::Deny }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_may_and_nobody_else() {
        let reference: Reference = "openai/api_key".parse().unwrap();
        let decide = |principal: &Principal| {
            let resource = Resource::Credential(&reference);
            Policy::owner_only().decide(&Request { principal, action: Action::Read, resource })
        };
        assert_eq!(decide(&Principal::owner()), Decision::Allow);
        assert_eq!(decide(&Principal::Admin("other".to_owned())), Decision::Deny);
        assert_eq!(decide(&Principal::Plugin("owner".to_owned())), Decision::Deny);
    }
}
