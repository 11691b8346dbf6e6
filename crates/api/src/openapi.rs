//! The OpenAPI description of it all, made from the handlers, and served.
//!
//! `docs/openapi.json` is the same, kept by a test; `TRUNKLINE_RENEW=1 cargo test -p trunkline-api` writes
//! it anew.

use std::sync::Arc;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Info, Ref};

use crate::access::Scope;
use crate::problem::{FieldError, Problem};

/// What every route shares.
#[derive(OpenApi)]
#[openapi(
    components(schemas(Problem, FieldError)),
    tags(
        (name = "calls", description = "Calls in progress and the last that ended"),
        (name = "node", description = "The node and its configuration"),
    )
)]
pub(crate) struct Base;

/// The name of the security scheme.
const SCHEME: &str = "key";

/// The description without any route.
pub(crate) fn base() -> utoipa::openapi::OpenApi {
    let mut api = Base::openapi();
    api.info = Info::new("Trunkline", env!("CARGO_PKG_VERSION"));
    api.info.description = Some(
        "Problems are documents of RFC 9457 whose `code` tells them apart. Times are RFC 3339 in UTC. \
         Without configured keys the API is open to its own machine and needs none."
            .to_owned(),
    );
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key that `trunkline key` printed. Scopes: read, operate, admin."))
        .build();
    let components = api.components.get_or_insert_with(Default::default);
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    api
}

/// Says of each operation which scope it takes, and how it is refused.
pub(crate) fn guarded(api: &mut utoipa::openapi::OpenApi, scope: Scope) {
    for operation in api.paths.paths.values_mut().flat_map(operations) {
        operation.security = Some(vec![SecurityRequirement::new(SCHEME, [scope.name()])]);
        for (status, what) in [
            ("401", "No key, or none that is known"),
            ("403", "The key's scope does not allow it"),
            ("429", "Too many requests"),
        ] {
            operation.responses.responses.entry(status.to_owned()).or_insert_with(|| problem(what));
        }
        if operation.request_body.is_some() {
            for (status, what) in [
                ("408", "The body took too long to come"),
                ("413", "The body is too long"),
                ("415", "The body is not JSON"),
            ] {
                operation.responses.responses.entry(status.to_owned()).or_insert_with(|| problem(what));
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, post, delete, put, patch, .. } = item;
    [get, post, delete, put, patch].into_iter().filter_map(Option::as_mut)
}

fn problem(what: &str) -> utoipa::openapi::RefOr<utoipa::openapi::response::Response> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(what).content("application/problem+json", content).build().into()
}

/// The description as it is served.
pub(crate) fn text(api: &utoipa::openapi::OpenApi) -> Arc<str> {
    api.to_pretty_json().unwrap_or_default().into()
}

/// Serves it.
pub(crate) fn served(text: &Arc<str>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text.to_string()).into_response()
}
