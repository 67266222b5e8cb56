//! When something goes wrong.

/// At which occasions, counted from 1 since the fault was injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Nth(u64),
    Every,
    From(u64),
}

impl At {
    /// `N`, `every` or `from N` at the head of these words, and the words after it.
    pub(crate) fn parse<'a, 'b>(words: &'a [&'b str]) -> Result<(Self, &'a [&'b str]), &'static str> {
        let number = |word: &str| word.parse().map_err(|_| "no number");
        match words {
            ["every", rest @ ..] => Ok((Self::Every, rest)),
            ["from", first, rest @ ..] => Ok((Self::From(number(first)?), rest)),
            [nth, rest @ ..] => Ok((Self::Nth(number(nth)?), rest)),
            [] => Err("it is missing when"),
        }
    }

    /// Whether this is the occasion.
    pub(crate) fn is(self, count: u64) -> bool {
        match self {
            Self::Nth(nth) => count == nth,
            Self::Every => true,
            Self::From(first) => count >= first,
        }
    }
}
