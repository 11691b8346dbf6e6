//! Programs of events for a whole shard; see `trunkline_testkit::program`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = trunkline_testkit::program::run(data);
});
