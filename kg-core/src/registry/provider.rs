//! The provider: parts of a program by key, each built once, in the order of need.
//!
//! A part is built when it is first asked for; a factory runs exactly once however many ask at the same time, and all get
//! the same `Arc`. An error is not kept: the next to ask tries again. Factories only build; connecting is for later. One
//! chain is built at a time, and the chain is handed to the factories, so that a cycle is found, named, and cannot
//! deadlock. The order of construction, reversed, is the order of shutdown.

use crate::sync::control::{Control, is_on};
use crate::sync::thread::{self, ThreadId};
use crate::sync::{Map, Mutex, lock};
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// What a part is asked for by: a name and a type.
pub struct Key<T> {
    name: &'static str,
    of: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The key of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            of: PhantomData,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

/// Why a part could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Nobody said how to build it.
    #[error("nothing is registered as {0:?}")]
    Unknown(&'static str),
    /// It needs itself.
    #[error("{} needs itself: {}", .0.last().unwrap_or(&""), .0.join(" -> "))]
    Cycle(Vec<&'static str>),
    /// The part of this name has another type.
    #[error("{0:?} has another type than the one it was asked for as")]
    WrongType(&'static str),
    /// Its factory failed.
    #[error("{part} could not be built: {why}")]
    Failed {
        /// Which part.
        part: &'static str,
        /// What its factory said.
        why: String,
    },
}

type Part = Arc<dyn Any + Send + Sync>;
type Factory = Arc<dyn Fn(&Chain<'_>) -> Result<Part, ResolveError> + Send + Sync>;

/// Parts by key.
#[derive(Default)]
pub struct Provider {
    factories: Map<&'static str, Factory>,
    built: Map<&'static str, Part>,
    order: Mutex<Vec<&'static str>>,
    /// Held while a chain is built.
    building: Mutex<()>,
    builder: Mutex<Option<ThreadId>>,
}

/// The chain of parts that is being built: what a factory resolves its own needs through.
pub struct Chain<'a> {
    provider: &'a Provider,
    path: Vec<&'static str>,
}

impl Provider {
    /// An empty provider.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how to build a part. A later call replaces an earlier one, which is how tests override, unless it is built.
    pub fn register<T, E>(
        &self,
        key: Key<T>,
        factory: impl Fn(&Chain<'_>) -> Result<T, E> + Send + Sync + 'static,
    ) where
        T: Send + Sync + 'static,
        E: fmt::Display,
    {
        let build = move |chain: &Chain<'_>| match factory(chain) {
            Ok(part) => Ok(Arc::new(part) as Part),
            Err(why) => Err(ResolveError::Failed {
                part: key.name,
                why: why.to_string(),
            }),
        };
        self.factories.insert(key.name, Arc::new(build));
    }

    /// The part of this key, built if need be.
    ///
    /// # Errors
    /// [`ResolveError`]; nothing is kept of a failure.
    pub fn resolve<T: Send + Sync + 'static>(&self, key: Key<T>) -> Result<Arc<T>, ResolveError> {
        if let Some(part) = self.built.get(key.name) {
            return typed(key, part);
        }
        let me = thread::current().id();
        if *lock(&self.builder) == Some(me) && !is_on(Control::ForgottenBuilder) {
            // A factory asked the provider itself instead of its chain. Waiting for ourselves would be for ever.
            return Err(ResolveError::Cycle(vec![key.name, key.name]));
        }
        let _building = lock(&self.building);
        *lock(&self.builder) = Some(me);
        let _released = Released(&self.builder);
        Chain {
            provider: self,
            path: Vec::new(),
        }
        .resolve(key)
    }

    /// Names of what was built, in the order of construction.
    #[must_use]
    pub fn order(&self) -> Vec<&'static str> {
        lock(&self.order).clone()
    }
}

/// Says that nobody builds any more, also after a factory panicked.
struct Released<'a>(&'a Mutex<Option<ThreadId>>);

impl Drop for Released<'_> {
    fn drop(&mut self) {
        *lock(self.0) = None;
    }
}

impl Chain<'_> {
    /// A part that the one being built needs.
    ///
    /// # Errors
    /// [`ResolveError`]; a part that needs itself is a [`ResolveError::Cycle`] that names the way.
    pub fn resolve<T: Send + Sync + 'static>(&self, key: Key<T>) -> Result<Arc<T>, ResolveError> {
        if let Some(part) = self.provider.built.get(key.name)
            && !is_on(Control::ForgottenPart)
        {
            return typed(key, part);
        }
        let mut path = self.path.clone();
        path.push(key.name);
        if self.path.contains(&key.name) {
            return Err(ResolveError::Cycle(path));
        }
        let factory = self
            .provider
            .factories
            .get(key.name)
            .ok_or(ResolveError::Unknown(key.name))?;
        if is_on(Control::SpentFactory) {
            self.provider.factories.remove(key.name);
        }
        let part = factory(&Chain {
            provider: self.provider,
            path,
        })?;
        // Kept before the look at its type: a wrong type is the asker's fault, and must not run the factory twice.
        self.provider.built.insert(key.name, part.clone());
        lock(&self.provider.order).push(key.name);
        typed(key, part)
    }
}

fn typed<T: Send + Sync + 'static>(key: Key<T>, part: Part) -> Result<Arc<T>, ResolveError> {
    part.downcast()
        .map_err(|_| ResolveError::WrongType(key.name))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const NUMBER: Key<u32> = Key::new("number");
    const WORD: Key<String> = Key::new("word");

    fn no<T>(part: T) -> Result<T, Infallible> {
        Ok(part)
    }

    #[test]
    fn a_factory_runs_once_however_many_ask() {
        let provider = Provider::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        provider.register(NUMBER, move |_| {
            std::thread::yield_now();
            counted.fetch_add(1, Ordering::Relaxed);
            no(7)
        });
        let all: Vec<Arc<u32>> = std::thread::scope(|scope| {
            let asks: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| provider.resolve(NUMBER).expect("built")))
                .collect();
            asks.into_iter()
                .map(|ask| ask.join().expect("no panic"))
                .collect()
        });
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert!(all.iter().all(|part| Arc::ptr_eq(part, &all[0])));
    }

    #[test]
    fn a_cycle_is_named() {
        let provider = Provider::new();
        provider.register(NUMBER, |chain| chain.resolve(WORD).map(|w| w.len() as u32));
        provider.register(WORD, |chain| chain.resolve(NUMBER).map(|n| n.to_string()));
        let error = provider.resolve(NUMBER).expect_err("a cycle").to_string();
        assert!(error.contains("number -> word -> number"), "{error}");
    }

    #[test]
    fn a_factory_that_asks_the_provider_for_itself_does_not_hang() {
        let provider = Arc::new(Provider::new());
        let inner = Arc::downgrade(&provider);
        provider.register(NUMBER, move |_| {
            inner.upgrade().expect("alive").resolve(NUMBER).map(|n| *n)
        });
        assert!(provider.resolve(NUMBER).is_err());
        assert!(provider.resolve(NUMBER).is_err());
    }

    #[test]
    fn an_error_is_not_kept_and_a_wrong_type_is_an_error() {
        let provider = Provider::new();
        let tries = AtomicUsize::new(0);
        provider.register(NUMBER, move |_| {
            match tries.fetch_add(1, Ordering::Relaxed) {
                0 => Err("not yet"),
                _ => Ok(1),
            }
        });
        assert_eq!(
            provider.resolve(NUMBER),
            Err(ResolveError::Failed {
                part: "number",
                why: "not yet".into()
            })
        );
        assert_eq!(provider.resolve(NUMBER).as_deref(), Ok(&1));
        let confused: Key<String> = Key::new("number");
        assert_eq!(
            provider.resolve(confused),
            Err(ResolveError::WrongType("number"))
        );
        assert_eq!(provider.resolve(WORD), Err(ResolveError::Unknown("word")));
    }

    #[test]
    fn a_wrong_type_does_not_cost_the_part() {
        let provider = Provider::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        provider.register(NUMBER, move |_| {
            no(counted.fetch_add(1, Ordering::Relaxed) as u32)
        });
        let confused: Key<String> = Key::new("number");
        let wrong = provider.resolve(confused).map(drop);
        assert_eq!(wrong, Err(ResolveError::WrongType("number")));
        assert_eq!(provider.resolve(NUMBER).as_deref(), Ok(&0));
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_is_needed_first_is_built_first() {
        let provider = Provider::new();
        provider.register(NUMBER, |chain| chain.resolve(WORD).map(|w| w.len() as u32));
        provider.register(WORD, |_| no(String::from("four")));
        assert_eq!(provider.resolve(NUMBER).as_deref(), Ok(&4));
        assert_eq!(provider.order(), ["word", "number"]);
    }

    #[test]
    fn a_test_overrides_a_part() {
        let provider = Provider::new();
        provider.register(NUMBER, |_| no(1));
        provider.register(NUMBER, |_| no(2));
        assert_eq!(provider.resolve(NUMBER).as_deref(), Ok(&2));
    }
}
