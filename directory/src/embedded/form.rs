//! Pairs of names and values, as browsers send forms: `value=..&ttl=2`.
//!
//! MICA2 sends `ttl=2;value=..;` without escapes. An entry has neither of the two separators in it, so both are taken.

use percent_encoding::percent_decode;

/// Most pairs that are looked at.
const PAIR_COUNT_MAX: usize = 16;

/// The pairs of a form, without escapes; `None` when it is no form.
pub fn parse(text: &[u8]) -> Option<Vec<(String, String)>> {
    let parts = || text.split(|byte| matches!(byte, b'&' | b';')).filter(|part| !part.is_empty());
    if parts().count() > PAIR_COUNT_MAX {
        return None;
    }
    parts().map(pair).collect()
}

fn pair(part: &[u8]) -> Option<(String, String)> {
    let at = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
    Some((unescaped(&part[..at])?, unescaped(part.get(at + 1..).unwrap_or_default())?))
}

/// A percent sign must have two digits behind it, so that one that stands for itself is not taken for half an escape.
fn unescaped(text: &[u8]) -> Option<String> {
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_hexdigit);
    let escapes_hold =
        text.iter().enumerate().all(|(at, byte)| *byte != b'%' || (is_digit(at + 1) && is_digit(at + 2)));
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    escapes_hold.then(|| percent_decode(&spaced).decode_utf8().ok().map(String::from)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Option<Vec<(String, String)>> {
        parse(text.as_bytes())
    }

    #[test]
    fn both_separators_say_the_same() {
        let expected = Some(vec![("ttl".to_owned(), "2".to_owned()), ("value".to_owned(), "{\"a\":1}".to_owned())]);
        assert_eq!(pairs("ttl=2;value={\"a\":1};"), expected);
        assert_eq!(pairs("ttl=2&value=%7b%22a%22%3A1%7D"), expected);
    }

    #[test]
    fn a_value_may_be_missing_or_have_the_sign_in_it() {
        let expected = |value: &str| Some(vec![("a".to_owned(), value.to_owned())]);
        assert_eq!(pairs("a"), expected(""));
        assert_eq!(pairs("a="), expected(""));
        assert_eq!(pairs("a=b=c+d"), expected("b=c d"));
        assert_eq!(pairs(""), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for text in ["a=%", "a=%4", "a=%zz", "%=a", "a=%ff", &"a&".repeat(17)] {
            assert_eq!(pairs(text), None, "{text}");
        }
        assert_eq!(parse(b"a=\xff"), None);
    }
}
