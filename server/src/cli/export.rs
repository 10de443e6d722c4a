//! The graph into a file, or onto standard output.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use amadeus_proto::v1::{ExportRequest, export_request};
use clap::{Args, ValueEnum};
use indicatif::HumanBytes;

use super::{args::ReadArgs, failure::CliError, out, progress, session::Session};

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The form of the file
    #[arg(long, value_enum, default_value_t = ExportFormat::Json)]
    pub format: ExportFormat,
    /// Write here instead of to standard output; the file appears only when it is whole
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Our own form, which import reads back
    Json,
    /// A Mermaid flowchart
    Mermaid,
    /// Graphviz
    Dot,
    /// A picture
    Svg,
    /// Relations: from,relation,to
    Csv,
}

pub async fn export(session: &mut Session, args: ExportArgs) -> Result<(), CliError> {
    let format = match args.format {
        ExportFormat::Json => export_request::Format::Json,
        ExportFormat::Mermaid => export_request::Format::Mermaid,
        ExportFormat::Dot => export_request::Format::Dot,
        ExportFormat::Svg => export_request::Format::Svg,
        ExportFormat::Csv => export_request::Format::Csv,
    };
    let request = ExportRequest {
        format: format.into(),
        consistency: args.read.consistency(),
    };
    let mut pieces = session
        .graph()
        .export(request)
        .await
        .map_err(CliError::call)?
        .into_inner();
    let Some(file) = args.file else {
        while let Some(piece) = pieces.message().await.map_err(CliError::call)? {
            session.out.bytes(&piece.chunk)?;
        }
        return Ok(());
    };
    let begun = Instant::now();
    let bar = progress::bytes_bar(None);
    let mut draft = Draft::create(&file)?;
    let mut revision = 0;
    while let Some(piece) = pieces.message().await.map_err(CliError::call)? {
        draft.write(&piece.chunk)?;
        bar.inc(piece.chunk.len() as u64);
        revision = piece.header.map_or(revision, |h| h.revision);
    }
    let bytes = bar.position();
    draft.finish()?;
    bar.finish_and_clear();
    let took = begun.elapsed().as_secs_f64();
    out::note(&format!(
        "revision {revision} exported to {}: {} in {took:.2} s",
        file.display(),
        HumanBytes(bytes)
    ));
    Ok(())
}

/// A file that appears under its name only when it is whole, so that half an export is never taken for one.
struct Draft {
    file: fs::File,
    draft: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl Draft {
    fn create(path: &Path) -> Result<Self, CliError> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".partial");
        let draft = PathBuf::from(draft);
        let file = fs::File::create(&draft).map_err(|cause| CliError::File {
            path: draft.clone(),
            cause,
        })?;
        Ok(Self {
            file,
            draft,
            path: path.to_owned(),
            finished: false,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.file.write_all(bytes).map_err(|cause| CliError::File {
            path: self.draft.clone(),
            cause,
        })
    }

    fn finish(mut self) -> Result<(), CliError> {
        let renamed = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.draft, &self.path));
        self.finished = renamed.is_ok();
        renamed.map_err(|cause| CliError::File {
            path: self.path.clone(),
            cause,
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing is lost if this fails: the name says that the file is partial.
            let _ = fs::remove_file(&self.draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_that_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("graph.json");
        let mut draft = Draft::create(&path).expect("it is created");
        draft.write(b"half").expect("it is written");
        drop(draft);
        assert_eq!(
            fs::read_dir(folder.path()).expect("it is listed").count(),
            0
        );
        let mut draft = Draft::create(&path).expect("it is created");
        draft.write(b"whole").expect("it is written");
        draft.finish().expect("it is finished");
        assert_eq!(fs::read(&path).expect("it is there"), b"whole");
    }
}
