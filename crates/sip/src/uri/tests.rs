use super::*;

fn uri(text: &str) -> Uri {
    Uri::parse(text).expect(text)
}

#[test]
fn a_sip_uri_has_user_host_port_params_and_headers() {
    let uri = uri(
        "sip:+14155550100;npdi;rn=+1415@[2001:db8::10]:5070;transport=tcp;lr?Replaces=a%40b%3Bto-tag%3D1&X=y",
    );
    assert_eq!(uri.user().as_deref(), Some("+14155550100"));
    assert_eq!(uri.user_params().value("rn"), Some("+1415"));
    assert_eq!(uri.host(), Some(&Host::IpAddr("2001:db8::10".parse().expect("address"))));
    assert_eq!(uri.port(), Some(5070));
    assert_eq!(uri.param("Transport").as_deref(), Some("tcp"));
    assert!(uri.is_loose());
    let headers: Vec<_> = uri.headers().collect();
    assert_eq!(headers[0], ("Replaces".into(), "a@b;to-tag=1".into()));
    assert!(uri.without_headers().ends_with(";lr"));
}

#[test]
fn escapes_in_the_user_part_are_resolved_after_the_cut() {
    assert_eq!(uri("sip:null-%00-null@example.com").user().as_deref(), Some("null-\0-null"));
    assert_eq!(uri("sip:a%3Bb@example.com").user().as_deref(), Some("a;b"));
    assert_eq!(
        uri("sip:sips%3Auser%40example.com@example.net").user().as_deref(),
        Some("sips:user@example.com")
    );
}

#[test]
fn a_uri_may_have_no_user_and_a_question_mark_in_the_user() {
    assert_eq!(uri("sip:example.com:5061").user(), None);
    assert_eq!(uri("sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com").host(),
        Some(&Host::Domain("example.com".to_owned().into())));
    assert_eq!(
        uri("sip:host.example?Replaces=a@b").host(),
        Some(&Host::Domain("host.example".to_owned().into()))
    );
}

#[test]
fn tel_numbers_keep_their_phone_context() {
    let local = uri("tel:863-1234;phone-context=+1-914-555");
    assert_eq!(local.user().as_deref(), Some("863-1234"));
    assert_eq!(local.param("phone-context").as_deref(), Some("+1-914-555"));
    assert_eq!(uri("tel:+1-201-555-0123").user().as_deref(), Some("+1-201-555-0123"));
}

#[test]
fn other_schemes_are_kept_and_broken_uris_refused() {
    assert_eq!(
        *uri("nobodyKnowsThisScheme:totallyopaquecontent").scheme(),
        Scheme::Other("nobodyknowsthisscheme".into())
    );
    assert_eq!(Uri::parse("sip:a b@example.com"), Err(UriError::Blank));
    assert_eq!(Uri::parse("sip:user@exa mple.com"), Err(UriError::Blank));
    assert_eq!(Uri::parse("sip:user@host:99999"), Err(UriError::BadHost));
    assert_eq!(Uri::parse("sip:user@[2001:db8::10"), Err(UriError::BadHost));
    assert_eq!(Uri::parse("<sip:user@host>"), Err(UriError::NoScheme));
    assert_eq!(Uri::parse("tel:"), Err(UriError::NoNumber));
}
