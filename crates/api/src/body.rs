//! Bodies of requests: a JSON object whose fields are read one by one, so that one answer tells of each
//! that is wrong.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Problem;
use crate::problem::FieldError;
use crate::server::{self, REQUEST_TIME};

/// An object that is being read.
pub(crate) struct Fields {
    map: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// A field that has to be there; `wanted` is what it should be.
    pub(crate) fn needed<T: DeserializeOwned>(&mut self, name: &'static str, wanted: &str) -> Option<T> {
        match self.map.remove(name) {
            Some(value) => self.read(name, value, wanted),
            None => {
                self.errors.push(FieldError::new(&format!("/{name}"), &format!("is missing: {wanted}")));
                None
            }
        }
    }

    /// A field that may be left out, or be null.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self, name: &'static str, wanted: &str) -> Option<T> {
        match self.map.remove(name)? {
            Value::Null => None,
            value => self.read(name, value, wanted),
        }
    }

    /// A field that may be left out, and is not null where it is there.
    pub(crate) fn given<T: DeserializeOwned>(&mut self, name: &'static str, wanted: &str) -> Option<T> {
        let value = self.map.remove(name)?;
        self.read(name, value, wanted)
    }

    /// A whole number that may be left out; 7.0 is one too.
    pub(crate) fn whole(&mut self, name: &'static str, wanted: &str) -> Option<u64> {
        let number: f64 = self.optional(name, wanted)?;
        let is_whole = number.fract() == 0.0 && (0.0..9e15).contains(&number);
        if !is_whole {
            self.errors.push(FieldError::new(&format!("/{name}"), &format!("is {wanted}")));
        }
        is_whole.then_some(number as u64)
    }

    /// What is wrong so far, and every field that nobody asked for.
    pub(crate) fn finish(self) -> Vec<FieldError> {
        let mut errors = self.errors;
        let unknown = self
            .map
            .keys()
            .map(|name| FieldError::new(&format!("/{}", escaped(name)), "is no field of this request"));
        errors.extend(unknown);
        errors
    }

    fn read<T: DeserializeOwned>(&mut self, name: &str, value: Value, wanted: &str) -> Option<T> {
        let read = serde_json::from_value(value).ok();
        if read.is_none() {
            self.errors.push(FieldError::new(&format!("/{name}"), &format!("is {wanted}")));
        }
        read
    }
}

/// A name as a part of a JSON Pointer (RFC 6901 §3).
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        if !is_json(request.headers()) {
            let detail = "the body is JSON: Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail).into_response());
        }
        let body = tokio::time::timeout(REQUEST_TIME, Bytes::from_request(request, state)).await;
        let body = body.map_err(|_| server::too_slow().into_response())?.map_err(|rejection| {
            let code = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => "too_large",
                _ => "bad_request",
            };
            Problem::new(rejection.status(), code, &rejection.body_text()).into_response()
        })?;
        let wrong =
            |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail).into_response();
        match serde_json::from_slice(&body) {
            Ok(Value::Object(map)) => Ok(Self { map, errors: Vec::new() }),
            Ok(_) => Err(wrong("the body is a JSON object")),
            Err(error) => Err(wrong(&format!("the body is no JSON: {error}"))),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(value: Value) -> Fields {
        let Value::Object(map) = value else { panic!("an object") };
        Fields { map, errors: Vec::new() }
    }

    #[test]
    fn each_field_that_is_wrong_is_told_of() {
        let mut fields = fields(serde_json::json!({
            "to": 5, "agent": null, "wait": "long", "a/b~c": 1, "from": "+1", "seconds": 7.0, "part": 7.5,
        }));
        assert_eq!(fields.needed::<String>("to", "a number in E.164"), None);
        assert_eq!(fields.needed::<String>("from", "a number in E.164").as_deref(), Some("+1"));
        assert_eq!(fields.needed::<u8>("digits", "digits"), None);
        assert_eq!(fields.optional::<String>("agent", "a name"), None);
        assert_eq!(fields.whole("wait", "a whole number"), None);
        assert_eq!(fields.whole("seconds", "a whole number"), Some(7));
        assert_eq!(fields.whole("part", "a whole number"), None);
        let errors = fields.finish();
        let told: Vec<_> =
            errors.iter().map(|error| (error.pointer.as_str(), error.detail.as_str())).collect();
        assert_eq!(
            told,
            [
                ("/to", "is a number in E.164"),
                ("/digits", "is missing: digits"),
                ("/wait", "is a whole number"),
                ("/part", "is a whole number"),
                ("/a~1b~0c", "is no field of this request"),
            ]
        );
    }
}
