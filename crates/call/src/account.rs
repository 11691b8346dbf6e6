//! What a trunk's credentials are good for on the legs over it.

use std::sync::Arc;

use trunkline_routing::Trunk;
use trunkline_signalling::dialog::Account;

/// How challenges to what we begin are answered: to a call that we place, to a registration.
pub(crate) fn of_ours(trunk: &Trunk) -> Option<Arc<Account>> {
    let account = |auth: &trunkline_routing::TrunkAuth| Account {
        username: auth.username.clone(),
        password: auth.password.reveal().clone(),
        realm: auth.realm.clone(),
    };
    trunk.auth.as_ref().map(account).map(Into::into)
}

/// The same on a call that comes in. Whoever calls could ask, so the trunk must name the realm, unless its callers
/// have shown that they know the password.
pub(crate) fn of_callers(trunk: &Trunk) -> Option<Arc<Account>> {
    let names_realm = trunk.auth.as_ref().is_some_and(|auth| auth.realm.is_some());
    of_ours(trunk).filter(|_| names_realm || trunk.challenge)
}
