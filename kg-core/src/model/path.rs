//! Dot paths: how documents and typed bodies are addressed.
//!
//! `path = part ('.' part | '[' index ']')*`; a part that holds a dot, a quote or a bracket is a JSON string in double
//! quotes: `services."my.service".dependencies[0]`.

use super::value::{Object, Value};
use crate::error::Fault;
use crate::limits::{JSON_DEPTH, PATH_BYTES};
use std::fmt;
use std::sync::Arc;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A member of an object.
    Key(Arc<str>),
    /// An item of a list.
    Index(usize),
}

/// A parsed path; its first part is always a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Part>);

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    /// A [`Fault`] of the field `path` that says at which byte it stopped and why.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        parse(text)
            .and_then(|path| short_when_written(path, text))
            .map_err(|reason| Fault::new("path", reason))
    }

    /// A path of these parts, which must begin with a key.
    #[must_use]
    pub fn from_parts(parts: Vec<Part>) -> Option<Self> {
        matches!(parts.first(), Some(Part::Key(_))).then_some(Self(parts))
    }

    /// The parts, first to last.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The first part: the section of the graph that the path is in.
    #[must_use]
    pub fn section(&self) -> &Arc<str> {
        match &self.0[0] {
            Part::Key(key) => key,
            Part::Index(_) => {
                unreachable!("a path begins with a key, `parse` and `from_parts` see to it")
            }
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(&self.0))
    }
}

/// The text of a sequence of parts.
#[must_use]
pub fn render(parts: &[Part]) -> String {
    let mut out = String::new();
    for p in parts {
        match p {
            Part::Key(key) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(&part(key));
            }
            Part::Index(i) => {
                out.push('[');
                out.push_str(&i.to_string());
                out.push(']');
            }
        }
    }
    out
}

/// The text of one key in a path, quoted where it must be.
#[must_use]
pub fn part(key: &str) -> String {
    let plain = !key.is_empty()
        && !key.contains(['.', '"', '[', ']'])
        && !key.chars().any(char::is_control);
    if plain {
        key.to_owned()
    } else {
        Value::string(key).to_json()
    }
}

fn parse(text: &str) -> Result<Path, String> {
    if text.is_empty() {
        return Err("must not be empty".into());
    }
    if text.len() > PATH_BYTES {
        return Err(format!(
            "has {} bytes, at most {PATH_BYTES} are allowed",
            text.len()
        ));
    }
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let at = text.len() - rest.len();
        if let Some(after) = rest.strip_prefix('[') {
            if parts.is_empty() {
                return Err("must begin with a key, not with an index".into());
            }
            let end = after
                .find(']')
                .ok_or_else(|| format!("has an unclosed '[' at byte {at}"))?;
            let digits = &after[..end];
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let index = plain.then(|| digits.parse::<u32>().ok()).flatten();
            let index = index.ok_or_else(|| {
                format!(
                    "has {digits:?} at byte {at}, where an index must be a whole number below 2^32"
                )
            })?;
            parts.push(Part::Index(index as usize));
            rest = &after[end + 1..];
        } else {
            let (key, after) = parse_key(rest, at)?;
            parts.push(Part::Key(key));
            rest = after;
        }
        if parts.len() > JSON_DEPTH {
            return Err(format!("has more than {JSON_DEPTH} parts"));
        }
        let at = text.len() - rest.len();
        match rest.chars().next() {
            None => return Ok(Path(parts)),
            Some('[') => {}
            Some('.') => {
                rest = &rest[1..];
                if rest.is_empty() || rest.starts_with(['.', '[']) {
                    return Err(format!("has an empty part after the '.' at byte {at}"));
                }
            }
            Some(c) => {
                return Err(format!(
                    "has {c:?} at byte {at}, where '.' or '[' must stand"
                ));
            }
        }
    }
}

/// A path is written into records and read back from them: `\b` is read from two bytes and written as six.
fn short_when_written(path: Path, text: &str) -> Result<Path, String> {
    if !text.contains('\\') {
        return Ok(path);
    }
    let bytes = path.to_string().len();
    if bytes > PATH_BYTES {
        return Err(format!(
            "has {bytes} bytes when each control character in it is written as \\uXXXX, at most {PATH_BYTES} are allowed"
        ));
    }
    Ok(path)
}

fn parse_key(rest: &str, at: usize) -> Result<(Arc<str>, &str), String> {
    if !rest.starts_with('"') {
        let end = rest.find(['.', '[', ']', '"']).unwrap_or(rest.len());
        let key = &rest[..end];
        if key.is_empty() {
            return Err(format!("has an empty part at byte {at}"));
        }
        if let Some(bad) = key.chars().find(|c| c.is_control()) {
            return Err(format!(
                "holds the control character U+{:04X}; quote the part",
                bad as u32
            ));
        }
        return Ok((Arc::from(key), &rest[end..]));
    }
    let mut escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let quoted = &rest[..=i];
                let key: String = serde_json::from_str(quoted)
                    .map_err(|e| format!("has a bad quoted part at byte {at}: {e}"))?;
                return Ok((Arc::from(key), &rest[i + 1..]));
            }
            _ => {}
        }
    }
    Err(format!("has an unclosed quote at byte {at}"))
}

/// Why a path did not lead where it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nothing stands at this prefix of the path.
    Missing(String),
    /// Something of another type stands at this prefix: the prefix, what the path needs there, and what is there.
    WrongType(String, &'static str, &'static str),
}

/// What stands at `parts` below `root`. Cost: O(parts x log members).
///
/// # Errors
/// [`Lost`], naming the first prefix that led nowhere.
pub fn get<'a>(root: &'a Object, parts: &[Part]) -> Result<&'a Value, Lost> {
    let Some((Part::Key(first), rest)) = parts.split_first() else {
        return Err(Lost::Missing(String::new()));
    };
    let mut here = root.get(first).ok_or_else(|| Lost::Missing(part(first)))?;
    for (i, p) in rest.iter().enumerate() {
        here = step(here, p, &parts[..=i], &parts[..i + 2])?;
    }
    Ok(here)
}

fn step<'a>(here: &'a Value, p: &Part, so_far: &[Part], with: &[Part]) -> Result<&'a Value, Lost> {
    match (p, here) {
        (Part::Key(key), Value::Object(members)) => {
            members.get(key).ok_or_else(|| Lost::Missing(render(with)))
        }
        (Part::Index(i), Value::List(items)) => {
            items.get(*i).ok_or_else(|| Lost::Missing(render(with)))
        }
        (Part::Key(_), other) => Err(Lost::WrongType(
            render(so_far),
            "an object",
            other.type_name(),
        )),
        (Part::Index(_), other) => {
            Err(Lost::WrongType(render(so_far), "a list", other.type_name()))
        }
    }
}

/// Puts `value` at `parts` below `root`. Missing parents are created; an index may equal the length of its list, which
/// appends. Cost: a copied path.
///
/// # Errors
/// [`Lost`]; `root` may then hold created parents, so the caller works on a copy.
pub fn set(root: &mut Object, parts: &[Part], value: Value) -> Result<(), Lost> {
    let Some((Part::Key(first), _)) = parts.split_first() else {
        return Err(Lost::Missing(String::new()));
    };
    if parts.len() == 1 {
        root.insert(first.clone(), value);
        return Ok(());
    }
    let here = root
        .entry(first.clone())
        .or_insert_with(|| empty_for(&parts[1]));
    put(here, parts, 1, value)
}

fn put(here: &mut Value, parts: &[Part], i: usize, value: Value) -> Result<(), Lost> {
    let last = i + 1 == parts.len();
    match (&parts[i], here) {
        (Part::Key(key), Value::Object(members)) => {
            if last {
                members.insert(key.clone(), value);
                return Ok(());
            }
            let next = members
                .entry(key.clone())
                .or_insert_with(|| empty_for(&parts[i + 1]));
            put(next, parts, i + 1, value)
        }
        (Part::Index(at), Value::List(items)) => {
            let items = Arc::make_mut(items);
            if *at > items.len() {
                return Err(Lost::Missing(render(&parts[..=i])));
            }
            if *at == items.len() {
                items.push_back(if last {
                    Value::Null
                } else {
                    empty_for(&parts[i + 1])
                });
            }
            let next = items
                .get_mut(*at)
                .ok_or_else(|| Lost::Missing(render(&parts[..=i])))?;
            if last {
                *next = value;
                return Ok(());
            }
            put(next, parts, i + 1, value)
        }
        (Part::Key(_), other) => Err(Lost::WrongType(
            render(&parts[..i]),
            "an object",
            other.type_name(),
        )),
        (Part::Index(_), other) => Err(Lost::WrongType(
            render(&parts[..i]),
            "a list",
            other.type_name(),
        )),
    }
}

/// Removes what stands at `parts` below `root` and returns it. Items behind a removed item move up.
///
/// # Errors
/// [`Lost`]; nothing is changed then.
pub fn remove(root: &mut Object, parts: &[Part]) -> Result<Value, Lost> {
    get(root, parts)?;
    let Some((Part::Key(first), rest)) = parts.split_first() else {
        return Err(Lost::Missing(String::new()));
    };
    let missing = || Lost::Missing(render(parts));
    if rest.is_empty() {
        return root.remove(first).ok_or_else(missing);
    }
    let mut here = root.get_mut(first).ok_or_else(missing)?;
    for p in &rest[..rest.len() - 1] {
        here = match (p, here) {
            (Part::Key(key), Value::Object(members)) => members.get_mut(key).ok_or_else(missing)?,
            (Part::Index(i), Value::List(items)) => {
                Arc::make_mut(items).get_mut(*i).ok_or_else(missing)?
            }
            _ => return Err(missing()),
        };
    }
    match (&rest[rest.len() - 1], here) {
        (Part::Key(key), Value::Object(members)) => members.remove(key).ok_or_else(missing),
        (Part::Index(i), Value::List(items)) if *i < items.len() => {
            Ok(Arc::make_mut(items).remove(*i))
        }
        _ => Err(missing()),
    }
}

fn empty_for(next: &Part) -> Value {
    match next {
        Part::Key(_) => Value::Object(Object::new()),
        Part::Index(_) => Value::list([]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back_as_it_was_written() {
        for good in [
            "a",
            "a.b[0].c",
            "a[0][1]",
            r#"a."b.c".d"#,
            r#""x[1]""#,
            "größe.x",
            "a b.c",
            r#"a."\"""#,
        ] {
            assert_eq!(Path::parse(good).expect(good).to_string(), good);
        }
    }

    #[test]
    fn a_bad_path_says_where() {
        for (bad, why) in [
            ("", "empty"),
            (".", "empty part"),
            ("a.", "empty part"),
            ("a..b", "empty part"),
            ("[0]", "begin with a key"),
            ("a[", "unclosed '['"),
            ("a[x]", "whole number"),
            ("a[-1]", "whole number"),
            ("a[99999999999]", "whole number"),
            ("a.\"b", "unclosed quote"),
            ("a\"b\"", "'.' or '['"),
            ("a]b", "'.' or '['"),
            ("a[0]b", "'.' or '['"),
            ("a.[0]", "empty part"),
        ] {
            let fault = Path::parse(bad).expect_err(bad);
            assert!(fault.reason.contains(why), "{bad}: {fault}");
        }
    }

    /// Such a path was accepted, written into a record, and the record could not be read again.
    #[test]
    fn a_path_that_would_be_too_long_when_written_is_refused() {
        let text = |count: usize| format!("\"{}\"", "\\b".repeat(count));
        let path = Path::parse(&text(600)).expect("3,602 bytes when written");
        assert_eq!(Path::parse(&path.to_string()), Ok(path));
        let fault = Path::parse(&text(1_000)).expect_err("6,002 bytes when written");
        assert!(fault.reason.contains("6002"), "{fault}");
    }

    #[test]
    fn set_creates_parents_and_appends_at_the_length() {
        let mut root = Object::new();
        let path = |t: &str| Path::parse(t).expect("valid");
        set(&mut root, path("a.b[0].c").parts(), Value::Number(1.0)).expect("created");
        set(&mut root, path("a.b[1]").parts(), Value::Bool(true)).expect("appended");
        assert_eq!(
            set(&mut root, path("a.b[3]").parts(), Value::Null),
            Err(Lost::Missing("a.b[3]".into()))
        );
        assert_eq!(
            set(&mut root, path("a.b.c").parts(), Value::Null),
            Err(Lost::WrongType("a.b".into(), "an object", "a list"))
        );
        assert_eq!(object_text(&root), r#"{"a":{"b":[{"c":1},true]}}"#);
        remove(&mut root, path("a.b[0]").parts()).expect("there");
        assert_eq!(object_text(&root), r#"{"a":{"b":[true]}}"#);
    }

    fn object_text(root: &Object) -> String {
        crate::model::value::object_json(root)
    }
}
