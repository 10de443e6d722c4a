//! Where things are: the repository, and the folder that cargo builds into.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies one folder below the root")
}

/// The cargo that started us, so that a toolchain override stays in force, at the root.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The target folder: this program was built into `<target>/<profile>/`, which also holds if the folder was moved by
/// `CARGO_TARGET_DIR` or by a cargo configuration that we do not read.
pub fn target() -> PathBuf {
    env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.parent()?.to_path_buf()))
        .unwrap_or_else(|| root().join("target"))
}

/// The server's binary as `profile` builds it (`debug`, `release`).
pub fn server_binary(profile: &str) -> PathBuf {
    target()
        .join(profile)
        .join(format!("amadeus{}", env::consts::EXE_SUFFIX))
}
