//! WAV with two channels of 16 bits at 8 kHz.

use std::io;

use hound::{SampleFormat, WavSpec, WavWriter};

use super::writer::{Format, Medium};

/// Blocks after which the header is brought up to date, so that a file that is cut off can be read: 10 s.
const HEADER_EVERY: u32 = 50;

pub(super) struct Wav {
    writer: WavWriter<Medium>,
    blocks: u32,
}

impl Wav {
    pub(super) fn new(medium: Medium) -> io::Result<Self> {
        let (channels, sample_rate) = (2, 8000);
        let spec = WavSpec { channels, sample_rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
        Ok(Self { writer: WavWriter::new(medium, spec).map_err(cause)?, blocks: 0 })
    }
}

impl Format for Wav {
    fn write(&mut self, frames: &[i16]) -> io::Result<()> {
        // All at once: sample by sample, each would cost a call through the file.
        let mut samples = self.writer.get_i16_writer(frames.len() as u32);
        for sample in frames {
            samples.write_sample(*sample);
        }
        samples.flush().map_err(cause)?;
        self.blocks += 1;
        if self.blocks.is_multiple_of(HEADER_EVERY) { self.writer.flush().map_err(cause) } else { Ok(()) }
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.writer.finalize().map_err(cause)
    }
}

fn cause(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}
