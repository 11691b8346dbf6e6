//! Problem documents (RFC 9457).

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong, for a machine and for a person.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The HTTP status in words.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, in a sentence.
    detail: String,
    /// Our word for it, which stays.
    code: &'static str,
    /// What is wrong one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    #[serde(skip)]
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON Pointer of the field (RFC 6901), or `/name` of a parameter; empty where it is no one field's.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl FieldError {
    /// One thing that is wrong.
    #[must_use]
    pub fn new(pointer: &str, detail: &str) -> Self {
        Self { pointer: pointer.to_owned(), detail: detail.to_owned() }
    }
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

    /// A request whose fields are wrong.
    #[must_use]
    pub fn of_fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{} {}", one.pointer, one.detail),
            several => format!("{} fields are wrong", several.len()),
        };
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "invalid_fields", &detail) }
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
        self.errors = errors.iter().map(|detail| FieldError::new("", detail)).collect();
        self
    }

    /// Adds the field that is wrong, by its JSON Pointer.
    #[must_use]
    pub fn at(mut self, pointer: &str, detail: &str) -> Self {
        self.errors.push(FieldError::new(pointer, detail));
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
