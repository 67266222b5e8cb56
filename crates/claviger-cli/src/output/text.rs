//! Text for a terminal. Names are hostile: they may hold line breaks, escape sequences, and characters that turn the
//! order of a line around. None of these reach the terminal.

use claviger_types::{Reference, Timestamp};
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr as _;

/// Whether a terminal may do with this character anything but show it where it stands.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

/// A message with hostile characters spelled out, `\n` and `\u{1b}`.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain
}

/// A reference that a terminal shows and the program reads back: hostile characters are `%XX`.
pub(crate) fn reference(reference: &Reference) -> String {
    name(&reference.to_string())
}

/// A part of a reference, or a whole one, as [`fn@reference`] spells it.
pub(crate) fn name(escaped: &str) -> String {
    let mut text = String::with_capacity(escaped.len());
    for c in escaped.chars() {
        if is_hostile(c) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(text, "%{byte:02X}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// A word as a shell takes it, for commands to copy.
pub(crate) fn shell(word: &str) -> String {
    let word = name(word);
    if !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "/._-+@:%=,".contains(c)) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Rows with their columns aligned, two spaces apart; the last column as long as it is.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            text += cell;
            if column + 1 < row.len() {
                text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + 2));
            }
        }
        text += "\n";
    }
    text
}

/// Lines, each with its end.
pub(crate) fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().fold(String::new(), |text, line| text + &line + "\n")
}

/// A number with its noun, in the singular or with an `s`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A moment in UTC as RFC 3339 has it, to the second.
pub(crate) fn time(moment: Timestamp) -> String {
    let seconds = moment.as_millis() / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The beginning of a day, `YYYY-MM-DD`, in UTC.
pub(crate) fn day(text: &str) -> Option<Timestamp> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if year.len() != 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let (year, month, day): (u64, u64, u64) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    // From the first day of that month on, at most as many days later as it may have.
    let mut first = (year - 1970) * 365 + (month - 1) * 28;
    while civil(first) < (year, month, 1) {
        first += 1;
    }
    let found = first + day.checked_sub(1)?;
    (civil(found) == (year, month, day)).then(|| Timestamp::from_millis(found * 86_400_000))
}

/// The date of a day since 1970-01-01, in the proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`).
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests;
