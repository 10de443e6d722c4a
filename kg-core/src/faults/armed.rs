//! Failpoints that are real: counted, and armed by name.

use super::Point;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// The process dies, as by SIGKILL: no destructor runs, no buffer is written.
    Kill,
    /// The thread panics.
    Panic,
    /// The step fails as a bad disk makes it fail. Only where a step can fail; elsewhere nothing happens.
    Broken,
    /// The step fails for want of room. Likewise.
    Full,
}

#[derive(Debug, Default)]
struct State {
    hits: u64,
    /// What happens, and at which hit.
    order: Option<(Action, u64)>,
}

static POINTS: Mutex<BTreeMap<Point, State>> = Mutex::new(BTreeMap::new());

fn points() -> MutexGuard<'static, BTreeMap<Point, State>> {
    POINTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Arms points: `log.inserted=kill@3, commit.published=panic@1`. The actions are `kill`, `panic`, `broken` and `full`; each
/// happens once, at the hit of that number from now on.
///
/// # Errors
/// What of it cannot be read.
pub fn arm(orders: &str) -> Result<(), String> {
    for order in orders
        .split(',')
        .map(str::trim)
        .filter(|order| !order.is_empty())
    {
        let wrong = || format!("{order:?} is no order for a failpoint: write log.inserted=kill@3");
        let (name, action) = order.split_once('=').ok_or_else(wrong)?;
        let (action, hit) = action.split_once('@').ok_or_else(wrong)?;
        let found = Point::ALL.iter().find(|point| point.name() == name);
        let point = found.ok_or_else(|| format!("there is no failpoint {name:?}"))?;
        let action = match action {
            "kill" => Action::Kill,
            "panic" => Action::Panic,
            "broken" => Action::Broken,
            "full" => Action::Full,
            _ => return Err(wrong()),
        };
        let hit = hit.parse().map_err(|_| wrong())?;
        let order = Some((action, hit));
        points().insert(*point, State { hits: 0, order });
    }
    Ok(())
}

/// The action that is due at this hit, and the number of the hit.
fn due(at: Point) -> Option<(Action, u64)> {
    let mut points = points();
    let state = points.entry(at).or_default();
    state.hits += 1;
    let (action, hit) = state.order?;
    (state.hits == hit).then_some((action, hit))
}

/// A step that can be stopped at.
pub fn point(at: Point) {
    let _ = fallible(at);
}

/// A step that can also fail, as input and output do.
///
/// # Errors
/// The one that was armed.
pub fn fallible(at: Point) -> io::Result<()> {
    let Some((action, hit)) = due(at) else {
        return Ok(());
    };
    // What waits for this reads it from standard error; nobody may be left to be told otherwise.
    let said = format!("failpoint {} {action:?} at hit {hit}", at.name());
    let _ = writeln!(io::stderr(), "{said}");
    match action {
        Action::Kill => std::process::abort(),
        Action::Panic => panic!("{said}, on purpose"),
        Action::Broken => Err(io::Error::other(said)),
        Action::Full => Err(io::Error::new(io::ErrorKind::StorageFull, said)),
    }
}
