//! What an agent says on its socket: any text, read in pieces as it comes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_agent::twilio::FromAgent;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut audio = Vec::new();
    let _ = FromAgent::read(text, &mut audio);
    assert!(audio.len() <= data.len(), "base64 never grows");
});
