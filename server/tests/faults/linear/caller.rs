//! One call and its note: asked, and told or lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tonic::{Code, Status};

use super::history::History;
use super::model::{Ask, Told, Write};
use super::wire::Names;
use crate::line::Line;

/// What all clients of one history note.
#[derive(Default)]
pub struct Noted {
    pub history: History,
    /// Writes whose outcome was not told.
    pub open: Vec<Write>,
}

/// The notes, shared.
#[derive(Clone)]
pub struct Notes {
    noted: Arc<Mutex<Noted>>,
    /// How many calls were asked.
    asked: watch::Sender<usize>,
}

impl Notes {
    pub fn new() -> Self {
        Self {
            noted: Arc::default(),
            asked: watch::Sender::new(0),
        }
    }

    pub fn open(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls were asked, as it grows.
    pub fn asked(&self) -> watch::Receiver<usize> {
        self.asked.subscribe()
    }
}

/// How long a client listens for a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until there is one.
    Whole,
    /// It goes away after so many turns of the runtime, from before the request is sent to behind its commit.
    Turns(u64),
}

/// Makes calls.
#[derive(Clone)]
pub struct Caller {
    pub line: Line,
    pub names: Names,
    pub notes: Notes,
}

impl Caller {
    /// Makes one call; nothing, if its reply is lost. If it is lost with the server, waits for the next one.
    ///
    /// # Errors
    /// What a server must not say.
    pub async fn call(&mut self, ask: &Ask, patience: Patience) -> Result<Option<Told>, String> {
        let asked = self.notes.open().history.ask(ask.clone());
        self.notes.asked.send_modify(|asked| *asked += 1);
        let sent = self.names.send(&mut self.line.graph, ask);
        let told = match patience {
            Patience::Whole => Some(sent.await),
            Patience::Turns(turns) => tokio::select! {
                told = sent => Some(told),
                () = pass(turns) => None,
            },
        };
        let told = match told {
            None => return Ok(None),
            Some(Ok(told)) => told?,
            Some(Err(status)) => match judge(ask, &status)? {
                Some(told) => told,
                None => {
                    let lost = |what| format!("{ask:?} was answered with {status}, and {what}");
                    self.line.renew().await.map_err(lost)?;
                    return Ok(None);
                }
            },
        };
        self.notes.open().history.tell(asked, told.clone());
        Ok(Some(told))
    }
}

async fn pass(turns: u64) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// What a status tells, if it is an answer; nothing, if the server fell silent.
fn judge(ask: &Ask, status: &Status) -> Result<Option<Told>, String> {
    let write = matches!(ask, Ask::Write(_));
    match status.code() {
        Code::NotFound if !write => Ok(Some(Told::Absent)),
        Code::OutOfRange if !write => Ok(Some(Told::NotYet)),
        Code::Aborted | Code::AlreadyExists | Code::FailedPrecondition | Code::NotFound
            if write =>
        {
            Ok(Some(Told::Refused))
        }
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal => Ok(None),
        _ => Err(format!("{ask:?} was answered with {status}")),
    }
}
