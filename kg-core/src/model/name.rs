//! Names, kinds and relation labels: the words by which everything in the graph is known.
//!
//! `parse` is the only way in, so that whoever holds a `Name` holds a valid one. All are reference-counted strings: a
//! clone is a pointer copy. Order is by bytes, which is also the order of every list and page.

use crate::error::Fault;
use crate::limits::{LABEL_BYTES, NAME_BYTES};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! word {
    ($(#[$doc:meta])* $type:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks a word that came from outside. `field` names it in the fault.
            ///
            /// # Errors
            /// A [`Fault`] that says which rule the word breaks.
            pub fn parse(field: &str, word: &str) -> Result<Self, Fault> {
                $check(word).map_err(|reason| Fault::new(field, reason))?;
                Ok(Self(Arc::from(word)))
            }

            /// The word as a string.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The shared string itself.
            #[must_use]
            pub fn shared(&self) -> Arc<str> {
                self.0.clone()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

word!(
    /// The name of an entity: 1 to 256 bytes of UTF-8 without control characters, and without white space at its ends.
    Name,
    check_name
);
word!(
    /// The kind of an entity: a word of letters, digits, `_`, `-` and `.`, beginning with a letter, at most 64 bytes.
    Kind,
    check_label
);
word!(
    /// The label of a relation, under the same rules as a [`Kind`].
    Label,
    check_label
);

impl Kind {
    /// The kind of every service.
    #[must_use]
    pub fn service() -> Self {
        static WORD: std::sync::LazyLock<Kind> =
            std::sync::LazyLock::new(|| Kind(Arc::from("service")));
        WORD.clone()
    }

    /// The kind of every pattern.
    #[must_use]
    pub fn pattern() -> Self {
        static WORD: std::sync::LazyLock<Kind> =
            std::sync::LazyLock::new(|| Kind(Arc::from("pattern")));
        WORD.clone()
    }
}

impl Label {
    /// The label of a dependency: `from` needs `to`.
    #[must_use]
    pub fn depends_on() -> Self {
        static WORD: std::sync::LazyLock<Label> =
            std::sync::LazyLock::new(|| Label(Arc::from("depends_on")));
        WORD.clone()
    }
}

fn check_name(word: &str) -> Result<(), String> {
    if word.is_empty() {
        return Err("must not be empty".into());
    }
    if word.len() > NAME_BYTES {
        return Err(format!(
            "has {} bytes, at most {NAME_BYTES} are allowed",
            word.len()
        ));
    }
    if let Some(bad) = word.chars().find(|c| c.is_control()) {
        return Err(format!(
            "must not contain the control character U+{:04X}",
            bad as u32
        ));
    }
    if word.trim() != word {
        return Err("must not begin or end with white space".into());
    }
    Ok(())
}

fn check_label(word: &str) -> Result<(), String> {
    if word.is_empty() {
        return Err("must not be empty".into());
    }
    if word.len() > LABEL_BYTES {
        return Err(format!(
            "has {} bytes, at most {LABEL_BYTES} are allowed",
            word.len()
        ));
    }
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !word.starts_with(|c: char| c.is_ascii_alphabetic()) || !word.chars().all(letters) {
        return Err(format!(
            "{word:?} must begin with a letter and hold only letters, digits, '_', '-' and '.'"
        ));
    }
    Ok(())
}

/// Checks a word of free vocabulary that is not a key by itself: a capability, a category, an owner.
///
/// # Errors
/// A [`Fault`] when it is empty, too long or holds a control character.
pub fn check_tag(field: &str, word: &str) -> Result<(), Fault> {
    check_name(word).map_err(|reason| Fault::new(field, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything_printable() {
        for good in ["a", "libstdc++6", "x/y", "größe", "a b", "A.B", "\"q\""] {
            assert!(Name::parse("name", good).is_ok(), "{good}");
        }
        for bad in ["", " a", "a\n", "a\u{7f}b", "\u{85}", &"x".repeat(257)] {
            assert!(Name::parse("name", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_kind_is_a_word() {
        for good in ["service", "data-store", "a1", "K8s.Pod"] {
            assert!(Kind::parse("kind", good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(Kind::parse("kind", bad).is_err(), "{bad:?}");
        }
    }
}
