//! A file into the graph. It is sent in pieces; what is durable comes back as it happens, and is shown on a terminal.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use amadeus_proto::v1::{
    ImportOptions, ImportRequest, ImportResponse, import_options, import_request::Part,
};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use indicatif::{HumanCount, ProgressBar};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    args::WriteArgs,
    failure::CliError,
    out, progress,
    session::{Session, may_pass},
    table,
};

/// A message of the import stream: far below the 4 MiB that one may have, large enough that the calls cost nothing.
const CHUNK_BYTES: usize = 256 * 1024;
/// How often an import that was cut off is sent again; what is durable is passed over, so this costs reading only.
const RETRY_PAUSES_MS: [u64; 3] = [250, 1_000, 3_000];

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file, or - for standard input
    pub file: PathBuf,
    /// The form of the file; without it the server looks, after the extension .csv or .json
    #[arg(long, value_enum)]
    pub format: Option<ImportFormat>,
    /// Check everything and change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub write: WriteArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportFormat {
    /// By its first bytes
    Auto,
    /// Our own form, or one of the original's
    Json,
    /// Relations: from,relation,to
    Csv,
}

pub async fn import(session: &mut Session, args: ImportArgs) -> Result<(), CliError> {
    let options = ImportOptions {
        format: format_of(&args.file, args.format).into(),
        dry_run: args.dry_run,
        request_id: args.write.request_id.clone(),
        reason: args.write.reason.clone(),
    };
    let begun = Instant::now();
    let bar = progress::bytes_bar(size_of(&args.file)?);
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
}
