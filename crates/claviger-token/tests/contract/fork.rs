//! A process that forks: the child has a copy of everything, and shares with its parent what the module has open.

use crate::lab::{CONTEXT, Lab, fresh, key};
use claviger_token::TokenError;
use claviger_types::Scheme;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How long a child may take; one that waits for a lock that nobody holds any more never ends by itself.
const LIMIT_SECONDS: u32 = 60;

/// A forked child that runs this and ends without any destructor.
pub(crate) struct Forked(libc::pid_t);

impl Forked {
    #[allow(unsafe_code)]
    pub(crate) fn run(body: impl FnOnce()) -> Self {
        // SAFETY: the test's other thread sleeps and holds no lock; glibc takes its own locks over.
        let id = unsafe { libc::fork() };
        assert!(id >= 0, "no child");
        if id > 0 {
            return Self(id);
        }
        // SAFETY: takes a number.
        unsafe { libc::alarm(LIMIT_SECONDS) };
        let failed = catch_unwind(AssertUnwindSafe(body)).is_err();
        // SAFETY: ends this process; nothing of the parent's is run.
        unsafe { libc::_exit(i32::from(failed)) }
    }

    /// Whether it came to its end without a panic.
    #[allow(unsafe_code)]
    pub(crate) fn ends_well(self) -> bool {
        let mut status = 0;
        // SAFETY: `status` is a place for one number; the child is this process's and was not waited for.
        let id = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
        (id, status) == (self.0, 0)
    }

    fn succeeds(self) {
        assert!(self.ends_well(), "the child failed");
    }
}

pub(crate) fn child_and_parent_both_unwrap(lab: &Lab<'_>, scheme: Scheme) {
    let token = lab.generate(scheme);
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    let unwraps = || {
        assert!(key(&token, &wrapped).same_as(&cek));
        let again = token.wrap(&cek, CONTEXT).unwrap();
        assert!(key(&token, &again).same_as(&cek));
    };
    let opens = || assert!(key(&lab.open(&token).unwrap(), &wrapped).same_as(&cek));
    // One after the other; what is opened in the child first, or used first.
    for first_opens in [false, true] {
        Forked::run(|| {
            if first_opens {
                opens();
            }
            unwraps();
            opens();
        })
        .succeeds();
        unwraps();
    }
    // Both at once, and a child's child.
    let many = || (0..20).for_each(|_| unwraps());
    let child = Forked::run(|| {
        many();
        Forked::run(unwraps).succeeds();
        many();
    });
    many();
    child.succeeds();
    unwraps();
    opens();
    assert_eq!(lab.pin.asked(), 1, "the parent lost its login");
}

/// The module does not notice the fork and speaks into its parent's connection, which a TPM takes for wrong passwords: after
/// a few it is locked. So in the child nothing goes, and is said not to.
pub(crate) fn a_child_of_a_connected_module_has_no_token(lab: &Lab<'_>, scheme: Scheme) {
    let token = lab.generate(scheme);
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    for _ in 0..3 {
        let child = Forked::run(|| {
            for _ in 0..3 {
                let outcome = token.unwrap(&wrapped, CONTEXT);
                assert!(matches!(outcome, Err(TokenError::ModuleUnusable { .. })), "{outcome:?}");
                let outcome = lab.open(&token);
                assert!(matches!(outcome, Err(TokenError::ModuleUnusable { .. })), "{outcome:?}");
            }
        });
        assert!(key(&token, &wrapped).same_as(&cek));
        child.succeeds();
        assert!(key(&token, &wrapped).same_as(&cek));
    }
    assert_eq!(lab.pin.asked(), 1);
}

pub(crate) fn a_child_that_only_ends_takes_nothing(lab: &Lab<'_>, scheme: Scheme) {
    let token = lab.generate(scheme);
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    let other = lab.open(&token).unwrap();
    Forked::run(|| {}).succeeds();
    assert!(key(&token, &wrapped).same_as(&cek));
    let mut tokens = Some((token, other));
    // One that lets go of all it has; to the parent nothing happens by that.
    Forked::run(|| drop(tokens.take())).succeeds();
    let (token, other) = tokens.unwrap();
    for token in [&token, &other] {
        assert!(key(token, &wrapped).same_as(&cek));
    }
    assert_eq!(lab.pin.asked(), 1);
}
