//! `--load`: a file that fills an empty graph before it is served.

use kg_core::commit::Graph;
use kg_core::error::Fault;
use kg_core::interchange::parse_json;
use kg_core::limits::IMPORT_MUTATIONS;
use kg_core::mutation::Transaction;
use std::path::{Path, PathBuf};

/// Why the file could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be read.
    #[error("--load {path}: {cause}", path = .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// It says something that cannot be imported.
    #[error("--load {path}: nothing was imported:\n{faults}", path = .path.display(), faults = list(.faults))]
    Faults {
        /// Which file.
        path: PathBuf,
        /// Everything that is wrong with it.
        faults: Vec<Fault>,
    },
    /// The graph refused it.
    #[error("--load {path}: nothing was imported: {why}", path = .path.display())]
    Refused {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("  {fault}\n")).collect()
}

/// Imports `path` as one transaction, if nothing was ever written.
///
/// # Errors
/// [`LoadError`]; the graph is as it was.
pub async fn load(graph: &Graph, path: &Path, time_ms: u64) -> Result<(), LoadError> {
    if graph.revisions().0 > 0 {
        tracing::info!(file = %path.display(), "not loaded: the graph is not empty");
        return Ok(());
    }
    let text = tokio::fs::read(path)
        .await
        .map_err(|cause| LoadError::Read {
            path: path.into(),
            cause,
        })?;
    let import = parse_json(&text).map_err(|faults| LoadError::Faults {
        path: path.into(),
        faults,
    })?;
    let refused = |why: String| LoadError::Refused {
        path: path.into(),
        why,
    };
    let transaction = Transaction {
        actor: "amadeus".into(),
        reason: format!("loaded from {}", path.display()).into(),
        time_ms,
        mutation_limit: IMPORT_MUTATIONS,
        ..Transaction::of(import.mutations)
    };
    let pending = graph
        .submit(transaction)
        .map_err(|error| refused(error.to_string()))?;
    let outcome = pending
        .await
        .map_err(|_| refused("the server is shutting down".into()))?;
    let outcome = outcome.map_err(|error| refused(error.to_string()))?;
    tracing::info!(file = %path.display(), revision = outcome.revision, "loaded");
    Ok(())
}
