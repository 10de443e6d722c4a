//! The search for an order in which the model tells what was told, by `stateright`.

use std::sync::mpsc;
use std::time::Duration;

use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester};

use super::history::Seen;
use super::model::{Call, Model, Told};

/// A history of this size is decided in milliseconds; one that is not decided by now has, in all likelihood, no order.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether one order explains these calls, beginning with an empty map at this revision.
///
/// # Errors
/// Why there is none.
pub fn explains(calls: Vec<Seen>, first: u64) -> Result<(), String> {
    in_order_of_revisions(&calls)?;
    // The search may take for ever, and cannot be stopped.
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody listens any more once patience has ended.
        let _ = tell.send(search(&calls, first));
    });
    match told.recv_timeout(PATIENCE) {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err("no order explains it".into()),
        Ok(Err(what)) => Err(format!("it is no history: {what}")),
        Err(_) => Err(format!("no order was found in {PATIENCE:?}")),
    }
}

/// Of two calls that do not overlap, the later one has the later revision. The search would find this too, but could not say
/// what is wrong.
fn in_order_of_revisions(calls: &[Seen]) -> Result<(), String> {
    for earlier in calls {
        for later in calls {
            let over = earlier
                .told
                .as_ref()
                .is_some_and(|(at, _)| *at < later.asked);
            if let (true, Some((before, _)), Some((after, made))) =
                (over, earlier.revision(), later.revision())
                && (after < before || made && after == before)
            {
                return Err(format!("{later:?} came after {earlier:?}"));
            }
        }
    }
    Ok(())
}

fn search(calls: &[Seen], first: u64) -> Result<bool, String> {
    let mut tester = LinearizabilityTester::new(Model::at(first));
    let mut events: Vec<(usize, usize, Option<Told>)> = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        events.push((call.asked, index, None));
        if let Some((at, told)) = &call.told {
            events.push((*at, index, Some(told.clone())));
        }
    }
    events.sort_by_key(|(at, ..)| *at);
    // One thread does one call at a time; whoever made it, the first that is free will do. The search tries threads in
    // their order, so those whose calls may never have taken effect come last.
    let mut threads: Vec<Option<usize>> = Vec::new();
    let mut lost = 1_000;
    for (_, index, told) in events {
        let call = &calls[index];
        let at = threads.iter().position(|busy| *busy == Some(index));
        match (told, at) {
            (Some(told), Some(thread)) => {
                threads[thread] = None;
                tester.on_return(thread, told)?;
            }
            (Some(_), None) => return Err(format!("{call:?} was told before it was asked")),
            (None, _) => {
                let thread = if call.told.is_none() {
                    lost += 1;
                    lost
                } else if let Some(free) = threads.iter().position(Option::is_none) {
                    threads[free] = Some(index);
                    free
                } else {
                    threads.push(Some(index));
                    threads.len() - 1
                };
                let place = call.told.as_ref().map_or(0, |(at, _)| *at);
                let ask = call.ask.clone();
                tester.on_invoke(thread, Call { ask, place })?;
            }
        }
    }
    Ok(tester.is_consistent())
}
