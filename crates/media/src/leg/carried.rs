//! Another codec than G.711: rooms carry µ-law at 8 kHz, so each frame is decoded once on its way in and
//! encoded once on its way out. Of a leg with G.711 every frame passes as it is.

use trunkline_sdp::Codec;

use super::{MAX_PAYLOAD, RtpLeg};
use crate::codec::{Decoder, Encoder};
use crate::g711::{linear_to_ulaw, silence, ulaw_to_linear};

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

    /// A payload of ours in the leg's codec; its length is 0 where the codec has no frames so long.
    pub(super) fn encode(&mut self, audio: &[u8], out: &mut [u8; MAX_PAYLOAD]) -> usize {
        let mut pcm = [0; MAX_PAYLOAD];
        let Some(pcm) = pcm.get_mut(..audio.len()) else { return 0 };
        for (sample, byte) in pcm.iter_mut().zip(audio) {
            *sample = ulaw_to_linear(*byte);
        }
        self.encoder.encode(pcm, out)
    }

    fn decode<'b>(&mut self, payload: Option<&[u8]>, out: &'b mut [u8; MAX_PAYLOAD]) -> &'b [u8] {
        let mut pcm = [0; MAX_PAYLOAD];
        let decoded = payload.map_or(0, |payload| self.decoder.decode(payload, &mut pcm));
        // A frame that was lost, or that the peer did not think worth sending.
        if decoded == 0 {
            self.decoder.conceal(&mut pcm[..self.frame]);
        } else {
            self.frame = decoded;
        }
        for (byte, sample) in out.iter_mut().zip(&pcm[..self.frame]) {
            *byte = linear_to_ulaw(*sample);
        }
        &out[..self.frame]
    }
}

impl RtpLeg {
    /// A payload of the peer's, in order, as the room carries it.
    pub(crate) fn carried<'b>(&mut self, payload: &'b [u8], out: &'b mut [u8; MAX_PAYLOAD]) -> &'b [u8] {
        match &mut self.translator {
            None => payload,
            Some(translator) => translator.decode(Some(payload), out),
        }
    }

    /// What stands for a payload that was lost: silence of `length`, or what the codec makes of it.
    pub(crate) fn missed<'b>(&mut self, length: usize, out: &'b mut [u8; MAX_PAYLOAD]) -> &'b [u8] {
        match &mut self.translator {
            None => {
                out.fill(silence(self.codec()));
                &out[..length.min(MAX_PAYLOAD)]
            }
            Some(translator) => translator.decode(None, out),
        }
    }

    /// A key that is pressed in the audio that the room carries, where the peer has no better way.
    pub(crate) fn pressed_in(&mut self, audio: &[u8]) -> Option<char> {
        if self.spec.is_none_or(|spec| spec.events.is_some()) {
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
