//! The operators' files on disk: the node's, and the tables that it names.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use trunkline_routing::{Node, NodeError, Problem, RouteTable, Source, load, load_node};

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
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(ConfigError::Files)?;
    let node = match load_node(&path.display().to_string(), &text) {
        Ok(node) => node,
        Err(NodeError(problems)) => return Err(ConfigError::Problems(problems)),
    };
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let sources = sources(&folder, &node.route_files).map_err(ConfigError::Files)?;
    match load(&sources, node.default_agent.as_deref()) {
        Ok((table, warnings)) => Ok(Loaded { node, table, warnings, folder }),
        Err(problems) => Err(ConfigError::Problems(problems)),
    }
}

/// The table files that the patterns name, in the order of their names.
fn sources(folder: &Path, patterns: &[String]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for pattern in patterns {
        for path in matching(&folder.join(pattern))? {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            sources.push(Source { name: path.display().to_string(), text });
        }
    }
    Ok(sources)
}

/// A file, or the files of a folder where the last part of the path has a `*`.
fn matching(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let Some((before, after)) = name.split_once('*') else {
        return Ok(vec![path.to_path_buf()]);
    };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => bail!("cannot list {}: {error}", folder.display()),
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
        })
        .collect();
    found.sort();
    Ok(found)
}
