//! Conditions: when a step runs, as a value that a program can take apart.
//!
//! `{"equals": [a, b]}`, `not_equals`, `less`, `less_or_equal`, `greater`, `greater_or_equal`, `{"in": [a, list]}`,
//! `{"exists": "${ref}"}`, `{"all": [c, ..]}`, `{"any": [c, ..]}`, `{"not": c}`, or a boolean, which a reference may give. Nothing
//! else is true or false: what a condition cannot judge fails the step rather than let it pass.

use super::reference::{Found, Lookup, Reference};
use super::template::Template;
use crate::error::Fault;
use crate::limits::JSON_DEPTH;
use crate::model::Value;

/// A condition of a definition, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition(Node);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Always,
    Truth(Template),
    Compare(Comparison, Template, Template),
    In(Template, Template),
    Exists(Reference),
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equals,
    NotEquals,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    const ALL: [(&'static str, Self); 6] = [
        ("equals", Self::Equals),
        ("not_equals", Self::NotEquals),
        ("less", Self::Less),
        ("less_or_equal", Self::LessOrEqual),
        ("greater", Self::Greater),
        ("greater_or_equal", Self::GreaterOrEqual),
    ];

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, one)| *one == self)
            .map_or("", |(name, _)| name)
    }
}

impl Condition {
    /// Parses a condition; `null` always holds.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its path inside the value.
    pub fn parse(value: &Value) -> Result<Self, Vec<Fault>> {
        if matches!(value, Value::Null) {
            return Ok(Self(Node::Always));
        }
        let mut faults = Vec::new();
        let node = parse(value, "", 0, &mut faults);
        match (node, faults.is_empty()) {
            (Some(node), true) => Ok(Self(node)),
            _ => Err(faults),
        }
    }

    /// Its references, in the order of the definition, each with where it stands inside the value.
    #[must_use]
    pub fn references(&self) -> Vec<(String, &Reference)> {
        let mut out = Vec::new();
        collect(&self.0, "", &mut out);
        out
    }

    /// Whether it holds. `all` and `any` look no further than they must.
    ///
    /// # Errors
    /// What cannot be compared, or is neither true nor false.
    pub fn holds(&self, lookup: &dyn Lookup) -> Result<bool, Fault> {
        holds(&self.0, lookup)
    }
}

fn parse(value: &Value, at: &str, depth: usize, faults: &mut Vec<Fault>) -> Option<Node> {
    let mut wrong = |reason: String| {
        faults.push(Fault::new(at, reason));
        None
    };
    if depth > JSON_DEPTH {
        return wrong(format!("is nested deeper than {JSON_DEPTH} levels"));
    }
    let members = match value {
        Value::Object(members) => members,
        Value::Bool(_) | Value::String(_) => {
            let template = template(value, at, faults)?;
            return match template.type_name() {
                None | Some("a boolean") => Some(Node::Truth(template)),
                Some(name) => {
                    let reason = format!("is {name}, where a condition or a boolean must stand");
                    faults.push(Fault::new(at, reason));
                    None
                }
            };
        }
        other => {
            return wrong(format!(
                "is {}, where a condition or a boolean must stand",
                other.type_name()
            ));
        }
    };
    let mut all = members.iter();
    let (Some((operator, operand)), None) = (all.next(), all.next()) else {
        return wrong(format!(
            "must have exactly one member, named {}",
            operators()
        ));
    };
    let below = if at.is_empty() {
        operator.to_string()
    } else {
        format!("{at}.{operator}")
    };
    if let Some((_, comparison)) = Comparison::ALL.iter().find(|(n, _)| *n == &**operator) {
        let (left, right) = pair(operand, &below, faults)?;
        return Some(Node::Compare(*comparison, left, right));
    }
    match &**operator {
        "in" => {
            let (item, list) = pair(operand, &below, faults)?;
            match list.type_name() {
                None | Some("a list") => Some(Node::In(item, list)),
                Some(name) => {
                    let reason = format!("is {name}, where a list must stand");
                    faults.push(Fault::new(format!("{below}[1]"), reason));
                    None
                }
            }
        }
        "exists" => {
            let whole = template(operand, &below, faults)?.whole().cloned();
            if whole.is_none() {
                faults.push(Fault::new(below, "must be one reference and nothing else"));
            }
            Some(Node::Exists(whole?))
        }
        "all" => Some(Node::All(several(operand, &below, depth, faults)?)),
        "any" => Some(Node::Any(several(operand, &below, depth, faults)?)),
        "not" => Some(Node::Not(Box::new(parse(
            operand,
            &below,
            depth + 1,
            faults,
        )?))),
        other => wrong(format!("has {other:?}, which is none of {}", operators())),
    }
}

fn operators() -> String {
    let mut names: Vec<&str> = Comparison::ALL.iter().map(|(name, _)| *name).collect();
    names.extend(["in", "exists", "all", "any", "not"]);
    names.join(", ")
}

fn template(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<Template> {
    Template::parse(value)
        .map_err(|found| faults.extend(found.into_iter().map(|fault| fault.under(at))))
        .ok()
}

fn pair(value: &Value, at: &str, faults: &mut Vec<Fault>) -> Option<(Template, Template)> {
    let two = value.as_list().filter(|items| items.len() == 2);
    let Some((left, right)) = two.and_then(|items| Some((items.get(0)?, items.get(1)?))) else {
        faults.push(Fault::new(at, "must be a list of two"));
        return None;
    };
    let left = template(left, &format!("{at}[0]"), faults);
    let right = template(right, &format!("{at}[1]"), faults);
    left.zip(right)
}

fn several(value: &Value, at: &str, depth: usize, faults: &mut Vec<Fault>) -> Option<Vec<Node>> {
    let Some(items) = value.as_list() else {
        faults.push(Fault::new(at, "must be a list of conditions"));
        return None;
    };
    // All of them are parsed before the first fault ends it: whoever reads the faults wants every one.
    let nodes: Vec<Option<Node>> = items
        .iter()
        .enumerate()
        .map(|(i, item)| parse(item, &format!("{at}[{i}]"), depth + 1, faults))
        .collect();
    nodes.into_iter().collect()
}

fn collect<'a>(node: &'a Node, at: &str, out: &mut Vec<(String, &'a Reference)>) {
    let below = |name: &str| {
        if at.is_empty() {
            name.to_owned()
        } else {
            format!("{at}.{name}")
        }
    };
    let mut of = |template: &'a Template, at: &str| {
        let references = template.references().into_iter();
        out.extend(
            references.map(|(inner, reference)| (Fault::new(inner, "").under(at).field, reference)),
        );
    };
    match node {
        Node::Always => {}
        Node::Truth(template) => of(template, at),
        Node::Compare(comparison, left, right) => {
            let at = below(comparison.name());
            of(left, &format!("{at}[0]"));
            of(right, &format!("{at}[1]"));
        }
        Node::In(item, list) => {
            let at = below("in");
            of(item, &format!("{at}[0]"));
            of(list, &format!("{at}[1]"));
        }
        Node::Exists(reference) => out.push((below("exists"), reference)),
        Node::All(nodes) => several_of(nodes, &below("all"), out),
        Node::Any(nodes) => several_of(nodes, &below("any"), out),
        Node::Not(node) => collect(node, &below("not"), out),
    }
}

fn several_of<'a>(nodes: &'a [Node], at: &str, out: &mut Vec<(String, &'a Reference)>) {
    for (i, node) in nodes.iter().enumerate() {
        collect(node, &format!("{at}[{i}]"), out);
    }
}

fn holds(node: &Node, lookup: &dyn Lookup) -> Result<bool, Fault> {
    match node {
        Node::Always => Ok(true),
        Node::Truth(template) => match template.fill(lookup)? {
            Value::Bool(truth) => Ok(truth),
            other => Err(Fault::new(
                "",
                format!(
                    "comes to {}, which is neither true nor false",
                    other.type_name()
                ),
            )),
        },
        Node::Compare(comparison, left, right) => {
            let (left, right) = (left.fill(lookup)?, right.fill(lookup)?);
            compare(*comparison, &left, &right)
                .map_err(|reason| Fault::new(comparison.name(), reason))
        }
        Node::In(item, list) => {
            let (item, list) = (item.fill(lookup)?, list.fill(lookup)?);
            let items = list.as_list().ok_or_else(|| {
                let reason = format!("looks into {}, where a list must stand", list.type_name());
                Fault::new("in", reason)
            })?;
            Ok(items.iter().any(|one| equal(one, &item)))
        }
        Node::Exists(reference) => match lookup.find(reference) {
            Found::Value(value) => Ok(!matches!(value, Value::Null)),
            Found::Nothing | Found::Later => Ok(false),
        },
        Node::All(nodes) => {
            for node in nodes {
                if !holds(node, lookup)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Node::Any(nodes) => {
            for node in nodes {
                if holds(node, lookup)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Node::Not(node) => Ok(!holds(node, lookup)?),
    }
}

/// Two zeros of different sign are two values of the graph, and one number to whoever compares them.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        #[expect(clippy::float_cmp, reason = "equal is what was asked for")]
        (Value::Number(left), Value::Number(right)) => left == right,
        _ => left == right,
    }
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> Result<bool, String> {
    use std::cmp::Ordering;
    let ordering = match comparison {
        Comparison::Equals => return Ok(equal(left, right)),
        Comparison::NotEquals => return Ok(!equal(left, right)),
        _ => match (left, right) {
            (Value::Number(left), Value::Number(right)) => left.partial_cmp(right),
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            _ => None,
        },
    };
    let ordering = ordering.ok_or_else(|| {
        format!(
            "compares {} with {}, where two numbers or two strings must stand",
            left.type_name(),
            right.type_name()
        )
    })?;
    Ok(match comparison {
        Comparison::Less => ordering == Ordering::Less,
        Comparison::LessOrEqual => ordering != Ordering::Greater,
        Comparison::Greater => ordering == Ordering::Greater,
        Comparison::GreaterOrEqual => ordering != Ordering::Less,
        Comparison::Equals => ordering == Ordering::Equal,
        Comparison::NotEquals => ordering != Ordering::Equal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Object;

    fn condition(json: &str) -> Result<Condition, Vec<Fault>> {
        Condition::parse(&Value::from_json(json.as_bytes()).expect("JSON"))
    }

    fn judged(json: &str) -> Result<bool, Fault> {
        let inputs = br#"{"n":3,"s":"b","yes":true,"list":[1,"b"],"none":null}"#;
        let inputs = Value::from_json(inputs).expect("JSON");
        let inputs: &Object = inputs.as_object().expect("an object");
        condition(json).expect("a condition").holds(inputs)
    }

    #[test]
    fn each_operator_says_what_its_name_says() {
        for (json, expected) in [
            ("null", true),
            ("false", false),
            (r#""${inputs.yes}""#, true),
            (r#"{"equals":["${inputs.n}",3]}"#, true),
            (r#"{"equals":[0,-0.0]}"#, true),
            (r#"{"not_equals":["${inputs.n}","3"]}"#, true),
            (r#"{"less":["${inputs.n}",3]}"#, false),
            (r#"{"less_or_equal":["${inputs.n}",3]}"#, true),
            (r#"{"greater":["${inputs.s}","a"]}"#, true),
            (r#"{"greater_or_equal":["a","${inputs.s}"]}"#, false),
            (r#"{"in":["${inputs.s}","${inputs.list}"]}"#, true),
            (r#"{"in":[2,[1,"${inputs.n}"]]}"#, false),
            (r#"{"exists":"${inputs.n}"}"#, true),
            (r#"{"exists":"${inputs.none}"}"#, false),
            (r#"{"exists":"${inputs.absent.x}"}"#, false),
            (r#"{"all":[]}"#, true),
            (r#"{"any":[]}"#, false),
            (r#"{"all":[true,{"not":false},{"any":[false,true]}]}"#, true),
            (r#"{"equals":["${inputs.absent}",null]}"#, true),
        ] {
            assert_eq!(judged(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn what_cannot_be_judged_is_a_fault_and_not_false() {
        for json in [
            r#""${inputs.n}""#,
            r#""${inputs.absent}""#,
            r#"{"less":["${inputs.n}","3"]}"#,
            r#"{"less":["${inputs.absent}",3]}"#,
            r#"{"in":[1,"${inputs.n}"]}"#,
            r#"{"not":{"greater":[[1],[2]]}}"#,
        ] {
            assert!(judged(json).is_err(), "{json}");
        }
        assert_eq!(judged(r#"{"any":[true,"${inputs.n}"]}"#), Ok(true));
    }

    #[test]
    fn every_fault_is_told_with_its_path() {
        let faults = condition(
            r#"{"all":[{"equals":[1]},{"same":[1,2]},{"exists":"x ${inputs.n}"},{"not":{"less":["${x}","${y}"]}},3,{},{"in":[1,"x"]}]}"#,
        )
        .expect_err("faulty");
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "all[0].equals",
                "all[1]",
                "all[2].exists",
                "all[3].not.less[0]",
                "all[3].not.less[1]",
                "all[4]",
                "all[5]",
                "all[6].in[1]"
            ]
        );
    }

    #[test]
    fn references_are_told_with_where_they_stand() {
        let condition =
            condition(r#"{"any":[{"not":"${inputs.a}"},{"equals":[{"k":"${inputs.b}"},1]}]}"#);
        let condition = condition.expect("a condition");
        let places: Vec<String> = condition
            .references()
            .into_iter()
            .map(|(at, _)| at)
            .collect();
        assert_eq!(places, ["any[0].not", "any[1].equals[0].k"]);
    }
}
