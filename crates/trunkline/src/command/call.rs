//! `call`: a test call from the command line.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::analysis::{first_sound, peak_frequency, sine};
use super::phone::{Phone, PhonePlan, PhoneReport};
use super::{CallArgs, init_log, runtime};

/// How long a call without a file talks, in seconds.
const TALK: f64 = 4.0;
/// How long it listens behind what it played, in seconds.
const AFTERWARDS: f64 = 1.0;

/// How long it takes until the last digit is said and heard, in seconds: they begin half a second into the
/// audio and take 260 ms each.
fn digits_take(digits: &str) -> f64 {
    if digits.is_empty() { 0.0 } else { 0.5 + 0.26 * digits.len() as f64 + AFTERWARDS }
}

/// Places the call and prints what it came to.
pub(super) fn run(args: CallArgs) -> anyhow::Result<ExitCode> {
    let _log = init_log(false, "warn")?;
    let file = args.play.as_deref().map(read_wav).transpose()?;
    let length = file.as_ref().map_or(TALK, |audio| audio.len() as f64 / 8000.0 + AFTERWARDS);
    let seconds = args.seconds.unwrap_or_else(|| length.max(digits_take(&args.dtmf)));
    let audio = file.unwrap_or_else(|| sine(args.tone, seconds));
    let plan = PhonePlan {
        target: args.target.clone(),
        from: args.from.clone(),
        audio,
        dtmf: args.dtmf.clone(),
        talk: Duration::from_secs_f64(seconds),
        ladder: args.verbose,
    };
    let report = runtime(0)?.block_on(async { anyhow::Ok(Phone::place(plan).await?.talk().await) })?;
    print(&report);
    if let Some(path) = &args.record {
        write_wav(path, &report.heard)?;
        println!("recorded    {}", path.display());
    }
    Ok(if report.answered_after.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints a report, a figure a line.
pub(super) fn print(report: &PhoneReport) {
    let ms = |span: Option<Duration>| {
        span.map_or_else(|| "-".to_owned(), |span| format!("{:.1} ms", span.as_secs_f64() * 1000.0))
    };
    let stats = &report.stats;
    println!("ringing     {}", ms(report.ringing_after));
    println!("answered    {}", ms(report.answered_after));
    println!("first audio {}", ms(report.first_audio_after));
    println!(
        "packets     {} sent, {} received, {} lost",
        report.sent, stats.packets_received, stats.packets_lost
    );
    println!("jitter      {:.1} ms", stats.jitter_ms);
    println!("MOS         {:.2}", stats.mos);
    let start = first_sound(&report.heard).unwrap_or(report.heard.len());
    match peak_frequency(&report.heard[start..]) {
        Some(hertz) => {
            println!("heard       {:.1} s, loudest at {hertz:.1} Hz", report.heard.len() as f64 / 8000.0)
        }
        None => println!("heard       {:.1} s, silence", report.heard.len() as f64 / 8000.0),
    }
    println!("ended       {}", report.ended);
}

fn read_wav(path: &Path) -> anyhow::Result<Vec<i16>> {
    let mut reader = hound::WavReader::open(path).with_context(|| format!("{}", path.display()))?;
    let spec = reader.spec();
    anyhow::ensure!(
        (spec.channels, spec.sample_rate, spec.bits_per_sample) == (1, 8000, 16),
        "{} must be mono, 8000 Hz, 16 bit",
        path.display(),
    );
    Ok(reader.samples::<i16>().collect::<Result<_, _>>()?)
}

fn write_wav(path: &Path, samples: &[i16]) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).with_context(|| format!("{}", path.display()))?;
    for sample in samples {
        writer.write_sample(*sample)?;
    }
    writer.finalize()?;
    Ok(())
}
