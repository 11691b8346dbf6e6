//! Telephone numbers in texts, as they may stand in a log.

use std::net::Ipv4Addr;

/// Fewest digits of a run that may be a telephone number.
const NUMBER: usize = 7;

/// Text whose telephone numbers, runs of seven digits and more however they are spaced, are masked but for
/// the last two digits, unless `shown`. Places in files and addresses stay: the operator needs them.
pub(crate) fn digits_hidden(text: &str, shown: bool) -> String {
    if shown {
        return text.to_owned();
    }
    let (place, rest) = text.split_at(place_end(text));
    let mut hidden = String::with_capacity(text.len());
    hidden.push_str(place);
    let mut rest = rest;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, run) = rest.split_at(start);
        hidden.push_str(before);
        let (run, after) = run.split_at(run_end(run));
        hide(run, &mut hidden);
        rest = after;
    }
    hidden.push_str(rest);
    hidden
}

/// Where the `file:line:column: ` of a problem ends; 0 where there is none.
fn place_end(text: &str) -> usize {
    let is_number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let end = text.find(": ").unwrap_or(0);
    let mut parts = text[..end].rsplit(':');
    if is_number(parts.next()) && is_number(parts.next()) { end } else { 0 }
}

/// The length of the run of digits, and of what is written between those of a number, that `text` begins
/// with; it ends with a digit.
fn run_end(text: &str) -> usize {
    let separates = |c: char| matches!(c, '-' | '.' | ' ' | '(' | ')' | '/');
    let (mut end, mut gap) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            _ if c.is_ascii_digit() => (end, gap) = (at + 1, 0),
            // Two words of digits further apart than `) ` are no one number.
            _ if separates(c) && gap < 2 => gap += 1,
            _ => break,
        }
    }
    end
}

/// Writes a run, masked where it may be a number. Parts of it may be addresses, which are told apart first.
fn hide(run: &str, hidden: &mut String) {
    let is_address =
        |part: &str| part.split(['/', ' ']).next().is_some_and(|part| part.parse::<Ipv4Addr>().is_ok());
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    let mut left = if digits >= NUMBER && !is_address(run) { digits - 2 } else { 0 };
    hidden.extend(run.chars().map(|c| match c.is_ascii_digit() && left > 0 {
        true => {
            left -= 1;
            '*'
        }
        false => c,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_masked_however_they_are_written() {
        for (text, masked) in [
            ("+14155550100 is not in the tables", "+*********00 is not in the tables"),
            ("415-555-0100: 404", "***-***-**00: 404"),
            ("415 555 0100", "*** *** **00"),
            ("(415) 555-0100, no", "(***) ***-**00, no"),
            ("\"+1 (415) 555.0100\"", "\"+* (***) ***.**00\""),
            ("5550100", "*****00"),
        ] {
            assert_eq!(digits_hidden(text, false), masked);
            assert_eq!(digits_hidden(text, true), text);
        }
    }

    #[test]
    fn places_ports_addresses_and_short_codes_stay() {
        for text in [
            "911 is a short code",
            "a.toml:12:3: 192.0.2.17, no",
            "routes/a.toml:12345:27: error: no such agent",
            "127.0.0.1:15060 is taken",
            "54.172.60.0/30 -> 54.172.60.0/29",
            "sip.max_calls 5000 -> 7",
        ] {
            assert_eq!(digits_hidden(text, false), text);
        }
        assert_eq!(
            digits_hidden("a.toml:12345:27: error: \"+14155550100\" is", false),
            "a.toml:12345:27: error: \"+*********00\" is"
        );
    }
}
