//! Somebody who consumes for a group, as the tests of groups and of several servers have it.

use amadeus::events::{Delivery, Events, GroupError, Subscription, Wanted};

use crate::place::{PATIENCE, offsets};

/// What most want who consume.
pub fn wanted() -> Wanted {
    Wanted {
        max_unacked: 1_000,
        ..Wanted::default()
    }
}

/// Makes a group, from the first event on.
pub async fn group(log: &Events, name: &str) {
    let opened = log.open_group(name, "alice", 1, 3).await;
    opened.expect("there is room");
}

/// The next message that says something.
pub async fn told(of: &mut Subscription) -> Delivery {
    let telling = async {
        loop {
            let told = of.next(1_000).await.expect("it goes on");
            if !told.events.is_empty() || told.standby {
                return told;
            }
        }
    };
    tokio::time::timeout(PATIENCE, telling)
        .await
        .expect("something comes")
}

/// The next events, however long it stands by before.
pub async fn served(of: &mut Subscription) -> Delivery {
    loop {
        let told = told(of).await;
        if !told.standby {
            return told;
        }
    }
}

/// That it is served from now on, before anything is sent.
pub async fn begun(of: &mut Subscription) -> Delivery {
    let told = of.next(1_000).await.expect("it goes on");
    assert!(told.events.is_empty() && !told.standby, "{told:?}");
    told
}

/// Why it ends.
pub async fn ended(of: &mut Subscription) -> GroupError {
    let ending = async {
        loop {
            if let Err(error) = of.next(1_000).await {
                return error;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ending)
        .await
        .expect("it ends")
}

/// The next so many events, whichever messages they come in.
pub async fn sent(of: &mut Subscription, many: usize) -> Vec<u64> {
    let mut found = Vec::new();
    while found.len() < many {
        found.extend(offsets(&told(of).await.events));
    }
    assert_eq!(found.len(), many, "{found:?}");
    found
}
