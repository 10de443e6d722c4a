//! Three small services of a shop, for the patterns in `examples/patterns` and for tests: real gRPC servers, known to those who call them
//! only by reflection.
//!
//! Each keeps what it did in memory, does a thing once for each idempotency key, counts calls and effects, and can be told to be slow, to
//! fail, or to lose an answer.

mod inventory;
mod ledger;
mod payments;
mod registration;
mod server;
mod shipping;

/// Package `shop.v1`.
pub mod v1 {
    #![allow(
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "generated code; its comments are those of the .proto file"
    )]
    tonic::include_proto!("shop.v1");
}

pub use registration::described;
pub use server::{Kind, Limits, serve};

/// The compiled `.proto` file, which reflection hands out.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shop.v1.binpb"));
