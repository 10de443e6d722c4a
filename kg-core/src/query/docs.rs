//! A page about one entity, in Markdown, and an index of all services. The same bytes for the same content.

use super::error::QueryError;
use crate::model::value::object_to_serde;
use crate::model::{
    Compensation, Entity, EntityId, EntityRef, Health, Kind, Label, Object, PatternBody,
    ServiceBody, Value,
};
use crate::snapshot::Snapshot;
use std::fmt::Write;

/// The page about `key`. Cost: O(its relations).
///
/// # Errors
/// It does not exist.
pub fn docs(snapshot: &Snapshot, key: &EntityRef) -> Result<String, QueryError> {
    let entity = snapshot
        .entity(key)
        .ok_or_else(|| QueryError::NotFound(key.clone()))?;
    let mut page = Page::titled(&key.name);
    match (entity.service(), entity.pattern()) {
        (Some(body), _) => service(snapshot, entity, body, &mut page),
        (None, Some(body)) => pattern(body, &mut page),
        (None, None) if entity.is_placeholder() => {
            page.paragraph("Others depend on this service, but it has not registered.");
            dependents(snapshot, entity, &mut page);
        }
        (None, None) => {
            page.facts(&[("Kind", key.kind.as_str())]);
        }
    }
    relations(snapshot, entity, &mut page);
    properties(&entity.properties, &mut page);
    Ok(page.0)
}

/// A table of every registered service. Cost: O(services + dependencies).
#[must_use]
pub fn docs_index(snapshot: &Snapshot) -> String {
    let mut page = Page::titled("Services");
    let rows: Vec<[String; 5]> = snapshot
        .names(&Kind::service(), None, false)
        .filter_map(|name| snapshot.service(name.as_str()))
        .filter_map(|entity| Some((entity, entity.service()?)))
        .map(|(entity, body)| {
            let needs: Vec<String> = snapshot
                .dependencies(entity)
                .iter()
                .map(|d| plain(d.service.as_str()))
                .collect();
            [
                plain(entity.key.name.as_str()),
                plain(&body.category),
                plain(&body.version),
                plain(&body.owner),
                needs.join(", "),
            ]
        })
        .collect();
    page.table(
        ["Service", "Category", "Version", "Owner", "Depends on"],
        &rows,
    );
    page.0
}

fn service(snapshot: &Snapshot, entity: &Entity, body: &ServiceBody, page: &mut Page) {
    page.paragraph(&body.description);
    let health = match body.health {
        Health::Unknown => "",
        known => known.as_str(),
    };
    page.facts(&[
        ("Category", &body.category),
        ("Version", &body.version),
        ("Owner", &body.owner),
        ("Health", health),
        ("Health check", &body.health_check),
        ("Metrics", &body.metrics),
        ("Schema", &body.schema.proto_path),
    ]);
    page.list("Capabilities", body.capabilities.iter().map(|c| plain(c)));
    page.heading_of_some(
        "Depends on",
        snapshot.dependencies(entity),
        |page, needed| {
            let rows: Vec<[String; 3]> = needed
                .iter()
                .map(|d| {
                    let optional = if d.optional { "yes" } else { "no" };
                    [
                        plain(d.service.as_str()),
                        plain(&d.version),
                        optional.to_owned(),
                    ]
                })
                .collect();
            page.table(["Service", "Version", "Optional"], &rows);
        },
    );
    dependents(snapshot, entity, page);
    page.heading_of_some(
        "Endpoints",
        body.endpoints.iter().collect(),
        |page, endpoints| {
            let rows: Vec<[String; 5]> = endpoints
                .iter()
                .map(|e| {
                    let types = match (e.input_type.as_str(), e.output_type.as_str()) {
                        ("", "") => String::new(),
                        (input, output) => format!("{} to {}", plain(input), plain(output)),
                    };
                    [
                        plain(&e.name),
                        plain(&e.method),
                        plain(&e.path),
                        types,
                        plain(&e.description),
                    ]
                })
                .collect();
            page.table(["Name", "Method", "Path", "Types", "Description"], &rows);
        },
    );
    page.list("Methods", body.schema.methods.iter().map(|m| plain(m)));
    page.list("Models", body.models.iter().map(|m| plain(m)));
}

fn dependents(snapshot: &Snapshot, entity: &Entity, page: &mut Page) {
    let mut users: Vec<&EntityRef> = Vec::new();
    if let Some(relations) = snapshot.relations(Label::depends_on().as_str()) {
        relations.adjacency().incoming(entity.id).for_each(|from| {
            users.extend(snapshot.by_id(EntityId::new(from)).map(|e| &e.key));
        });
    }
    users.sort();
    page.list("Needed by", users.into_iter().map(short));
}

/// A service by its name, anything else by kind and name.
fn short(key: &EntityRef) -> String {
    if key.is_service() {
        plain(key.name.as_str())
    } else {
        plain(&key.to_string())
    }
}

fn pattern(body: &PatternBody, page: &mut Page) {
    page.paragraph(&body.description);
    page.facts(&[
        ("Category", &body.category),
        ("Version", &body.version),
        ("Owner", &body.owner),
        ("Origin", &body.origin),
        ("Active", if body.active { "yes" } else { "no" }),
    ]);
    page.heading_of_some("Inputs", body.inputs.iter().collect(), |page, inputs| {
        let rows: Vec<[String; 5]> = inputs
            .iter()
            .map(|input| {
                let required = if input.required { "yes" } else { "no" };
                let default = match &input.default {
                    Value::Null => String::new(),
                    value => plain(&cell(value)),
                };
                [
                    plain(&input.name),
                    input.kind.name().to_owned(),
                    required.to_owned(),
                    default,
                    plain(&input.description),
                ]
            })
            .collect();
        page.table(
            ["Input", "Type", "Required", "Default", "Description"],
            &rows,
        );
    });
    page.heading_of_some("Steps", body.steps.iter().collect(), |page, steps| {
        let rows: Vec<[String; 7]> = steps
            .iter()
            .map(|step| {
                let undo = step.compensation.as_ref();
                [
                    plain(&step.id),
                    plain(&step.kind),
                    plain(&step.target),
                    plain(&step.action),
                    plain(&step.depends_on.join(", ")),
                    plain(&undo.map(deed).unwrap_or_default()),
                    plain(&step.description),
                ]
            })
            .collect();
        page.table(
            [
                "Step",
                "Type",
                "Target",
                "Action",
                "After",
                "Undone by",
                "Description",
            ],
            &rows,
        );
    });
    page.heading_of_some("Outputs", body.outputs.iter().collect(), |page, outputs| {
        let rows: Vec<[String; 4]> = outputs
            .iter()
            .map(|output| {
                [
                    plain(&output.name),
                    output.kind.name().to_owned(),
                    plain(&cell(&output.value)),
                    plain(&output.description),
                ]
            })
            .collect();
        page.table(["Output", "Type", "Value", "Description"], &rows);
    });
}

/// What undoes a step, in a few words.
fn deed(undo: &Compensation) -> String {
    let words = [&undo.kind, &undo.target, &undo.action];
    let said = words.iter().filter(|word| !word.is_empty());
    said.map(|word| word.as_str()).collect::<Vec<_>>().join(" ")
}

/// Relations of other labels than `depends_on` between services, which have sections of their own.
fn relations(snapshot: &Snapshot, entity: &Entity, page: &mut Page) {
    let mut rows: Vec<[String; 3]> = Vec::new();
    for (label, relations) in snapshot.relations_by_label() {
        if *label == Label::depends_on() && entity.key.is_service() {
            continue;
        }
        let mut both: Vec<(bool, &EntityRef)> = Vec::new();
        let mut add = |incoming: bool, other: u32| {
            both.extend(
                snapshot
                    .by_id(EntityId::new(other))
                    .map(|e| (incoming, &e.key)),
            );
        };
        relations
            .adjacency()
            .outgoing(entity.id)
            .for_each(|to| add(false, to));
        relations
            .adjacency()
            .incoming(entity.id)
            .for_each(|from| add(true, from));
        both.sort();
        rows.extend(both.into_iter().map(|(incoming, other)| {
            let (here, there) = ("this".to_owned(), plain(&other.to_string()));
            let (from, to) = if incoming {
                (there, here)
            } else {
                (here, there)
            };
            [from, plain(label.as_str()), to]
        }));
    }
    page.heading_of_some("Relations", rows, |page, rows| {
        page.table(["From", "Relation", "To"], rows);
    });
}

fn properties(properties: &Object, page: &mut Page) {
    page.heading_of_some(
        "Properties",
        properties.iter().collect(),
        |page, members| {
            let rows: Vec<[String; 2]> = members
                .iter()
                .map(|(key, value)| [plain(key), plain(&cell(value))])
                .collect();
            page.table(["Property", "Value"], &rows);
        },
    );
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Object(members) => object_to_serde(members).to_string(),
        other => other.to_json(),
    }
}

/// Text as Markdown that shows exactly that text: in a table, in a list, and nowhere as syntax or HTML. An underscore
/// inside a word is no syntax, and names are full of them.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let inside = before.is_alphanumeric() && rest.peek().is_some_and(|c| c.is_alphanumeric());
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '_' if inside => out.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
        before = c;
    }
    out
}

/// A page in the making; nothing of it is empty.
struct Page(String);

impl Page {
    fn titled(title: &(impl std::fmt::Display + ?Sized)) -> Self {
        Self(format!("# {}\n", plain(&title.to_string())))
    }

    fn paragraph(&mut self, text: &str) {
        if !text.trim().is_empty() {
            // Writing to a String does not fail.
            let _ = write!(self.0, "\n{}\n", plain(text.trim()));
        }
    }

    fn facts(&mut self, facts: &[(&str, &str)]) {
        let rows: Vec<[String; 2]> = facts
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(fact, value)| [(*fact).to_owned(), plain(value)])
            .collect();
        if !rows.is_empty() {
            self.table(["Fact", "Value"], &rows);
        }
    }

    fn list(&mut self, heading: &str, items: impl Iterator<Item = String>) {
        self.heading_of_some(heading, items.collect(), |page, items| {
            page.0.push('\n');
            for item in items {
                let _ = writeln!(page.0, "- {item}");
            }
        });
    }

    /// A heading and what stands below it, if there is anything.
    fn heading_of_some<T>(
        &mut self,
        heading: &str,
        items: Vec<T>,
        below: impl FnOnce(&mut Self, &[T]),
    ) {
        if !items.is_empty() {
            let _ = write!(self.0, "\n## {heading}\n");
            below(self, &items);
        }
    }

    fn table<const COLUMNS: usize>(&mut self, head: [&str; COLUMNS], rows: &[[String; COLUMNS]]) {
        let _ = write!(
            self.0,
            "\n| {} |\n|{}\n",
            head.join(" | "),
            " --- |".repeat(COLUMNS)
        );
        for row in rows {
            let _ = writeln!(self.0, "| {} |", row.join(" | "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(plain("user_mgmt"), "user_mgmt");
        assert_eq!(plain("_a_ | <b>\n`c`"), "\\_a\\_ \\| \\<b\\> \\`c\\`");
    }
}
