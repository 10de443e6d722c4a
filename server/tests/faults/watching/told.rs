//! What a watch tells, so that it can be compared with what is read.

use amadeus_proto::v1;

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Entity(Name),
    Relation { from: Name, label: String, to: Name },
    Node(String),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub kind: String,
    pub name: String,
}

/// All that is known of a subject at one revision, as a text that differs where it differs.
pub type Value = String;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub revision: u64,
    pub kind: v1::change::Kind,
    pub subject: Subject,
    /// As it is since; nothing of what is gone.
    pub value: Option<Value>,
    /// As it was before, if that was told.
    pub previous: Option<Value>,
}

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub changes: Vec<Change>,
    pub bookmark: u64,
}

impl Message {
    pub fn of(message: v1::WatchResponse) -> Self {
        assert!(!message.resync && !message.snapshot, "nobody asked for it");
        Self {
            changes: message.changes.into_iter().map(Change::of).collect(),
            bookmark: message.bookmark,
        }
    }
}

impl Change {
    fn of(change: v1::Change) -> Self {
        use v1::change::{Subject as Told, previous::State};
        let kind = change.kind();
        let (subject, value) = match &change.subject {
            Some(Told::Entity(it)) => entity(it),
            Some(Told::Relation(it)) => relation(it),
            Some(Told::Node(it)) => node(it),
            None => panic!("a change of nothing"),
        };
        let state = change.previous.and_then(|previous| previous.state);
        let previous = state.map(|state| {
            let (of, value) = match &state {
                State::Entity(it) => entity(it),
                State::Relation(it) => relation(it),
                State::Node(it) => node(it),
            };
            assert_eq!(of, subject, "what stood there before is of something else");
            value
        });
        Self {
            revision: change.revision,
            kind,
            subject,
            value: (kind != v1::change::Kind::Deleted).then_some(value),
            previous,
        }
    }
}

/// An entity and what is known of it.
pub fn entity(entity: &v1::Entity) -> (Subject, Value) {
    let known = (
        &entity.properties,
        entity.created_revision,
        entity.modified_revision,
    );
    let name = name(entity.r#ref.as_ref());
    (Subject::Entity(name), format!("{known:?}"))
}

/// A relation, likewise.
pub fn relation(relation: &v1::Relation) -> (Subject, Value) {
    let known = (
        &relation.properties,
        relation.created_revision,
        relation.modified_revision,
    );
    let subject = Subject::Relation {
        from: name(relation.from.as_ref()),
        label: relation.relation.clone(),
        to: name(relation.to.as_ref()),
    };
    (subject, format!("{known:?}"))
}

/// A value of the document, likewise.
pub fn node(node: &v1::Node) -> (Subject, Value) {
    (
        Subject::Node(node.path.clone()),
        format!("{:?}", node.value),
    )
}

fn name(key: Option<&v1::EntityRef>) -> Name {
    let key = key.expect("it is named");
    Name {
        kind: key.kind.clone(),
        name: key.name.clone(),
    }
}
