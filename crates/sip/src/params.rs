//! Parameters behind a header value or a URI: `;name[=value]`.

use crate::limits::MAX_PARAMS;
use crate::text;

/// One parameter, as written but for blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Name; compare without regard to case.
    pub name: String,
    /// Value with its quotes, where there is one.
    pub value: Option<String>,
}

/// Parameters in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Params(Vec<Param>);

impl Params {
    /// Reads `;a=b;c`, with or without the first semicolon. Empty elements are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let params = text::split_outside(text, b';').filter(|part| !part.is_empty());
        Self(params.take(MAX_PARAMS).map(parse_one).collect())
    }

    /// The value of a parameter: `None` where it is absent, `Some("")` where it has no value.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|p| p.name.eq_ignore_ascii_case(name))?;
        Some(found.value.as_deref().unwrap_or(""))
    }

    /// Whether a parameter is present.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Sets a parameter, in its old place where it had one.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(str::to_owned);
        match self.0.iter_mut().find(|p| p.name.eq_ignore_ascii_case(name)) {
            Some(param) => param.value = value,
            None => self.0.push(Param { name: name.to_owned(), value }),
        }
    }

    /// The parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = &Param> {
        self.0.iter()
    }
}

fn parse_one(part: &str) -> Param {
    match text::find_outside(part, b'=') {
        Some(at) => {
            Param { name: part[..at].trim().to_owned(), value: Some(part[at + 1..].trim().to_owned()) }
        }
        None => Param { name: part.to_owned(), value: None },
    }
}

impl std::fmt::Display for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for param in &self.0 {
            match &param.value {
                Some(value) => write!(f, ";{}={value}", param.name)?,
                None => write!(f, ";{}", param.name)?,
            }
        }
        Ok(())
    }
}
