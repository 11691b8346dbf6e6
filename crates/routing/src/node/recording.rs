//! `[recording]`.

use super::{RecordingFormat, RecordingSettings};
use crate::load::{Entry, Reader};
use crate::problem::Report;

pub(super) fn read(entry: Option<&Entry<'_>>, report: &mut Report<'_>) -> RecordingSettings {
    let mut settings = RecordingSettings { format: RecordingFormat::Wav, directory: "recordings".to_owned() };
    let Some(entry) = entry else { return settings };
    let mut reader = Reader::of_entry(entry, report);
    let format = reader.choice("format", &[("wav", RecordingFormat::Wav), ("opus", RecordingFormat::Opus)]);
    settings.format = format.unwrap_or(settings.format);
    if let Some((directory, span)) = reader.string("directory") {
        if directory.is_empty() {
            reader.report.error(&span, "directory is empty; leave it out for \"recordings\"");
        }
        settings.directory = directory;
    }
    reader.finish(&[]);
    settings
}
