//! What an agent says on its socket: any text, as each protocol reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_agent::{l16, twilio};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut audio = Vec::new();
    let _ = twilio::read(text, &mut audio);
    assert!(audio.len() <= data.len(), "base64 never grows");
    let mut audio = Vec::new();
    let _ = l16::read(text, &mut audio);
    assert!(audio.len() <= data.len(), "a sound of the room's rate is the longest");
});
