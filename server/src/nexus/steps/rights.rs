//! What a step may do: what its run's owner may do from outside, by the rule of the RPC that does it there.

use std::sync::LazyLock;

use kg_core::nexus::Failure;
use tonic::Code;

use crate::auth::{Caller, Rules, may_call};
use crate::nexus::failure::{of, of_status};

static RULES: LazyLock<Rules> = LazyLock::new(Rules::new);

/// Whether somebody may make the call of this path at all, as the gate asks it. What it names is for whoever answers it to judge.
///
/// # Errors
/// PERMISSION_DENIED or UNAUTHENTICATED.
pub fn may(caller: &Caller, path: &str) -> Result<(), Failure> {
    let row = RULES.of(path).ok_or_else(|| {
        let why = format!("{path} is called by nobody");
        of(Code::PermissionDenied, why)
    })?;
    may_call(&caller.principal, row.rule).map_err(|status| of_status(&status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_rule_nobody_may() {
        let path = "/amadeus.v1.GraphService/Nothing";
        let failure = may(&Caller::trusted(), path).expect_err("no rule");
        assert_eq!(&*failure.code, "PERMISSION_DENIED");
        assert_eq!(
            may(&Caller::trusted(), "/amadeus.v1.GraphService/Commit"),
            Ok(())
        );
    }
}
