//! A session description: read, negotiated, answered; our answer reads back with as many lines and
//! the codec that was chosen.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_sdp::{Codec, Description, LocalMedia, negotiate};

fuzz_target!(|data: &[u8]| {
    let codecs = [Codec::Pcmu, Codec::Pcma];
    let Ok(offer) = Description::parse(data) else { return };
    let _ = negotiate::accept(&offer, &codecs);
    let Ok(selection) = negotiate::select(&offer, &codecs) else { return };
    assert!((10..=60).contains(&selection.ptime));
    let local =
        LocalMedia { address: [192, 0, 2, 10].into(), port: 10_000, session_id: 1, session_version: 1 };
    let answer = negotiate::answer(&offer, &selection, &local);
    let answer = Description::parse(answer.as_bytes()).expect("our answer reads");
    assert_eq!(answer.media.len(), offer.media.len(), "every m-line is answered");
    for (index, media) in answer.media.iter().enumerate() {
        assert_eq!(media.port != 0, index == selection.line, "one line is taken, the others refused");
    }
});
