//! Listing users, in pages that fit into a reply.

use amadeus_proto::v1;
use kg_core::limits::{MESSAGE_BYTES, PAGE};
use prost::Message as _;
use tonic::Status;
use xxhash_rust::xxh3::xxh3_64;

use super::{Parts, check_admin};
use crate::auth::Caller;
use crate::auth::secret::hex;
use crate::rpc::{from_proto, status, to_proto};
use crate::users::{UserFilter, UserStatus};

/// Users on a page, if nothing is said.
const PAGE_DEFAULT: usize = 100;

/// Users that are read at once: a profile may have some 80 KiB.
const AT_ONCE: usize = 50;

/// Bytes of users in one reply: room for the header and for a token stays.
const PAGE_BYTES: usize = MESSAGE_BYTES - 64 * 1024;

/// Bytes of a prefix: no name is longer.
const PREFIX_BYTES: usize = 64;

impl Parts {
    pub(super) async fn list(
        &self,
        caller: &Caller,
        asked: v1::ListUsersRequest,
    ) -> Result<v1::ListUsersResponse, Status> {
        check_admin(caller)?;
        let filter = filter(&asked).map_err(status::fault)?;
        let size = match usize::try_from(asked.page_size).unwrap_or(PAGE) {
            0 => PAGE_DEFAULT,
            size => size.min(PAGE),
        };
        let question = question(self.context.graph.store_id(), &asked);
        let mut after = match asked.page_token.as_str() {
            "" => None,
            token => Some(read_token(question, token)?),
        };
        let mut reply = v1::ListUsersResponse {
            header: self.header(),
            ..v1::ListUsersResponse::default()
        };
        let mut bytes = 0;
        loop {
            let wanted = (size - reply.users.len()).min(AT_ONCE);
            // One more tells whether this page is the last.
            let listed = self.users.list(&filter, after.as_deref(), wanted + 1).await;
            let (found, total) = listed.map_err(status::users)?;
            reply.total = total;
            let is_last = found.len() <= wanted;
            for user in found.iter().take(wanted) {
                let shown = to_proto::user(user);
                let more = shown.encoded_len() + 8;
                if bytes + more > PAGE_BYTES
                    && let Some(after) = &after
                {
                    reply.next_page_token = token(question, after);
                    return Ok(reply);
                }
                bytes += more;
                after = Some(user.username.clone());
                reply.users.push(shown);
            }
            if is_last {
                return Ok(reply);
            }
            if let (true, Some(after)) = (reply.users.len() == size, &after) {
                reply.next_page_token = token(question, after);
                return Ok(reply);
            }
        }
    }
}

fn filter(asked: &v1::ListUsersRequest) -> Result<UserFilter, kg_core::error::Fault> {
    from_proto::check_text("username_prefix", &asked.username_prefix, PREFIX_BYTES)?;
    Ok(UserFilter {
        prefix: asked.username_prefix.clone(),
        status: status_of("status", asked.status)?,
        role: match asked.role {
            0 => None,
            number => Some(from_proto::role("role", number)?),
        },
    })
}

/// Whether somebody may sign in; `None` where nothing is said.
pub(super) fn status_of(
    field: &str,
    number: i32,
) -> Result<Option<UserStatus>, kg_core::error::Fault> {
    Ok(
        match from_proto::number_of::<v1::UserStatus>(field, number)? {
            v1::UserStatus::Unspecified => None,
            v1::UserStatus::Active => Some(UserStatus::Active),
            v1::UserStatus::Disabled => Some(UserStatus::Disabled),
        },
    )
}

/// What a token must belong to: the store, and the request without its paging.
fn question(store_id: &str, asked: &v1::ListUsersRequest) -> u64 {
    let filters = v1::ListUsersRequest {
        page_size: 0,
        page_token: String::new(),
        ..asked.clone()
    };
    let mut bytes = format!("ListUsers {store_id} ").into_bytes();
    bytes.extend(filters.encode_to_vec());
    xxh3_64(&bytes)
}

/// A page goes on after a name, whatever was changed since.
fn token(question: u64, after: &str) -> String {
    format!("{:016x}{}", sum(question, after), hex(after.as_bytes()))
}

fn read_token(question: u64, token: &str) -> Result<String, Status> {
    let read = || {
        let (sum_of, digits) = token.split_at_checked(16)?;
        let digits = digits.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let after = digits.map(byte).collect::<Option<Vec<u8>>>()?;
        let after = String::from_utf8(after).ok()?;
        (u64::from_str_radix(sum_of, 16).ok()? == sum(question, &after)).then_some(after)
    };
    let refused = "is damaged, or belongs to another question: repeat the request that it came from, with its filters";
    read().ok_or_else(|| status::invalid("page_token", refused))
}

fn sum(question: u64, after: &str) -> u64 {
    xxh3_64(format!("{question} {after}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_question_and_whole_or_refused() {
        let token = token(7, "Ann");
        assert!(!token.contains("Ann"));
        assert_eq!(read_token(7, &token).ok().as_deref(), Some("Ann"));
        assert!(read_token(8, &token).is_err());
        for bad in [
            "x",
            "é",
            &token[1..],
            &format!("{token}0"),
            &token.replace('4', "5"),
            "0123456789abcdefé",
        ] {
            let refused = read_token(7, bad).expect_err(bad);
            assert!(refused.message().contains("page_token"), "{refused}");
        }
    }
}
