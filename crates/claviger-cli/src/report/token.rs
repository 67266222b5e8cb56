//! What to do next where a token is the trouble.

use crate::{pin, prompt};
use claviger_token::TokenError;

/// One sentence for each way in which a token fails.
pub(super) fn help(error: &TokenError) -> &'static str {
    match error {
        TokenError::PinIncorrect { tries_left: Some(1) } => {
            "one more wrong PIN locks the token: look the PIN up before the next try"
        }
        TokenError::PinIncorrect { .. } => {
            "check the PIN, and that it is this token's; too many wrong ones lock the token"
        }
        TokenError::PinLocked => {
            "set a new one with the SO PIN (cards call it PUK): claviger token pin unblock; then run the command again"
        }
        TokenError::SoPinIncorrect { tries_left: Some(1) } => {
            "one more wrong SO PIN locks it, on most tokens for good: look it up before the next try"
        }
        TokenError::SoPinIncorrect { .. } => {
            "it is the one that was set when the token was made, not the PIN of its user; too many wrong ones lock it for good"
        }
        TokenError::SoPinLocked => {
            "nobody can set the user's PIN anew now; the user's own PIN still works. If that is lost, so are the keys: see the \
             token's papers on how to reset it"
        }
        TokenError::PinUnavailable { reason } if pin::is_unspent(reason) => {
            "no try was spent: run it again when you know the PIN"
        }
        TokenError::SoPinUnavailable { reason } if pin::is_unspent(reason) => {
            "no try was spent: run it again when you know it"
        }
        TokenError::SoPinUnavailable { .. } => {
            "run it on a terminal to be asked, or give it with --so-pin-fd N"
        }
        TokenError::NewPinRefused { .. } => {
            "nothing was changed: choose another, and type it twice at a terminal or give it with --new-pin-fd N (a new SO PIN \
             of `token init`: --so-pin-fd N)"
        }
        TokenError::AlreadyInitialised { .. } => {
            "nothing was changed. If everything on it may go: name it with --token URI, and say --yes"
        }
        TokenError::KeysOnToken { .. } => {
            "nothing was changed. See that each vault opens without this token first (claviger token recipients); then say \
             --destroy-vault-keys"
        }
        TokenError::EraseRefused { .. } => {
            "remove it with its vendor's tool (a TPM's: tpm2_ptool rmtoken), or make another: claviger token init --label LABEL"
        }
        TokenError::TokenBusy => {
            "end the programs that use it, agents and browsers among them, and run it again"
        }
        TokenError::TokenReadOnly => "see the token's papers on how to make it writable; or use another",
        TokenError::LabelUnusable { .. } => "give --label with 1 to 32 bytes, such as `lab`",
        TokenError::PinUnavailable { .. } => {
            "run it on a terminal to be asked, or name a file that holds it with pin-source=file:PATH in the token's URI. The \
             first token's PIN may also come by --pin-fd N, or as the service credential `claviger-pin`. A last try is only a \
             person's"
        }
        TokenError::TokenAbsent { .. } => {
            "plug the token in, or correct its URI: `claviger token list` shows the tokens that are there"
        }
        TokenError::AmbiguousUri { .. } => {
            "add serial= (or id= for a key; token= or slot-description= where tokens share a number) to the URI: `claviger token list` \
             shows them"
        }
        TokenError::Uri { .. } => "`claviger token list` prints URIs to copy",
        TokenError::KeyMissing { .. } => {
            "the token is there but the master key is not: is it the right token, or was the key deleted? Without it \
             only another recipient's token opens the vault"
        }
        TokenError::CorruptWrappedKey => {
            "`claviger verify` names what is damaged; a copy of the store from before has the right bytes"
        }
        TokenError::TokenFull => {
            "former master keys of this vault take up room: `claviger token recipients` lists them, and `claviger token retire \
             RECIPIENT --destroy` makes room (rotate master --destroy-old leaves none). Remove what else is not needed with the \
             token's own tool (a YubiKey's, since firmware 5.7, by ykman 5.3 or later: ykman piv keys delete SLOT)"
        }
        TokenError::AnchorUnusable { .. } => {
            "somebody else wrote there: where you know the vault's head to be right, `claviger trust --head DIGEST` sets the \
             anchor anew"
        }
        TokenError::ModuleUnusable { .. } => {
            "check module-path in the token's URI, or --module; `claviger token doctor` says what is wrong with it, and which \
             modules are installed"
        }
        TokenError::NoScheme { tried } if tried.iter().any(|one| one.contains("a PIV card")) => {
            "leave --scheme out: a YubiKey's key takes ECDH-ES+A256KW and no other scheme here"
        }
        TokenError::Refused { .. } | TokenError::NoScheme { .. } => {
            "use another token or module; this one cannot keep a master key to itself"
        }
        TokenError::ModuleCrashed { .. } => {
            "run it again: the module is started anew. If it happens again, the fault is in the token's module: see whether \
             its vendor has a newer one"
        }
        TokenError::HostUnusable { .. } => {
            "see what `modules.toml` says of the module: its environment, and what its sandbox lets it do"
        }
        error => with_card(error),
    }
}

/// The same of cards, and of what is common to all.
fn with_card(error: &TokenError) -> &'static str {
    match error {
        TokenError::CardServiceDown => {
            "install it and start it: sudo apt-get install pcscd; sudo systemctl start pcscd.socket. Elsewhere than usual, \
             PCSCLITE_CSOCK_NAME names its socket (for a process of its own, in modules.toml: [piv] env). `claviger token \
             doctor` looks further"
        }
        TokenError::CardServiceDenied => {
            "polkit lets whoever sits at the machine reach cards, and nobody over SSH or in a service; a rule in \
             /etc/polkit-1/rules.d changes that: docs/yubikey.md has one"
        }
        TokenError::KeyNotOurs { .. } => {
            "leave the destruction out: then nothing that is written from now on opens by it. What else the key is for, only its \
             owner knows; its maker's tool removes it"
        }
        TokenError::FirmwareTooOld { .. } => {
            "make the key with its maker's tool, and a certificate beside it (ykman piv keys generate, ykman piv certificates \
             generate), and take it with --slot 9d --existing, by `claviger init` or `claviger token enroll`"
        }
        TokenError::CardHeld { .. } => {
            "end that program, or have it share the card, and run this again; nothing was ended by this one"
        }
        TokenError::CardFailed { command, answer }
            if command == "GET DATA" && answer.contains("no certificate") =>
        {
            "put the certificate back beside the key, made with the key itself: ykman piv certificates generate"
        }
        TokenError::CardFailed { .. } => {
            "pull it, put it back, and run this again; if it stays, `claviger token doctor` looks for the cause"
        }
        TokenError::PinInDoubt { .. } => {
            "give the new one first; `claviger token list` shows the tries that are left"
        }
        TokenError::SlotOccupied { .. } => {
            "take a free one with --slot, or the key that is there with --existing; one that nobody needs is removed, \
             since firmware 5.7, by ykman 5.3 or later: ykman piv keys delete SLOT"
        }
        TokenError::SlotUnusable { .. } => "leave --existing out, or take another slot with --slot",
        TokenError::ManagementKeyIncorrect => {
            "nothing was changed: it is the one that was set with `ykman piv access change-management-key`"
        }
        TokenError::ManagementKeyUnavailable { .. } if prompt::possible() => {
            "run it again and give it in hexadecimal digits, at the question or with --management-key-fd N. To have the YubiKey keep \
             it behind the PIN: ykman piv access change-management-key --protect"
        }
        TokenError::ManagementKeyUnavailable { .. } => {
            "run it on a terminal to be asked, or give it in hexadecimal digits with --management-key-fd N. To have the YubiKey \
             keep it behind the PIN: ykman piv access change-management-key --protect"
        }
        TokenError::PukIncorrect { tries_left: Some(1) } => {
            "one more wrong PUK locks it, and a PIN that is lost stays lost: look it up before the next try"
        }
        TokenError::PukIncorrect { .. } => {
            "it is the PUK of the PIV application, not its PIN; too many wrong ones lock it"
        }
        TokenError::PukLocked => {
            "nobody can set the PIN anew now; the PIN itself still works. If that is lost, so is the key: `ykman piv reset` \
             makes the YubiKey usable for others"
        }
        TokenError::TouchTimeout => "run it again and touch the token when it blinks",
        _ => {
            "`claviger token doctor` looks for the usual causes; if the token was pulled, put it back and try again"
        }
    }
}
