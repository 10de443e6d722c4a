//! Pictures: what is drawn, before anybody decides how. Mermaid, DOT, JSON and SVG all draw one of these.

use super::budget::Budget;
use super::direction::{Along, Direction};
use super::error::QueryError;
use super::reach::Question;
use super::subgraph::{Subgraph, between};
use crate::error::Fault;
use crate::limits::PICTURE_ENTITIES;
use crate::model::{EntityId, EntityRef, Health, Kind, Label};
use crate::nexus::StepState;
use crate::snapshot::Snapshot;
use std::sync::Arc;

/// What is to be seen.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What it is centred on; the whole graph where it is absent.
    pub root: Option<EntityRef>,
    /// How far from the root; as far as relations lead where it is absent.
    pub hops: Option<u32>,
    /// The labels that are drawn, and followed from the root.
    pub along: Along,
    /// Which way from the root.
    pub direction: Direction,
    /// Only entities of this kind.
    pub kind: Option<Kind>,
}

/// Nodes and the edges between them, both in an order that depends on nothing but the content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// By kind and name.
    pub nodes: Vec<PictureNode>,
    /// By start, label and end.
    pub edges: Vec<PictureEdge>,
}

/// One entity of a picture, or one step of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureNode {
    /// Which.
    pub key: EntityRef,
    /// Its group, where it has one.
    pub category: String,
    /// Its health, where it is a service.
    pub health: Health,
    /// Whether it only stands for a service that has not registered.
    pub placeholder: bool,
    /// What it is as a step, where it is one.
    pub step: Option<StepLook>,
}

/// A step, as it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepLook {
    /// Its type.
    pub kind: Arc<str>,
    /// How it is doing, where a run is drawn.
    pub state: Option<StepState>,
}

impl StepLook {
    /// What is written on it.
    #[must_use]
    pub fn label(&self, id: &str) -> String {
        match self.state {
            Some(state) => format!("{id} ({}): {}", self.kind, state.as_str()),
            None => format!("{id} ({})", self.kind),
        }
    }

    /// How it is filled and lined, as `0xrrggbb`; as everything else is, where there is no run.
    #[must_use]
    pub fn colors(&self) -> Option<(u32, u32)> {
        Some(match self.state? {
            StepState::Pending => (0xff_ffff, 0x99_99aa),
            StepState::Running => (0xe4_eefa, 0x26_8bd2),
            StepState::Retrying => (0xfd_f3d0, 0xb5_8900),
            StepState::Succeeded => (0xe3_f4e1, 0x4f_9a3a),
            StepState::Failed | StepState::CompensationFailed => (0xfb_e0de, 0xcb_4b16),
            StepState::Skipped | StepState::Cancelled => (0xee_eeee, 0xaa_aaaa),
            StepState::Compensating | StepState::Compensated => (0xec_e6f8, 0x6c_71c4),
        })
    }
}

/// One relation of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureEdge {
    /// Where it begins: an index into the nodes.
    pub from: usize,
    /// Where it ends.
    pub to: usize,
    /// What it says.
    pub label: Label,
}

/// What `view` shows of a snapshot.
///
/// # Errors
/// A root that does not exist, more than [`PICTURE_ENTITIES`] entities.
pub fn picture(snapshot: &Snapshot, view: &View) -> Result<Picture, QueryError> {
    let shown = |id: u32| match (&view.kind, snapshot.by_id(EntityId::new(id))) {
        (Some(kind), Some(entity)) => entity.key.kind == *kind,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    let ids: Vec<u32> = match &view.root {
        None => (0..snapshot.id_bound()).filter(|id| shown(*id)).collect(),
        Some(root) => {
            let question = Question {
                roots: std::slice::from_ref(root),
                along: view.along.clone(),
                direction: view.direction,
                hops: view.hops,
            };
            let around = super::reach::reach(snapshot, &question, &Budget::unlimited())?;
            around.ids().filter(|id| shown(*id)).collect()
        }
    };
    if ids.len() > PICTURE_ENTITIES {
        return Err(QueryError::PictureTooLarge(ids.len()));
    }
    Ok(draw(&between(snapshot, ids.into_iter(), &view.along)))
}

impl Picture {
    /// Whether a line needs no words: a dependency, or the one relation that there is between steps.
    #[must_use]
    pub fn is_plain(&self, edge: &PictureEdge) -> bool {
        edge.label.as_str() == "depends_on" || self.nodes[edge.from].step.is_some()
    }

    /// The picture as JSON: `{"edges": [{"from", "relation", "to"}], "nodes": [{"category", "health", "id", "kind",
    /// "name", "placeholder"}]}`, laid out for people. A step also has its "type" and its "state".
    #[must_use]
    pub fn json(&self) -> String {
        let nodes: Vec<serde_json::Value> = self
            .nodes
            .iter()
            .map(|node| {
                let mut told = serde_json::json!({
                    "id": node.key.to_string(),
                    "kind": node.key.kind.as_str(),
                    "name": node.key.name.as_str(),
                    "category": node.category,
                    "health": node.health.as_str(),
                    "placeholder": node.placeholder,
                });
                if let Some(step) = &node.step {
                    told["type"] = step.kind.as_ref().into();
                    told["state"] = step.state.map(StepState::as_str).into();
                }
                told
            })
            .collect();
        let edges: Vec<serde_json::Value> = self
            .edges
            .iter()
            .map(|edge| {
                serde_json::json!({
                    "from": self.nodes[edge.from].key.to_string(),
                    "relation": edge.label.as_str(),
                    "to": self.nodes[edge.to].key.to_string(),
                })
            })
            .collect();
        format!(
            "{:#}\n",
            serde_json::json!({ "nodes": nodes, "edges": edges })
        )
    }
}

fn draw(part: &Subgraph) -> Picture {
    let nodes: Vec<PictureNode> = part
        .entities
        .iter()
        .map(|entity| PictureNode {
            key: entity.key.clone(),
            category: match (entity.service(), entity.pattern()) {
                (Some(body), _) => body.category.clone(),
                (None, Some(body)) => body.category.clone(),
                (None, None) => String::new(),
            },
            health: entity.service().map_or(Health::Unknown, |body| body.health),
            placeholder: entity.is_placeholder(),
            step: None,
        })
        .collect();
    let place = |key: &EntityRef| nodes.binary_search_by(|node| node.key.cmp(key)).ok();
    let edges = part
        .relations
        .iter()
        .filter_map(|relation| {
            Some(PictureEdge {
                from: place(&relation.key.from)?,
                to: place(&relation.key.to)?,
                label: relation.key.label.clone(),
            })
        })
        .collect();
    Picture { nodes, edges }
}

/// The kind that a section of the graph shows: `services` and `patterns` as the dot paths name them, or any kind.
///
/// # Errors
/// A [`Fault`] of `field`.
pub fn kind_of_section(field: &str, section: &str) -> Result<Kind, Fault> {
    match section {
        "services" => Ok(Kind::service()),
        "patterns" => Ok(Kind::pattern()),
        kind => Kind::parse(field, kind),
    }
}
