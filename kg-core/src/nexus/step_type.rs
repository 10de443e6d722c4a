//! What is known of a type of step, by which definitions are checked.

use super::written::Written;
use crate::error::Fault;
use crate::model::ValueType;

/// What a step of a type acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nothing: a target is a fault.
    None,
    /// A service, `service/name` or its bare name. Required.
    Service,
    /// A pattern, `pattern/name` or its bare name. Required.
    Pattern,
}

/// One parameter that steps of a type take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// What it has to be.
    pub kind: ValueType,
    /// Whether a step without it is at fault.
    pub required: bool,
}

/// A type of step.
#[derive(Clone, Copy, Debug)]
pub struct StepType {
    /// Its name, such as `grpc`.
    pub name: &'static str,
    /// What it acts on.
    pub target: Target,
    /// The actions that there are; empty: `free_action` says.
    pub actions: &'static [&'static str],
    /// Without `actions`: whether a step has to name one. Otherwise it may name none.
    pub free_action: bool,
    /// The parameters that it takes, whatever the action.
    pub arguments: &'static [Argument],
    /// Whether it takes others as well.
    pub open: bool,
    /// What a result is.
    pub result: ValueType,
    /// Whether it only looks at the graph or computes: a replay carries it out.
    pub pure: bool,
    /// How long an attempt may take where the step does not say, in milliseconds; 0: as long as the run.
    pub timeout_ms: u32,
    /// What only the type knows to be wrong with a call, by the path within it: `action`, `parameters.type`. It is asked where the
    /// action is one that there is, and tells nothing that `arguments` tell.
    pub check: fn(&Written<'_>) -> Vec<Fault>,
}

/// For a type that has nothing to say about calls of it.
#[must_use]
pub const fn unchecked(_: &Written<'_>) -> Vec<Fault> {
    Vec::new()
}

/// The type whose steps run another pattern.
pub const PATTERN: &str = "pattern";

/// The type whose steps do something with each element of a list: its parameter `step` is filled in twice.
pub const MAP: &str = "map";

/// The type whose steps choose among cases: the `when` of each is a condition.
pub const CHOICE: &str = "choice";

impl Target {
    /// The name of the entity that a target of this kind names, without the kind.
    #[must_use]
    pub fn name_in(self, target: &str) -> &str {
        let prefix = match self {
            Self::None => return target,
            Self::Service => "service/",
            Self::Pattern => "pattern/",
        };
        target.strip_prefix(prefix).unwrap_or(target)
    }
}
