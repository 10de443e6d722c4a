//! The newest events in memory: those who follow at the end of the log read here and nowhere else.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::Event;

/// What an event costs in memory besides its bytes.
const FIXED: usize = 256;

/// Bytes after which a read ends: whoever is slow keeps what it read, and not the ring, from being freed.
const READ_BYTES: usize = 2 * 1024 * 1024;

/// The events from `first` on, without a gap, up to the end of the log.
pub(super) struct Ring {
    events: VecDeque<(Arc<Event>, usize)>,
    first: u64,
    bytes: usize,
    most: usize,
}

impl Ring {
    /// An empty one where the log goes on at `next`, that keeps at most so many bytes.
    pub(super) fn new(next: u64, most: usize) -> Self {
        Self {
            events: VecDeque::new(),
            first: next,
            bytes: 0,
            most,
        }
    }

    /// The place behind its last event.
    pub(super) fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Bytes that it holds, by estimate.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next event, which has this many bytes in the store. The oldest ones make room.
    pub(super) fn push(&mut self, event: Arc<Event>, bytes: usize) {
        debug_assert_eq!(event.offset, self.next(), "there is no gap");
        let bytes = bytes + FIXED;
        self.bytes += bytes;
        self.events.push_back((event, bytes));
        while self.bytes > self.most
            && let Some((_, bytes)) = self.events.pop_front()
        {
            self.bytes -= bytes;
            self.first += 1;
        }
    }

    /// Forgets all, and goes on at `next`.
    pub(super) fn restart(&mut self, next: u64) {
        *self = Self::new(next, self.most);
    }

    /// At most `limit` events from `from` on, and fewer where they are large; `None` where they are no longer here.
    pub(super) fn read(&self, from: u64, limit: usize) -> Option<Vec<Arc<Event>>> {
        let skip = from.checked_sub(self.first)?;
        let skip = usize::try_from(skip).ok()?.min(self.events.len());
        let mut bytes = 0;
        let fits = |(_, more): &&(Arc<Event>, usize)| {
            let is_room = bytes < READ_BYTES;
            bytes += more;
            is_room
        };
        let events = self.events.range(skip..).take(limit).take_while(fits);
        Some(events.map(|(event, _)| event.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::NewEvent;
    use super::*;

    fn event(offset: u64) -> Arc<Event> {
        Arc::new(Event {
            offset,
            appended_ms: 0,
            event: NewEvent {
                id: "1".into(),
                kind: "t".into(),
                entity: None,
                correlation: "".into(),
                payload: kg_core::model::Object::new(),
                time_ms: 0,
                actor: "".into(),
            },
        })
    }

    #[test]
    fn the_oldest_make_room_and_are_known_to_be_gone() {
        let mut ring = Ring::new(5, 3 * (FIXED + 10));
        assert_eq!(ring.read(5, 9).map(|e| e.len()), Some(0));
        for offset in 5..10 {
            ring.push(event(offset), 10);
        }
        assert_eq!((ring.next(), ring.bytes()), (10, 3 * (FIXED + 10)));
        assert!(ring.read(6, 9).is_none());
        let offsets = |from, limit| -> Vec<u64> {
            let read = ring.read(from, limit).expect("they are here");
            read.iter().map(|e| e.offset).collect()
        };
        assert_eq!(offsets(7, 9), [7, 8, 9]);
        assert_eq!(offsets(8, 1), [8]);
        assert_eq!(offsets(10, 9), [0; 0]);
        assert_eq!(offsets(12, 9), [0; 0]);
    }

    #[test]
    fn a_read_ends_where_events_are_large() {
        let mut ring = Ring::new(1, 64 * READ_BYTES);
        for offset in 1..=10 {
            ring.push(event(offset), READ_BYTES / 2);
        }
        assert_eq!(ring.read(1, 9).map(|e| e.len()), Some(2));
        ring.push(event(11), 2 * READ_BYTES);
        assert_eq!(ring.read(11, 9).map(|e| e.len()), Some(1));
    }

    #[test]
    fn an_event_that_is_larger_than_all_of_it_is_read_from_the_store() {
        let mut ring = Ring::new(1, 100);
        ring.push(event(1), 10);
        assert!(ring.read(1, 1).is_none());
        assert_eq!(ring.next(), 2);
    }
}
