//! Where recordings go and what they are written as.

use std::path::{Path, PathBuf};

use trunkline_api::RecordingFile;
use trunkline_call::CallHandle;
use trunkline_media::{Pool, RecordFile, RecordFormat, RecordTask};
use trunkline_routing::{RecordingFormat, RecordingSettings};
use trunkline_sdp::control::Recording;

/// The node's recordings.
#[derive(Debug, Clone)]
pub(crate) struct Recordings {
    folder: PathBuf,
    format: RecordFormat,
}

impl Recordings {
    /// As configured, with the folder of the records.
    pub(crate) fn of(settings: &RecordingSettings, data: &Path) -> Self {
        let format = match settings.format {
            RecordingFormat::Wav => RecordFormat::Wav,
            RecordingFormat::Opus => RecordFormat::Opus,
        };
        Self { folder: data.join(&settings.directory), format }
    }

    /// Has a room do what is asked with the recording of its call.
    pub(crate) fn ask(&self, pool: &Pool, call: CallHandle, call_id: &str, task: Recording) {
        pool.record(call.0, self.task(call_id, task));
    }

    /// A recording of a call that has ended, in whichever form it was written. An id that is none of ours
    /// names no file.
    pub(crate) fn find(&self, id: &str) -> Option<RecordingFile> {
        let digits = id.strip_prefix("call_")?;
        // A further recording of a call has its number behind it.
        let (digits, number) = digits.split_once('-').unwrap_or((digits, "2"));
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        if !(digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && is_number) {
            return None;
        }
        let forms = [("wav", "audio/wav"), ("ogg", "audio/ogg")].into_iter();
        let files = forms.map(|(extension, kind)| RecordingFile {
            path: self.folder.join(format!("{id}.{extension}")),
            kind,
        });
        files.into_iter().find(|file| file.path.is_file())
    }

    fn task(&self, call_id: &str, task: Recording) -> RecordTask {
        let extension = match self.format {
            RecordFormat::Wav => "wav",
            RecordFormat::Opus => "ogg",
        };
        match task {
            Recording::Start => RecordTask::Start(Box::new(RecordFile {
                path: self.folder.join(format!("{call_id}.{extension}")),
                format: self.format,
            })),
            Recording::Pause => RecordTask::Pause,
            Recording::Resume => RecordTask::Resume,
            Recording::Stop => RecordTask::Stop,
        }
    }
}
