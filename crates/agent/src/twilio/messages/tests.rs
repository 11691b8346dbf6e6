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
        read(r#"{"event":"media","streamSid":"x","media":{"payload":"//4="}}"#, &mut audio),
        FromAgent::Media
    );
    assert_eq!(audio, [0xff, 0xfe]);
    assert_eq!(
        read(r#"{"event":"mark","mark":{"name":"m\u00e9"}}"#, &mut audio),
        FromAgent::Mark("mé".into())
    );
    assert_eq!(read(r#"{"event":"clear"}"#, &mut audio), FromAgent::Clear);
    assert_eq!(read(r#"{"event":"hangup"}"#, &mut audio), FromAgent::Hangup);
    for other in [
        "",
        "[]",
        "{",
        r#"{"event":"media"}"#,
        r#"{"event":"media","media":{"payload":"!!"}}"#,
        r#"{"event":7}"#,
    ] {
        assert!(matches!(read(other, &mut audio), FromAgent::Unknown(_)), "{other}");
    }
}

#[test]
fn a_frame_to_and_from_an_agent_costs_no_allocation() {
    let mut writer = Writer::new(Sids::of("node", "call_1"));
    let mut audio = Vec::new();
    // Frames both ways; what is written is read back, as an echoing agent would send it.
    let mut frames = |count: u64| {
        for n in 0..count {
            let message = writer.media(&[0x7f; 160], n * 20);
            assert_eq!(read(&message, &mut audio), FromAgent::Media, "{message}");
            assert_eq!(audio, [0x7f; 160]);
        }
    };
    frames(50);
    let counted = allocation_counter::measure(|| frames(1000));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn the_start_message_is_twilios_byte_for_byte() {
    let parameters = [("from_number", "+14155550199"), ("note", "a \"b\"\n")];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(
        writer().start(&parameters).as_str(),
        concat!(
            r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"accountSid":"AC1","streamSid":"MZ1","#,
            r#""callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"#,
            r#""channels":1},"customParameters":{"from_number":"+14155550199","note":"a \"b\"\n"}}}"#,
        )
    );
}

#[test]
fn an_agent_presses_keys_and_nothing_else() {
    let keys = |text: &str| match read(text, &mut Vec::new()) {
        FromAgent::Dtmf(keys) => Some(keys.into_owned()),
        _ => None,
    };
    let ours = r##"{"event":"dtmf","streamSid":"MZ","dtmf":{"digit":"12w#"}}"##;
    assert_eq!(keys(ours).as_deref(), Some("12w#"));
    for bad in [
        r#"{"event":"dtmf"}"#,
        r#"{"event":"dtmf","dtmf":{"digit":""}}"#,
        r#"{"event":"dtmf","dtmf":{"digit":"x"}}"#,
    ] {
        assert_eq!(keys(bad), None, "{bad}");
    }
}
