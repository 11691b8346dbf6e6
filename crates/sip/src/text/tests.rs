use super::*;

#[test]
fn lists_split_outside_quotes_and_brackets() {
    let parts: Vec<_> = list(r#""a, b" <sip:x,y@z>, <sip:c>,, d"#).collect();
    assert_eq!(parts, [r#""a, b" <sip:x,y@z>"#, "<sip:c>", "d"]);
}

#[test]
fn quoting_round_trips_and_drops_line_ends() {
    assert_eq!(unquote(&quote(r#"a "b" \c"#)), r#"a "b" \c"#);
    assert_eq!(quote("a\r\nX: y"), "\"a  X: y\"");
}

#[test]
fn escapes_resolve_once_and_broken_ones_stay() {
    assert_eq!(unescape("a%40b%2540%zz%4"), "a@b%40%zz%4");
    assert_eq!(escape_user("a b\r\n@"), "a%20b%0D%0A%40");
}

#[test]
fn unbalanced_quotes_are_seen() {
    assert!(quotes_balance(r#""a\"b" <sip:x>"#));
    assert!(!quotes_balance(r#""a <sip:x>"#));
}

#[test]
fn numbers_have_no_sign_and_no_excess() {
    assert_eq!(number("4294967295"), Some(u32::MAX));
    assert_eq!(number("4294967296"), None);
    assert_eq!(number("+1"), None);
    assert_eq!(number(""), None);
}

#[test]
fn what_a_log_shows_stands_on_one_line() {
    let shown = OneLine("a\r\nb\u{1b}[31m\u{202e}c é").to_string();
    assert_eq!(shown, "a??b?[31m?c é");
    assert_eq!(OneLine(&"x".repeat(1000)).to_string().len(), MAX_SHOWN);
}
