//! The functional self-test: a card is judged by what it does.
//!
//! First the scheme: agree, compare, refuse what was changed. Then the attacks that a card could fall for: a point off the
//! curve, which would give the private key away bit by bit, and the key without the PIN that its policy asks for. Each use
//! may cost its owner a touch, so there are few.

use super::{card::Again, fault::Failure, key::Home, policy::PinPolicy, session::PinState, token::PivToken};
use crate::{SelfTestReport, Token as _, TokenError, Unwrapped};
use claviger_types::{EcPoint, Key256, Scheme};

/// What binds the self-test's wrapped keys.
const CONTEXT: &[u8] = b"claviger/token/self-test";

/// See [`crate::Kek::self_test`].
pub(super) fn self_test(token: &PivToken) -> Result<SelfTestReport, TokenError> {
    let mut report = SelfTestReport { scheme: Scheme::EcdhEsA256Kw, checks: Vec::new() };
    without_pin(token, &mut report)?;
    token.key.log_in()?;
    functions(token, &mut report)?;
    off_the_curve(token, &mut report)?;
    Ok(report)
}

/// That what was made is what was asked for.
pub(super) fn read_back(home: Home) -> SelfTestReport {
    let mut report = SelfTestReport { scheme: Scheme::EcdhEsA256Kw, checks: Vec::new() };
    let Home { slot, pin, touch } = home;
    report.note("made there, and read back", format!("slot {slot}, PIN {pin}, touch {touch}"));
    report
}

fn refused(finding: &str) -> TokenError {
    TokenError::Refused { finding: finding.to_owned() }
}

fn functions(token: &PivToken, report: &mut SelfTestReport) -> Result<(), TokenError> {
    let cek = Key256::random(token.entropy.as_ref())?;
    let mut wrapped = token.wrap(&cek, CONTEXT)?;
    match token.unwrap(&wrapped, CONTEXT) {
        Ok(Unwrapped::Key(back)) if back.same_as(&cek) => {}
        Ok(_) | Err(TokenError::CorruptWrappedKey) => {
            return Err(refused("it unwraps to another key than was wrapped"));
        }
        Err(error) => return Err(error),
    }
    report.note("wrap, unwrap, compare", "same key");

    // Of the same agreement, with another ciphertext and another context: what is software here is tried, too.
    wrapped.ciphertext.iter_mut().skip(20).take(1).for_each(|byte| *byte ^= 1);
    match token.unwrap(&wrapped, CONTEXT) {
        Err(TokenError::CorruptWrappedKey) => report.note("flipped bit", "refused"),
        Ok(_) => return Err(refused("it unwraps a wrapped key with a flipped bit")),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The driver sends no such point; but others may, and they must not learn the key by it.
fn off_the_curve(token: &PivToken, report: &mut SelfTestReport) -> Result<(), TokenError> {
    let EcPoint { x, mut y } = token.key.point;
    y.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1);
    match token.key.try_agree(&EcPoint { x, y }) {
        Ok(_) => {
            Err(refused("it agrees with a point that is not on the curve, which gives the private key away"))
        }
        Err(Failure::Refused { status, .. }) => {
            report.note("a point off the curve", format!("refused ({status})"));
            Ok(())
        }
        Err(failure) => Err(failure.into()),
    }
}

/// The key used before the PIN is given. Where it stands, because this program gave it a moment ago, the card is made to forget
/// it. Where somebody else did, that would cost its owner another: then what was read back has to do.
fn without_pin(token: &PivToken, report: &mut SelfTestReport) -> Result<(), TokenError> {
    const NAME: &str = "use without the PIN";

    let home = token.key.home();
    if home.pin == PinPolicy::Never {
        report.note(NAME, "allowed by its policy");
        return Ok(());
    }
    let point = token.key.point;
    let is_anothers = !token.key.login.holds();
    let refusal = token.key.card.transact(Again::Yes, |session| {
        if session.pin_state()? == PinState::Given
            && (is_anothers || !session.select_anew()? || session.pin_state()? == PinState::Given)
        {
            return Ok(None);
        }
        match session.agree(home.slot, &point) {
            Ok(_) => Err(refused("it uses the key without the PIN that the key's policy asks for").into()),
            Err(Failure::Refused { status, .. }) => Ok(Some(status)),
            Err(failure) => Err(failure),
        }
    })?;
    report.note(
        NAME,
        match refusal {
            Some(status) => format!("refused ({status})"),
            None => "not tried: it was given before".to_owned(),
        },
    );
    Ok(())
}
