//! The wire of Amadeus: the messages and services of package `amadeus.v1`, generated from the `.proto` files beside this
//! crate, and the codec that carries them. It knows nothing of the graph behind it.
//!
//! The names in the `.proto` files are a contract. Clients that nobody here wrote call them by reflection, which
//! reads [`FILE_DESCRIPTOR_SET`].

pub mod codec;

/// Package `amadeus.v1`.
pub mod v1 {
    #![allow(
        clippy::all,
        clippy::allow_attributes_without_reason,
        missing_docs,
        rustdoc::all,
        reason = "generated code; its comments are those of the .proto files"
    )]
    tonic::include_proto!("amadeus.v1");
}

/// The compiled `.proto` files with everything that they import, as an encoded `google.protobuf.FileDescriptorSet`.
/// It keeps the comments, which reflection shows, and not the positions.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/amadeus.v1.binpb"));
