//! Nine facts about one run. Each panics where it does not hold (`checks` runs them).

use std::collections::BTreeSet;

use amadeus_proto::v1;

use super::run::Run;
use super::states::difference;
use super::told::{Change, Message, Name, Subject};

/// Every stream of the run, with a name for who reads of it.
fn streams(run: &Run) -> Vec<(String, &[Message])> {
    let mut streams: Vec<(String, &[Message])> = vec![
        ("whole".into(), &run.whole),
        ("plain".into(), &run.plain),
        ("cut".into(), &run.cut.messages),
    ];
    for (request, messages) in &run.filtered {
        streams.push((format!("{request:?}"), messages));
    }
    streams
}

fn changes(messages: &[Message]) -> impl Iterator<Item = &Change> {
    messages.iter().flat_map(|message| &message.changes)
}

/// What was told of one revision, ordered by subject.
fn told(messages: &[Message], revision: u64) -> Vec<Change> {
    let mut told: Vec<Change> = changes(messages)
        .filter(|change| change.revision == revision)
        .cloned()
        .collect();
    told.sort_by(|one, other| one.subject.cmp(&other.subject));
    told
}

/// What should have been.
fn expected(run: &Run, revision: u64) -> Vec<Change> {
    difference(
        &run.states[&(revision - 1)],
        &run.states[&revision],
        revision,
    )
}

pub fn ordered_no_stream_goes_back(run: &Run) {
    for (name, messages) in streams(run) {
        let (mut bookmark, mut last) = (0, 0);
        for message in messages {
            for change in &message.changes {
                assert!(change.revision >= last, "{name}: {change:?} behind {last}");
                assert!(
                    change.revision > bookmark,
                    "{name}: {change:?} behind a bookmark"
                );
                last = change.revision;
            }
            if message.bookmark > 0 {
                assert!(message.bookmark > bookmark, "{name}: {bookmark} twice");
                assert!(message.bookmark >= last, "{name}: a bookmark behind {last}");
                bookmark = message.bookmark;
            }
        }
    }
}

pub fn unique_no_change_comes_twice(run: &Run) {
    for (name, messages) in streams(run) {
        let mut seen = BTreeSet::new();
        for change in changes(messages) {
            let new = seen.insert((change.revision, &change.subject));
            assert!(new, "{name}: {change:?} came twice");
        }
    }
}

pub fn reliable_nothing_is_missing_and_nothing_is_invented(run: &Run) {
    let bare = |changes: Vec<Change>| -> Vec<_> {
        let bare = |change: Change| (change.subject, change.value);
        changes.into_iter().map(bare).collect()
    };
    for revision in run.first + 1..=run.end {
        let expected = bare(expected(run, revision));
        assert!(!expected.is_empty(), "{revision} changed nothing");
        assert_eq!(bare(told(&run.whole, revision)), expected, "{revision}");
    }
}

pub fn atomic_a_revision_is_whole_at_its_bookmark(run: &Run) {
    for messages in [&run.whole, &run.plain, &run.cut.messages] {
        let (mut revision, mut parts) = (run.first + 1, 0);
        let mut largest = 0;
        for message in messages {
            parts += 1;
            for change in &message.changes {
                assert_eq!(change.revision, revision, "something came in between");
            }
            if message.bookmark > 0 {
                assert_eq!(message.bookmark, revision);
                largest = largest.max(parts);
                (revision, parts) = (revision + 1, 0);
            }
        }
        assert_eq!(revision, run.end + 1);
        assert!(largest > 1, "no revision came in parts");
    }
}

pub fn resumable_cuts_and_a_death_change_nothing(run: &Run) {
    let (cuts, deaths) = (run.cut.cuts, run.cut.deaths);
    assert!(cuts > 0 && deaths > 0, "{cuts} cuts, {deaths} deaths");
    let all = |messages| changes(messages).cloned().collect::<Vec<_>>();
    assert_eq!(all(&run.cut.messages), all(&run.whole));
}

pub fn bookmarkable_every_bookmark_is_a_place_to_go_on_from(run: &Run) {
    assert_eq!(run.resumed.len() as u64, run.end - run.first - 1);
    for (bookmark, next) in &run.resumed {
        let told: Vec<Change> = changes(next).cloned().collect();
        let next = bookmark + 1;
        let expected = changes(&run.whole).filter(|change| change.revision == next);
        assert_eq!(told, expected.cloned().collect::<Vec<_>>(), "{bookmark}");
    }
}

pub fn filtered_what_comes_through_is_what_a_client_would_have_picked(run: &Run) {
    for (filter, messages) in &run.filtered {
        let told: Vec<&Change> = changes(messages).collect();
        let picked: Vec<&Change> = changes(&run.whole)
            .filter(|change| picks(filter, &change.subject))
            .collect();
        assert_eq!(told, picked, "{filter:?}");
    }
    let some = run
        .filtered
        .iter()
        .filter(|(_, it)| changes(it).next().is_some());
    assert!(some.count() > 3, "hardly any filter lets anything through");
}

/// What the proto file says of the filters, once more.
fn picks(filter: &v1::WatchRequest, subject: &Subject) -> bool {
    let entity = |it: &Name| {
        (filter.kinds.is_empty() || filter.kinds.contains(&it.kind))
            && it.name.starts_with(&filter.name_prefix)
    };
    match subject {
        Subject::Entity(it) => entity(it),
        Subject::Relation { from, label, .. } => {
            entity(from) && (filter.relations.is_empty() || filter.relations.contains(label))
        }
        Subject::Node(_) => filter.kinds.is_empty() && filter.name_prefix.is_empty(),
    }
}

pub fn previous_a_change_tells_what_stood_there_if_asked(run: &Run) {
    for change in changes(&run.whole) {
        let before = run.states[&(change.revision - 1)].get(&change.subject);
        assert_eq!(change.previous.as_ref(), before, "{change:?}");
    }
    for (told, plain) in changes(&run.whole).zip(changes(&run.plain)) {
        let without = Change {
            previous: None,
            ..told.clone()
        };
        assert_eq!(*plain, without);
    }
}

pub fn created_is_said_of_what_was_not_there_before_and_of_nothing_else(run: &Run) {
    let mut kinds = BTreeSet::new();
    for revision in run.first + 1..=run.end {
        for (told, expected) in told(&run.whole, revision)
            .iter()
            .zip(expected(run, revision))
        {
            assert_eq!(
                (&told.subject, told.kind),
                (&expected.subject, expected.kind)
            );
            kinds.insert(told.kind as i32);
        }
    }
    assert_eq!(kinds.len(), 3, "not everything happened");
}
