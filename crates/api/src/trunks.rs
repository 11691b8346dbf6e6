//! `/v1/trunks`: the trunks, our registration at each, and whether their addresses live.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Shared;

/// A trunk as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TrunkView {
    /// Its name.
    pub name: String,
    /// `inbound`, `outbound` or `both`.
    pub direction: &'static str,
    /// `off`, `registering`, `registered` or `failed`.
    pub registration: &'static str,
    /// When the registration ends unless it is refreshed.
    #[schema(format = DateTime)]
    pub registered_until: Option<String>,
    /// What the last attempt to register failed of.
    pub reason: Option<String>,
    /// Where calls go out.
    pub addresses: Vec<AddressView>,
}

/// An address of a trunk.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AddressView {
    /// As a SIP URI.
    pub address: String,
    /// Whether it answers OPTIONS; absent where it was not asked yet, or never is.
    pub healthy: Option<bool>,
    /// Its last answer.
    pub sip_code: Option<u16>,
}

/// Every trunk.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrunkList {
    /// In the order of the files.
    trunks: Vec<TrunkView>,
}

/// Lists the trunks, with our registration at each and the health of its addresses.
#[utoipa::path(
    get, path = "/v1/trunks", tag = "node",
    responses((status = 200, description = "Every trunk", body = TrunkList))
)]
pub(crate) async fn list(State(backend): State<Shared>) -> Response {
    Json(TrunkList { trunks: backend.trunks() }).into_response()
}
