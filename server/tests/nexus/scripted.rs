//! A type of step that does what its parameters say, and notes each time that it is called.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amadeus::nexus::step::{StepCall, StepProvider};
use amadeus::nexus::steps::StepKinds;
use futures::future::BoxFuture;
use kg_core::model::{Value, ValueType};
use kg_core::nexus::{Failure, StepType, Target, unchecked};
use tokio::sync::watch;

static ABOUT: StepType = StepType {
    name: "scripted",
    target: Target::None,
    actions: &[],
    free_action: true,
    arguments: &[],
    open: true,
    result: ValueType::Any,
    pure: false,
    timeout_ms: 0,
    check: unchecked,
};

/// The steps of one world. Clones share what was noted.
#[derive(Clone)]
pub struct Scripted(Arc<Noted>);

struct Noted {
    /// How often each key was called.
    calls: Mutex<HashMap<String, u32>>,
    now: AtomicUsize,
    most: AtomicUsize,
    /// Steps that hang go on when this is true.
    open: watch::Sender<bool>,
    called: watch::Sender<usize>,
}

impl Default for Scripted {
    fn default() -> Self {
        Self(Arc::new(Noted {
            calls: Mutex::default(),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            open: watch::Sender::new(false),
            called: watch::Sender::new(0),
        }))
    }
}

impl Scripted {
    /// All types of steps, and this one.
    pub fn kinds(&self) -> StepKinds {
        let kinds = StepKinds::standard();
        kinds.register(Arc::new(self.clone()));
        kinds
    }

    /// Lets all go on that hang.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Waits until there were so many calls.
    pub async fn called(&self, times: usize) {
        let mut called = self.0.called.subscribe();
        called
            .wait_for(|calls| *calls >= times)
            .await
            .expect("it lives");
    }

    pub fn calls(&self) -> HashMap<String, u32> {
        self.0
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The most that were under way at once.
    pub fn most(&self) -> usize {
        self.0.most.load(Ordering::SeqCst)
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl StepProvider for Scripted {
    fn about(&self) -> &'static StepType {
        &ABOUT
    }

    fn run<'a>(&'a self, call: StepCall<'a>) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(async move {
            let noted = &*self.0;
            *noted
                .calls
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(call.key.to_string())
                .or_default() += 1;
            noted.called.send_modify(|calls| *calls += 1);
            let now = noted.now.fetch_add(1, Ordering::SeqCst) + 1;
            noted.most.fetch_max(now, Ordering::SeqCst);
            let _counted = Counted(&noted.now);
            let number = |name: &str| match call.parameters.get(name) {
                Some(Value::Number(number)) => *number,
                _ => 0.0,
            };
            match call.action {
                "hang" => {
                    let _ = noted.open.subscribe().wait_for(|open| *open).await;
                }
                "sleep" => tokio::time::sleep(Duration::from_millis(number("ms") as u64)).await,
                "panic" => panic!("scripted"),
                "fail" => return Err(Failure::new("INVALID_ARGUMENT", "scripted")),
                "flaky" if f64::from(call.attempt) <= number("times") => {
                    return Err(Failure::new("UNAVAILABLE", "not yet"));
                }
                _ => {}
            }
            Ok(Value::Object(call.parameters))
        })
    }
}
