//! Templates: values of a definition in which references stand, and what they become.
//!
//! A string that is exactly `${ref}` becomes the value with its type; in a longer text the value is inserted as text. Before a
//! `{`, two dollars are a dollar and an odd one begins a reference: `$${` is the text `${`, and `$$${x}` is a dollar and then a
//! reference. So every text can be written, which filling in twice needs.
//!
//! **Filling in twice.** The step of a `map` is filled in once with what its run knows, and then for each element with that
//! element. What came out of a value the first time is data and must not be read as a reference the second time, or whoever
//! chooses an input chooses what a step reads. [`Template::fill_first`] therefore writes every dollar that could be misread
//! twice, over whole texts rather than piece by piece: a `$` at the end of one value and a `{` at the beginning of the next
//! would else meet.

use std::fmt::Write as _;
use std::sync::Arc;

use super::reference::{Found, Lookup, Reference};
use crate::error::Fault;
use crate::limits::{FILLED_BYTES, JSON_DEPTH};
use crate::model::path::part;
use crate::model::{Object, Value};

/// A value of a definition, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Node);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    /// No reference in it: a clone is a pointer copy.
    Constant(Value),
    Whole(Reference),
    Text(Vec<Piece>),
    List(Vec<Node>),
    Object(Vec<(Arc<str>, Node)>),
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Reference(Reference),
}

impl Template {
    /// Parses a value of a definition.
    ///
    /// # Errors
    /// Everything that is wrong with its references, each with its path inside the value.
    pub fn parse(value: &Value) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let node = parse(value, "", 0, &mut faults);
        if faults.is_empty() {
            Ok(Self(node))
        } else {
            Err(faults)
        }
    }

    /// Its references, in the order of the definition, each with where it stands inside the value.
    #[must_use]
    pub fn references(&self) -> Vec<(String, &Reference)> {
        let mut out = Vec::new();
        collect(&self.0, "", &mut out);
        out
    }

    /// What it is without a run, where it has no references.
    #[must_use]
    pub fn constant(&self) -> Option<&Value> {
        match &self.0 {
            Node::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// The reference that it is, where it is nothing else.
    #[must_use]
    pub fn whole(&self) -> Option<&Reference> {
        match &self.0 {
            Node::Whole(reference) => Some(reference),
            _ => None,
        }
    }

    /// The template of each member, where it is an object.
    #[must_use]
    pub fn members(&self) -> Option<Vec<(Arc<str>, Self)>> {
        let members = match &self.0 {
            Node::Object(members) => members.clone(),
            Node::Constant(Value::Object(members)) => members
                .iter()
                .map(|(key, value)| (key.clone(), Node::Constant(value.clone())))
                .collect(),
            _ => return None,
        };
        let member = |(key, node)| (key, Self(node));
        Some(members.into_iter().map(member).collect())
    }

    /// What its value is for sure, whatever the references stand for: a reference alone can be anything.
    #[must_use]
    pub fn type_name(&self) -> Option<&'static str> {
        match &self.0 {
            Node::Constant(value) => Some(value.type_name()),
            Node::Whole(_) => None,
            Node::Text(_) => Some("a string"),
            Node::List(_) => Some("a list"),
            Node::Object(_) => Some("an object"),
        }
    }

    /// What it becomes. A reference that stands alone and leads to nothing becomes `Null`.
    ///
    /// # Errors
    /// In a longer text, a reference to nothing. Anywhere, one that is only known later, and more than [`FILLED_BYTES`].
    pub fn fill(&self, lookup: &dyn Lookup) -> Result<Value, Fault> {
        Filling::new(lookup, false).node(&self.0, 0)
    }

    /// What it becomes, if it is parsed and filled in once more: a reference that is only known later stays, and everything
    /// else is written so that it stands for itself.
    ///
    /// # Errors
    /// In a longer text, a reference to nothing. Anywhere, more than [`FILLED_BYTES`].
    pub fn fill_first(&self, lookup: &dyn Lookup) -> Result<Value, Fault> {
        Filling::new(lookup, true).node(&self.0, 0)
    }
}

fn parse(value: &Value, at: &str, depth: usize, faults: &mut Vec<Fault>) -> Node {
    if depth > JSON_DEPTH {
        let reason = format!("is nested deeper than {JSON_DEPTH} levels");
        faults.push(Fault::new(at, reason));
        return Node::Constant(Value::Null);
    }
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Node::Constant(value.clone()),
        Value::String(text) => parse_text(text).unwrap_or_else(|fault| {
            faults.push(fault.under(at));
            Node::Constant(Value::Null)
        }),
        Value::List(items) => {
            let node = |(i, item)| parse(item, &format!("{at}[{i}]"), depth + 1, faults);
            let nodes: Vec<Node> = items.iter().enumerate().map(node).collect();
            match nodes.iter().map(constant).collect::<Option<Vec<_>>>() {
                Some(values) => Node::Constant(Value::list(values)),
                None => Node::List(nodes),
            }
        }
        Value::Object(members) => {
            let node = |(key, member): (&Arc<str>, &Value)| {
                let node = parse(member, &below(at, key), depth + 1, faults);
                (key.clone(), node)
            };
            let nodes: Vec<(Arc<str>, Node)> = members.iter().map(node).collect();
            let values = nodes.iter().map(|(k, n)| Some((k.clone(), constant(n)?)));
            match values.collect::<Option<Object>>() {
                Some(values) => Node::Constant(Value::Object(values)),
                None => Node::Object(nodes),
            }
        }
    }
}

fn constant(node: &Node) -> Option<Value> {
    match node {
        Node::Constant(value) => Some(value.clone()),
        _ => None,
    }
}

fn below(at: &str, key: &str) -> String {
    if at.is_empty() {
        part(key)
    } else {
        format!("{at}.{}", part(key))
    }
}

fn parse_text(text: &str) -> Result<Node, Fault> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        // The brace and all dollars before it.
        let before = rest[..=at].trim_end_matches('$');
        let dollars = at + 1 - before.len();
        literal.push_str(before);
        literal.push_str(&"$".repeat(dollars / 2));
        rest = &rest[at + 2..];
        if dollars.is_multiple_of(2) {
            literal.push('{');
            continue;
        }
        let end = end_of_reference(rest).ok_or_else(|| {
            Fault::new(
                "",
                "has a `${` without a `}`; the text itself is written `$${`",
            )
        })?;
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Reference(Reference::parse(&rest[..end])?));
        rest = &rest[end + 1..];
    }
    literal.push_str(rest);
    match (pieces.as_slice(), literal.is_empty()) {
        ([], _) => return Ok(Node::Constant(Value::string(&literal))),
        ([Piece::Reference(only)], true) => return Ok(Node::Whole(only.clone())),
        (_, true) => {}
        (_, false) => pieces.push(Piece::Text(literal)),
    }
    Ok(Node::Text(pieces))
}

/// Where the reference that `rest` begins with is closed. A quoted part may hold a brace.
fn end_of_reference(rest: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn collect<'a>(node: &'a Node, at: &str, out: &mut Vec<(String, &'a Reference)>) {
    match node {
        Node::Constant(_) => {}
        Node::Whole(reference) => out.push((at.to_owned(), reference)),
        Node::Text(pieces) => out.extend(pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Reference(reference) => Some((at.to_owned(), reference)),
        })),
        Node::List(nodes) => {
            for (i, node) in nodes.iter().enumerate() {
                collect(node, &format!("{at}[{i}]"), out);
            }
        }
        Node::Object(members) => {
            for (key, node) in members {
                collect(node, &below(at, key), out);
            }
        }
    }
}

/// One filling: what is known, and how much more may come out.
struct Filling<'a> {
    lookup: &'a dyn Lookup,
    first: bool,
    left: usize,
}

impl<'a> Filling<'a> {
    fn new(lookup: &'a dyn Lookup, first: bool) -> Self {
        Self {
            lookup,
            first,
            left: FILLED_BYTES,
        }
    }

    fn node(&mut self, node: &Node, depth: usize) -> Result<Value, Fault> {
        match node {
            Node::Constant(value) => Ok(self.kept(value)),
            Node::Whole(reference) => self.whole(reference, depth),
            Node::Text(pieces) => self.text(pieces),
            Node::List(nodes) => {
                let mut items = Vec::with_capacity(nodes.len());
                for (i, node) in nodes.iter().enumerate() {
                    let item = self.node(node, depth + 1);
                    items.push(item.map_err(|fault| fault.under(&format!("[{i}]")))?);
                }
                Ok(Value::list(items))
            }
            Node::Object(nodes) => {
                let mut members = Object::new();
                for (key, node) in nodes {
                    let member = self.node(node, depth + 1);
                    members.insert(
                        key.clone(),
                        member.map_err(|fault| fault.under(&part(key)))?,
                    );
                }
                Ok(Value::Object(members))
            }
        }
    }

    /// A value as it has to be written, so that it is this value when everything is filled in.
    fn kept(&self, value: &Value) -> Value {
        if self.first {
            escaped_value(value)
        } else {
            value.clone()
        }
    }

    fn whole(&mut self, reference: &Reference, depth: usize) -> Result<Value, Fault> {
        match self.lookup.find(reference) {
            Found::Value(value) => {
                self.spend(value.weight())?;
                if depth + value.depth() > JSON_DEPTH {
                    let reason =
                        format!("{reference} would be nested deeper than {JSON_DEPTH} levels here");
                    return Err(Fault::new("", reason));
                }
                Ok(self.kept(&value))
            }
            Found::Nothing => Ok(Value::Null),
            Found::Later if self.first => Ok(Value::string(&reference.to_string())),
            Found::Later => Err(only_later(reference)),
        }
    }

    fn text(&mut self, pieces: &[Piece]) -> Result<Value, Fault> {
        let mut out = String::new();
        // What stands for itself and is not in `out` yet: escaped only as a whole.
        let mut literal = String::new();
        for piece in pieces {
            let reference = match piece {
                Piece::Text(text) => {
                    literal.push_str(text);
                    continue;
                }
                Piece::Reference(reference) => reference,
            };
            match self.lookup.find(reference) {
                Found::Nothing | Found::Value(Value::Null) => {
                    let reason = format!("{reference} is nothing, and stands inside a text");
                    return Err(Fault::new("", reason));
                }
                Found::Value(Value::String(text)) => {
                    self.spend(text.len())?;
                    literal.push_str(&text);
                }
                Found::Value(value) => {
                    let json = value.to_json();
                    self.spend(json.len())?;
                    literal.push_str(&json);
                }
                Found::Later if self.first => {
                    escape(&std::mem::take(&mut literal), true, &mut out);
                    // Writing to a String does not fail.
                    let _ = write!(out, "{reference}");
                }
                Found::Later => return Err(only_later(reference)),
            }
        }
        if self.first {
            escape(&literal, false, &mut out);
        } else {
            out = literal;
        }
        Ok(Value::String(out.into()))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Fault::new(
                "",
                format!("would have more than {FILLED_BYTES} bytes with its references filled in"),
            )),
        }
    }
}

fn only_later(reference: &Reference) -> Fault {
    Fault::new(
        "",
        format!("{reference} is only known inside the step of a map"),
    )
}

/// Writes `text` so that it is parsed as itself: dollars before a brace are doubled, and so are those at the end where a
/// reference follows.
fn escape(text: &str, reference_follows: bool, out: &mut String) {
    let mut dollars = 0;
    for c in text.chars() {
        if c == '{' {
            out.push_str(&"$".repeat(dollars));
        }
        dollars = if c == '$' { dollars + 1 } else { 0 };
        out.push(c);
    }
    if reference_follows {
        out.push_str(&"$".repeat(dollars));
    }
}

fn escaped_value(value: &Value) -> Value {
    match value {
        Value::String(text) if text.contains("${") => {
            let mut out = String::with_capacity(text.len() + 8);
            escape(text, false, &mut out);
            Value::String(out.into())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        Value::List(items) => Value::list(items.iter().map(escaped_value)),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, member)| (key.clone(), escaped_value(member)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference::{Element, Root};
    use super::*;
    use proptest::prelude::*;

    fn value(json: &str) -> Value {
        Value::from_json(json.as_bytes()).expect("JSON")
    }

    fn template(json: &str) -> Template {
        Template::parse(&value(json)).expect("a template")
    }

    fn inputs(json: &str) -> Object {
        value(json).as_object().expect("an object").clone()
    }

    /// Inputs are known, elements are later.
    struct First(Object);
    impl Lookup for First {
        fn find(&self, reference: &Reference) -> Found {
            match reference.root {
                Root::Item | Root::Index => Found::Later,
                _ => self.0.find(reference),
            }
        }
    }

    #[test]
    fn a_reference_alone_keeps_its_type_and_one_in_a_text_becomes_text() {
        let filled = template(
            r#"{"a":"${inputs.n}","b":"n=${inputs.n}, o=${inputs.o}","c":["$${x}","$5","$$${inputs.n}"],"d":"${inputs.none}"}"#,
        )
        .fill(&inputs(r#"{"n":3,"o":{"k":[1,"x"]}}"#));
        assert_eq!(
            filled,
            Ok(value(
                r#"{"a":3,"b":"n=3, o={\"k\":[1,\"x\"]}","c":["${x}","$5","$3"],"d":null}"#
            ))
        );
    }

    #[test]
    fn every_fault_is_told_with_its_path() {
        let faults = Template::parse(&value(
            r#"{"a":["x","${bad}"],"b":{"c d":"${","e.f":"${inputs}"}}"#,
        ))
        .expect_err("faulty");
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["a[1]", "b.c d", "b.\"e.f\""]);
    }

    #[test]
    fn references_are_told_with_where_they_stand() {
        let template = template(r#"{"a":["${inputs.x}-${run.id}"],"b":"${steps.s.result.\"}\"}"}"#);
        let references: Vec<String> = template
            .references()
            .into_iter()
            .map(|(at, reference)| format!("{at}={reference}"))
            .collect();
        assert_eq!(
            references,
            [
                "a[0]=${inputs.x}",
                "a[0]=${run.id}",
                r#"b=${steps.s.result."}"}"#
            ]
        );
    }

    #[test]
    fn nothing_inside_a_text_is_a_fault_and_so_is_an_element_outside_of_a_list() {
        let fault = template(r#"{"a":["x ${inputs.x}"]}"#).fill(&Object::new());
        assert_eq!(fault.expect_err("nothing").field, "a[0]");
        let fault = template(r#"{"a":"${item}"}"#).fill(&First(Object::new()));
        assert_eq!(fault.expect_err("no element").field, "a");
    }

    #[test]
    fn what_would_grow_beyond_the_bound_is_refused() {
        let long = Object::unit("x".into(), Value::string(&"y".repeat(FILLED_BYTES / 2)));
        let thrice = template(r#"["${inputs.x}","${inputs.x}","${inputs.x}"]"#);
        let fault = thrice.fill(&long).expect_err("too much");
        assert!(fault.reason.contains("bytes"), "{fault}");
        let text = template(r#""${inputs.x}${inputs.x}${inputs.x}""#);
        assert!(text.fill(&long).is_err());
    }

    #[test]
    fn data_is_not_read_as_a_reference_when_a_step_of_a_map_is_filled_in_twice() {
        let known = First(inputs(
            r#"{"evil":"${run.actor}","open":"{item}","d":"$","list":["$${item}",{"k":"$$${index}"}]}"#,
        ));
        let step = template(
            r#"{"a":"${inputs.evil} ${item.n}","b":"${inputs.d}${inputs.open}","c":"${inputs.d}${item.n}","e":"${inputs.list}","f":"$${item}","g":"${index}"}"#,
        );
        let once = step.fill_first(&known).expect("filled");
        let item = value(r#"{"n":"${inputs.evil}"}"#);
        let twice = Template::parse(&once)
            .expect("a template again")
            .fill(&Element {
                item: &item,
                index: 7,
            });
        assert_eq!(
            twice,
            Ok(value(
                r#"{"a":"${run.actor} ${inputs.evil}","b":"${item}","c":"$${inputs.evil}","e":["$${item}",{"k":"$$${index}"}],"f":"${item}","g":7}"#
            ))
        );
    }

    /// Texts in which dollars and braces meet.
    fn texts() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop::sample::select(vec!["$", "{", "}", "item", "x", "${run.id}", "é"]),
            0..8,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn filling_in_twice_is_filling_in_once(
            pieces in prop::collection::vec((0..4_u8, texts()), 0..6), item in texts(),
        ) {
            // The text with everything known, and a template of it: literals, inputs and the element.
            let (mut written, mut expected, mut given) = (String::new(), String::new(), Object::new());
            let mut literal = String::new();
            for (i, (kind, text)) in pieces.iter().enumerate() {
                match kind {
                    0 => literal.push_str(text),
                    1 => {
                        escape(&std::mem::take(&mut literal), true, &mut written);
                        written.push_str("${item}");
                    }
                    _ => {
                        escape(&std::mem::take(&mut literal), true, &mut written);
                        let _ = write!(written, "${{inputs.x{i}}}");
                        given.insert(format!("x{i}").into(), Value::string(text));
                    }
                }
                expected.push_str(if *kind == 1 { &item } else { text });
            }
            escape(&literal, false, &mut written);
            let template = Template::parse(&Value::string(&written)).expect("a template");
            let once = template.fill_first(&First(given)).expect("filled");
            let item = Value::string(&item);
            let twice = Template::parse(&once).expect("a template again").fill(&Element { item: &item, index: 0 });
            prop_assert_eq!(twice, Ok(Value::string(&expected)));
        }

        #[test]
        fn no_text_is_parsed_with_a_panic_and_what_has_no_reference_is_itself(text in texts()) {
            if let Ok(template) = Template::parse(&Value::string(&text)) {
                if !text.contains("${") {
                    prop_assert_eq!(template.constant(), Some(&Value::string(&text)));
                }
                let _ = template.fill(&Object::new());
            }
        }
    }
}
