//! Each shared type alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use kg_core::commit::Reclaimer;
use kg_core::commit::head::Head;
use kg_core::commit::queue::{Queue, Refused};
use kg_core::commit::role::Role;
use kg_core::commit::ticket::{Completer, ticket};
use kg_core::registry::{Key, Provider};
use kg_core::sync::{Bell, Map, block_on};

use crate::{Body, at_once, body, times};

#[test]
fn a_queue_loses_and_repeats_nothing() {
    const PUSHERS: u64 = 3;
    let shared = Arc::new((Queue::new(64), AtomicU64::new(0)));
    let push = |_| {
        body(&shared, |(queue, open)| {
            for n in 1..=times() {
                let mut item = Box::new(n);
                while let Err(Refused::Full(again)) = queue.push(item) {
                    item = again;
                    thread::yield_now();
                }
            }
            if open.fetch_add(1, Relaxed) == PUSHERS - 1 {
                queue.close();
            }
        })
    };
    let take = body(&shared, |(queue, _)| {
        let mut sum = 0;
        while let Some(batch) = block_on(queue.next_batch()) {
            sum += batch.into_iter().map(|item| *item).sum::<u64>();
        }
        assert_eq!(sum, PUSHERS * times() * (times() + 1) / 2);
    });
    at_once((0..PUSHERS).map(push).chain([take]));
}

/// Without the bell, which would order most of it too.
#[test]
fn what_is_pushed_is_taken_whole() {
    let queue = Arc::new(Queue::new(usize::MAX));
    let push = |_| {
        body(&queue, |queue| {
            for n in 1..=times() {
                queue.push(Box::new(n)).expect("there is room");
            }
        })
    };
    let take = body(&queue, |queue| {
        let mut left = 2 * times();
        while left > 0 {
            for item in queue.take_all() {
                assert!((1..=times()).contains(&item));
                left -= 1;
            }
            thread::yield_now();
        }
    });
    at_once((0..2).map(push).chain([take]));
}

#[test]
fn a_bell_is_heard_by_all_who_listen() {
    let shared = Arc::new((Bell::default(), AtomicU64::new(0)));
    let wait = |_| {
        body(&shared, |(bell, reached)| {
            block_on(async {
                let mut last = 0;
                while last < times() {
                    let seen = bell.epoch();
                    let now = reached.load(Relaxed);
                    if now == last {
                        bell.listen(seen).await;
                    }
                    last = now;
                }
            });
        })
    };
    let ring = body(&shared, |(bell, reached)| {
        for _ in 0..times() {
            reached.fetch_add(1, Relaxed);
            bell.ring();
        }
    });
    at_once((0..3).map(wait).chain([ring]));
}

#[test]
fn a_role_is_held_by_one_and_strands_nothing() {
    let shared = Arc::new((
        Role::default(),
        Queue::new(usize::MAX),
        AtomicU64::new(0),
        AtomicU64::new(0),
    ));
    let commit = |_| {
        body(&shared, |(role, queue, inside, committed)| {
            for n in 0..times() {
                queue.push(Box::new(n)).expect("there is room");
                role.serve(queue, |batch| {
                    assert_eq!(inside.fetch_add(1, Relaxed), 0, "two hold the role");
                    committed.fetch_add(batch.len() as u64, Relaxed);
                    inside.fetch_sub(1, Relaxed);
                });
            }
        })
    };
    at_once((0..3).map(commit));
    assert_eq!(shared.3.load(Relaxed), 3 * times());
}

#[test]
fn a_ticket_brings_the_outcome_whole() {
    let queue = Arc::new(Queue::<(u64, Completer<Box<u64>>)>::new(usize::MAX));
    let complete = body(&queue, |queue| {
        while let Some(batch) = block_on(queue.next_batch()) {
            for (n, completer) in batch {
                completer.complete(Box::new(n));
            }
        }
    });
    let wait = body(&queue, |queue| {
        for n in 0..times() {
            let (completer, ticket) = ticket::<Box<u64>>();
            queue.push((n, completer)).expect("there is room");
            if n % 5 == 0 {
                drop(ticket);
            } else {
                assert_eq!(ticket.wait(), Ok(Box::new(n)));
            }
        }
        queue.close();
    });
    at_once([complete, wait]);
}

#[test]
fn a_head_is_seen_whole_and_never_goes_back() {
    let head = Arc::new(Head::new(Arc::new(vec![0_u64; 8])));
    let publish = body(&head, |head| {
        for n in 1..=times() {
            drop(head.publish(Arc::new(vec![n; 8]), || ()));
        }
    });
    let read = |_| {
        body(&head, |head| {
            let mut newest = 0;
            while newest < times() {
                let wanted = newest + 1;
                let seen = block_on(head.reached(|all| all[0] >= wanted));
                assert!(seen.iter().all(|n| *n == seen[0]), "half a head");
                let again = head.load()[7];
                assert!(again >= seen[0] && seen[0] > newest, "it went back");
                newest = seen[0];
            }
        })
    };
    at_once((0..3).map(read).chain([publish]));
}

#[test]
fn an_entry_of_a_map_is_made_once() {
    let shared = Arc::new((Map::<u64, Arc<u64>>::default(), AtomicU64::new(0)));
    let ask = |_| {
        body(&shared, |(map, made)| {
            for key in 0..times() {
                let make = || {
                    made.fetch_add(1, Relaxed);
                    Arc::new(key)
                };
                assert_eq!(*map.get_or_insert_with(key, make), key);
                assert_eq!(map.get(&key).as_deref(), Some(&key));
            }
        })
    };
    at_once((0..4).map(ask));
    assert_eq!(
        (shared.1.load(Relaxed), shared.0.len() as u64),
        (times(), times())
    );
}

#[test]
fn a_part_is_built_once_and_is_one_for_all() {
    const INNER: Key<Box<u64>> = Key::new("inner");
    const OUTER: Key<Box<u64>> = Key::new("outer");
    for round in 0..times() / 10 {
        let provider = Arc::new(Provider::new());
        provider.register(INNER, move |_| Ok::<_, String>(Box::new(round)));
        provider.register(OUTER, |chain| {
            chain.resolve(INNER).map(|inner| Box::new(**inner + 1))
        });
        let ask = |key: Key<Box<u64>>, value| {
            body(&provider, move |provider| {
                assert_eq!(**provider.resolve(key).expect("built"), value);
            })
        };
        let bodies: [Body; 4] = [
            ask(OUTER, round + 1),
            ask(INNER, round),
            ask(INNER, round),
            ask(OUTER, round + 1),
        ];
        at_once(bodies);
        assert_eq!(provider.order(), ["inner", "outer"]);
    }
}

/// Counts who freed it.
struct Version {
    here: Arc<AtomicU64>,
    elsewhere: Arc<AtomicU64>,
}

impl Drop for Version {
    fn drop(&mut self) {
        let reclaimed = thread::current().name() == Some("amadeus-reclaim");
        let freed = if reclaimed {
            &self.elsewhere
        } else {
            &self.here
        };
        freed.fetch_add(1, Relaxed);
    }
}

#[test]
fn the_last_reference_is_freed_by_the_thread_for_it() {
    let (here, elsewhere) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let reclaimer = Arc::new(Reclaimer::start());
    // No more than may wait for the thread: beyond that, whoever drops frees.
    let rounds = times().min(1_000);
    let versions: Vec<_> = (0..rounds)
        .map(|_| {
            let (here, elsewhere) = (here.clone(), elsewhere.clone());
            Arc::new(Version { here, elsewhere })
        })
        .collect();
    let release = |_| -> Body {
        let (versions, reclaimer) = (versions.clone(), reclaimer.clone());
        Box::new(move || {
            for version in versions {
                reclaimer.release(version);
            }
        })
    };
    let bodies: Vec<Body> = (0..3).map(release).collect();
    drop(versions);
    at_once(bodies);
    while elsewhere.load(Relaxed) < rounds {
        assert_eq!(here.load(Relaxed), 0, "freed by one who let go");
        thread::yield_now();
    }
}
