//! Benchmarks: `cargo bench -p trunkline-benches`; see `README.md` here for what was reached.
