//! Enrolling a token on a host that cannot reach the vault: a request, a challenge, an answer.
//!
//! All three are small JSON files without secrets. Who carries them can withhold them; to change them is no use, because
//! only the token that the request names can answer the challenge.

use super::{
    enroll::{services, tell_of_yubikey},
    yubikey::{YubiKeyArgs, not_too_many_touches},
};
use crate::{
    args,
    context::Context,
    enrol::{NewKeys, Schemes, Wanted},
    error::CliError,
    modules, open,
    output::{self, jobs},
    progress::Bar,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use claviger_gate::{PinnedSigner, RecipientState};
use claviger_token::{KeyDescription, PublicKey, Uri, piv::policies};
use claviger_types::{Digest, EcPoint, RecipientId, Scheme, SignerId, VaultId};
use claviger_vault::answer_challenge;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::json;
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    str::FromStr,
};

/// No such file is larger.
const MAX_BYTES: u64 = 256 << 10;

const REQUEST_EXAMPLES: &str = "\
Examples:
  on the new host:    claviger token request --token 'pkcs11:token=new' >request.json
  where the vault is: claviger token enroll --request request.json >challenge.json
  on the new host:    claviger token answer challenge.json --token 'pkcs11:token=new'
  where the vault is: claviger token activate RECIPIENT --answer ANSWER >invitation.json
  on the new host:    claviger join invitation.json --token 'pkcs11:token=new'

A YubiKey's management key, for the request: --management-key-fd 3 3<key, or it is asked for.";

/// Make a key pair on a token of this host, and ask that it be enrolled elsewhere
#[derive(Debug, clap::Args)]
#[command(after_help = REQUEST_EXAMPLES)]
pub(super) struct RequestArgs {
    /// The token
    #[arg(long, value_name = "URI", required_unless_present = "yubikey")]
    token: Option<String>,
    /// Its module
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
    /// How keys are wrapped to it: a key pair's scheme
    #[arg(long, value_name = "SCHEME", value_parser = Scheme::from_str)]
    scheme: Option<Scheme>,
    #[command(flatten)]
    yubikey: YubiKeyArgs,
}

/// Answer a challenge with a token of this host
#[derive(Debug, clap::Args)]
#[command(after_help = REQUEST_EXAMPLES)]
pub(super) struct AnswerArgs {
    /// The challenge
    #[arg(value_name = "FILE")]
    challenge: PathBuf,
    /// The token that the request was made on
    #[arg(long, value_name = "URI")]
    token: String,
    /// Its module
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
}

/// Take up a recipient that has answered its challenge
#[derive(Debug, clap::Args)]
#[command(after_help = REQUEST_EXAMPLES)]
pub(super) struct ActivateArgs {
    /// The recipient, as the challenge names it
    #[arg(value_name = "RECIPIENT", value_parser = RecipientId::from_str)]
    recipient: RecipientId,
    /// What `token answer` said
    #[arg(long, value_name = "ANSWER", value_parser = args::digest)]
    answer: Digest,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Request {
    #[serde(rename = "claviger-request", deserialize_with = "format_1")]
    format: u8,
    recipient: RecipientId,
    scheme: String,
    public_key: Vec<String>,
    token_label: String,
    token_serial: String,
    key_label: String,
    /// When a YubiKey's key asks its owner; requests of older programs do not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    profile: String,
    signer: Option<RequestSigner>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RequestSigner {
    id: SignerId,
    x: Digest,
    y: Digest,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Challenge {
    #[serde(rename = "claviger-challenge", deserialize_with = "format_1")]
    format: u8,
    vault: VaultId,
    recipient: RecipientId,
    scheme: String,
    #[serde(rename = "challenge")]
    envelope: String,
}

pub(super) fn request(args: &RequestArgs, context: &Context) -> Result<(), CliError> {
    let uri = args.yubikey.uri(args.token.as_deref())?;
    if args.scheme.is_some_and(Scheme::is_symmetric) {
        return Err(CliError::usage(
            "a recipient that is enrolled from afar must be a key pair",
            "leave --scheme out, or take ECDH-ES+A256KW",
        ));
    }
    let found = args.yubikey.find(args.module.as_deref(), &uri, context)?;
    let schemes = args.scheme.map_or(Schemes::Pairs, Schemes::One);
    let wanted = Wanted { piv: args.yubikey.wish(&found, context)?, ..schemes.into() };
    let keys = NewKeys::make(&found, uri.pin_file.clone(), &wanted, context)?;
    let key = keys.description()?;
    let signer = keys.pinned_signer().map(|PinnedSigner { id, public_key: EcPoint { x, y } }| {
        RequestSigner { id, x: Digest::from_bytes(x), y: Digest::from_bytes(y) }
    });
    let request = Request {
        format: 1,
        recipient: key.recipient,
        scheme: key.scheme.name().to_owned(),
        public_key: public_key_text(&key)?,
        token_label: key.token_label.clone(),
        token_serial: key.token_serial.clone(),
        key_label: key.key_label,
        // Programs that know no such field read the requests for all other tokens.
        profile: if policies(&key.profile).is_some() { key.profile } else { String::new() },
        signer,
    };
    tell_of_yubikey(&found, key.recipient, context);
    print(&request)?;
    keys.keep();
    Ok(())
}

fn public_key_text(key: &KeyDescription) -> Result<Vec<String>, CliError> {
    match &key.public_key {
        Some(PublicKey::P256(EcPoint { x, y })) => Ok(vec![STANDARD.encode(x), STANDARD.encode(y)]),
        Some(PublicKey::Rsa { modulus, exponent }) => {
            Ok(vec![STANDARD.encode(modulus), STANDARD.encode(exponent)])
        }
        None => Err(CliError::usage("the token does not show its public key", "take another token")),
    }
}

pub(super) fn propose(request: &Path, context: &Context) -> Result<(), CliError> {
    let request: Request = read(request)?;
    let broken = || CliError::usage("that is no request of `claviger token request`", "make it again");
    let scheme = Scheme::from_str(&request.scheme).map_err(|_| broken())?;
    let bytes = |text: &String| STANDARD.decode(text).map_err(|_| broken());
    let [first, second] = request.public_key.as_slice() else { return Err(broken()) };
    let (first, second) = (bytes(first)?, bytes(second)?);
    let public_key = match scheme {
        Scheme::EcdhEsA256Kw => PublicKey::P256(EcPoint {
            x: first.try_into().map_err(|_| broken())?,
            y: second.try_into().map_err(|_| broken())?,
        }),
        Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => PublicKey::Rsa { modulus: first, exponent: second },
        Scheme::A256Kw | Scheme::A256Gcm => return Err(broken()),
    };
    let key = KeyDescription {
        recipient: request.recipient,
        scheme,
        public_key: Some(public_key),
        token_label: request.token_label,
        token_serial: request.token_serial,
        key_label: request.key_label,
        profile: String::new(),
    };
    let signer = request.signer.map(|RequestSigner { id, x, y }| PinnedSigner {
        id,
        public_key: EcPoint { x: *x.as_bytes(), y: *y.as_bytes() },
    });
    let api = context.open_as_owner()?;
    let touch = policies(&request.profile).map(|(_, touch)| touch);
    not_too_many_touches(touch, services(api.as_ref())?)?;
    let proposal = api.propose(&key, signer)?;
    print(&Challenge {
        format: 1,
        vault: context.config()?.vault,
        recipient: proposal.recipient,
        scheme: scheme.name().to_owned(),
        envelope: STANDARD.encode(&proposal.challenge),
    })?;
    Ok(())
}

pub(super) fn answer(args: &AnswerArgs, context: &Context) -> Result<(), CliError> {
    let challenge: Challenge = read(&args.challenge)?;
    let broken =
        || CliError::usage("that is no challenge of `claviger token enroll --request`", "make it again");
    let scheme = Scheme::from_str(&challenge.scheme).map_err(|_| broken())?;
    let bytes = STANDARD.decode(&challenge.envelope).map_err(|_| broken())?;
    let uri = args::token(&args.token)?;
    let found = modules::find(args.module.as_deref(), &uri, context)?;
    let uri = Uri { pin_file: uri.pin_file, ..found.uri() };
    let access = open::access(&uri, context);
    let token = found.driver.open(&uri, &access, challenge.recipient, scheme, "")?;
    let answer = answer_challenge(token.as_ref(), challenge.vault, &bytes)?;
    if context.json() {
        return output::print_json(&json!({
            "recipient": challenge.recipient.to_string(),
            "answer": answer.to_string(),
        }));
    }
    output::print(&format!("claviger token activate {} --answer {answer}\n", challenge.recipient))
}

pub(super) fn activate(args: &ActivateArgs, context: &Context) -> Result<(), CliError> {
    let api = context.open_as_owner()?;
    let bar = Bar::new();
    // An attempt that was cut short may have come as far as this, and its invitation be lost.
    api.resume(&bar)?;
    let is_active = api
        .status()?
        .recipients
        .iter()
        .any(|info| info.id == args.recipient && info.state == RecipientState::Active);
    if is_active {
        crate::report::note("the recipient is active already; this is its invitation");
    } else {
        let done = api.activate(args.recipient, args.answer, &bar)?;
        crate::report::note(jobs::as_text(&done).trim_end());
    }
    drop(bar);
    super::enroll::offer_pair(api.as_ref())?;
    let config = context.config_file()?.read()?;
    let name =
        api.status()?.recipients.into_iter().find(|info| info.id == args.recipient).ok_or_else(|| {
            CliError::usage("the recipient is gone again", "look at `claviger token recipients`")
        })?;
    print(&crate::commands::join::Invitation::new(&config, args.recipient, name.scheme))
}

/// The one format that there is of these files.
pub(crate) fn format_1<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    match u8::deserialize(from)? {
        1 => Ok(1),
        newer => Err(D::Error::custom(format_args!("it has format {newer}, and this program reads 1"))),
    }
}

/// Reads one of these files.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, CliError> {
    let failed = |source| CliError::file("read", path, source);
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    serde_json::from_str(&text).map_err(|error| {
        CliError::usage(
            format!("{} does not hold what it should: {error}", path.display()),
            "name the file that the step before has written",
        )
    })
}

/// Prints one of these files, for people to look at.
pub(crate) fn print<T: Serialize>(what: &T) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(what)
        .map_err(|error| CliError::usage(error.to_string(), "report this as a fault of the program"))?;
    output::print(&format!("{text}\n"))
}
