//! Tidiness that no other tool checks: module docs, file and function sizes, and which crate may
//! know which.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::root;

/// Most lines of a file, its tests aside.
const MAX_FILE: usize = 400;
/// Most lines of a function.
const MAX_FUNCTION: usize = 70;

/// The workspace crates that each crate may use.
const ARROWS: [(&str, &[&str]); 12] = [
    ("sip", &[]),
    ("sdp", &[]),
    ("signalling", &["sip"]),
    ("routing", &["sip", "sdp"]),
    ("call", &["sip", "sdp", "signalling", "routing"]),
    ("transport", &["sip"]),
    ("media", &["sdp"]),
    // The room contract is the one thing that an edge takes from another.
    ("agent", &["sdp", "media"]),
    ("api", &[]),
    ("trunkline", &["sip", "sdp", "signalling", "routing", "call", "transport", "media", "agent", "api"]),
    ("testkit", &["sip", "sdp", "signalling", "routing", "call"]),
    ("tests", &["trunkline"]),
];

/// The crates that may not touch the world, and the only foreign crates that they may use.
const PURE: [&str; 5] = ["sip", "sdp", "signalling", "routing", "call"];
const PURE_MAY_USE: [&str; 14] = [
    "base64",
    "bytes",
    "ipnet",
    "md-5",
    "phonenumber",
    "rsip",
    "serde",
    "sha2",
    "siphasher",
    "thiserror",
    "toml",
    // Lines of the log: what a subscriber does with them happens at the edge.
    "tracing",
    "webrtc-sdp",
    "serde_json",
];
/// Checks everything and reports every finding.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut findings = Vec::new();
    for folder in ["crates", "xtask", "tests", "benches"] {
        for file in rust_files(&root().join(folder))? {
            check_file(&file, &mut findings)?;
        }
    }
    check_arrows(&mut findings)?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    Ok(())
}

fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn check_file(path: &Path, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let text = fs::read_to_string(path)?;
    let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
    let is_tests = name.ends_with("/tests.rs") || name.contains("/tests/");
    if !is_tests && !text.starts_with("//!") {
        findings.push(format!("{name}: a module opens with //! and says what its part is"));
    }
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
    let lines: Vec<&str> = code.lines().collect();
    if !is_tests && lines.len() > MAX_FILE {
        findings.push(format!("{name}: {} lines, more than {MAX_FILE}", lines.len()));
    }
    check_functions(&name, &lines, findings);
    Ok(())
}

/// Functions as rustfmt prints them: from the line that opens one to the brace in its column.
fn check_functions(name: &str, lines: &[&str], findings: &mut Vec<String>) {
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim_start();
        let opens = opens_function(words);
        if !opens {
            continue;
        }
        let ends = |end: char| lines[at..].iter().position(|line| line.ends_with(end));
        // A declaration without a body.
        if ends(';').is_some_and(|declared| ends('{').is_none_or(|body| declared < body)) {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let length = lines[at..].iter().position(|line| *line == closing).unwrap_or(0);
        if length > MAX_FUNCTION {
            findings
                .push(format!("{name}:{}: a function of {length} lines, more than {MAX_FUNCTION}", at + 1));
        }
    }
}

/// Whether a line begins a function, whatever stands before its `fn`.
fn opens_function(words: &str) -> bool {
    let Some((before, _)) = words.split_once("fn ") else {
        return false;
    };
    before.split_whitespace().all(|word| {
        word.starts_with("pub") || word == "super)" || matches!(word, "async" | "const" | "unsafe" | "extern")
    })
}

fn check_arrows(findings: &mut Vec<String>) -> anyhow::Result<()> {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    for entry in fs::read_dir(root().join("crates"))? {
        let folder = entry?.path();
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or("").to_owned();
        let manifest = fs::read_to_string(folder.join("Cargo.toml"))?;
        if PURE.contains(&name.as_str()) && !folder.join("clippy.toml").exists() {
            findings.push(format!("crates/{name} is pure: its clippy.toml says what it may not call"));
        }
        let Some(may) = allowed.get(name.as_str()) else {
            findings.push(format!("crates/{name}: say in xtask/src/tidy.rs what it may use"));
            continue;
        };
        for used in dependencies(&manifest) {
            match used.strip_prefix("trunkline-") {
                Some(ours) if !may.contains(&ours) => {
                    findings.push(format!("crates/{name} may not use crates/{ours}"));
                }
                None if PURE.contains(&name.as_str()) && !PURE_MAY_USE.contains(&used.as_str()) => {
                    findings.push(format!("crates/{name} is pure and may not use {used}"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// The names under `[dependencies]`.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if inside && let Some((name, _)) = line.split_once('=') {
            names.push(name.trim().to_owned());
        }
    }
    names
}
