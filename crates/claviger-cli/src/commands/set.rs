//! `claviger set`.

use crate::{
    args,
    context::Context,
    error::CliError,
    output::{self, Unbuffered, json, text},
    prompt,
};
use claviger_gate::{Api, ErrorClass, Set, Written};
use claviger_types::{FieldValue, Fields, Kind, MAX_VALUE_BYTES, Reference, SecretBytes, Timestamp, Value};
use rustix::stdio;
use serde_json::json;
use std::{
    ffi::OsString,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// JSON may spell a value of the largest size in more bytes than it has, at most a third more where it is base64.
const MAX_INPUT_BYTES: usize = 2 * MAX_VALUE_BYTES;

const EXAMPLES: &str = "\
Examples:
  claviger set openai                     ask for an API key, and do not show it
  claviger set openai/second --file key.txt --trim-newline
  pass show github | claviger set github --stdin --trim-newline
  claviger set google/oauth_token --kind oauth2 --file token.json
  claviger set db --kind basic --field username=@user --field password=@pass
  claviger set openai --stdin --cas 3 < key.txt   only if 3 is the newest

The bytes of --file and --stdin are kept exactly as they are, a newline at the end included, unless --trim-newline is \
given. The kinds oauth2, basic and fields take a JSON object; each member is kept to the letter, and a member of the \
form {\"$base64\": \"...\"} stands for bytes. A value never comes from the command line itself, where others could see it.";

/// Write a new version of a credential
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The credential: SERVICE or SERVICE/NAME
    #[arg(value_name = "REF", value_parser = args::reference)]
    reference: Reference,
    #[command(flatten)]
    options: Options,
}

/// What is written, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What it is [default: what it has been, or api-key]
    #[arg(long, value_parser = args::kind())]
    kind: Option<Kind>,
    /// Read the value from a file
    #[arg(long, value_name = "FILE", group = "source")]
    file: Option<PathBuf>,
    /// Read the value from standard input
    #[arg(long, group = "source")]
    stdin: bool,
    /// Read one field from a file; may be given several times
    #[arg(long = "field", value_name = "NAME=@FILE", group = "source")]
    fields: Vec<String>,
    /// What somebody typed there before they knew better; refused without being shown
    #[arg(hide = true)]
    value: Option<OsString>,
    /// Cut one newline at the end of what is read
    #[arg(long)]
    trim_newline: bool,
    /// Write only if this is the newest version; 0: only if there is none
    #[arg(long, value_name = "N")]
    cas: Option<u64>,
    /// How many versions to keep from now on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    max_versions: Option<u32>,
    /// The new version ends by itself then: 30d, 12h, or 2027-01-31
    #[arg(long, value_name = "WHEN", value_parser = args::moment)]
    expires: Option<Timestamp>,
    /// It should have yet another value by then; `claviger status` says when that is due
    #[arg(long, value_name = "WHEN", value_parser = args::moment)]
    rotate_by: Option<Timestamp>,
}

/// `NAME=@FILE`. Anything else may be a secret, and is not shown.
fn field(text: &str) -> Result<(&str, &Path), CliError> {
    match text.split_once("=@") {
        Some((name, path)) if !path.is_empty() && !name.contains('=') => Ok((name, Path::new(path))),
        _ => Err(CliError::usage("--field takes NAME=@FILE", NOT_HERE)),
    }
}

const NOT_HERE: &str = "values never come from the command line, where others could see them: give --file FILE, --stdin, \
     --field NAME=@FILE, or nothing to be asked";

/// What was given for a value, before its kind is known.
enum Input {
    Whole(SecretBytes),
    Parts(Fields),
    Ask,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let Args { reference, options } = args;
    let input = input(&options, context)?;
    let api = context.open()?;
    let kind = kind(options.kind, &reference, &input, api.as_ref())?;
    write(reference, &options, kind, input, api.as_ref(), context)
}

/// Writes a value over one that must be there, and that nobody else has changed meanwhile.
pub(crate) fn replace(
    reference: &Reference,
    mut options: Options,
    context: &Context,
) -> Result<(), CliError> {
    let input = input(&options, context)?;
    let api = context.open()?;
    let present = api.history(reference)?;
    options.cas = options.cas.or(Some(present.current));
    let kind = options.kind.unwrap_or(present.kind);
    write(present.reference(), &options, kind, input, api.as_ref(), context)
}

fn write(
    reference: Reference,
    options: &Options,
    kind: Kind,
    input: Input,
    api: &dyn Api,
    context: &Context,
) -> Result<(), CliError> {
    let value = value(kind, input)?;
    if value.size() == 0 {
        crate::report::note("the value has 0 bytes");
    }
    let Options { cas, max_versions, expires, rotate_by, .. } = *options;
    let written = api.set(Set { reference, value, cas, max_versions, expires, rotate_by })?;
    report(&written, context)
}

/// Says what was written.
pub(crate) fn report(written: &Written, context: &Context) -> Result<(), CliError> {
    if context.json() {
        return output::print_json(&json!({
            "service": written.service.as_str(),
            "name": written.name.as_str(),
            "kind": written.kind.name(),
            "version": written.version,
            "pruned": written.pruned,
        }));
    }
    let reference = Reference { service: written.service.clone(), name: Some(written.name.clone()) };
    let pruned: Vec<_> = written.pruned.iter().map(u64::to_string).collect();
    let pruned = match pruned.as_slice() {
        [] => String::new(),
        some => format!(" (no longer kept: {})", some.join(", ")),
    };
    output::print(&format!("{}: version {}{pruned}\n", text::reference(&reference), written.version))
}

fn input(args: &Options, context: &Context) -> Result<Input, CliError> {
    if args.value.is_some() {
        return Err(CliError::usage("`set` takes no value after the reference", NOT_HERE));
    }
    let read = |path: &Path| {
        let failed = |source| CliError::file("read", path, source);
        let mut file = File::open(path).map_err(failed)?;
        bounded(&mut file, args.trim_newline, failed)
    };
    if args.stdin {
        if context.pin_is_stdin() {
            return Err(CliError::usage(
                "the value and the PIN cannot both come from standard input",
                "give the PIN on another descriptor: --pin-fd 3 3<FILE",
            ));
        }
        let failed = |source| CliError::Stream { action: "read standard input", source };
        return bounded(&mut Unbuffered(stdio::stdin()), args.trim_newline, failed).map(Input::Whole);
    }
    if let Some(path) = &args.file {
        return read(path).map(Input::Whole);
    }
    if !args.fields.is_empty() {
        let mut fields = Fields::new();
        for text in &args.fields {
            let (name, path) = field(text)?;
            if fields.insert(name.to_owned(), FieldValue::Bytes(read(path)?)).is_some() {
                return Err(CliError::usage(
                    format!("the field `{name}` is given twice"),
                    "give each field once",
                ));
            }
        }
        return Ok(Input::Parts(fields));
    }
    if prompt::possible() {
        return Ok(Input::Ask);
    }
    Err(CliError::NoTerminal { question: "the value", instead: "give --file FILE or --stdin", pin: false })
}

fn bounded(
    from: &mut dyn Read,
    trim_newline: bool,
    failed: impl Fn(std::io::Error) -> CliError,
) -> Result<SecretBytes, CliError> {
    let mut bytes = SecretBytes::read_from(from, MAX_INPUT_BYTES).map_err(failed)?.ok_or_else(too_large)?;
    if trim_newline {
        bytes.trim_newline();
    }
    Ok(bytes)
}

fn too_large() -> CliError {
    CliError::usage(
        format!("the value is larger than {MAX_VALUE_BYTES} bytes (1 MiB)"),
        "keep large files elsewhere, encrypted under a key that is kept here",
    )
}

/// The kind that was asked for, else the one that the credential has, else the one that fits.
fn kind(asked: Option<Kind>, reference: &Reference, input: &Input, api: &dyn Api) -> Result<Kind, CliError> {
    if let Some(kind) = asked {
        return Ok(kind);
    }
    match api.history(reference) {
        Ok(info) => Ok(info.kind),
        Err(error) if error.class() == ErrorClass::NotFound => Ok(match input {
            Input::Parts(_) => Kind::Fields,
            Input::Whole(_) | Input::Ask => Kind::ApiKey,
        }),
        Err(error) => Err(error.into()),
    }
}

fn value(kind: Kind, input: Input) -> Result<Value, CliError> {
    let value = match (input, kind) {
        (Input::Whole(bytes), _) if kind.single_field().is_some() => Value::single(kind, bytes),
        (Input::Whole(bytes), _) => {
            let fields = json::parse_fields(&bytes).map_err(|source| CliError::Fields { kind, source })?;
            Value { kind, fields }
        }
        (Input::Parts(_), _) if kind.single_field().is_some() => {
            return Err(CliError::usage(
                format!("a credential of the kind {kind} has one value and no fields"),
                "give the value with --file or --stdin, or another --kind",
            ));
        }
        (Input::Parts(fields), _) => Value { kind, fields },
        (Input::Ask, _) if kind.single_field().is_some() => Value::single(kind, prompt::new_secret("value")?),
        (Input::Ask, Kind::Basic) => {
            let username = SecretBytes::new(prompt::line("username")?.into_bytes());
            let password = prompt::new_secret("password")?;
            let fields = [("username", username), ("password", password)];
            Value {
                kind,
                fields: fields.map(|(name, bytes)| (name.to_owned(), FieldValue::Bytes(bytes))).into(),
            }
        }
        (Input::Ask, _) => {
            return Err(CliError::usage(
                format!("a credential of the kind {kind} is not asked for field by field"),
                "give --file or --stdin with a JSON object, or --field NAME=@FILE",
            ));
        }
    };
    if value.size() > MAX_VALUE_BYTES { Err(too_large()) } else { Ok(value) }
}
