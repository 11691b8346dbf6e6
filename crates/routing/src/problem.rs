//! What is wrong with a file, where, and what to write instead.

use std::fmt;
use std::ops::Range;

/// Whether a problem keeps a table from being loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The table is not loaded.
    Error,
    /// It is loaded, but the operator should know.
    Warning,
}

/// One finding in an operator's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether it is fatal.
    pub severity: Severity,
    /// File name as given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what to write.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}:{}: {kind}: {}", self.file, self.line, self.column, self.message)
    }
}

/// A place in an operator's file, for what is found out later than the file was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// File name as given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// An error there.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> Problem {
        self.problem(Severity::Error, message.into())
    }

    /// A warning there.
    #[must_use]
    pub fn warning(&self, message: impl Into<String>) -> Problem {
        self.problem(Severity::Warning, message.into())
    }

    fn problem(&self, severity: Severity, message: String) -> Problem {
        Problem { severity, file: self.file.clone(), line: self.line, column: self.column, message }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Where a secret lies that is not written into the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A variable of the environment.
    Env(String),
    /// A file, whose last line break does not count.
    File(String),
    /// A Fernet token under the key of the environment's `FERNET_KEY`.
    Fernet(String),
}

/// Reads secrets for the tables, which cannot reach the environment themselves; or says why not.
pub type ReadSecret<'a> = &'a dyn Fn(&SecretSource) -> Result<String, String>;

/// For tables whose secrets are all written into them.
pub(crate) fn no_secrets(source: &SecretSource) -> Result<String, String> {
    match source {
        SecretSource::Env(name) | SecretSource::File(name) => Err(format!("{name} cannot be read here")),
        SecretSource::Fernet(_) => Err("it cannot be decrypted here".to_owned()),
    }
}

/// Collects the problems of one file.
pub(crate) struct Report<'a> {
    pub(crate) secrets: ReadSecret<'a>,
    file: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
    pub(crate) problems: Vec<Problem>,
    /// Every file could be read, so what none of them names is unknown.
    pub(crate) complete: bool,
    /// Sound files that it names.
    pub(crate) sounds: Vec<(String, Place)>,
    /// Where secrets are written out.
    pub(crate) written_secrets: Vec<Place>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(ends).collect();
        Self {
            file,
            text,
            line_starts,
            problems: Vec::new(),
            complete: true,
            sounds: Vec::new(),
            written_secrets: Vec::new(),
            secrets: &no_secrets,
        }
    }

    pub(crate) fn error(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.push(Severity::Error, span, message.into());
    }

    pub(crate) fn warning(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.push(Severity::Warning, span, message.into());
    }

    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= span.start.min(self.text.len()));
        let start = self.line_starts[line - 1];
        let column = self.text.get(start..span.start).map_or(0, |before| before.chars().count()) + 1;
        Place { file: self.file.to_owned(), line, column }
    }

    fn push(&mut self, severity: Severity, span: &Range<usize>, message: String) {
        let problem = self.place(span).problem(severity, message);
        self.problems.push(problem);
    }
}
