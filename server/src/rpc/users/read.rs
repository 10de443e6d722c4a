//! Reading one user.

use amadeus_proto::v1;
use tonic::Status;

use super::{Parts, check_own, deny, named};
use crate::auth::{Caller, Role};
use crate::rpc::{status, to_proto};
use crate::users::{User, Username};

impl Parts {
    pub(super) async fn get(
        &self,
        caller: &Caller,
        asked: v1::GetUserRequest,
    ) -> Result<v1::GetUserResponse, Status> {
        let id = named("user_id", asked.user_id)?;
        check_own(caller, &id)?;
        let found = self.users.user(&id).await.map_err(status::users)?;
        let user = found.ok_or_else(|| status::not_found(format!("the user {id}")))?;
        Ok(v1::GetUserResponse {
            header: self.header(),
            user: Some(to_proto::user(&user)),
        })
    }

    pub(super) async fn get_by_name(
        &self,
        caller: &Caller,
        asked: v1::GetUserByUsernameRequest,
    ) -> Result<v1::GetUserByUsernameResponse, Status> {
        let username = Username::parse("username", &asked.username).map_err(status::fault)?;
        let user = if caller.principal.has(Role::Admin) {
            let found = self.users.user_by_username(username.as_str()).await;
            let found = found.map_err(status::users)?;
            found.ok_or_else(|| status::not_found(format!("the user {username}")))?
        } else {
            let own = self.own(caller).await?;
            let own = own.filter(|own| own.username.eq_ignore_ascii_case(username.as_str()));
            own.ok_or_else(deny)?
        };
        Ok(v1::GetUserByUsernameResponse {
            header: self.header(),
            user: Some(to_proto::user(&user)),
        })
    }

    /// The user who calls. No other is looked for, so that no name is told from one that nobody has, by time neither.
    async fn own(&self, caller: &Caller) -> Result<Option<User>, Status> {
        match &caller.principal.user {
            Some(id) => self.users.user(id).await.map_err(status::users),
            None => Ok(None),
        }
    }
}
