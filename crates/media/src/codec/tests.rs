use std::f64::consts::TAU;

use super::*;

const ALL: [(Codec, u32); 7] = [
    (Codec::Pcmu, 8000),
    (Codec::Pcma, 8000),
    (Codec::G722, 8000),
    (Codec::G722, 16_000),
    (Codec::Opus, 8000),
    (Codec::Opus, 16_000),
    (Codec::Opus, 48_000),
];

/// A second of a tone.
fn tone(frequency: f64, rate: u32) -> Vec<i16> {
    (0..rate).map(|n| ((TAU * frequency * f64::from(n) / f64::from(rate)).sin() * 8000.0) as i16).collect()
}

/// The share of a sound's power that is the tone, and the tone's amplitude.
fn share(samples: &[i16], frequency: f64, rate: u32) -> (f64, f64) {
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (x, angle) = (f64::from(*sample), TAU * frequency * n as f64 / f64::from(rate));
        (re, im, power) = (re + x * angle.cos(), im + x * angle.sin(), power + x * x);
    }
    let count = samples.len() as f64;
    (2.0 * (re * re + im * im) / (count * power), 2.0 * (re * re + im * im).sqrt() / count)
}

fn round_trip(codec: Codec, rate: u32, sound: &[i16], milliseconds: u32) -> Vec<i16> {
    let mut encoder = Encoder::at(codec, rate).expect("an encoder");
    let mut decoder = Decoder::at(codec, rate).expect("a decoder");
    let (mut payload, mut out) = ([0; 1500], [0; MAX_SAMPLES]);
    let mut all = Vec::new();
    for frame in sound.chunks_exact((rate / 1000 * milliseconds) as usize) {
        let length = encoder.encode(frame, &mut payload);
        assert!(length > 0, "{codec:?} {rate} {milliseconds}");
        let count = decoder.decode(&payload[..length], &mut out);
        assert_eq!(count, frame.len(), "{codec:?} {rate} {milliseconds}");
        all.extend(&out[..count]);
    }
    all
}

#[test]
fn tones_keep_their_frequency_and_loudness_through_every_codec() {
    for (codec, rate) in ALL {
        for frequency in [440.0, 1004.0, 2500.0] {
            let heard = round_trip(codec, rate, &tone(frequency, rate), 20);
            // Behind the start, where the filters fill.
            let (share, amplitude) = share(&heard[heard.len() / 4..heard.len() * 3 / 4], frequency, rate);
            let decibels = 10.0 * (share / (1.0 - share)).log10();
            let wanted = if codec == Codec::Opus { 12.0 } else { 25.0 };
            assert!(decibels > wanted, "{codec:?} {rate} {frequency}: {decibels:.1} dB");
            assert!((5600.0..10_500.0).contains(&amplitude), "{codec:?} {rate} {frequency}: {amplitude:.0}");
        }
    }
}

#[test]
fn wideband_codecs_carry_what_a_telephone_does_not() {
    for (codec, rate) in [(Codec::G722, 16_000), (Codec::Opus, 16_000), (Codec::Opus, 48_000)] {
        let heard = round_trip(codec, rate, &tone(6000.0, rate), 20);
        let (share, amplitude) = share(&heard[heard.len() / 4..heard.len() * 3 / 4], 6000.0, rate);
        assert!(share > 0.9 && amplitude > 4000.0, "{codec:?} {rate}: {share:.2} {amplitude:.0}");
    }
}

#[test]
fn every_packet_time_fits() {
    for (codec, rate) in ALL {
        for milliseconds in [10, 20, 40, 60] {
            assert!(!round_trip(codec, rate, &tone(440.0, rate), milliseconds).is_empty());
        }
    }
    assert!(Decoder::at(Codec::Pcmu, 16_000).is_none() && Encoder::at(Codec::Opus, 44_100).is_none());
}

#[test]
fn a_lost_frame_is_concealed_and_a_long_loss_is_silence() {
    for (codec, rate) in ALL {
        let sound = tone(440.0, rate);
        let mut encoder = Encoder::at(codec, rate).expect("an encoder");
        let mut decoder = Decoder::at(codec, rate).expect("a decoder");
        let (mut payload, mut out) = ([0; 1500], [0; MAX_SAMPLES]);
        let frame = (rate / 50) as usize;
        let loud =
            |out: &[i16]| (out.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / frame as f64).sqrt();
        for chunk in sound.chunks_exact(frame).take(20) {
            let length = encoder.encode(chunk, &mut payload);
            decoder.decode(&payload[..length], &mut out);
        }
        decoder.conceal(&mut out[..frame]);
        let first = loud(&out[..frame]);
        assert!((1000.0..9000.0).contains(&first), "{codec:?} {rate}: {first:.0}");
        for _ in 0..50 {
            decoder.conceal(&mut out[..frame]);
        }
        assert!(loud(&out[..frame]) < 300.0, "{codec:?} {rate}: {:.0}", loud(&out[..frame]));
        // And on.
        let length = encoder.encode(&sound[..frame], &mut payload);
        assert_eq!(decoder.decode(&payload[..length], &mut out), frame);
    }
}

#[test]
fn no_payload_panics() {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise
    };
    for (codec, rate) in ALL {
        let mut decoder = Decoder::at(codec, rate).expect("a decoder");
        let (mut payload, mut out) = ([0u8; 480], [0; MAX_SAMPLES]);
        for n in 0..1500usize {
            let length = (next() % 481) as usize * usize::from(n % 7 != 0) / (1 + n % 40);
            payload[..length].fill_with(|| next() as u8);
            let room = if n % 5 == 0 { (rate / 50) as usize } else { MAX_SAMPLES };
            let count = decoder.decode(&payload[..length], &mut out[..room]);
            assert!(count <= room);
            if n % 11 == 0 {
                decoder.conceal(&mut out[..(rate / 50) as usize]);
            }
        }
    }
}

#[test]
fn a_frame_costs_no_allocation() {
    for (codec, rate) in ALL {
        let sound = tone(440.0, rate);
        let mut encoder = Encoder::at(codec, rate).expect("an encoder");
        let mut decoder = Decoder::at(codec, rate).expect("a decoder");
        let (mut payload, mut out) = ([0; 1500], [0; MAX_SAMPLES]);
        let mut run = || {
            for frame in sound.chunks_exact((rate / 50) as usize) {
                let length = encoder.encode(frame, &mut payload);
                decoder.decode(&payload[..length], &mut out);
            }
            decoder.conceal(&mut out[..(rate / 50) as usize]);
        };
        run();
        let spent = allocation_counter::measure(run);
        assert_eq!(spent.count_total, 0, "{codec:?} {rate}");
    }
}
