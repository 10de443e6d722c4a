//! The nine facts of a run on the real server, and the control: a run with one thing wrong is called wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};

use amadeus_proto::v1::change::Kind;

use super::facts;
use super::run::{Run, run};

macro_rules! facts {
    ($($fact:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                facts::$fact(run().await);
            }
        )*
    };
}

facts! {
    ordered_no_stream_goes_back,
    unique_no_change_comes_twice,
    reliable_nothing_is_missing_and_nothing_is_invented,
    atomic_a_revision_is_whole_at_its_bookmark,
    resumable_cuts_and_a_death_change_nothing,
    bookmarkable_every_bookmark_is_a_place_to_go_on_from,
    filtered_what_comes_through_is_what_a_client_would_have_picked,
    previous_a_change_tells_what_stood_there_if_asked,
    created_is_said_of_what_was_not_there_before_and_of_nothing_else,
}

/// A fact, and what breaks it.
type Control = (fn(&Run), fn(&mut Run));

/// The first message of the whole stream that has changes, and is not the first of all.
fn some(run: &mut Run) -> usize {
    let later = run
        .whole
        .iter()
        .skip(1)
        .position(|it| !it.changes.is_empty());
    later.expect("something happened") + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fact_fails_where_it_should() {
    let controls: [Control; 9] = [
        (facts::ordered_no_stream_goes_back, |run| {
            let at = some(run);
            run.whole.swap(0, at);
        }),
        (facts::unique_no_change_comes_twice, |run| {
            let again = run.whole[0].clone();
            run.whole.insert(1, again);
        }),
        (
            facts::reliable_nothing_is_missing_and_nothing_is_invented,
            |run| {
                let at = some(run);
                run.whole[at].changes.pop();
            },
        ),
        (facts::atomic_a_revision_is_whole_at_its_bookmark, |run| {
            let at = some(run);
            let early = run.whole[at].changes[0].clone();
            run.whole[at - 1].changes.push(early);
        }),
        (facts::resumable_cuts_and_a_death_change_nothing, |run| {
            run.cut.messages.pop();
        }),
        (
            facts::bookmarkable_every_bookmark_is_a_place_to_go_on_from,
            |run| {
                let (_, next) = &mut run.resumed[3];
                next.clear();
            },
        ),
        (
            facts::filtered_what_comes_through_is_what_a_client_would_have_picked,
            |run| {
                let (filter, _) = &mut run.filtered[0];
                filter.kinds = vec!["nobody".into()];
            },
        ),
        (
            facts::previous_a_change_tells_what_stood_there_if_asked,
            |run| {
                let all = run.whole.iter_mut().flat_map(|it| &mut it.changes);
                let updated = all.into_iter().find(|change| change.kind == Kind::Updated);
                updated.expect("something was").previous = None;
            },
        ),
        (
            facts::created_is_said_of_what_was_not_there_before_and_of_nothing_else,
            |run| {
                let all = run.whole.iter_mut().flat_map(|it| &mut it.changes);
                let created = all.into_iter().find(|change| change.kind == Kind::Created);
                created.expect("something was").kind = Kind::Updated;
            },
        ),
    ];
    for (number, (fact, break_it)) in controls.into_iter().enumerate() {
        let mut broken = run().await.clone();
        break_it(&mut broken);
        let noticed = catch_unwind(AssertUnwindSafe(|| fact(&broken))).is_err();
        assert!(
            noticed,
            "fact {} holds of a run that it was taken from",
            number + 1
        );
    }
}
