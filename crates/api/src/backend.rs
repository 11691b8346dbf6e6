//! What the daemon does for its HTTP users.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::access::Keys;
use crate::calls::control::ControlError;
use crate::calls::list::CallQuery;
use crate::calls::place::{PlaceError, PlaceRequest, Repeat};
use crate::calls::room::RoomAsk;
use crate::calls::transfer::TransferRequest;
use crate::calls::view::{CallDetail, CallPage, CallView, LiveMedia};
use crate::{Events, FieldError, RecordingFile, ReloadChanges, TrunkView};

/// The daemon behind HTTP.
pub trait Backend: Send + Sync + 'static {
    /// Whether new calls are taken.
    fn is_ready(&self) -> bool;
    /// The metrics page.
    fn metrics(&self) -> String;
    /// Reads the node's file and its tables again, or tries to: what changes, or every problem.
    ///
    /// # Errors
    /// The problems, a line each; nothing was changed.
    fn reload(&self, dry_run: bool) -> Result<ReloadChanges, Vec<String>>;
    /// Ends the call with that `CA…` identifier, if `password` may.
    ///
    /// # Errors
    /// Where there is no such call, or the password is wrong.
    fn complete_call(&self, call_sid: &str, password: Option<&str>) -> Result<(), CompleteError>;
    /// Every field of a request that is wrong by itself, whatever the tables say.
    fn faults(&self, request: &PlaceRequest) -> Vec<FieldError>;
    /// Places a call. A repetition of a request gives what that gave.
    ///
    /// # Errors
    /// Why not; nothing was sent.
    fn place_call(&self, request: PlaceRequest, repeat: Option<Repeat>) -> Result<CallView, PlaceError>;
    /// The newest calls that are asked for.
    fn calls(&self, query: &CallQuery) -> CallPage;
    /// All of one call.
    fn call_detail(&self, id: &str) -> Option<CallDetail>;
    /// What the media of a call comes to now; none where it is not up.
    fn live_media(&self, id: &str) -> Option<oneshot::Receiver<Vec<LiveMedia>>>;
    /// Whether a text is a row of key presses.
    fn are_keys(&self, keys: &str) -> bool;
    /// Presses keys in a call.
    ///
    /// # Errors
    /// Where there is no such call, or it is not up.
    fn press(&self, id: &str, keys: &str) -> Result<(), ControlError>;
    /// Presses no more keys in a call: those that wait are dropped, the one that is pressed is let go.
    ///
    /// # Errors
    /// Where there is no such call, or it is not up.
    fn press_no_more(&self, id: &str) -> Result<(), ControlError>;
    /// Ends a call.
    ///
    /// # Errors
    /// Where there is no such call, or it is over.
    fn hang_up(&self, id: &str) -> Result<(), ControlError>;
    /// Puts the caller of a call through.
    ///
    /// # Errors
    /// Where there is no such call, or it is not up.
    fn transfer(&self, id: &str, request: TransferRequest) -> Result<(), ControlError>;
    /// Ends the consultation of a warm transfer by joining the caller.
    ///
    /// # Errors
    /// Where there is no such call, or it is not up.
    fn complete_transfer(&self, id: &str, agent_stays: bool) -> Result<(), ControlError>;
    /// Gives a transfer up.
    ///
    /// # Errors
    /// Where there is no such call, or it is not up.
    fn cancel_transfer(&self, id: &str) -> Result<(), ControlError>;
    /// Does something in the room of a call.
    ///
    /// # Errors
    /// Where there is no such call, or it is not up.
    fn ask_room(&self, id: &str, ask: RoomAsk) -> Result<(), ControlError>;
    /// The recording of a call that has ended; none where there is none, or it has not.
    fn recording(&self, id: &str) -> Option<RecordingFile>;
    /// Done once a call is answered or over; none where it is already.
    fn settled(&self, id: &str) -> Option<oneshot::Receiver<()>>;
    /// What happens.
    fn events(&self) -> &Arc<Events>;
    /// The trunks.
    fn trunks(&self) -> Vec<TrunkView>;
    /// Whether an agent of that name dials in and shows that secret.
    fn may_dial_in(&self, agent: &str, secret: &str) -> bool;
    /// Takes over an agent's socket, its handshake answered, with the bytes read behind it. The secret
    /// is the one that it showed.
    fn dial_in(&self, agent: &str, secret: &str, stream: TcpStream, unread: Vec<u8>);
    /// The keys of the API.
    fn keys(&self) -> Arc<Keys>;
}

/// Why a call was not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompleteError {
    /// No such call.
    NotFound,
    /// The password is wrong.
    Unauthorized,
}
