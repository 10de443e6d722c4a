//! CSV of relations, read as a stream: bytes in, whichever way they were cut; chunks of mutations out, each one
//! transaction.
//!
//! A row is `from,relation,to` and, where wanted, `properties` as a JSON object. Ends are written `kind/name`; a bare name
//! is a service. Ends that do not exist are created. A first row that says `from,relation,to` is a header. Where chunks
//! begin and end depends on the rows alone, so that a repeated import cuts the same file the same way.

use super::faults::Faults;
use super::original::label;
use super::tree;
use crate::error::Fault;
use crate::limits::{CSV_CHUNK_ROWS, CSV_ROW_BYTES};
use crate::model::relation::check_properties;
use crate::model::{EntityRef, Label, Object, RelationKey, Value};
use crate::mutation::Mutation;
use csv_core::{ReadRecordResult, Reader};
use std::collections::VecDeque;

/// What some consecutive rows ask for.
#[derive(Debug)]
pub struct Chunk {
    /// Which chunk of the file this is, from 0 on.
    pub number: usize,
    /// Its rows, one mutation each.
    pub mutations: Vec<Mutation>,
    /// Rows of the file up to and with this chunk, the header apart.
    pub rows_so_far: u64,
}

/// Reads CSV that arrives in pieces.
///
/// [`CsvChunks::feed`] takes bytes, [`CsvChunks::next_chunk`] gives what they complete, [`CsvChunks::finish`] says that no
/// more will come. A chunk with a fault is refused whole, and nothing is read behind it.
pub struct CsvChunks {
    reader: Reader,
    fields: Vec<u8>,
    written: usize,
    ends: [usize; COLUMNS + 2],
    ended: usize,
    row: u64,
    rows: u64,
    number: usize,
    pending: Vec<Mutation>,
    pending_rows: usize,
    faults: Faults,
    ready: VecDeque<Result<Chunk, Vec<Fault>>>,
    closed: bool,
}

const COLUMNS: usize = 4;
const HEADER: [&str; COLUMNS] = ["from", "relation", "to", "properties"];

impl Default for CsvChunks {
    fn default() -> Self {
        Self::new()
    }
}

impl CsvChunks {
    /// A reader at the beginning of a file.
    #[must_use]
    pub fn new() -> Self {
        Self {
            reader: Reader::new(),
            fields: vec![0; CSV_ROW_BYTES],
            written: 0,
            ends: [0; COLUMNS + 2],
            ended: 0,
            row: 0,
            rows: 0,
            number: 0,
            pending: Vec::new(),
            pending_rows: 0,
            faults: Faults::default(),
            ready: VecDeque::new(),
            closed: false,
        }
    }

    /// Takes the next bytes of the file.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        // The parser takes an empty slice for the end of the file.
        while !bytes.is_empty() && !self.closed {
            let taken = self.step(bytes);
            bytes = &bytes[taken..];
        }
    }

    /// Says that the file ends here.
    pub fn finish(&mut self) {
        while !self.closed {
            self.step(&[]);
        }
    }

    /// The next chunk that is complete, in the order of the file.
    ///
    /// # Errors
    /// The faults of a chunk, by row: `row 12.from` counts from 1 and counts the header.
    pub fn next_chunk(&mut self) -> Option<Result<Chunk, Vec<Fault>>> {
        self.ready.pop_front()
    }

    fn step(&mut self, bytes: &[u8]) -> usize {
        let (result, taken, written, ended) = self.reader.read_record(
            bytes,
            &mut self.fields[self.written..],
            &mut self.ends[self.ended..],
        );
        self.written += written;
        self.ended += ended;
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull => self.stop(format!(
                "is longer than {CSV_ROW_BYTES} bytes: perhaps a quote is not closed"
            )),
            ReadRecordResult::OutputEndsFull => {
                self.stop(format!(
                    "has more than {COLUMNS} columns: {}",
                    HEADER.join(",")
                ));
            }
            ReadRecordResult::Record => self.record(),
            ReadRecordResult::End => {
                self.complete();
                self.closed = true;
            }
        }
        taken
    }

    /// Ends the reading at a row behind which nothing can be understood.
    fn stop(&mut self, reason: String) {
        self.faults.add(format!("row {}", self.row + 1), reason);
        self.complete();
        self.closed = true;
    }

    fn record(&mut self) {
        self.row += 1;
        let mut columns = [&[][..]; COLUMNS + 2];
        let mut start = 0;
        for (column, end) in columns.iter_mut().zip(&self.ends[..self.ended]) {
            *column = &self.fields[start..*end];
            start = *end;
        }
        let columns = &columns[..self.ended];
        if self.row == 1 && is_header(columns) {
            if let Some(extra) = columns.iter().skip(3).find(|c| trimmed(c) != b"properties") {
                let extra = String::from_utf8_lossy(extra);
                self.faults.add(
                    "row 1",
                    format!("names a column {extra:?}: {} are known", HEADER.join(",")),
                );
            }
        } else {
            let at = format!("row {}", self.row);
            self.pending
                .extend(relation(&at, columns, &mut self.faults));
            self.pending_rows += 1;
            self.rows += 1;
        }
        self.written = 0;
        self.ended = 0;
        if self.pending_rows == CSV_CHUNK_ROWS {
            self.complete();
        }
    }

    fn complete(&mut self) {
        if !self.faults.is_empty() {
            self.closed = true;
            let faults = std::mem::take(&mut self.faults).into_list();
            self.ready.push_back(Err(faults));
        } else if self.pending_rows > 0 {
            self.ready.push_back(Ok(Chunk {
                number: self.number,
                mutations: std::mem::take(&mut self.pending),
                rows_so_far: self.rows,
            }));
            self.number += 1;
        }
        self.pending_rows = 0;
    }
}

fn is_header(columns: &[&[u8]]) -> bool {
    columns.len() >= 3
        && columns
            .iter()
            .zip(&HEADER[..3])
            .all(|(column, name)| trimmed(column) == name.as_bytes())
}

/// Without the white space at its ends, which no name has, and without the mark that some programs put before a file.
fn trimmed(column: &[u8]) -> &[u8] {
    column
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(column)
        .trim_ascii()
}

fn relation(at: &str, columns: &[&[u8]], faults: &mut Faults) -> Option<Mutation> {
    if !(3..=COLUMNS).contains(&columns.len()) {
        faults.add(
            at,
            format!(
                "has {} column(s): from,relation,to are needed, properties may follow",
                columns.len()
            ),
        );
        return None;
    }
    let mut texts = [""; COLUMNS];
    for ((column, name), text) in columns.iter().zip(HEADER).zip(&mut texts) {
        match std::str::from_utf8(trimmed(column)) {
            Ok(read) => *text = read,
            Err(_) => {
                faults.add(format!("{at}.{name}"), "is not UTF-8");
                return None;
            }
        }
    }
    let [from, word, to, properties] = texts;
    let from = faults.keep(EntityRef::parse(&format!("{at}.from"), from));
    let label = faults.keep(label(&format!("{at}.relation"), word));
    let to = faults.keep(EntityRef::parse(&format!("{at}.to"), to));
    let properties = object(&format!("{at}.properties"), properties, faults);
    let key = RelationKey {
        from: from?,
        label: label?,
        to: to?,
    };
    if key.from == key.to && key.label == Label::depends_on() {
        faults.add(
            format!("{at}.to"),
            format!("is {} itself: nothing depends on itself", key.from),
        );
        return None;
    }
    Some(Mutation::PutRelation {
        key,
        properties: properties?,
        create_ends: true,
    })
}

fn object(at: &str, text: &str, faults: &mut Faults) -> Option<Object> {
    if text.is_empty() {
        return Some(Object::new());
    }
    let mut found = Faults::default();
    let value = tree::parse(text.as_bytes(), &mut found);
    let clean = found.is_empty();
    faults.take_under(at, found.into_list());
    match value? {
        Value::Object(members) => {
            let checked = faults.keep(check_properties(at, &members));
            checked.filter(|()| clean).map(|()| members)
        }
        other => {
            faults.add(
                at,
                format!("must be a JSON object, not {}", other.type_name()),
            );
            None
        }
    }
}
