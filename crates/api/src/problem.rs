//! Problem documents (RFC 9457).

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What went wrong, for a machine and for a person.
#[derive(Debug, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: String,
    status: u16,
    detail: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Detail>,
    #[serde(skip)]
    fields: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Serialize)]
struct Detail {
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'static str>,
    detail: String,
}

impl Problem {
    /// A problem with its HTTP status, our code for it, and a sentence.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: &str) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.to_owned(),
            code,
            errors: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// Adds a field of the response; one that cannot be is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.fields.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// Adds what is wrong one by one.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<String>) -> Self {
        self.errors = errors.into_iter().map(|detail| Detail { pointer: None, detail }).collect();
        self
    }

    /// Adds the field that is wrong, by its JSON Pointer.
    #[must_use]
    pub fn at(mut self, pointer: &'static str, detail: &str) -> Self {
        self.errors.push(Detail { pointer: Some(pointer), detail: detail.to_owned() });
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        response.headers_mut().extend(self.fields);
        response
    }
}
