use super::*;

#[test]
fn quoted_names_may_hold_brackets_and_escapes() {
    let value = NameAddr::parse(r#""A <b> \"c\"" <sip:x@example.com;lr>;tag=1;+sip.instance="<urn:uuid:1>""#)
        .expect("parses");
    assert_eq!(value.display.as_deref(), Some(r#"A <b> "c""#));
    assert_eq!(value.tag(), Some("1"));
    assert!(value.uri.is_loose());
    assert_eq!(value.params.value("+SIP.instance"), Some("\"<urn:uuid:1>\""));
    assert_eq!(NameAddr::parse(&value.to_string()), Ok(value));
}

#[test]
fn without_brackets_the_parameters_are_the_headers() {
    let value = NameAddr::parse("sip:x@example.com;tag=7").expect("parses");
    assert_eq!((value.tag(), value.uri.as_str()), (Some("7"), "sip:x@example.com"));
}

#[test]
fn unquoted_names_of_any_characters_are_taken() {
    let value = NameAddr::parse("Bell, Alexander <sip:a.g.bell@example.com> ; tag = 43").expect("parses");
    assert_eq!((value.display.as_deref(), value.tag()), (Some("Bell, Alexander"), Some("43")));
}

#[test]
fn unterminated_quotes_and_brackets_are_refused() {
    assert!(NameAddr::parse("\"Mr. J. User <sip:j.user@example.com>").is_err());
    assert!(NameAddr::parse("<sip:j.user@example.com").is_err());
}
