//! JSON's escapes, read into memory that is wiped.

use zeroize::Zeroizing;

/// The text that JSON means between two quotes; `None` where half a surrogate pair stands, which is no text. Takes any
/// other JSON as well: escapes are only in strings.
pub(super) fn unescape(json: &str) -> Option<Zeroizing<String>> {
    // An escape is never shorter than what it means, so this never grows and leaves no copy behind.
    let mut text = Zeroizing::new(String::with_capacity(json.len()));
    let mut rest = json;
    while let Some((before, escape)) = rest.split_once('\\') {
        text.push_str(before);
        let (meaning, after) = unescape_one(escape)?;
        text.push(meaning);
        rest = after;
    }
    text.push_str(rest);
    Some(text)
}

/// What the escape means whose backslash was cut off, and what follows it.
fn unescape_one(escape: &str) -> Option<(char, &str)> {
    let (kind, rest) = escape.split_at_checked(1)?;
    let meaning = match kind {
        "b" => '\u{8}',
        "f" => '\u{c}',
        "n" => '\n',
        "r" => '\r',
        "t" => '\t',
        "u" => {
            let (first, rest) = unit(rest)?;
            let Some(second) = rest.strip_prefix("\\u").filter(|_| (0xd800..0xdc00).contains(&first)) else {
                return Some((char::from_u32(first.into())?, rest));
            };
            let (second, rest) = unit(second)?;
            return Some((char::decode_utf16([first, second]).next()?.ok()?, rest));
        }
        _ => kind.chars().next()?,
    };
    Some((meaning, rest))
}

fn unit(text: &str) -> Option<(u16, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u16::from_str_radix(digits, 16).ok()?, rest))
}

/// Whether `NaN`, `Infinity` or `-Infinity` stands where a parser stopped: Python writes them, JSON does not know them.
pub(super) fn is_not_finite(json: &str, line: usize, column: usize) -> bool {
    let Some(line) = json.lines().nth(line.saturating_sub(1)) else { return false };
    // A parser stops at the first letter or the one after it.
    (0..4).filter_map(|back| line.get(column.checked_sub(back)?..)).any(|rest| {
        let rest = rest.strip_prefix('-').unwrap_or(rest);
        rest.starts_with("NaN") || rest.starts_with("Infinity")
    })
}

#[cfg(test)]
mod tests;
