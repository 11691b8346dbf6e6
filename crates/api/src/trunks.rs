//! `/v1/trunks`: the trunks, our registration at each, and whether their addresses live.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::Shared;

/// A trunk as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrunkView {
    /// Its name.
    pub name: String,
    /// `inbound`, `outbound` or `both`.
    pub direction: &'static str,
    /// `off`, `registering`, `registered` or `failed`.
    pub registration: &'static str,
    /// When the registration ends unless it is refreshed, in seconds since the Unix epoch.
    pub registered_until: Option<f64>,
    /// What the last attempt to register failed of.
    pub reason: Option<String>,
    /// Where calls go out.
    pub addresses: Vec<AddressView>,
}

/// An address of a trunk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AddressView {
    /// As a SIP URI.
    pub address: String,
    /// Whether it answers OPTIONS; absent where it was not asked yet, or never is.
    pub healthy: Option<bool>,
    /// Its last answer.
    pub sip_code: Option<u16>,
}

/// Every trunk, in the order of the files.
pub(crate) async fn list(State(backend): State<Shared>) -> Response {
    Json(serde_json::json!({ "trunks": backend.trunks() })).into_response()
}
