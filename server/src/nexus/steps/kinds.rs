//! The types of steps that there are, by their names.

use std::sync::Arc;

use dashmap::DashMap;
use kg_core::nexus::StepType;

use super::choice::Choice;
use super::event::Event;
use super::graph::Graph;
use super::grpc::Grpc;
use super::http::Http;
use super::map::Map;
use super::pass::Pass;
use super::pattern::Pattern;
use super::wait::Wait;
use crate::nexus::step::StepProvider;

/// Providers of step types. Clones share them.
#[derive(Clone, Default)]
pub struct StepKinds(Arc<DashMap<&'static str, Arc<dyn StepProvider>>>);

impl StepKinds {
    /// All that this server brings.
    #[must_use]
    pub fn standard() -> Self {
        let kinds = Self::default();
        kinds.register(Arc::new(Choice));
        kinds.register(Arc::new(Event));
        kinds.register(Arc::new(Graph));
        kinds.register(Arc::new(Grpc::default()));
        kinds.register(Arc::new(Http::default()));
        kinds.register(Arc::new(Map));
        kinds.register(Arc::new(Pass));
        kinds.register(Arc::new(Pattern));
        kinds.register(Arc::new(Wait));
        kinds
    }

    /// Adds one, or puts it in the place of the one of its name.
    pub fn register(&self, provider: Arc<dyn StepProvider>) {
        self.0.insert(provider.about().name, provider);
    }

    /// The one of this name.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<Arc<dyn StepProvider>> {
        self.0.get(name).map(|provider| provider.clone())
    }

    /// What definitions are held against, ordered by name.
    #[must_use]
    pub fn types(&self) -> Vec<&'static StepType> {
        let mut types: Vec<_> = self.0.iter().map(|provider| provider.about()).collect();
        types.sort_by_key(|about| about.name);
        types
    }
}
