//! Another codec than G.711: rooms carry µ-law at 8 kHz, so each frame is decoded once on its way in and
//! encoded once on its way out. Of a leg with G.711 every frame passes as it is.

use trunkline_sdp::Codec;

use super::{MAX_PAYLOAD, RtpLeg};
use crate::codec::{Decoder, Encoder};
use crate::g711::{encode, ulaw_to_linear};

/// Rate of what a room carries.
const RATE: u32 = 8000;

/// Both directions of such a leg.
pub(super) struct Translator {
    decoder: Decoder,
    encoder: Encoder,
    /// Samples of the frame before, which is how long one is that says nothing of itself.
    frame: usize,
}

impl Translator {
    /// `None` where the codec needs none.
    pub(super) fn new(codec: Codec) -> Option<Box<Self>> {
        if codec.is_g711() {
            return None;
        }
        let (decoder, encoder) = (Decoder::at(codec, RATE)?, Encoder::at(codec, RATE)?);
        Some(Box::new(Self { decoder, encoder, frame: 160 }))
    }

    pub(super) const fn codec(&self) -> Codec {
        self.decoder.codec()
    }

    /// Samples of ours in the leg's codec; the length is 0 where the codec has no frames so long.
    pub(super) fn encode(&mut self, samples: &[i16], out: &mut [u8; MAX_PAYLOAD]) -> usize {
        self.encoder.encode(samples, out)
    }

    fn decode(&mut self, payload: Option<&[u8]>, out: &mut [i16; MAX_PAYLOAD]) -> usize {
        let decoded = payload.map_or(0, |payload| self.decoder.decode(payload, out));
        // A frame that was lost, or that the peer did not think worth sending.
        if decoded == 0 {
            self.decoder.conceal(&mut out[..self.frame]);
        } else {
            self.frame = decoded;
        }
        self.frame
    }
}

impl RtpLeg {
    /// The codec of its payloads.
    pub(crate) fn spoken(&self) -> Option<Codec> {
        self.spec.map(|spec| spec.codec)
    }

    /// Whether a payload of the other's can be sent to this peer as it is.
    pub(crate) fn takes_payloads_of(&self, other: &Self) -> bool {
        match (&self.spec, &other.spec) {
            (Some(ours), Some(theirs)) => ours.codec == theirs.codec && ours.ptime == theirs.ptime,
            _ => false,
        }
    }

    /// Whether the room carries the payloads of this leg as they are.
    pub(crate) const fn is_plain(&self) -> bool {
        self.translator.is_none()
    }

    /// The samples of a payload of the peer's, in order; of one that was lost, `length` long, what may stand
    /// for it. Gives their number.
    pub(crate) fn samples(
        &mut self,
        payload: Option<&[u8]>,
        length: usize,
        out: &mut [i16; MAX_PAYLOAD],
    ) -> usize {
        if let Some(translator) = &mut self.translator {
            return translator.decode(payload, out);
        }
        let codec = self.codec();
        let decoder = match &mut self.decoder {
            Some(decoder) if decoder.codec() == codec => decoder,
            other => other.insert(Box::new(Decoder::new(codec))),
        };
        match payload.map_or(0, |payload| decoder.decode(payload, out)) {
            0 => {
                let length = length.min(MAX_PAYLOAD);
                decoder.conceal(&mut out[..length]);
                length
            }
            decoded => decoded,
        }
    }

    /// Samples as the room carries them.
    pub(crate) fn carried<'b>(&self, samples: &[i16], out: &'b mut [u8; MAX_PAYLOAD]) -> &'b [u8] {
        let codec = self.codec();
        for (byte, sample) in out.iter_mut().zip(samples) {
            *byte = encode(*sample, codec);
        }
        &out[..samples.len().min(MAX_PAYLOAD)]
    }

    /// Whether key presses are listened for in the audio, because the peer has no better way.
    pub(crate) fn hears_tones(&self) -> bool {
        self.spec.is_some_and(|spec| spec.events.is_none())
    }

    /// A key that is pressed in the audio that the room carries, where the peer has no better way.
    pub(crate) fn pressed_in(&mut self, audio: &[u8]) -> Option<char> {
        if !self.hears_tones() {
            return None;
        }
        let linear = if self.codec() == Codec::Pcma { crate::g711::alaw_to_linear } else { ulaw_to_linear };
        self.keys.audio(audio.iter().map(|byte| linear(*byte)))
    }

    /// A key press that an INFO request told; `None` where the peer sends its presses in another way too.
    pub(crate) fn digit_by_info(&mut self, digit: char) -> Option<char> {
        self.keys.info(digit)
    }
}
