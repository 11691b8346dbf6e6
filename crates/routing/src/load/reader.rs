//! Typed reading of one TOML table that keeps going after a mistake.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::closest;
use crate::Secret;
use crate::problem::{Report, SecretSource};

/// Parses a document; what can be read is there even where something cannot.
pub(crate) fn parse_document(text: &str) -> (Spanned<DeTable<'_>>, Vec<Error>) {
    DeTable::parse_recoverable(text)
}

/// An entry of an array of tables, with the span of its header.
pub(crate) struct Entry<'a> {
    pub(crate) table: &'a DeTable<'a>,
    pub(crate) span: Range<usize>,
}

/// A text and where it stands.
pub(crate) type Placed = (String, Range<usize>);

/// An item of a list that takes a short and a long form.
pub(crate) enum TextOrTable<'a> {
    Text(String, Range<usize>),
    Table(Entry<'a>),
}

/// Reads the keys of one table; [`Reader::finish`] reports those that nobody asked for.
pub(crate) struct Reader<'a, 'r, 'f> {
    table: &'a DeTable<'a>,
    span: Range<usize>,
    pub(crate) report: &'r mut Report<'f>,
    asked: BTreeSet<&'static str>,
}

impl<'a, 'r, 'f> Reader<'a, 'r, 'f> {
    pub(crate) fn of_document(document: &'a Spanned<DeTable<'a>>, report: &'r mut Report<'f>) -> Self {
        Self { table: document.get_ref(), span: document.span(), report, asked: BTreeSet::new() }
    }

    pub(crate) fn of_entry(entry: &Entry<'a>, report: &'r mut Report<'f>) -> Self {
        Self { table: entry.table, span: entry.span.clone(), report, asked: BTreeSet::new() }
    }

    /// The entries of `[[key]]`.
    pub(crate) fn tables(&mut self, key: &'static str) -> Vec<Entry<'a>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.report.error(&value.span(), format!("write [[{key}]], one for each {key}"));
            return Vec::new();
        };
        let mut entries = Vec::new();
        for item in array {
            match item.get_ref().as_table() {
                Some(table) => entries.push(Entry { table, span: item.span() }),
                None => self.report.error(&item.span(), format!("write [[{key}]], one for each {key}")),
            }
        }
        entries
    }

    /// The table `[key]`.
    pub(crate) fn table(&mut self, key: &'static str) -> Option<Entry<'a>> {
        let value = self.value(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Entry { table, span: value.span() }),
            None => self.wrong(key, value, "a table"),
        }
    }

    pub(crate) fn string(&mut self, key: &'static str) -> Option<(String, Range<usize>)> {
        let value = self.value(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some((text.to_owned(), value.span())),
            None => self.wrong(key, value, "a string"),
        }
    }

    pub(crate) fn required(&mut self, key: &'static str) -> Option<(String, Range<usize>)> {
        if !self.table.contains_key(key) {
            let span = self.span.clone();
            self.report.error(&span, format!("{key} is missing; write {key} = \"…\""));
            self.asked.insert(key);
            return None;
        }
        self.string(key)
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref().as_bool() {
            Some(flag) => Some(flag),
            None => self.wrong(key, value, "true or false"),
        }
    }

    /// An integer within a range.
    pub(crate) fn integer(&mut self, key: &'static str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(key)?;
        let number = value.get_ref().as_integer();
        let number = number.and_then(|i| i64::from_str_radix(i.as_str(), i.radix()).ok());
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ => self.wrong(key, value, &format!("a whole number from {} to {}", range.start(), range.end())),
        }
    }

    pub(crate) fn seconds(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<Duration> {
        let seconds = self.integer(key, range)?;
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }

    /// A list of strings; a single string counts as a list of one.
    pub(crate) fn strings(&mut self, key: &'static str) -> Option<Vec<(String, Range<usize>)>> {
        let value = self.value(key)?;
        if let Some(text) = value.get_ref().as_str() {
            return Some(vec![(text.to_owned(), value.span())]);
        }
        let Some(array) = value.get_ref().as_array() else {
            return self.wrong(key, value, "a list of strings");
        };
        let mut strings = Vec::new();
        for item in array {
            match item.get_ref().as_str() {
                Some(text) => strings.push((text.to_owned(), item.span())),
                None => self.report.error(&item.span(), format!("{key} is a list of strings")),
            }
        }
        Some(strings)
    }

    /// A list of strings and inline tables; a single one counts as a list of one.
    pub(crate) fn strings_or_tables(
        &mut self,
        key: &'static str,
        wanted: &str,
    ) -> Option<Vec<TextOrTable<'a>>> {
        let value = self.value(key)?;
        let one = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
            DeValue::String(text) => Some(TextOrTable::Text(text.to_string(), item.span())),
            DeValue::Table(table) => Some(TextOrTable::Table(Entry { table, span: item.span() })),
            _ => None,
        };
        let items: &'a [Spanned<DeValue<'a>>] = match value.get_ref().as_array() {
            Some(array) => array,
            None => std::slice::from_ref(value),
        };
        let mut found = Vec::new();
        for item in items {
            match one(item) {
                Some(item) => found.push(item),
                None => self.report.error(&item.span(), format!("{key} is a list of {wanted}")),
            }
        }
        Some(found)
    }

    /// A secret: as it stands, `{ env = "NAME" }`, `{ file = "path" }` or `{ fernet = "token" }`.
    pub(crate) fn secret(&mut self, key: &'static str) -> Option<Secret<String>> {
        let value = self.value(key)?;
        if let Some(text) = value.get_ref().as_str() {
            let place = self.report.place(&value.span());
            self.report.written_secrets.push(place);
            return Some(Secret::new(text.to_owned()));
        }
        let source = value.get_ref().as_table().and_then(|table| {
            let mut entries = table.iter();
            let (name, item) = entries.next()?;
            let place = item.get_ref().as_str()?.to_owned();
            match (name.get_ref().as_ref(), entries.next()) {
                ("env", None) => Some(SecretSource::Env(place)),
                ("file", None) => Some(SecretSource::File(place)),
                ("fernet", None) => Some(SecretSource::Fernet(place)),
                _ => None,
            }
        });
        let Some(source) = source else {
            return self.wrong(
                key,
                value,
                "a string, { env = \"NAME\" }, { file = \"path\" } or { fernet = \"token\" }",
            );
        };
        match (self.report.secrets)(&source) {
            Ok(text) => Some(Secret::new(text)),
            Err(why) => {
                self.report.error(&value.span(), format!("{key}: {why}"));
                None
            }
        }
    }

    /// A list of integers.
    pub(crate) fn integers(&mut self, key: &'static str) -> Option<(Vec<i64>, Range<usize>)> {
        let value = self.value(key)?;
        let numbers = value.get_ref().as_array().map(|array| {
            let read = |item: &Spanned<DeValue<'_>>| {
                let integer = item.get_ref().as_integer()?;
                i64::from_str_radix(integer.as_str(), integer.radix()).ok()
            };
            array.iter().map(read).collect::<Option<Vec<_>>>()
        });
        match numbers.flatten() {
            Some(numbers) => Some((numbers, value.span())),
            None => self.wrong(key, value, "a list of whole numbers"),
        }
    }

    /// An inline table of strings.
    pub(crate) fn map(&mut self, key: &'static str) -> Vec<(String, String)> {
        self.pairs(key).into_iter().map(|((name, _), (value, _))| (name, value)).collect()
    }

    /// The same with the places of both sides.
    pub(crate) fn pairs(&mut self, key: &'static str) -> Vec<(Placed, Placed)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(table) = value.get_ref().as_table() else {
            let _: Option<()> = self.wrong(key, value, "a table such as { name = \"value\" }");
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for (name, item) in table {
            match item.get_ref().as_str() {
                Some(text) => {
                    pairs.push(((name.get_ref().to_string(), name.span()), (text.to_owned(), item.span())))
                }
                None => self.report.error(&item.span(), format!("{key}.{} is a string", name.get_ref())),
            }
        }
        pairs
    }

    /// One word of several.
    pub(crate) fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let (text, span) = self.string(key)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let list: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.report.error(&span, format!("{key} is {text:?}; write {}", list.join(" or ")));
        }
        found
    }

    /// Whether the key is there, readable or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The place of the whole table.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(self, known: &[&'static str]) {
        let known: Vec<String> = known.iter().chain(&self.asked).map(|key| (*key).to_owned()).collect();
        for (key, _) in self.table {
            if !known.iter().any(|known| known == key.get_ref()) {
                let hint = closest(key.get_ref(), known.iter());
                self.report.error(&key.span(), format!("unknown key {:?}{hint}", key.get_ref()));
            }
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.insert(key);
        self.table.get(key)
    }

    fn wrong<T>(&mut self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Option<T> {
        self.report.error(&value.span(), format!("{key} must be {wanted}"));
        None
    }
}
