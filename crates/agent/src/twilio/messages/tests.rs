use super::*;

fn writer() -> Writer {
    Writer::new(Sids { account: "AC1".to_owned(), call: "CA1".to_owned(), stream: "MZ1".to_owned() })
}

#[test]
fn messages_are_those_of_twilio() {
    let mut writer = writer();
    assert_eq!(writer.connected().as_str(), r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
    let start: serde_json::Value =
        serde_json::from_str(&writer.start(&[("from_number".to_owned(), "+1\"5".to_owned())])).expect("JSON");
    assert_eq!(start["sequenceNumber"], "1");
    assert_eq!(start["start"]["mediaFormat"]["sampleRate"], 8000);
    assert_eq!(start["start"]["customParameters"]["from_number"], "+1\"5");
    assert_eq!(
        writer.media(&[0xff, 0xfe], 20).as_str(),
        r#"{"event":"media","sequenceNumber":"2","streamSid":"MZ1","media":{"track":"inbound","chunk":"1","timestamp":"20","payload":"//4="}}"#,
    );
    assert_eq!(
        writer.dtmf('#').as_str(),
        r##"{"event":"dtmf","sequenceNumber":"3","streamSid":"MZ1","dtmf":{"track":"inbound_track","digit":"#"}}"##,
    );
    assert_eq!(
        writer.mark("a \"b\"").as_str(),
        r#"{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"a \"b\""}}"#,
    );
    assert_eq!(
        writer.stop().as_str(),
        r#"{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#,
    );
}

#[test]
fn the_agents_messages_are_read() {
    let mut audio = Vec::new();
    assert_eq!(
        FromAgent::read(r#"{"event":"media","streamSid":"x","media":{"payload":"//4="}}"#, &mut audio),
        FromAgent::Media
    );
    assert_eq!(audio, [0xff, 0xfe]);
    assert_eq!(
        FromAgent::read(r#"{"event":"mark","mark":{"name":"m\u00e9"}}"#, &mut audio),
        FromAgent::Mark("mé".into())
    );
    assert_eq!(FromAgent::read(r#"{"event":"clear"}"#, &mut audio), FromAgent::Clear);
    assert_eq!(FromAgent::read(r#"{"event":"hangup"}"#, &mut audio), FromAgent::Hangup);
    for other in [
        "",
        "[]",
        "{",
        r#"{"event":"media"}"#,
        r#"{"event":"media","media":{"payload":"!!"}}"#,
        r#"{"event":7}"#,
    ] {
        assert_eq!(FromAgent::read(other, &mut audio), FromAgent::Other, "{other}");
    }
}
