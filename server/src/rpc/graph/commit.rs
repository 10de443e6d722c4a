//! Commit: many mutations, one revision.

use amadeus_proto::v1;
use kg_core::limits::MESSAGE_BYTES;
use prost::Message;
use tonic::{Response, Status};

use crate::auth::Caller;
use crate::rpc::context::Context;
use crate::rpc::to_proto::{self, Told};
use crate::rpc::{from_proto, status};

/// Bytes of changes in one reply; room for the header stays.
const CHANGES_BYTES: usize = MESSAGE_BYTES - 64 * 1024;

impl Context {
    pub(super) async fn commit_all(
        &self,
        caller: &Caller,
        mut request: v1::CommitRequest,
    ) -> Result<Response<v1::CommitResponse>, Status> {
        let mut transaction = self.transaction(caller, "Commit", &mut request)?;
        (transaction.preconditions, transaction.mutations) =
            from_proto::commit(&request).map_err(status::rejected)?;
        let outcome = self.commit(transaction).await?;
        let told = Told {
            revision: outcome.revision,
            previous: false,
        };
        let (mut changes, mut bytes, mut truncated) = (Vec::new(), 0, false);
        for change in outcome
            .changes
            .iter()
            .filter(|change| caller.sees_change(&outcome.snapshot, change))
            .filter_map(|c| to_proto::change(told, c))
        {
            bytes += change.encoded_len() + 8;
            truncated = bytes > CHANGES_BYTES;
            if truncated {
                break;
            }
            changes.push(change);
        }
        Ok(Response::new(v1::CommitResponse {
            header: self.header(outcome.revision),
            changed: outcome.changed && !outcome.repeated,
            changes,
            changes_truncated: truncated,
        }))
    }
}
