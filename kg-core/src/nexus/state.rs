//! How runs and steps are doing, in one word each.

/// How a run is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunState {
    /// It waits for others to end.
    #[default]
    Queued,
    /// Its steps are carried out.
    Running,
    /// It failed or was cancelled, and what had succeeded is being undone.
    Compensating,
    /// Everything that had to be done was done.
    Succeeded,
    /// A step failed, it took too long, or its owner may no longer.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl RunState {
    /// Whether nothing will change it any more.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a step is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepState {
    /// It waits for others.
    #[default]
    Pending,
    /// It is being carried out.
    Running,
    /// An attempt failed, and the next one waits.
    Retrying,
    /// It has a result.
    Succeeded,
    /// Its last attempt failed.
    Failed,
    /// It did not run: its condition did not hold, or something it depends on did not succeed.
    Skipped,
    /// It was under way or waited when the run was cancelled or failed.
    Cancelled,
    /// It had succeeded and is being undone.
    Compensating,
    /// It had succeeded and was undone.
    Compensated,
    /// It had succeeded and could not be undone.
    CompensationFailed,
}

impl StepState {
    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Compensating => "compensating",
            Self::Compensated => "compensated",
            Self::CompensationFailed => "compensation_failed",
        }
    }
}
