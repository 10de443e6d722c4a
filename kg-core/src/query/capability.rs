//! Who can do what.

use super::error::QueryError;
use crate::error::Fault;
use crate::model::Name;
use crate::snapshot::{Names, Snapshot};

/// Services that offer each of `all_of` and at least one of `any_of`, sorted by name. A condition that is empty holds.
/// Cost: O(services of the rarest of `all_of` x conditions), or the union of `any_of`.
///
/// # Errors
/// Both conditions are empty.
pub fn find_by_capability<S: AsRef<str>>(
    snapshot: &Snapshot,
    all_of: &[S],
    any_of: &[S],
) -> Result<Vec<Name>, QueryError> {
    if all_of.is_empty() && any_of.is_empty() {
        return Err(Fault::new(
            "all_of",
            "must name at least one capability, unless any_of does",
        )
        .into());
    }
    let index = &snapshot.indexes().capabilities;
    let offers = |capability: &S| index.get(capability.as_ref());
    let any: Vec<&Names> = any_of.iter().filter_map(offers).collect();
    let Some(all) = all_of.iter().map(offers).collect::<Option<Vec<&Names>>>() else {
        return Ok(Vec::new());
    };
    let Some(rarest) = all.iter().min_by_key(|names| names.len()) else {
        let mut union = Names::new();
        for names in any {
            union = union.union(names.clone());
        }
        return Ok(union.into_iter().collect());
    };
    Ok(rarest
        .iter()
        .filter(|name| all.iter().all(|names| names.contains(*name)))
        .filter(|name| any_of.is_empty() || any.iter().any(|names| names.contains(*name)))
        .cloned()
        .collect())
}
