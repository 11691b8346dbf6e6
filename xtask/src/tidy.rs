//! Tidiness that no other tool checks: module docs, file and function sizes, and which crate may
//! know which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

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
    let mut sources = String::new();
    for folder in ["crates", "xtask", "tests", "benches", "fuzz"] {
        for file in rust_files(&root().join(folder))? {
            let name = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
            let text = fs::read_to_string(&file)?;
            check_file(&name, &text, &mut findings);
            sources.push_str(&text);
        }
    }
    check_tables(&fs::read_to_string(root().join("tests/README.md"))?, &sources, &mut findings);
    check_arrows(&mut findings)?;
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    Ok(())
}

/// That every test which the tables of `tests/README.md` name is there.
fn check_tables(readme: &str, sources: &str, findings: &mut Vec<String>) {
    let known: BTreeSet<&str> =
        sources.split("fn ").skip(1).filter_map(|text| Some(text.split_once('(')?.0)).collect();
    let rows = readme.lines().filter(|line| line.starts_with('|'));
    // What stands between two backticks; a name of three words and more is a test's.
    let named = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    let of_a_test = |name: &&str| {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        name.bytes().all(word) && name.matches('_').count() >= 2
    };
    for name in named.filter(of_a_test).filter(|name| !known.contains(name)) {
        findings.push(format!("tests/README.md: there is no test {name}"));
    }
}

fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn check_file(name: &str, text: &str, findings: &mut Vec<String>) {
    let is_tests = name.ends_with("/tests.rs") || name.contains("/tests/");
    if !is_tests && !text.starts_with("//!") {
        findings.push(format!("{name}: a module opens with //! and says what its part is"));
    }
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or("");
    let lines: Vec<&str> = code.lines().collect();
    if !is_tests && lines.len() > MAX_FILE {
        findings.push(format!("{name}: {} lines, more than {MAX_FILE}", lines.len()));
    }
    check_functions(name, &lines, findings);
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
        // Both of its ends count.
        let length = lines[at..].iter().position(|line| *line == closing).map_or(1, |end| end + 1);
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
        word.starts_with("pub")
            || word.ends_with(')')
            || matches!(word, "async" | "const" | "unsafe" | "extern")
    })
}

fn check_arrows(findings: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(root().join("crates"))? {
        let folder = entry?.path();
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or("").to_owned();
        let manifest = fs::read_to_string(folder.join("Cargo.toml"))?;
        if PURE.contains(&name.as_str()) && !folder.join("clippy.toml").exists() {
            findings.push(format!("crates/{name} is pure: its clippy.toml says what it may not call"));
        }
        let used = dependencies(&manifest).with_context(|| format!("crates/{name}/Cargo.toml"))?;
        check_dependencies(&name, &used, findings);
    }
    Ok(())
}

/// That a crate uses those that it may.
fn check_dependencies(name: &str, used: &BTreeSet<String>, findings: &mut Vec<String>) {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let Some(may) = allowed.get(name) else {
        findings.push(format!("crates/{name}: say in xtask/src/tidy.rs what it may use"));
        return;
    };
    for used in used {
        match used.strip_prefix("trunkline-") {
            Some(ours) if !may.contains(&ours) => {
                findings.push(format!("crates/{name} may not use crates/{ours}"));
            }
            None if PURE.contains(&name) && !PURE_MAY_USE.contains(&used.as_str()) => {
                findings.push(format!("crates/{name} is pure and may not use {used}"));
            }
            _ => {}
        }
    }
}

/// The packages that a crate is built from or by, on whatever target; what only its tests use may be
/// anything.
fn dependencies(manifest: &str) -> anyhow::Result<BTreeSet<String>> {
    let manifest = DeTable::parse(manifest)?;
    let targets = manifest.get_ref().get("target").map(table).unwrap_or_default();
    let mut packages = BTreeSet::new();
    for section in targets.values().map(table).chain([manifest.get_ref().clone()]) {
        for kind in ["dependencies", "build-dependencies"] {
            for (name, entry) in section.get(kind).map(table).unwrap_or_default() {
                // Under another name it is the same package.
                let renamed =
                    table(&entry).get("package").and_then(|name| Some(name.get_ref().as_str()?.to_owned()));
                packages.insert(renamed.unwrap_or_else(|| name.get_ref().to_string()));
            }
        }
    }
    Ok(packages)
}

fn table<'a>(value: &Spanned<DeValue<'a>>) -> DeTable<'a> {
    value.get_ref().as_table().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests;
