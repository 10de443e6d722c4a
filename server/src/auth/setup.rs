//! The setup token: by it the first administrator is made, where there is none and nobody could make one.
//!
//! It is shown once, on the standard error of the server that offers it, and never in the log: logs are collected and read
//! by others. The store keeps its hash, and lets it be used once, whoever comes at the same time.

use super::secret::{SETUP, Secret};
use crate::users::{UserError, UserStore};

/// Offers a new token, unless there is an administrator. One that was offered before is good no more.
///
/// # Errors
/// [`UserError`].
pub async fn offer(users: &UserStore) -> Result<Option<Secret>, UserError> {
    let token = Secret::generate(SETUP);
    let offered = users.offer_setup(token.hash()).await?;
    Ok(offered.then_some(token))
}

/// What the operator is told.
#[must_use]
pub fn notice(token: &Secret) -> String {
    format!(
        "There is no administrator yet. Whoever registers with this token is the first one:\n\n    {}\n\n\
         as by `amadeus register NAME --setup-token TOKEN`. It is good once, and until a server of this store starts again.",
        token.expose()
    )
}
