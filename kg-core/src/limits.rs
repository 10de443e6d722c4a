//! Every bound of the graph in one place, with the reason for it and what happens at it.
//!
//! A bound that is passed is an error that names the field (`Fault`) or the resource (`Refusal::Exhausted`); nothing is
//! cut silently.

/// Bytes in the name of an entity. Names are keys of every index: long ones would make each copy of a path dear.
pub const NAME_BYTES: usize = 256;

/// Bytes in a kind or a relation label. They are words of a vocabulary, not prose.
pub const LABEL_BYTES: usize = 64;

/// Distinct relation labels in one graph. "All relations of an entity" looks into each label once.
pub const LABELS: usize = 1_024;

/// Distinct entity kinds in one graph, for the same reason.
pub const KINDS: usize = 1_024;

/// Bytes of an entity's or a relation's properties in canonical JSON.
pub const PROPERTIES_BYTES: usize = 64 * 1024;

/// Bytes of a service or a pattern in its encoded form, without its dependencies. Lists can be long and texts too; together
/// they must fit into a reply, and a dot path can add to them for ever.
pub const BODY_BYTES: usize = 2 * 1024 * 1024;

/// Bytes of one free-text field (description, owner, category, version).
pub const TEXT_BYTES: usize = 4 * 1024;

/// Bytes of the reason that a write gives. Every record carries one.
pub const REASON_BYTES: usize = 1_024;

/// Entries in one list of a typed body (capabilities, endpoints, models, methods, tags, steps).
pub const LIST_ENTRIES: usize = 10_000;

/// Levels of a JSON value inside a pattern (parameters, a condition, a default, what an output is). As an object, a pattern has
/// four levels around them; a pattern that is read or written as a whole must stay within [`JSON_DEPTH`].
pub const PATTERN_VALUE_DEPTH: usize = JSON_DEPTH - 4;

/// The longest pause between two attempts, in milliseconds: a day, which is how long a run may take where it does not say.
pub const RETRY_PAUSE_MS: u32 = 86_400_000;

/// By what one pause may be longer than the one before.
pub const RETRY_MULTIPLIER: f64 = 100.0;

/// Dependencies that one registration may name.
pub const DEPENDENCIES: usize = 10_000;

/// Bytes of a dot path.
pub const PATH_BYTES: usize = 4 * 1024;

/// Levels of a JSON value, counting the outermost list or object as the first. Protobuf decoders stop at 100 levels and
/// an object of `google.protobuf.Struct` costs three.
pub const JSON_DEPTH: usize = 32;

/// Bytes of one document value in canonical JSON; a message carries 4 MiB.
pub const DOCUMENT_BYTES: usize = 4 * 1024 * 1024;

/// Integers beyond 2^53 have no exact double and are refused, never rounded.
pub const EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

/// Mutations in one transaction that came over `Commit`.
pub const MUTATIONS: usize = 10_000;

/// Mutations in one transaction that came from an import file.
pub const IMPORT_MUTATIONS: usize = 100_000;

/// Rows of a CSV import that become one transaction. A few where faults are injected, so that small imports are cut too.
pub const CSV_CHUNK_ROWS: usize = if cfg!(faults) { 8 } else { MUTATIONS };

/// Bytes in one row of a CSV import. A quote that is not closed would otherwise take in the whole file.
pub const CSV_ROW_BYTES: usize = 128 * 1024;

/// Preconditions in one transaction.
pub const PRECONDITIONS: usize = 1_000;

/// Entities that one transaction's graph preconditions may visit together; a guard that is cut short refuses.
pub const GUARD_VISITS: usize = 1_000_000;

/// Bytes of a request id.
pub const REQUEST_ID_BYTES: usize = 128;

/// Committed revisions for which a request id is remembered.
pub const REMEMBERED_REQUESTS: u64 = 1_000_000;

/// Names listed in an error message before it says "and n more".
pub const NAMED_IN_ERRORS: usize = 10;

/// Faults listed when a whole file is refused.
pub const LISTED_FAULTS: usize = 1_000;

/// Submissions that may wait for the committer. A full queue refuses at once: RESOURCE_EXHAUSTED, not a longer wait.
pub const QUEUE: usize = 16_384;

/// Bytes of transactions that may wait for the committer or be in its hands, by estimate. 16,384 transactions of a
/// message each would be 64 GiB. One larger transaction is let in when nothing else waits.
pub const QUEUE_BYTES: usize = 512 * 1024 * 1024;

/// Transactions that share one append.
pub const BATCH_TRANSACTIONS: usize = 4_096;

/// Bytes of records that share one append, counted before encoding; one larger transaction goes alone.
pub const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// Bytes that the history ring may hold besides the head.
pub const HISTORY_BYTES: usize = 256 * 1024 * 1024;

/// Revisions that the history ring may hold.
pub const HISTORY_REVISIONS: usize = 100_000;

/// Newest snapshots that the ring keeps one by one, before it thins to one a second.
pub const HISTORY_DENSE: usize = 256;

/// Watchers at once.
pub const WATCHERS: usize = 20_000;

/// Entries in a page when the caller asks for no size.
pub const PAGE_DEFAULT: usize = 1_000;

/// Entries in one page; larger pages are cut to it, and a page ends earlier where its reply would grow too large.
pub const PAGE: usize = 10_000;

/// Old snapshots that page tokens keep at once. One more lets go of the one that would expire first.
pub const PAGE_PINS: usize = 64;

/// Seconds for which a page token keeps its snapshot after the last page.
pub const PAGE_PIN_SECONDS: u64 = 60;

/// Bytes of one message, either way.
pub const MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of an imported file that must be parsed as a whole (JSON). CSV is read in chunks and has no such bound.
pub const IMPORT_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of all imported files that are held at once while they come in or are parsed.
pub const IMPORTS_BYTES: usize = 256 * 1024 * 1024;

/// Seconds for which a read waits for a revision when its call has no deadline.
pub const WAIT_SECONDS: u64 = 30;

/// Entities in one picture.
pub const PICTURE_ENTITIES: usize = 2_000;

/// Leases that one server holds. Its sweep looks at each of them, up to a hundred times a second. At the bound a lease is
/// refused (`TableFull`); another server may have room.
pub const LEASES: usize = 100_000;

/// Milliseconds that a lease lives without a call, at least. A shorter pause is an ordinary one, of a network, a scheduler or
/// a collector of garbage.
pub const LEASE_TTL_MS_MIN: u32 = 200;

/// Milliseconds that a lease lives without a call, at most: a day. Who calls more rarely says nothing of how it is.
pub const LEASE_TTL_MS_MAX: u32 = 86_400_000;

/// Leases that one call keeps alive. A holder of many sends a few calls, and one that is refused as malformed loses little.
pub const LEASES_PER_CALL: usize = 1_000;

/// Milliseconds after which a lapsed lease is forgotten, so that holders which are gone for good leave nothing behind. Ten
/// times its ttl, where that is longer.
pub const LEASE_FORGOTTEN_MS: u64 = 600_000;

/// Reaches whose part of the graph a server keeps beside it, for those who do not see everything. Each holds what it covers
/// once more; at the bound the one that was asked for least lately is let go, and made again when it is asked for.
pub const VIEWS: usize = 64;

/// Bytes of one value of a pattern with its references filled in, by estimate. It becomes a request, and a message carries as
/// much; a few references to one large result would otherwise multiply it. At the bound the step fails.
pub const FILLED_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of what a step gave, by estimate: a line of the journal holds it, and a run holds those of all its steps. A step that
/// gives more fails with OUT_OF_RANGE.
pub const RESULT_BYTES: usize = 4 * 1024 * 1024;

/// Bytes that the results of a run's steps, and elements of lists that are done, may have together. All of them are held for as long
/// as the run goes on; a step that brings more fails with OUT_OF_RANGE.
pub const RUN_BYTES: usize = 64 * 1024 * 1024;

/// Lines of a run's journal up to which elements of lists are kept and attempts are repeated. Everything else is bounded by the steps
/// that there are; these two may be a thousand, or ten thousand, for each of them.
pub const RUN_LINES: u32 = 100_000;

/// Steps of a pattern. Each run holds the state of each; more belong into patterns that are called, or into a `map`.
pub const PATTERN_STEPS: usize = 1_000;

/// Dependencies of all steps of a pattern together.
pub const PATTERN_DEPENDENCIES: usize = 10_000;

/// Inputs of a pattern, and outputs, and concurrency classes.
pub const PATTERN_ARGUMENTS: usize = 256;

/// Bytes in the id of a step. Keys, lines and metrics carry it.
pub const STEP_ID_BYTES: usize = 64;

/// How deep patterns may call patterns: a run of the outermost holds one of each.
pub const PATTERN_DEPTH: usize = 8;

/// Attempts of one step.
pub const STEP_ATTEMPTS: u32 = 1_000;

/// Steps of one run that may be under way at once, where its pattern does not say.
pub const PARALLEL_STEPS: u32 = 16;

/// The most that a pattern may say for it: each is a task and often a connection.
pub const PARALLEL_STEPS_MAX: u32 = 1_024;

/// Milliseconds that a run may take, where its pattern does not say: a day.
pub const RUN_MS: u64 = 86_400_000;

/// Milliseconds that one attempt to undo a step may take, where neither it nor its type says. The run that would otherwise bound
/// it has ended.
pub const UNDO_MS: u64 = 600_000;

/// Attempts to undo a step, where it does not say.
pub const UNDO_ATTEMPTS: u32 = 5;

/// Differences that are told between a run and its replay.
pub const RUN_DIFFERENCES: usize = 1_000;

/// Events in one batch. It is durable as a whole, and in one message.
pub const EVENTS_PER_BATCH: usize = 10_000;

/// Bytes of an event's id and of its type: both are words, and every kept event has them.
pub const EVENT_WORD_BYTES: usize = 128;

/// Bytes of a correlation.
pub const CORRELATION_BYTES: usize = 256;

/// Bytes of an event's payload in canonical JSON. An event tells that something happened; what is large has a place elsewhere.
pub const EVENT_PAYLOAD_BYTES: usize = 64 * 1024;

/// Bytes of events that may wait for the writer. At the bound a batch is refused (RESOURCE_EXHAUSTED) and not queued longer.
pub const EVENT_QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of the newest events that are kept in memory, so that whoever follows at the end reads no store.
pub const EVENT_RING_BYTES: usize = 64 * 1024 * 1024;

/// Events that the log keeps when the configuration says nothing. An embedded store remembers in memory what it keeps, by
/// about 25 bytes for each.
pub const EVENTS_KEPT: u64 = 3_000_000;

/// Bytes of events that the log keeps when the configuration says nothing.
pub const EVENT_BYTES_KEPT: u64 = 4 * 1024 * 1024 * 1024;

/// Consumer groups of one store.
pub const EVENT_GROUPS: usize = 1_000;

/// Subscribers of events at once, of one server.
pub const EVENT_SUBSCRIBERS: usize = 10_000;

/// Events that a group may have been sent without an acknowledgement, and failures that are remembered of it.
pub const EVENTS_UNACKED: usize = 10_000;

/// Dead letters that are kept of one group; one more takes the place of the oldest.
pub const DEAD_LETTERS: usize = 10_000;

/// Entries in one list of a subscription's filter.
pub const EVENT_FILTER_ENTRIES: usize = 1_000;
