//! The parameters of a step: templates by name, and two members that are more than templates.
//!
//! The `step` of a `map` is filled in for each element, so only what the run knows is filled in here (see
//! [`Template::fill_first`]). The `when` of a `choice` is a condition: it is judged here, and the step sees only whether it
//! holds, for a condition that was filled in and parsed again would read data as references.

use std::sync::Arc;

use super::condition::Condition;
use super::reference::{Lookup, Reference};
use super::step_type::{CHOICE, MAP};
use super::template::Template;
use crate::error::Fault;
use crate::model::path::part;
use crate::model::{Object, Value};

/// The parameters of a step, parsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(Vec<(Arc<str>, Member)>);

#[derive(Clone, Debug, PartialEq)]
enum Member {
    Template(Template),
    /// Filled in again for each element of a list.
    Inner(Template),
    Cases(Vec<Case>),
}

/// One case of a choice.
#[derive(Clone, Debug, PartialEq)]
struct Case {
    when: Condition,
    value: Template,
}

/// A reference of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed<'a> {
    /// Where it stands inside the parameters.
    pub at: String,
    /// What it says.
    pub reference: &'a Reference,
    /// Whether it may name the element of a list.
    pub in_list: bool,
}

impl Parameters {
    /// Parses the parameters of a step of this type.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its path inside them.
    pub fn parse(kind: &str, parameters: &Object) -> Result<Self, Vec<Fault>> {
        match Self::parse_what_can_be(kind, parameters) {
            (parsed, faults) if faults.is_empty() => Ok(parsed),
            (_, faults) => Err(faults),
        }
    }

    /// The members that can be parsed, and everything that is wrong with the others.
    pub(super) fn parse_what_can_be(kind: &str, parameters: &Object) -> (Self, Vec<Fault>) {
        let mut faults = Vec::new();
        let mut members = Vec::with_capacity(parameters.len());
        for (name, value) in parameters {
            let parsed = match (kind, &**name) {
                (MAP, "step") => Template::parse(value).map(Member::Inner),
                (CHOICE, "cases") => cases(value).map(Member::Cases),
                _ => Template::parse(value).map(Member::Template),
            };
            match parsed {
                Ok(member) => members.push((name.clone(), member)),
                Err(found) => faults.extend(found.into_iter().map(|f| f.under(&part(name)))),
            }
        }
        (Self(members), faults)
    }

    /// The template of a member, where it is one and nothing more.
    #[must_use]
    pub fn template(&self, name: &str) -> Option<&Template> {
        self.0.iter().find_map(|(n, member)| match member {
            Member::Template(template) | Member::Inner(template) if &**n == name => Some(template),
            _ => None,
        })
    }

    /// All references, in the order of their places.
    #[must_use]
    pub fn references(&self) -> Vec<Placed<'_>> {
        let mut out = Vec::new();
        for (name, member) in &self.0 {
            let name = part(name);
            let mut add = |found: Vec<(String, _)>, below: &str, in_list| {
                out.extend(found.into_iter().map(|(at, reference)| Placed {
                    at: Fault::new(at, "").under(below).field,
                    reference,
                    in_list,
                }));
            };
            match member {
                Member::Template(template) => add(template.references(), &name, false),
                Member::Inner(template) => add(template.references(), &name, true),
                Member::Cases(cases) => {
                    for (i, case) in cases.iter().enumerate() {
                        add(case.when.references(), &format!("{name}[{i}].when"), false);
                        add(
                            case.value.references(),
                            &format!("{name}[{i}].value"),
                            false,
                        );
                    }
                }
            }
        }
        out
    }

    /// What the step is called with.
    ///
    /// # Errors
    /// What cannot be filled in or judged, with its path inside the parameters.
    pub fn fill(&self, lookup: &dyn Lookup) -> Result<Object, Fault> {
        let mut out = Object::new();
        for (name, member) in &self.0 {
            let value = match member {
                Member::Template(template) => template.fill(lookup),
                Member::Inner(template) => template.fill_first(lookup),
                Member::Cases(cases) => judged(cases, lookup),
            };
            out.insert(
                name.clone(),
                value.map_err(|fault| fault.under(&part(name)))?,
            );
        }
        Ok(out)
    }
}

fn cases(value: &Value) -> Result<Vec<Case>, Vec<Fault>> {
    let Some(items) = value.as_list() else {
        return Err(vec![Fault::new("", "must be a list of cases")]);
    };
    let mut faults = Vec::new();
    let mut cases = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        match case(item) {
            Ok(case) => cases.push(case),
            Err(found) => faults.extend(found.into_iter().map(|f| f.under(&format!("[{i}]")))),
        }
    }
    if faults.is_empty() {
        Ok(cases)
    } else {
        Err(faults)
    }
}

fn case(value: &Value) -> Result<Case, Vec<Fault>> {
    let wrong = |field: &str, reason: &str| Err(vec![Fault::new(field, reason)]);
    let Some(members) = value.as_object() else {
        return wrong("", "must be an object of `when` and `value`");
    };
    if let Some(other) = members.keys().find(|k| !matches!(&***k, "when" | "value")) {
        return wrong(
            &part(other),
            "is not part of a case: it has `when` and `value`",
        );
    }
    let Some(when) = members.get("when") else {
        return wrong("when", "is missing");
    };
    let under = |name: &'static str| {
        move |faults: Vec<Fault>| -> Vec<Fault> {
            faults.into_iter().map(|fault| fault.under(name)).collect()
        }
    };
    let value = members.get("value").unwrap_or(&Value::Null);
    Ok(Case {
        when: Condition::parse(when).map_err(under("when"))?,
        value: Template::parse(value).map_err(under("value"))?,
    })
}

/// The cases up to the first that holds. Those before it have no value, and those behind it are not looked at: what they refer
/// to may be nothing.
fn judged(cases: &[Case], lookup: &dyn Lookup) -> Result<Value, Fault> {
    let mut out = Vec::with_capacity(cases.len());
    let mut found = false;
    for (i, case) in cases.iter().enumerate() {
        let under = |name: &str| {
            let place = format!("[{i}].{name}");
            move |fault: Fault| fault.under(&place)
        };
        let holds = !found && case.when.holds(lookup).map_err(under("when"))?;
        let mut members = Object::unit("when".into(), Value::Bool(holds));
        if holds {
            let value = case.value.fill(lookup).map_err(under("value"))?;
            members.insert("value".into(), value);
            found = true;
        }
        out.push(Value::Object(members));
    }
    Ok(Value::list(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> Object {
        let value = Value::from_json(json.as_bytes()).expect("JSON");
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn a_choice_is_judged_before_its_step_sees_it() {
        let parameters = Parameters::parse(
            CHOICE,
            &object(
                r#"{"cases":[{"when":{"exists":"${inputs.none}"},"value":"x ${inputs.none}"},
                    {"when":{"equals":["${inputs.evil}","${run.id}"]},"value":1},
                    {"when":{"exists":"${inputs.evil}"},"value":"${inputs.evil}"},
                    {"when":"${inputs.evil}","value":"${inputs.none}!"}],"default":"d"}"#,
            ),
        );
        let filled = parameters
            .expect("parameters")
            .fill(&object(r#"{"evil":"$${run.id}"}"#));
        assert_eq!(
            filled,
            Ok(object(
                r#"{"cases":[{"when":false},{"when":false},{"when":true,"value":"$${run.id}"},{"when":false}],"default":"d"}"#
            ))
        );
    }

    #[test]
    fn only_the_step_of_a_map_may_name_its_element() {
        let parameters =
            object(r#"{"items":"${inputs.list}","step":{"parameters":{"x":"${item}"}}}"#);
        let parameters = Parameters::parse(MAP, &parameters).expect("parameters");
        let told: Vec<(String, bool)> = parameters
            .references()
            .into_iter()
            .map(|placed| (placed.at, placed.in_list))
            .collect();
        assert_eq!(
            told,
            [
                ("items".to_owned(), false),
                ("step.parameters.x".to_owned(), true)
            ]
        );
    }
}
