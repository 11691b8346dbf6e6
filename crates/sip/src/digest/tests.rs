use super::*;

fn headers(fields: &[(HeaderName, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in fields {
        headers.push(name.clone(), (*value).to_owned());
    }
    headers
}

fn field(answer: &str, name: &str) -> String {
    let found = split_outside(answer.strip_prefix("Digest ").unwrap_or(answer), b',')
        .filter_map(|field| field.split_once('='))
        .find(|(known, _)| *known == name);
    unquote(found.unwrap_or_else(|| panic!("{name} in {answer}")).1)
}

/// RFC 7616 §3.9.1: Mufasa's two challenges.
#[test]
fn the_examples_of_rfc_7616() {
    let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    for (algorithm, response) in [
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
    ] {
        let value = format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, nonce=\"{nonce}\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        let challenge = Challenge::parse(&value, false).expect("a challenge");
        let who = Credentials { username: "Mufasa", password: "Circle of Life" };
        let method = Method::from_token("GET");
        let asked = Asked { method: &method, uri: "/dir/index.html", body: b"" };
        let answer = challenge.answer(who, asked, cnonce, 1);
        assert_eq!(field(&answer, "response"), response, "{algorithm}");
        assert_eq!((field(&answer, "qop").as_str(), field(&answer, "nc").as_str()), ("auth", "00000001"));
        assert_eq!(field(&answer, "opaque"), "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS");
    }
}

/// RFC 2069 style, without qop: no count and no cnonce (RFC 3261 §22.4).
#[test]
fn a_challenge_without_qop_is_answered_the_old_way() {
    let value = "Digest realm=\"a\",nonce=\"b\"";
    let challenge = Challenge::parse(value, false).expect("a challenge");
    let who = Credentials { username: "u", password: "p" };
    let asked = Asked { method: &Method::Invite, uri: "sip:x", body: b"" };
    let answer = challenge.answer(who, asked, "c", 1);
    assert!(!answer.contains("qop") && !answer.contains("cnonce") && !answer.contains("nc="), "{answer}");
    // MD5(MD5("u:a:p") ":b:" MD5("INVITE:sip:x")), by Python's hashlib.
    assert_eq!(field(&answer, "response"), "13b324100daf765f584ff02dbf7b19c9");
}

#[test]
fn the_strongest_that_we_can_answer_is_taken_and_only_for_our_realm() {
    let headers = headers(&[
        (HeaderName::WwwAuthenticate, "Basic realm=\"x\""),
        (HeaderName::WwwAuthenticate, "Digest realm=\"x\",nonce=\"0\",algorithm=MD5"),
        (HeaderName::WwwAuthenticate, "Digest realm=\"x\",nonce=\"1\",algorithm=SHA3-256"),
        (HeaderName::WwwAuthenticate, "Digest realm=\"y\",nonce=\"9\",algorithm=SHA-256"),
        (
            HeaderName::WwwAuthenticate,
            "Digest realm=\"x\",nonce=\"2\",algorithm=SHA-512-256-sess,qop=\"auth-int\"",
        ),
        (HeaderName::WwwAuthenticate, "Digest realm=\"x\",nonce=\"3\",algorithm=SHA-512-256"),
        (HeaderName::ProxyAuthenticate, "Digest realm=\"other, \\\"quoted\\\"\",nonce=\"4\",stale=TRUE"),
    ]);
    let best = Challenge::of(&headers, false, None).expect("a challenge");
    assert_eq!((best.nonce.as_str(), best.algorithm), ("2", Algorithm::Sha512_256), "of equals the first");
    assert_eq!(best.header(), HeaderName::Authorization);
    let who = Credentials { username: "u", password: "p" };
    let asked = Asked { method: &Method::Invite, uri: "sip:x", body: b"body" };
    let answer = best.answer(who, asked, "c", 2);
    assert!(answer.contains("algorithm=SHA-512-256-sess,qop=auth-int,nc=00000002,cnonce=\"c\""), "{answer}");
    // By Python's hashlib.
    assert_eq!(
        field(&answer, "response"),
        "0e6aa067ad354158c41ad726068faff69e4a084fac2eb5305bc88514e8b0c6dd"
    );
    let named = Challenge::of(&headers, false, Some("y")).expect("a challenge");
    assert_eq!((named.nonce.as_str(), named.algorithm), ("9", Algorithm::Sha256));
    let proxy = Challenge::of(&headers, true, Some("other, \"quoted\"")).expect("a challenge");
    assert_eq!(
        (proxy.nonce.as_str(), proxy.stale, proxy.header()),
        ("4", true, HeaderName::ProxyAuthorization)
    );
    assert_eq!(Challenge::of(&headers, false, Some("nobody")), None);
}

/// Every hash with every protection, by an answer written out by hand from RFC 7616 §3.4.
#[test]
fn every_algorithm_with_every_protection() {
    fn hashed(algorithm: &str, text: &str) -> String {
        match algorithm {
            "MD5" => hex(&Md5::digest(text)),
            "SHA-256" => hex(&Sha256::digest(text)),
            _ => hex(&Sha512_256::digest(text)),
        }
    }
    for algorithm in ["MD5", "SHA-256", "SHA-512-256"] {
        for session in ["", "-sess"] {
            for qop in ["auth", "auth-int"] {
                let value =
                    format!("Digest realm=\"r\",nonce=\"n\",algorithm={algorithm}{session},qop=\"{qop}\"");
                let challenge = Challenge::parse(&value, false).expect("a challenge");
                let who = Credentials { username: "u", password: "p" };
                let asked = Asked { method: &Method::Invite, uri: "sip:x", body: b"body" };
                let answer = challenge.answer(who, asked, "c", 1);
                let h = |text: &str| hashed(algorithm, text);
                let plain = h("u:r:p");
                let secret = if session.is_empty() { plain } else { h(&format!("{plain}:n:c")) };
                let subject = match qop {
                    "auth" => h("INVITE:sip:x"),
                    _ => h(&format!("INVITE:sip:x:{}", h("body"))),
                };
                let response = h(&format!("{secret}:n:00000001:c:{qop}:{subject}"));
                assert_eq!(field(&answer, "response"), response, "{value}");
                assert_eq!(field(&answer, "algorithm"), format!("{algorithm}{session}"));
            }
        }
    }
}

#[test]
fn broken_challenges_are_none() {
    for value in
        ["", "Digest", "Digest realm=\"x\"", "Digest nonce=1", "Digest realm=\"x\",nonce=\"1\",qop=\"odd\""]
    {
        assert_eq!(Challenge::parse(value, false), None, "{value}");
    }
}

#[test]
fn our_challenges_are_answered_by_our_own_client_and_by_nobody_without_the_password() {
    for algorithm in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256] {
        let value = challenge("gw", "n1", algorithm, false);
        assert!(value.contains(algorithm.name()));
        let mut headers = Headers::new();
        headers.push(HeaderName::WwwAuthenticate, value);
        let asked = Challenge::of(&headers, false, Some("gw")).expect("one that we can answer");
        let who = Credentials { username: "acme", password: "s3cret" };
        let request = Asked { method: &Method::Invite, uri: "sip:1@gw", body: b"" };
        let mut headers = Headers::new();
        headers.push(HeaderName::Authorization, asked.answer(who, request, "c", 10));
        assert_eq!(Answer::of(&headers, "other"), None);
        let answer = Answer::of(&headers, "gw").expect("an answer");
        assert_eq!((answer.username.as_str(), answer.nonce.as_str(), answer.count), ("acme", "n1", 10));
        assert!(answer.proves(who, &Method::Invite));
        assert!(!answer.proves(who, &Method::Bye));
        assert!(!answer.proves(Credentials { password: "guess", ..who }, &Method::Invite));
    }
}

#[test]
fn answers_that_do_not_answer_what_we_ask_are_none() {
    let whole = "Digest username=\"a\",realm=\"gw\",nonce=\"n\",uri=\"sip:x\",response=\"0\",algorithm=MD5,qop=auth,nc=00000001,cnonce=\"c\"";
    let parsed = |value: &str| {
        let mut headers = Headers::new();
        headers.push(HeaderName::Authorization, value.to_owned());
        Answer::of(&headers, "gw").is_some()
    };
    assert!(parsed(whole));
    for (part, other) in [
        ("qop=auth,", ""),
        ("qop=auth", "qop=auth-int"),
        ("nc=00000001", "nc=x"),
        ("MD5", "MD5-sess"),
        ("MD5", "SHA-1"),
        ("Digest", "Basic"),
        ("response=\"0\",", ""),
    ] {
        assert!(!parsed(&whole.replace(part, other)), "{part} as {other}");
    }
}
