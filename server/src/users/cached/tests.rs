//! What copies owe, against a real Redis.

/// Where readers sit.
#[derive(Default)]
pub(super) struct Sit;

impl Sit {
    pub(super) async fn down(&self) {}
}
