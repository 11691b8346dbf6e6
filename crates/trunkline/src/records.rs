//! Call records: a JSON line each in `calls.jsonl` under `data_dir`.

use std::fs::OpenOptions;
use std::path::Path;

use trunkline_call::CallRecord;
use trunkline_sip::text::OneLine;

use crate::spool::Spool;

/// Where records go.
#[derive(Clone)]
pub(crate) struct Records(Spool);

impl Records {
    /// Opens `calls.jsonl` in the folder, which is made where it is not there.
    pub(crate) fn open(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let file = OpenOptions::new().create(true).append(true).open(folder.join("calls.jsonl"))?;
        Ok(Self(Spool::start("records", file)?))
    }

    /// Writes a record.
    pub(crate) fn write(&self, record: &CallRecord) {
        let Ok(mut line) = serde_json::to_vec(record) else {
            return;
        };
        line.push(b'\n');
        if !self.0.push(line) {
            tracing::error!(call = %record.call_id, sip_call_id = %OneLine(&record.sip_call_id), "a call record was not written: the disk is too slow");
        }
    }

    /// Waits until all are on their way to the disk.
    pub(crate) fn wait_written(&self) {
        self.0.wait_written();
    }
}
