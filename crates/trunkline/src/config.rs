//! The operators' files on disk: the node's, the tables that it names, and the sound files and
//! certificates that these name.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use rustls::RootCertStore;
use trunkline_agent::Prompt;
use trunkline_routing::{
    Node, NodeError, Place, Problem, RouteSettings, RouteTable, SecretSource, Severity, Source, load_node,
    load_part, load_with,
};

use crate::certificates;
use crate::sealed;

/// The right of everyone to read a file.
const EVERYONE_READS: u32 = 0o004;

/// A configuration that loaded.
pub struct Loaded {
    /// The node.
    pub node: Node,
    /// The tables.
    pub table: RouteTable,
    /// What the operator should know.
    pub warnings: Vec<Problem>,
    /// The folder that relative paths start from.
    pub folder: PathBuf,
}

/// Why it did not.
#[derive(Debug)]
pub enum ConfigError {
    /// The files have errors.
    Problems(Vec<Problem>),
    /// A file cannot be read.
    Files(anyhow::Error),
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Problems(problems) => {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            Self::Files(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Reads the node's file and its tables.
///
/// # Errors
/// Every problem at once; see [`ConfigError`].
pub fn read(path: &Path) -> Result<Loaded, ConfigError> {
    read_with(path, |_, _, _, _| {})
}

/// Reads the node's file, its tables, and the sound files and certificates that these name: all that
/// the daemon needs, which not everyone who asks for a route may read.
///
/// # Errors
/// Every problem at once; see [`ConfigError`].
pub fn read_all(path: &Path) -> Result<Loaded, ConfigError> {
    read_with(path, |folder, node, table, problems| {
        check_sounds(folder, table, problems);
        check_readers(table, problems);
        check_certificates(folder, node, problems);
    })
}

fn read_with(
    path: &Path,
    check: impl FnOnce(&Path, Option<&Node>, Option<&RouteTable>, &mut Vec<Problem>),
) -> Result<Loaded, ConfigError> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(ConfigError::Files)?;
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let read = load_node(&path.display().to_string(), &text);
    // A node with mistakes still names its tables, so that one pass tells everything.
    let (node, routes, mut problems) = match read {
        Ok(node) => (Some(node.clone()), node.routes, Vec::new()),
        Err(NodeError { problems, routes }) => (None, routes, problems),
    };
    let (sources, complete) = sources(&folder, &routes, &mut problems);
    let secrets = |source: &SecretSource| read_secret(&folder, source);
    // Where a table is missing, what it would have named is not called unknown.
    let loaded = match complete {
        true => load_with(&sources, routes.default_agent.as_ref(), &secrets),
        false => load_part(&sources, &secrets),
    };
    let table = match loaded {
        Ok((table, warnings)) => {
            problems.extend(warnings);
            Some(table)
        }
        Err(more) => {
            problems.extend(more);
            None
        }
    };
    check(&folder, node.as_ref(), table.as_ref(), &mut problems);
    let failed = errors(&problems) > 0;
    match (node, table) {
        (Some(node), Some(table)) if !failed => Ok(Loaded { node, table, warnings: problems, folder }),
        _ => Err(ConfigError::Problems(problems)),
    }
}

/// The table files that the patterns name, in the order of their names, and whether that is all of
/// them.
fn sources(folder: &Path, routes: &RouteSettings, problems: &mut Vec<Problem>) -> (Vec<Source>, bool) {
    let before = errors(problems);
    let mut sources = Vec::new();
    for (pattern, place) in &routes.files {
        let paths = matching(&folder.join(pattern), place, problems);
        if paths.is_empty() && pattern.contains('*') {
            problems.push(place.warning(format!("no file is named like {pattern:?}")));
        }
        for path in paths {
            match std::fs::read_to_string(&path) {
                Ok(text) => sources.push(Source { name: path.display().to_string(), text }),
                Err(error) => {
                    problems.push(place.error(format!("cannot read {}: {error}", path.display())));
                }
            }
        }
    }
    let complete = errors(problems) == before && !routes.files.is_empty();
    (sources, complete)
}

fn errors(problems: &[Problem]) -> usize {
    problems.iter().filter(|problem| problem.severity == Severity::Error).count()
}

/// A file, or the files of a folder where the last part of the path has a `*`.
fn matching(path: &Path, place: &Place, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let Some((before, after)) = name.split_once('*') else {
        return vec![path.to_path_buf()];
    };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(place.error(format!("cannot list {}: {error}", folder.display())));
            return Vec::new();
        }
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
        })
        .collect();
    found.sort();
    found
}

/// A secret that a table points to.
fn read_secret(folder: &Path, source: &SecretSource) -> Result<String, String> {
    match source {
        SecretSource::Env(name) => std::env::var(name).map_err(|_| format!("the environment has no {name}")),
        SecretSource::File(path) => {
            let text =
                std::fs::read_to_string(folder.join(path)).map_err(|error| format!("{path}: {error}"))?;
            Ok(text.trim_end_matches(['\n', '\r']).to_owned())
        }
        SecretSource::Fernet(token) => sealed::open(token),
    }
}

/// Every sound file can be played.
fn check_sounds(folder: &Path, table: Option<&RouteTable>, problems: &mut Vec<Problem>) {
    for (file, place) in table.iter().flat_map(|table| &table.sounds) {
        if let Err(error) = Prompt::load(&folder.join(file)) {
            problems.push(place.error(format!("{file}: {error}")));
        }
    }
}

/// No file that holds a secret is everyone's to read; one warning a file.
fn check_readers(table: Option<&RouteTable>, problems: &mut Vec<Problem>) {
    let mut asked = BTreeSet::new();
    for place in table.iter().flat_map(|table| &table.written_secrets) {
        let mode = || std::fs::metadata(&place.file).map_or(0, |file| file.permissions().mode());
        if asked.insert(&place.file) && mode() & EVERYONE_READS != 0 {
            problems.push(place.warning(
                "everyone on this machine may read this secret; take their right (chmod o-r), or write { env = \"NAME\" }, { file = \"path\" } or { fernet = \"token\" } (`trunkline secret` makes one)",
            ));
        }
    }
}

/// The certificates can be read and fit their key.
fn check_certificates(folder: &Path, node: Option<&Node>, problems: &mut Vec<Problem>) {
    let Some((node, tls)) = node.and_then(|node| Some((node, node.sip.tls.as_ref()?))) else {
        return;
    };
    if let Err(error) = certificates::load(node, folder, Arc::new(RootCertStore::empty())) {
        problems.push(tls.place.error(format!("{error:#}")));
    }
}
