//! Files into the graph and out of it: import, export.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use amadeus_proto::v1::{
    ExportRequest, ImportOptions, ImportRequest, ImportResponse, export_request, import_options,
    import_request::Part,
};
use bytes::Bytes;
use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    command::{ExportArgs, ExportFormat, ImportArgs, ImportFormat},
    failure::CliError,
    out,
    session::{Session, may_pass},
    table,
};

/// A message of the import stream: far below the 4 MiB that one may have, large enough that the calls cost nothing.
const CHUNK_BYTES: usize = 256 * 1024;
/// How often an import that was cut off is sent again; what is durable is passed over, so this costs reading only.
const RETRY_PAUSES_MS: [u64; 3] = [250, 1_000, 3_000];

pub async fn import(session: &mut Session, args: ImportArgs) -> Result<(), CliError> {
    let options = ImportOptions {
        format: format_of(&args.file, args.format).into(),
        dry_run: args.dry_run,
        request_id: args.write.request_id.clone(),
        reason: args.write.reason.clone(),
    };
    let begun = Instant::now();
    let bar = bar(size_of(&args.file)?);
    let result = import_until_durable(session, &args.file, &options, &bar).await;
    bar.finish_and_clear();
    let reply = result?;
    for warning in &reply.warnings {
        out::note(&format!("warning: {}", table::visible(warning)));
    }
    session.show(&reply, |reply| {
        imported(reply, begun.elapsed(), args.dry_run)
    })
}

fn format_of(file: &Path, format: Option<ImportFormat>) -> import_options::Format {
    match (format, file.extension().and_then(|e| e.to_str())) {
        (Some(ImportFormat::Json), _) => import_options::Format::Json,
        (Some(ImportFormat::Csv), _) => import_options::Format::Csv,
        (None, Some(e)) if e.eq_ignore_ascii_case("json") => import_options::Format::Json,
        (None, Some(e)) if e.eq_ignore_ascii_case("csv") => import_options::Format::Csv,
        (Some(ImportFormat::Auto) | None, _) => import_options::Format::Auto,
    }
}

/// The bytes of a file; nothing for standard input, which does not say. Also the moment to learn that it cannot be read.
fn size_of(file: &Path) -> Result<Option<u64>, CliError> {
    if is_stdin(file) {
        return Ok(None);
    }
    let cause = match fs::metadata(file) {
        Ok(found) if found.is_dir() => io::Error::from(io::ErrorKind::IsADirectory),
        Ok(found) => return Ok(found.is_file().then_some(found.len())),
        Err(cause) => cause,
    };
    Err(CliError::File {
        path: file.to_owned(),
        cause,
    })
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

/// A file is sent again when the server was lost on the way: under the same request id it goes on where it stopped.
/// Standard input cannot be read twice.
async fn import_until_durable(
    session: &Session,
    file: &Path,
    options: &ImportOptions,
    bar: &ProgressBar,
) -> Result<ImportResponse, CliError> {
    if is_stdin(file) {
        return send(session, tokio::io::stdin(), file, options, bar).await;
    }
    let mut pauses_ms = RETRY_PAUSES_MS.into_iter();
    loop {
        let opened = tokio::fs::File::open(file).await;
        let source = opened.map_err(|cause| CliError::File {
            path: file.to_owned(),
            cause,
        })?;
        bar.set_position(0);
        match (
            send(session, source, file, options, bar).await,
            pauses_ms.next(),
        ) {
            (Err(CliError::Call { status, .. }), Some(pause_ms)) if may_pass(&status) => {
                bar.set_message("the server was lost, trying again");
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            (result, _) => return result,
        }
    }
}

async fn send(
    session: &Session,
    source: impl AsyncRead + Unpin,
    file: &Path,
    options: &ImportOptions,
    bar: &ProgressBar,
) -> Result<ImportResponse, CliError> {
    let (sender, receiver) = mpsc::channel(4);
    let lost = |status| CliError::write(status, &options.request_id);
    let receiving = async {
        let request = ReceiverStream::new(receiver);
        let mut replies = session
            .graph()
            .import_stream(request)
            .await
            .map_err(lost)?
            .into_inner();
        let mut last = None;
        while let Some(reply) = replies.message().await.map_err(lost)? {
            bar.set_message(format!("{} rows durable", HumanCount(reply.rows.into())));
            last = Some(reply);
        }
        last.filter(|reply| reply.done).ok_or_else(|| {
            CliError::Reply("the server ended the import before it was done".to_owned())
        })
    };
    let feeding = async {
        match feed(source, options, &sender, bar).await {
            Ok(()) => {
                drop(sender);
                Ok(())
            }
            Err(cause) => {
                // A closed channel would tell the server that the file ends here, and half of it would be committed as
                // if it were the whole. Left open, the call ends with this process.
                std::mem::forget(sender);
                Err(CliError::File {
                    path: file.to_owned(),
                    cause,
                })
            }
        }
    };
    tokio::pin!(receiving, feeding);
    tokio::select! {
        reply = &mut receiving => reply,
        fed = &mut feeding => {
            fed?;
            receiving.await
        }
    }
}

/// Sends the options and then the file, piece by piece. Ends early, without an error, when the server has stopped listening:
/// the reply says why.
async fn feed(
    mut source: impl AsyncRead + Unpin,
    options: &ImportOptions,
    sender: &mpsc::Sender<ImportRequest>,
    bar: &ProgressBar,
) -> io::Result<()> {
    let mut part = Part::Options(options.clone());
    let mut piece = vec![0; CHUNK_BYTES];
    loop {
        if sender
            .send(ImportRequest { part: Some(part) })
            .await
            .is_err()
        {
            return Ok(());
        }
        let len = fill(&mut source, &mut piece).await?;
        if len == 0 {
            return Ok(());
        }
        bar.inc(len as u64);
        part = Part::Chunk(Bytes::copy_from_slice(&piece[..len]));
    }
}

/// Fills the piece as far as the source goes; a pipe gives little at a time.
async fn fill(source: &mut (impl AsyncRead + Unpin), piece: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < piece.len() {
        match source.read(&mut piece[len..]).await? {
            0 => break,
            n => len += n,
        }
    }
    Ok(len)
}

/// Progress by bytes, with what is durable beside it; indicatif shows it on a terminal only.
fn bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:30} {bytes}/{total_bytes}  {msg}  {elapsed}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {bytes}  {msg}  {elapsed}",
        ),
    };
    bar.enable_steady_tick(Duration::from_millis(200));
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn imported(reply: &ImportResponse, took: Duration, dry_run: bool) -> String {
    let per_second = f64::from(reply.rows) / took.as_secs_f64().max(0.001);
    let header = reply.header.clone().unwrap_or_default();
    let heading = match dry_run {
        true => "checked, nothing is changed".to_owned(),
        false => format!("imported, durable at revision {}", header.revision),
    };
    let what = table::record(&[
        ("rows", HumanCount(reply.rows.into()).to_string()),
        (
            "entities created",
            HumanCount(reply.entities_created.into()).to_string(),
        ),
        (
            "relations created",
            HumanCount(reply.relations_created.into()).to_string(),
        ),
        ("unchanged", HumanCount(reply.unchanged.into()).to_string()),
        ("mutations", HumanCount(reply.mutations.into()).to_string()),
        ("chunks", reply.chunks.to_string()),
        (
            "took",
            format!(
                "{:.2} s, {} rows/s",
                took.as_secs_f64(),
                HumanCount(per_second as u64)
            ),
        ),
    ]);
    format!("{heading}\n{what}")
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
    let bar = bar(None);
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
    let took = HumanDuration(begun.elapsed());
    out::note(&format!(
        "revision {revision} exported to {}: {} in {took}",
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

    #[tokio::test]
    async fn a_file_is_sent_after_its_options_in_pieces_that_make_it_whole() {
        let content: Vec<u8> = (0..CHUNK_BYTES * 2 + 17).map(|i| i as u8).collect();
        let (sender, mut receiver) = mpsc::channel(16);
        let options = ImportOptions {
            request_id: "r".into(),
            ..ImportOptions::default()
        };
        feed(
            content.as_slice(),
            &options,
            &sender,
            &ProgressBar::hidden(),
        )
        .await
        .expect("memory is readable");
        drop(sender);
        let first = receiver.recv().await.and_then(|r| r.part);
        assert_eq!(first, Some(Part::Options(options)));
        let mut received = Vec::new();
        while let Some(request) = receiver.recv().await {
            match request.part {
                Some(Part::Chunk(chunk)) => received.extend_from_slice(&chunk),
                other => panic!("{other:?} is no piece of the file"),
            }
        }
        assert!(received == content);
    }

    #[tokio::test]
    async fn feeding_ends_without_an_error_when_the_server_stops_listening() {
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let fed = feed(
            &b"from,relation,to\n"[..],
            &ImportOptions::default(),
            &sender,
            &ProgressBar::hidden(),
        )
        .await;
        assert!(fed.is_ok());
    }

    #[test]
    fn the_form_is_told_by_the_flag_then_by_the_name_then_left_to_the_server() {
        for (file, flag, expected) in [
            ("a.csv", None, import_options::Format::Csv),
            ("a.JSON", None, import_options::Format::Json),
            ("a.txt", None, import_options::Format::Auto),
            ("-", None, import_options::Format::Auto),
            (
                "a.csv",
                Some(ImportFormat::Json),
                import_options::Format::Json,
            ),
            (
                "a.csv",
                Some(ImportFormat::Auto),
                import_options::Format::Auto,
            ),
        ] {
            assert_eq!(
                format_of(Path::new(file), flag),
                expected,
                "{file} {flag:?}"
            );
        }
    }

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
