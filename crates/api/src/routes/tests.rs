use axum::body::Body;
use axum::http::Request;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;
use crate::server::Peer;
use crate::{
    CallDetail, CallPage, CallQuery, CallView, CompleteError, ControlError, Events, FieldError, Keys,
    PlaceError, PlaceRequest, RecordingFile, ReloadChanges, Repeat, RoomAsk, TransferRequest, TrunkView,
};

/// A daemon without calls whose only agent dials in with the secret `right`.
struct Idle {
    events: Arc<Events>,
}

impl Backend for Idle {
    fn live_media(&self, _: &str) -> Option<tokio::sync::oneshot::Receiver<Vec<crate::LiveMedia>>> {
        None
    }
    fn is_ready(&self) -> bool {
        true
    }
    fn metrics(&self) -> String {
        String::new()
    }
    fn reload(&self, _: bool) -> Result<ReloadChanges, Vec<String>> {
        Ok(ReloadChanges::default())
    }
    fn complete_call(&self, _: &str, password: Option<&str>) -> Result<(), CompleteError> {
        if password == Some("right") { Ok(()) } else { Err(CompleteError::Unauthorized) }
    }
    fn faults(&self, _: &PlaceRequest) -> Vec<FieldError> {
        Vec::new()
    }
    fn place_call(&self, _: PlaceRequest, _: Option<Repeat>) -> Result<CallView, PlaceError> {
        Err(PlaceError { status: 503, code: "draining", detail: String::new(), pointer: None })
    }
    fn calls(&self, _: &CallQuery) -> CallPage {
        CallPage { calls: Vec::new(), next_cursor: None }
    }
    fn call_detail(&self, _: &str) -> Option<CallDetail> {
        None
    }
    fn are_keys(&self, _: &str) -> bool {
        false
    }
    fn press(&self, _: &str, _: &str) -> Result<(), ControlError> {
        Err(ControlError::Unknown)
    }
    fn press_no_more(&self, _: &str) -> Result<(), ControlError> {
        Err(ControlError::Unknown)
    }
    fn hang_up(&self, _: &str) -> Result<(), ControlError> {
        Err(ControlError::Unknown)
    }
    fn transfer(&self, _: &str, _: TransferRequest) -> Result<(), ControlError> {
        Err(ControlError::Unknown)
    }
    fn complete_transfer(&self, _: &str, _: bool) -> Result<(), ControlError> {
        Err(ControlError::Unknown)
    }
    fn cancel_transfer(&self, _: &str) -> Result<(), ControlError> {
        Err(ControlError::Unknown)
    }
    fn ask_room(&self, _: &str, _: RoomAsk) -> Result<(), ControlError> {
        Err(ControlError::Unknown)
    }
    fn recording(&self, _: &str) -> Option<RecordingFile> {
        None
    }
    fn settled(&self, _: &str) -> Option<oneshot::Receiver<()>> {
        None
    }
    fn events(&self) -> &Arc<Events> {
        &self.events
    }
    fn trunks(&self) -> Vec<TrunkView> {
        Vec::new()
    }
    fn may_dial_in(&self, agent: &str, secret: &str) -> bool {
        (agent, secret) == ("bot", "right")
    }
    fn dial_in(&self, _: &str, _: &str, _: TcpStream, _: Vec<u8>) {}
    fn keys(&self) -> Arc<Keys> {
        Arc::new(Keys::new(Vec::new(), false))
    }
}

/// Sends requests from an address to one server, which takes one wrong one a second.
struct Client(TowerToHyperService<Router>);

impl Client {
    fn new() -> Self {
        let backend: Arc<dyn Backend> = Arc::new(Idle { events: Arc::new(Events::new(0)) });
        Self(TowerToHyperService::new(router(&backend, 1)))
    }

    async fn send(&self, from: u8, mut request: Request<Body>) -> u16 {
        request.extensions_mut().insert(Peer([10, 0, 0, from].into()));
        self.0.call(request).await.expect("an answer").status().as_u16()
    }

    async fn dials_in(&self, from: u8, secret: &str) -> u16 {
        let request =
            Request::get("/v1/agents/bot/connect").header("authorization", format!("Bearer {secret}"));
        self.send(from, request.body(Body::empty()).expect("a request")).await
    }

    async fn completes(&self, from: u8, authorization: &str) -> u16 {
        let request = Request::post("/2010-04-01/Accounts/AC/Calls/CA")
            .header("authorization", authorization)
            .header("content-type", "application/x-www-form-urlencoded");
        self.send(from, request.body(Body::from("Status=completed")).expect("a request")).await
    }
}

#[tokio::test]
async fn an_agents_secret_may_not_be_guessed_without_end() {
    let client = Client::new();
    // 426: the secret is right, and this is no WebSocket.
    for _ in 0..20 {
        assert_eq!(client.dials_in(1, "right").await, 426, "many agents may come at once");
    }
    assert_eq!(client.dials_in(1, "wrong").await, 401);
    assert_eq!(client.dials_in(1, "right").await, 429, "nor is a right guess told from a wrong one");
    assert_eq!(client.dials_in(2, "right").await, 426, "another address is not to blame");
    assert_eq!(client.completes(1, "Basic eDp5").await, 429, "one measure for both");
}

#[tokio::test]
async fn nor_may_the_password_that_ends_a_call() {
    let client = Client::new();
    for _ in 0..20 {
        assert_eq!(client.completes(1, "Basic eDpyaWdodA==").await, 200);
    }
    assert_eq!(client.completes(1, "Basic eDp5").await, 401);
    assert_eq!(client.completes(1, "Basic eDp5").await, 429);
}
