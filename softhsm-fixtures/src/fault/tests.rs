//! Each action does what it says, in front of a real module.

mod crash;

use super::*;
use crate::{PIN, Provider, in_own_process};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{Mechanism, MechanismType, aead::GcmParams, vendor_defined::VendorDefinedMechanism},
    object::{Attribute, AttributeType, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use std::time::Instant;

const DEVICE_ERROR: u64 = 0x30;
const DEVICE_REMOVED: u64 = 0x32;

/// A process that has loaded the faulty module.
struct Host {
    faults: Faults,
    module: Pkcs11,
    slot: Slot,
}

/// A test in a process of its own.
macro_rules! faulty {
    ($($(#[$attribute:meta])* fn $name:ident($host:ident) $body:block)+) => {
        $(
            #[test]
            fn $name() {
                let test = concat!(module_path!(), "::", stringify!($name));
                in_own_process(test, Provider::SoftHsm, |instance| {
                    let $host = Host::of(instance);
                    $body
                });
            }
        )+
    };
}

impl Host {
    fn of(instance: &Instance) -> Self {
        let faults = Faults::of(instance);
        let module = Pkcs11::new(faults.module()).unwrap();
        initialize(&module).unwrap();
        let slot = module.get_slots_with_initialized_token().unwrap()[0];
        faults.clear();
        Self { faults, module, slot }
    }

    fn session(&self) -> Session {
        self.module.open_rw_session(self.slot).unwrap()
    }

    fn logged_in(&self) -> Session {
        let session = self.session();
        log_in(&session).unwrap();
        session
    }

    fn inject(&self, function: &str, at: At, action: Action) {
        self.faults.inject(function, at, action);
    }
}

fn initialize(module: &Pkcs11) -> Result<(), Error> {
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
}

fn log_in(session: &Session) -> Result<(), Error> {
    session.login(UserType::User, Some(&AuthPin::new(PIN.into())))
}

fn logged_in(session: &Session) -> bool {
    format!("{:?}", session.get_session_info().unwrap().session_state()).contains("User")
}

fn key(session: &Session) -> ObjectHandle {
    let template = [
        Attribute::ValueLen(32.into()),
        Attribute::Encrypt(true),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template).unwrap()
}

fn value(session: &Session, key: ObjectHandle) -> Result<Vec<u8>, Error> {
    let attributes = session.get_attributes(key, &[AttributeType::Value])?;
    let [Attribute::Value(value)] = &attributes[..] else { panic!("{attributes:?}") };
    Ok(value.clone())
}

fn rv<T: fmt::Debug>(outcome: Result<T, Error>) -> RvError {
    match outcome {
        Err(Error::Pkcs11(rv, _)) => rv,
        outcome => panic!("{outcome:?}"),
    }
}

faulty! {
    fn without_faults_it_is_the_module_itself(host) {
        let session = host.logged_in();
        key(&session);
        let calls = host.faults.calls();
        assert_eq!(calls.iter().map(|call| &call.function[..]).collect::<Vec<_>>(), ["C_OpenSession", "C_Login", "C_GenerateKey"]);
        assert!(calls.iter().all(|call| call.rv == 0));
        host.faults.clear();
        assert_eq!(host.faults.calls(), []);
        assert_eq!(rv(log_in(&session)), RvError::UserAlreadyLoggedIn);
        assert_eq!(host.faults.calls(), [Call { function: "C_Login".to_owned(), rv: 0x100 }]);
    }

    fn calls_are_counted_by_function_and_from_each_injection(host) {
        let random = |session: &Session| session.generate_random_vec(8).is_ok();
        let session = host.session();
        host.inject("C_GenerateRandom", At::Nth(2), Action::Return(DEVICE_ERROR));
        assert_eq!([(); 4].map(|()| random(&session)), [true, false, true, true]);
        host.inject("C_GenerateRandom", At::From(2), Action::Return(DEVICE_ERROR));
        assert_eq!([(); 4].map(|()| random(&session)), [true, false, false, false]);
        host.inject("C_GenerateRandom", At::Every, Action::Return(DEVICE_ERROR));
        assert!(!random(&session) && !random(&session) && session.get_session_info().is_ok());
        host.faults.clear();
        assert!(random(&session));
    }

    fn what_returns_is_not_called_and_what_answers_after_is(host) {
        let session = host.session();
        host.inject("C_Login", At::Every, Action::Return(0x8000_0001));
        assert_eq!(rv(log_in(&session)), RvError::VendorDefined(0x8000_0001));
        assert!(!logged_in(&session));
        assert_eq!(host.faults.count("C_Login"), 1);
        host.inject("C_Login", At::Every, Action::After(DEVICE_ERROR));
        assert_eq!(rv(log_in(&session)), RvError::DeviceError);
        assert!(logged_in(&session));
    }

    fn a_delay_delays(host) {
        let session = host.session();
        host.inject("C_GenerateRandom", At::Nth(1), Action::Delay(Duration::from_millis(60)));
        let begin = Instant::now();
        session.generate_random_vec(8).unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(60));
    }

    fn what_is_done_underneath_is_done(host) {
        let session = host.logged_in();
        host.inject("C_GetSessionInfo", At::Every, Action::Logout);
        assert!(!logged_in(&session));
        host.faults.clear();
        log_in(&session).unwrap();
        host.inject("C_GetSessionInfo", At::Nth(1), Action::CloseSessions);
        assert_eq!(rv(session.get_session_info()), RvError::SessionHandleInvalid);
        let session = host.session();
        host.inject("C_GetSessionInfo", At::Nth(1), Action::Reinitialize);
        assert_eq!(rv(session.get_session_info()), RvError::SessionHandleInvalid);
        let session = host.session();
        host.inject("C_GetSessionInfo", At::Every, Action::Finalize);
        assert_eq!(rv(session.get_session_info()), RvError::CryptokiNotInitialized);
        assert_eq!(rv(session.get_session_info()), RvError::CryptokiNotInitialized);
        initialize(&host.module).unwrap();
    }

    fn a_removed_token_is_away_until_it_is_put_back(host) {
        let session = host.logged_in();
        host.inject("C_GenerateRandom", At::Nth(1), Action::Remove(DEVICE_REMOVED));
        assert_eq!(rv(session.generate_random_vec(8)), RvError::DeviceRemoved);
        assert_eq!(rv(session.get_session_info()), RvError::DeviceRemoved);
        assert!(host.module.get_slots_with_token().unwrap().is_empty());
        assert!(!host.module.get_all_slots().unwrap().is_empty());
        assert!(!host.module.get_slot_info(host.slot).unwrap().token_present());
        assert_eq!(rv(host.module.get_token_info(host.slot)), RvError::TokenNotPresent);
        assert_eq!(rv(host.module.open_rw_session(host.slot)), RvError::TokenNotPresent);
        host.faults.clear();
        assert_eq!(rv(session.get_session_info()), RvError::SessionHandleInvalid);
        assert!(!logged_in(&host.session()));
    }

    fn lengths_are_what_is_said(host) {
        let session = host.logged_in();
        let key = key(&session);
        host.inject("C_GetAttributeValue", At::Nth(2), Action::Length(16));
        assert_eq!(value(&session, key).unwrap().len(), 16);
        host.inject("C_GetAttributeValue", At::Every, Action::Length(!0));
        assert_eq!(session.get_attributes(key, &[AttributeType::Value]).unwrap(), []);
        host.inject("C_FindObjects", At::Nth(1), Action::Length(0));
        assert_eq!(session.find_objects(&[]).unwrap(), []);
        host.inject("C_Encrypt", At::From(2), Action::Length(7));
        assert_eq!(session.encrypt(&Mechanism::AesEcb, key, &[0; 32]).unwrap().len(), 7);
    }

    fn one_bit_is_flipped(host) {
        let session = host.logged_in();
        let key = key(&session);
        let right = value(&session, key).unwrap();
        for bit in [0, 9, 255, 256] {
            host.inject("C_GetAttributeValue", At::Every, Action::Flip(bit));
            let mut flipped = value(&session, key).unwrap();
            flipped[usize::try_from(bit / 8 % 32).unwrap()] ^= 1 << (bit % 8);
            assert_eq!(flipped, right, "{bit}");
        }
        let encrypt = || session.encrypt(&Mechanism::AesEcb, key, &[0; 16]).unwrap();
        let right = encrypt();
        host.inject("C_Encrypt", At::Every, Action::Flip(3));
        let flipped = encrypt();
        assert_eq!((flipped[0] ^ right[0], &flipped[1..]), (8, &right[1..]));
        host.inject("C_GetSlotList", At::Every, Action::Flip(0));
        assert_eq!(host.module.get_slots_with_initialized_token().unwrap_or_default(), []);
        host.inject("C_OpenSession", At::Every, Action::Flip(7));
        assert_eq!(rv(host.session().get_session_info()), RvError::SessionHandleInvalid);
    }

    fn an_iv_of_its_own_is_used_and_shown(host) {
        let session = host.logged_in();
        let key = key(&session);
        let encrypt = |iv: &mut [u8]| {
            let parameters = GcmParams::new(iv, b"", 128.into()).unwrap();
            session.encrypt(&Mechanism::AesGcm(parameters), key, b"text").unwrap()
        };
        host.inject("C_EncryptInit", At::Every, Action::OwnIv);
        let mut iv = [0; 12];
        let encrypted = encrypt(&mut iv);
        assert_ne!(iv, [0; 12]);
        host.faults.clear();
        let mut same = iv;
        assert_eq!(encrypt(&mut same), encrypted);
        assert_eq!(same, iv);
    }

    fn a_vendor_has_its_own_number(host) {
        let session = host.logged_in();
        let key = key(&session);
        let vendor = MechanismType::new_vendor_defined(0x8000_1082).unwrap();
        let vendor = || Mechanism::VendorDefined(VendorDefinedMechanism::new::<()>(vendor, None));
        assert_eq!(rv(session.encrypt(&vendor(), key, &[0; 16])), RvError::MechanismInvalid);
        host.inject("C_EncryptInit", At::Every, Action::Mechanism { vendor: 0x8000_1082, standard: 0x1081 });
        assert_eq!(rv(session.encrypt(&Mechanism::AesEcb, key, &[0; 16])), RvError::MechanismInvalid);
        let encrypted = session.encrypt(&vendor(), key, &[0; 16]).unwrap();
        host.faults.clear();
        assert_eq!(session.encrypt(&Mechanism::AesEcb, key, &[0; 16]).unwrap(), encrypted);
    }

    fn flags_are_set_and_cleared(host) {
        let info = || host.module.get_token_info(host.slot).unwrap();
        assert!(!info().user_pin_locked() && !info().user_pin_final_try() && info().login_required());
        // CKF_USER_PIN_LOCKED and CKF_USER_PIN_FINAL_TRY, and without CKF_LOGIN_REQUIRED.
        host.inject("C_GetTokenInfo", At::Every, Action::Flags { set: 0x0006_0000, clear: 0x4 });
        assert!(info().user_pin_locked() && info().user_pin_final_try() && !info().login_required());
    }

    fn a_function_is_missing(host) {
        host.inject("C_GenerateRandom", At::Every, Action::Null);
        let other = Pkcs11::new(host.faults.module()).unwrap();
        let session = other.open_rw_session(host.slot).unwrap();
        let outcome = session.generate_random_vec(8);
        assert!(matches!(outcome, Err(Error::NullFunctionPointer)), "{outcome:?}");
        // Whoever has the list already keeps it.
        assert!(host.session().generate_random_vec(8).is_ok());
    }

    /// What was counted outlives the library in the process.
    fn the_library_stays(host) {
        let Host { faults, module, .. } = host;
        faults.inject("C_Initialize", At::Nth(2), Action::Return(DEVICE_ERROR));
        module.finalize().unwrap();
        let again = Pkcs11::new(faults.module()).unwrap();
        initialize(&again).unwrap();
        again.finalize().unwrap();
        let again = Pkcs11::new(faults.module()).unwrap();
        assert_eq!(rv(initialize(&again)), RvError::DeviceError);
    }
}
