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

/// Collects the problems of one file.
pub(crate) struct Report<'a> {
    file: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(ends).collect();
        Self { file, text, line_starts, problems: Vec::new() }
    }

    pub(crate) fn error(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.push(Severity::Error, span, message.into());
    }

    pub(crate) fn warning(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.push(Severity::Warning, span, message.into());
    }

    pub(crate) const fn file_name(&self) -> &str {
        self.file
    }

    pub(crate) fn line_of(&self, span: &Range<usize>) -> usize {
        self.line_starts.partition_point(|start| *start <= span.start.min(self.text.len()))
    }

    fn push(&mut self, severity: Severity, span: &Range<usize>, message: String) {
        let line = self.line_of(span);
        let start = self.line_starts[line - 1];
        let column = self.text.get(start..span.start).map_or(0, |before| before.chars().count()) + 1;
        self.problems.push(Problem { severity, file: self.file.to_owned(), line, column, message });
    }
}
