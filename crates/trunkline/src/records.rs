//! Call records: a JSON line each under `data_dir`, written by a thread of their own so that a slow
//! disk delays no call.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use trunkline_call::CallRecord;

/// Records that wait for the disk; beyond it they are only logged.
const QUEUE: usize = 10_000;

/// Where records go.
#[derive(Clone)]
pub(crate) struct Records(SyncSender<String>);

impl Records {
    /// Opens `calls.jsonl` in the folder, which is made where it is not there.
    pub(crate) fn open(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let file = OpenOptions::new().create(true).append(true).open(folder.join("calls.jsonl"))?;
        let (sender, lines) = sync_channel::<String>(QUEUE);
        std::thread::Builder::new().name("records".to_owned()).spawn(move || write_all(file, &lines))?;
        Ok(Self(sender))
    }

    /// Writes a record.
    pub(crate) fn write(&self, record: &CallRecord) {
        let Ok(line) = serde_json::to_string(record) else {
            return;
        };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.0.try_send(line) {
            tracing::error!(call = %record.call_id, "a call record was not written: the disk is too slow");
        }
    }
}

fn write_all(mut file: File, lines: &std::sync::mpsc::Receiver<String>) {
    for line in lines {
        if let Err(error) = writeln!(file, "{line}") {
            tracing::error!(%error, "a call record was not written");
        }
    }
}
