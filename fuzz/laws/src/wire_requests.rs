//! Whatever message a client writes with: it is no message, or it is refused with a status that says why, or it is carried
//! out as the oracle says; and what the reply shows of the graph can be sent back and changes nothing.

use crate::graph::{agree, small};
use amadeus::rpc::from_proto::{self, Rejected, Write};
use amadeus::rpc::status;
use amadeus::rpc::to_proto::{self, Told};
use amadeus_proto::v1;
use kg_core::mutation::{Request, Transaction, plan};
use kg_core::snapshot::{RequestKey, Snapshot};
use kg_core::testing::generate::Rng;
use prost::Message;
use tonic::{Code, Status};

/// Headers carry a status, and clients bound them at about this.
const STATUS_BYTES: usize = 8 * 1024;

type Parse = fn(&[u8]) -> Option<Result<Transaction, Rejected>>;

/// Every request that writes. An input's first byte says which it is.
const REQUESTS: [Parse; 13] = [
    commit,
    one::<v1::RegisterServiceRequest>,
    one::<v1::DeregisterServiceRequest>,
    one::<v1::UpdateSchemaRequest>,
    one::<v1::SetCapabilityRequest>,
    one::<v1::AddDependencyRequest>,
    one::<v1::RemoveDependencyRequest>,
    one::<v1::PutEntityRequest>,
    one::<v1::DeleteEntityRequest>,
    one::<v1::PutRelationRequest>,
    one::<v1::DeleteRelationRequest>,
    one::<v1::UpdateNodeRequest>,
    one::<v1::DeleteNodeRequest>,
];

/// The first byte says which request the others are.
///
/// # Panics
/// Where the law is broken.
pub fn check(bytes: &[u8]) {
    let Some((which, body)) = bytes.split_first() else {
        return;
    };
    let Some(parsed) = REQUESTS[usize::from(*which) % REQUESTS.len()](body) else {
        return;
    };
    let transaction = match parsed {
        Ok(transaction) => transaction,
        Err(rejected) => return tell(&status::rejected(rejected)),
    };
    match agree(small(), &transaction) {
        Err(refusal) => tell(&status::refusal(refusal)),
        Ok(None) => {}
        Ok(Some(after)) => {
            shows(&transaction);
            reads_back(&after);
        }
    }
}

/// The message changed inside; now and then another request of the same bytes.
#[must_use]
pub fn mutate(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let Some((which, body)) = bytes.split_first() else {
        return vec![rng.below(REQUESTS.len()) as u8];
    };
    let which = if rng.once_in(20) {
        rng.below(REQUESTS.len()) as u8
    } else {
        *which
    };
    let mut changed = vec![which];
    changed.extend(crate::mutate::message(body, rng));
    changed
}

fn commit(body: &[u8]) -> Option<Result<Transaction, Rejected>> {
    let request = v1::CommitRequest::decode(body).ok()?;
    if let Err(fault) = from_proto::check_identity(&request.request_id, &request.reason) {
        return Some(Err(fault.into()));
    }
    let transaction = |(preconditions, mutations)| Transaction {
        preconditions,
        mutations,
        reason: request.reason.as_str().into(),
        request_id: request.request_id.as_str().into(),
        request: (!request.request_id.is_empty()).then(|| Request {
            key: RequestKey::new("fuzz", &request.request_id),
            body: 0,
        }),
        ..Transaction::default()
    };
    Some(from_proto::commit(&request).map(transaction))
}

fn one<R: Write + Message + Default>(body: &[u8]) -> Option<Result<Transaction, Rejected>> {
    let request = R::decode(body).ok()?;
    let transaction = |(mutation, expected): from_proto::Asked| Transaction {
        preconditions: expected.into_iter().collect(),
        ..Transaction::of(vec![mutation])
    };
    Some(request.parse().map(transaction))
}

/// A refusal is the client's own, says something, and fits into headers.
fn tell(status: &Status) {
    let own = !matches!(status.code(), Code::Ok | Code::Unknown | Code::Internal);
    assert!(own && !status.message().is_empty(), "{status:?}");
    let bytes = status.message().len() + status.details().len();
    assert!(bytes <= STATUS_BYTES, "{bytes} bytes: {status:?}");
}

/// Every change of a transaction can be shown in a reply.
fn shows(transaction: &Transaction) {
    let planned = plan(small(), transaction).expect("it was possible");
    for change in &planned.changes {
        let told = Told {
            revision: 2,
            previous: true,
        };
        assert!(to_proto::change(told, change).is_some_and(|c| c.encoded_len() > 0));
    }
}

/// What a read shows of each entity and relation can be written as it is, and changes nothing.
fn reads_back(snapshot: &Snapshot) {
    for entity in snapshot
        .entities()
        .filter(|entity| !entity.is_placeholder())
    {
        let entity = Some(to_proto::entity(snapshot, entity));
        unchanged(
            snapshot,
            &v1::PutEntityRequest {
                entity,
                ..Default::default()
            },
        );
    }
    for (label, all) in snapshot.relations_by_label() {
        for relation in all
            .edges()
            .filter_map(|(from, to, _)| snapshot.relation_by_id(label, from, to))
        {
            let relation = Some(to_proto::relation(&relation));
            unchanged(
                snapshot,
                &v1::PutRelationRequest {
                    relation,
                    ..Default::default()
                },
            );
        }
    }
}

fn unchanged(snapshot: &Snapshot, request: &impl Write) {
    let (mutation, _) = request.parse().expect("it was read");
    let planned = plan(snapshot, &Transaction::of(vec![mutation]));
    let planned = planned.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    assert!(planned.changes.is_empty(), "{:#?}", planned.changes);
}
