//! Compiles the `.proto` files with `protox`, which is pure Rust: nobody has to install `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 8] = [
    "amadeus/v1/common.proto",
    "amadeus/v1/graph.proto",
    "amadeus/v1/query.proto",
    "amadeus/v1/admin.proto",
    "amadeus/v1/liveness.proto",
    "amadeus/v1/user.proto",
    "amadeus/v1/auth.proto",
    "amadeus/v1/nexus.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut descriptors = protox::Compiler::new(["proto"])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(FILES)?
        .file_descriptor_set();
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .codec_path("crate::codec::WireCodec")
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(descriptors.clone(), config)?;

    // Reflection hands these out: the comments are for its readers, the positions of every token are not.
    for file in &mut descriptors.file {
        let own = file.package().starts_with("amadeus.");
        if let Some(source) = file.source_code_info.as_mut().filter(|_| own) {
            source
                .location
                .retain(|location| location.leading_comments.is_some());
        } else {
            file.source_code_info = None;
        }
    }
    let out = PathBuf::from(env::var("OUT_DIR")?).join("amadeus.v1.binpb");
    fs::write(out, descriptors.encode_to_vec())?;
    Ok(())
}
