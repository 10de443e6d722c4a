//! Which events somebody wants.

use super::event::{NewEvent, OWN_TYPES};

/// Which events are wanted; an empty list stands for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    /// Types; one that ends in `*` stands for all that begin like it.
    pub kinds: Vec<String>,
    /// Kind, and name or none for all of the kind.
    pub entities: Vec<(String, Option<String>)>,
    /// Correlations.
    pub correlations: Vec<String>,
}

impl EventFilter {
    /// Whether an event is wanted.
    #[must_use]
    pub fn matches(&self, event: &NewEvent) -> bool {
        self.wants_kind(&event.kind) && self.wants_entity(event) && self.wants_correlation(event)
    }

    fn wants_kind(&self, kind: &str) -> bool {
        let one = |wanted: &String| match wanted.strip_suffix('*') {
            Some(beginning) => kind.starts_with(beginning),
            None => kind == wanted,
        };
        self.kinds.is_empty() || self.kinds.iter().any(one)
    }

    fn wants_entity(&self, event: &NewEvent) -> bool {
        self.entities.is_empty()
            || event.entity.as_ref().is_some_and(|entity| {
                self.entities.iter().any(|(kind, name)| {
                    entity.kind.as_str() == kind
                        && name
                            .as_ref()
                            .is_none_or(|name| entity.name.as_str() == name)
                })
            })
    }

    fn wants_correlation(&self, event: &NewEvent) -> bool {
        self.correlations.is_empty()
            || self
                .correlations
                .iter()
                .any(|wanted| **wanted == *event.correlation)
    }

    /// Whether it may want what the graph tells: changes, and how services are.
    #[must_use]
    pub fn may_want_graph(&self) -> bool {
        // What the graph tells belongs to nothing.
        if !self.correlations.is_empty() {
            return false;
        }
        let could = |wanted: &String, own: &str| match wanted.strip_suffix('*') {
            Some(beginning) => own.starts_with(beginning) || beginning.starts_with(own),
            None => wanted.starts_with(own),
        };
        self.kinds.is_empty()
            || OWN_TYPES
                .into_iter()
                .filter(|own| *own != "run.")
                .any(|own| self.kinds.iter().any(|wanted| could(wanted, own)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kg_core::model::{EntityRef, Object};

    fn event(kind: &str, entity: &str, correlation: &str) -> NewEvent {
        NewEvent {
            id: "1".into(),
            kind: kind.into(),
            entity: (!entity.is_empty()).then(|| EntityRef::parse("", entity).expect("a name")),
            correlation: correlation.into(),
            payload: Object::new(),
            time_ms: 0,
            actor: "".into(),
        }
    }

    fn filter(
        kinds: &[&str],
        entities: &[(&str, Option<&str>)],
        correlations: &[&str],
    ) -> EventFilter {
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        EventFilter {
            kinds: owned(kinds),
            entities: entities
                .iter()
                .map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned)))
                .collect(),
            correlations: owned(correlations),
        }
    }

    #[test]
    fn every_list_that_is_not_empty_must_match() {
        let paid = event("order.paid", "order/7", "c");
        for (filter, matches) in [
            (filter(&[], &[], &[]), true),
            (filter(&["order.paid"], &[], &[]), true),
            (filter(&["order.pai"], &[], &[]), false),
            (filter(&["order.*"], &[], &[]), true),
            (filter(&["*"], &[], &[]), true),
            (filter(&["cart.*", "order.paid"], &[], &[]), true),
            (filter(&[], &[("order", None)], &[]), true),
            (filter(&[], &[("order", Some("7"))], &[]), true),
            (filter(&[], &[("order", Some("8"))], &[]), false),
            (
                filter(&[], &[("cart", None), ("order", Some("7"))], &[]),
                true,
            ),
            (filter(&[], &[], &["c"]), true),
            (filter(&[], &[], &["d"]), false),
            (filter(&["order.*"], &[("order", None)], &["d", "c"]), true),
            (filter(&["order.*"], &[("cart", None)], &["c"]), false),
        ] {
            assert_eq!(filter.matches(&paid), matches, "{filter:?}");
        }
        let about_nothing = event("order.paid", "", "");
        assert!(!filter(&[], &[("order", None)], &[]).matches(&about_nothing));
        assert!(filter(&["order.paid"], &[], &[]).matches(&about_nothing));
    }

    #[test]
    fn who_may_want_what_the_graph_tells_is_known_by_the_filter() {
        for (kinds, may) in [
            (&[][..], true),
            (&["*"], true),
            (&["g*"], true),
            (&["graph.service.*"], true),
            (&["order.*", "liveness.down"], true),
            (&["graph"], false),
            (&["run.*"], false),
            (&["order.*"], false),
        ] {
            assert_eq!(filter(kinds, &[], &[]).may_want_graph(), may, "{kinds:?}");
        }
        assert!(!filter(&[], &[], &["c"]).may_want_graph());
    }
}
