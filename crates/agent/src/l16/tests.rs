use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::Sids;

fn l16(rate: u32) -> L16 {
    let parameters = [("from_number", "+14155550199"), ("to_number", "+14155550100"), ("office", "sf")];
    let mut parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    parameters.push(("sampleRate".to_owned(), "a header may not replace what the protocol says".to_owned()));
    L16::new(Metadata {
        sids: Sids::of("node", "call_1"),
        sip_call_id: "abc@host".to_owned(),
        direction: "inbound",
        rate,
        parameters,
    })
}

fn json_of(text: &Utf8Bytes) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn the_metadata_holds_the_protocols_keys_and_the_parameters() {
    let metadata = json_of(&l16(16_000).metadata.message());
    let sids = Sids::of("node", "call_1");
    assert_eq!(
        metadata,
        json!({
            "callSid": sids.call, "accountSid": sids.account, "callId": "abc@host", "direction": "inbound",
            "from": "+14155550199", "to": "+14155550100", "sampleRate": 16_000, "mixType": "mono",
            "from_number": "+14155550199", "to_number": "+14155550100", "office": "sf",
        })
    );
}

#[test]
fn the_messages_are_those_of_jambonz() {
    let mut wire = l16(8000);
    assert_eq!(json_of(&wire.digit('#')), json!({ "event": "dtmf", "dtmf": "#" }));
    let mark = Mark::Named("m".to_owned());
    let told = |event: &str| json!({ "type": "mark", "data": { "name": "m", "event": event } });
    assert_eq!(json_of(&wire.mark(&mark, false)), told("playout"));
    assert_eq!(json_of(&wire.mark(&mark, true)), told("cleared"));
    let sound = Mark::SoundPlayed("7".to_owned());
    assert_eq!(json_of(&wire.mark(&sound, false)), json!({ "type": "playDone", "data": { "id": "7" } }));
    let mut read = |text: &str| format!("{:?}", wire.read(text, &mut Vec::new()));
    assert_eq!(read(r#"{"type":"killAudio"}"#), "Clear");
    assert_eq!(read(r#"{"type":"disconnect"}"#), "Hangup");
    assert_eq!(read(r#"{"type":"clearMarks"}"#), "ClearMarks");
    assert_eq!(read(r#"{"type":"mark","data":{"name":"m"}}"#), "Mark(\"m\")");
    assert_eq!(read(r#"{"event":"hangup"}"#), "Hangup");
    assert_eq!(read(r#"{"event":"dtmf","dtmf":"1"}"#), "Dtmf(\"1\")");
    for unknown in
        [r#"{"type":"dance"}"#, r#"{"type":"mark"}"#, r#"{"type":7}"#, "[]", "", r#"{"type":"playAudio"}"#]
    {
        assert!(read(unknown).starts_with("Unknown"), "{unknown}");
    }
}

#[test]
fn a_sound_that_comes_whole_is_played_at_the_telephones_rate() {
    let mut wire = l16(8000);
    let mut audio = Vec::new();
    let samples = vec![1000i16; 4800];
    let raw: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let text = json!({ "type": "playAudio", "data": {
        "audioContent": STANDARD.encode(&raw), "audioContentType": "raw", "sampleRate": 24_000, "id": 7, "queuePlay": true,
    } })
    .to_string();
    assert_eq!(wire.read(&text, &mut audio), FromAgent::Sound { id: Some("7".to_owned()), queued: true });
    assert_eq!(audio.len(), 1600);
    assert!(
        audio[200..].iter().all(|byte| (ulaw_to_linear(*byte) - 1000).abs() < 40),
        "{:?}",
        &audio[200..210]
    );
    let mut file = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut file, spec).expect("a file");
    for _ in 0..3200 {
        writer.write_sample(1000i16).expect("written");
        writer.write_sample(-9000i16).expect("written");
    }
    writer.finalize().expect("written");
    let text = json!({ "type": "playAudio", "data": {
        "audioContent": STANDARD.encode(file.into_inner()), "audioContentType": "wav",
    } })
    .to_string();
    assert_eq!(wire.read(&text, &mut audio), FromAgent::Sound { id: None, queued: false });
    assert_eq!(audio.len(), 1600);
    assert!(audio[200..].iter().all(|byte| (ulaw_to_linear(*byte) - 1000).abs() < 40));
    let bad =
        json!({ "type": "playAudio", "data": { "audioContent": "AAAA", "sampleRate": 4000 } }).to_string();
    assert!(matches!(wire.read(&bad, &mut audio), FromAgent::Unknown(why) if why.contains("4000")));
}

#[test]
fn samples_may_be_cut_anywhere() {
    let (mut whole, mut cut) = (l16(16_000), l16(16_000));
    let bytes: Vec<u8> = (0u32..4001).map(|at| (at * 37 % 251) as u8).collect();
    let mut expected = Vec::new();
    assert!(whole.read_binary(&bytes, &mut expected));
    assert_eq!(expected.len(), 1000);
    let (mut all, mut part) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(7) {
        assert!(cut.read_binary(piece, &mut part));
        all.extend_from_slice(&part);
    }
    assert_eq!(all, expected);
}

#[test]
fn a_frame_both_ways_costs_no_allocation() {
    for rate in [8000, 16_000, 24_000] {
        let mut wire = l16(rate);
        let mut audio = Vec::new();
        let mut frames = |count: usize| {
            for _ in 0..count {
                let message = wire.samples(&[0x55; 160]);
                assert_eq!(message.len(), (rate / 25) as usize);
                assert!(wire.read_binary(&message, &mut audio));
                assert_eq!(audio.len(), 160);
            }
        };
        frames(50);
        let counted = allocation_counter::measure(|| frames(1000));
        assert_eq!(counted.count_total, 0, "{rate} Hz: {counted:?}");
    }
}
