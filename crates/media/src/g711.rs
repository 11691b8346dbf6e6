//! G.711 (ITU-T G.711) and the direct conversion between its two laws.
//!
//! Rooms carry G.711: the leg makes it of any other codec (`codec.rs`), and of that there is µ-law.

use std::sync::LazyLock;

use trunkline_sdp::Codec;

/// One µ-law byte as a 16-bit sample.
#[must_use]
pub const fn ulaw_to_linear(byte: u8) -> i16 {
    let byte = !byte;
    let exponent = (byte >> 4) & 7;
    let magnitude = ((((byte & 0x0f) as i16) << 3) + 0x84) << exponent;
    let sample = magnitude - 0x84;
    if byte & 0x80 == 0 { sample } else { -sample }
}

/// A 16-bit sample as µ-law.
#[must_use]
pub const fn linear_to_ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let mut magnitude = (sample as i32).abs();
    if magnitude > 32_635 {
        magnitude = 32_635;
    }
    magnitude += 0x84;
    let exponent = 31 - magnitude.leading_zeros() as i32 - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | ((exponent << 4) as u8) | mantissa as u8)
}

/// One A-law byte as a 16-bit sample.
#[must_use]
pub const fn alaw_to_linear(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let exponent = (byte >> 4) & 7;
    let mantissa = ((byte & 0x0f) as i16) << 4;
    let sample = match exponent {
        0 => mantissa + 8,
        1 => mantissa + 0x108,
        _ => (mantissa + 0x108) << (exponent - 1),
    };
    if byte & 0x80 == 0 { -sample } else { sample }
}

/// A 16-bit sample as A-law.
#[must_use]
pub const fn linear_to_alaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    let mut magnitude = if sample < 0 { !(sample as i32) } else { sample as i32 };
    if magnitude > 32_767 {
        magnitude = 32_767;
    }
    let byte = if magnitude < 256 {
        magnitude >> 4
    } else {
        let exponent = 31 - magnitude.leading_zeros() as i32 - 7;
        (exponent << 4) | ((magnitude >> (exponent + 3)) & 0x0f)
    };
    (sign | byte as u8) ^ 0x55
}

/// A sample as a law writes it.
#[must_use]
pub(crate) const fn encode(sample: i16, codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu | Codec::G722 | Codec::Opus => linear_to_ulaw(sample),
        Codec::Pcma => linear_to_alaw(sample),
    }
}

/// A sample of G.711; µ-law where the codec is another, as rooms carry those.
#[must_use]
pub(crate) fn linear(byte: u8, codec: Codec) -> i16 {
    match codec {
        Codec::Pcma => alaw_to_linear(byte),
        Codec::Pcmu | Codec::G722 | Codec::Opus => ulaw_to_linear(byte),
    }
}

/// Samples of G.711, as many as fit; their number. µ-law where the codec is another, as rooms carry those.
pub(crate) fn decode(audio: &[u8], codec: Codec, out: &mut [i16]) -> usize {
    let table = match codec {
        Codec::Pcma => &ALAW,
        Codec::Pcmu | Codec::G722 | Codec::Opus => &ULAW,
    };
    for (sample, byte) in out.iter_mut().zip(audio) {
        *sample = table[usize::from(*byte)];
    }
    audio.len().min(out.len())
}

/// What each byte says.
static ULAW: [i16; 256] = table(Codec::Pcmu);
static ALAW: [i16; 256] = table(Codec::Pcma);

const fn table(codec: Codec) -> [i16; 256] {
    let (mut table, mut byte) = ([0; 256], 0);
    while byte < 256 {
        table[byte] = match codec {
            Codec::Pcma => alaw_to_linear(byte as u8),
            Codec::Pcmu | Codec::G722 | Codec::Opus => ulaw_to_linear(byte as u8),
        };
        byte += 1;
    }
    table
}

/// The byte that is silence.
#[must_use]
pub const fn silence(codec: Codec) -> u8 {
    match codec {
        Codec::Pcmu | Codec::G722 | Codec::Opus => 0xff,
        Codec::Pcma => 0xd5,
    }
}

static TO_ALAW: LazyLock<[u8; 256]> =
    LazyLock::new(|| std::array::from_fn(|byte| linear_to_alaw(ulaw_to_linear(byte as u8))));
static TO_ULAW: LazyLock<[u8; 256]> =
    LazyLock::new(|| std::array::from_fn(|byte| linear_to_ulaw(alaw_to_linear(byte as u8))));

/// Converts audio in place from one law to the other.
pub fn transcode(audio: &mut [u8], from: Codec, to: Codec) {
    let table = match (from, to) {
        (Codec::Pcmu | Codec::G722 | Codec::Opus, Codec::Pcma) => &*TO_ALAW,
        (Codec::Pcma, Codec::Pcmu | Codec::G722 | Codec::Opus) => &*TO_ULAW,
        (Codec::Pcma, Codec::Pcma)
        | (Codec::Pcmu | Codec::G722 | Codec::Opus, Codec::Pcmu | Codec::G722 | Codec::Opus) => return,
    };
    for byte in audio {
        *byte = table[usize::from(*byte)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_a_round_trip() {
        for byte in 0..=255u8 {
            // 0x7f is µ-law's second zero.
            if byte != 0x7f {
                assert_eq!(linear_to_ulaw(ulaw_to_linear(byte)), byte, "µ-law {byte:#x}");
            }
            assert_eq!(linear_to_alaw(alaw_to_linear(byte)), byte, "A-law {byte:#x}");
            for (codec, sample) in [(Codec::Pcmu, ulaw_to_linear(byte)), (Codec::Pcma, alaw_to_linear(byte))]
            {
                let mut out = [0; 2];
                assert_eq!((decode(&[byte], codec, &mut out), out), (1, [sample, 0]), "{byte:#x}");
            }
        }
    }

    #[test]
    fn the_laws_agree_with_the_recommendation() {
        assert_eq!((ulaw_to_linear(0x00), ulaw_to_linear(0x80), ulaw_to_linear(0xff)), (-32_124, 32_124, 0));
        assert_eq!((alaw_to_linear(0xaa), alaw_to_linear(0x2a), alaw_to_linear(0xd5)), (32_256, -32_256, 8));
    }
}
