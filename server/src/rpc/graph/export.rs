//! Export: the whole graph at one revision, in pieces.
//!
//! A thread for long work writes the file from a held snapshot into a bounded channel: it waits for a slow client and
//! stops when that has gone. The same revision gives the same bytes, and the same pieces.

use std::io::{self, Write};

use amadeus_proto::v1;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use kg_core::interchange::{export_csv, export_json};
use kg_core::query::{self, View};
use kg_core::snapshot::Snapshot;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};
use v1::export_request::Format;

use crate::auth::Caller;
use crate::picture::svg;
use crate::rpc::context::Context;
use crate::rpc::{from_proto, status};

/// Bytes of one piece.
const PIECE_BYTES: usize = 128 * 1024;

/// Pieces that wait for the client.
const WAITING: usize = 4;

/// The next bytes; none is the end, without which the file is not whole.
type Piece = Result<Option<Bytes>, Status>;

impl Context {
    pub(super) async fn export(
        &self,
        request: Request<v1::ExportRequest>,
    ) -> Result<Response<BoxStream<'static, Result<v1::ExportResponse, Status>>>, Status> {
        let asked = request.get_ref();
        let format: Format =
            from_proto::number_of("format", asked.format).map_err(status::fault)?;
        let held = self
            .fresh(
                &Caller::of(request.extensions()),
                asked.consistency.as_ref(),
                request.metadata(),
            )
            .await?;
        let header = self.header(held.revision());
        let (send, receive) = mpsc::channel(WAITING);
        tokio::task::spawn_blocking(move || {
            let mut pieces = Pieces {
                send,
                piece: BytesMut::new(),
            };
            if let Err(status) = write(&held, format, &mut pieces) {
                let _ = pieces.send.blocking_send(Err(status));
            }
        });
        let pieces = stream::unfold(Some(receive), |receive| async move {
            let mut receive = receive?;
            let piece = receive.recv().await.unwrap_or_else(|| {
                let cause = "it ended before its end";
                Err(status::internal("writing an export", &cause))
            });
            match piece {
                Ok(Some(piece)) => Some((Ok(piece), Some(receive))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        });
        let replies = pieces.map(move |piece| {
            piece.map(|chunk| v1::ExportResponse {
                header: header.clone(),
                chunk,
            })
        });
        Ok(Response::new(replies.boxed()))
    }
}

fn write(snapshot: &Snapshot, format: Format, pieces: &mut Pieces) -> Result<(), Status> {
    let written = match format {
        Format::Json => export_json(snapshot, pieces),
        Format::Csv => export_csv(snapshot, pieces),
        Format::Mermaid | Format::Dot | Format::Svg => {
            let picture = query::picture(snapshot, &View::default()).map_err(status::query)?;
            let text = match format {
                Format::Mermaid => query::mermaid(&picture),
                Format::Dot => query::dot(&picture),
                _ => svg(&picture).map_err(status::not_drawn)?,
            };
            pieces.write_all(text.as_bytes())
        }
    };
    match written.and_then(|()| pieces.last()) {
        Ok(()) => Ok(()),
        // Nobody reads it any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(status::internal("writing an export", &error)),
    }
}

/// A writer into the channel.
struct Pieces {
    send: mpsc::Sender<Piece>,
    piece: BytesMut,
}

impl Pieces {
    fn send(&mut self, piece: BytesMut) -> io::Result<()> {
        self.pass(Some(piece.freeze()))
    }

    fn pass(&mut self, piece: Option<Bytes>) -> io::Result<()> {
        let sent = self.send.blocking_send(Ok(piece));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Sends what is left, and the end.
    fn last(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        if !piece.is_empty() {
            self.send(piece)?;
        }
        self.pass(None)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE_BYTES {
            let piece = std::mem::take(&mut self.piece);
            self.send(piece)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
