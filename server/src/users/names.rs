//! Names that people sign in by. A username never holds an `@` and an e-mail address always does, so that what somebody
//! signs in by is never both.

use std::fmt;

use kg_core::error::Fault;

/// Characters of a username, and of a key's name.
pub const NAME_CHARS: usize = 64;

/// Bytes of an e-mail address: what mail takes.
pub const EMAIL_BYTES: usize = 254;

/// Names that nobody may take: records use them for the server itself and for who has not signed in, and people read them so.
const RESERVED: [&str; 4] = ["amadeus", "anonymous", "nobody", "system"];

/// A username, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// 1 to 64 of `A-Za-z0-9._-`, a letter or a digit first.
    ///
    /// # Errors
    /// A fault of `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        let fault = |reason: String| Err(Fault::new(field, reason));
        if text.is_empty() {
            return fault("is required".into());
        }
        if text.len() > NAME_CHARS {
            let bytes = text.len();
            return fault(format!(
                "has {bytes} bytes, at most {NAME_CHARS} are allowed"
            ));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if let Some(bad) = text.chars().find(|&c| !allowed(c)) {
            let bad = bad.escape_debug();
            return fault(format!(
                "contains '{bad}': letters of ASCII, digits, '.', '_' and '-' are allowed"
            ));
        }
        if text.starts_with(['.', '-', '_']) {
            return fault("must begin with a letter or a digit".into());
        }
        Ok(Self(text.to_owned()))
    }

    /// The name that somebody is to have from now on: a username that is not kept back.
    ///
    /// # Errors
    /// A fault of `field`.
    pub fn parse_new(field: &str, text: &str) -> Result<Self, Fault> {
        let name = Self::parse(field, text)?;
        if RESERVED.contains(&&*name.folded()) {
            return Err(Fault::new(field, "is reserved: choose another"));
        }
        Ok(name)
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is compared.
    #[must_use]
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An e-mail address, as it was given. Whether it exists only a letter to it would tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Something before one `@` and something behind it, of printable ASCII.
    ///
    /// # Errors
    /// A fault of `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        let fault = |reason: String| Err(Fault::new(field, reason));
        if text.len() > EMAIL_BYTES {
            let bytes = text.len();
            return fault(format!(
                "has {bytes} bytes, at most {EMAIL_BYTES} are allowed"
            ));
        }
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
            let bad = bad.escape_debug();
            return fault(format!(
                "contains '{bad}': printable characters of ASCII are allowed"
            ));
        }
        match text.split_once('@') {
            Some((user, host)) if !user.is_empty() && !host.is_empty() && !host.contains('@') => {
                Ok(Self(text.to_owned()))
            }
            _ => fault("is no e-mail address: write somebody@somewhere".into()),
        }
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is compared.
    #[must_use]
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

/// A name as it is compared. All of them are ASCII, so no locale has a say.
pub(super) fn fold(text: &str) -> String {
    text.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_is_short_and_of_ascii() {
        let longest = "a".repeat(64);
        for good in ["a", "0", "Ann-Marie_2.x", &longest] {
            assert_eq!(
                Username::parse("username", good).expect(good).as_str(),
                good
            );
        }
        let too_long = "a".repeat(65);
        for bad in [
            "", ".a", "-a", "_a", "a b", "a@b", "é", "a\n", "a/b", "a\u{0}", &too_long,
        ] {
            let fault = Username::parse("username", bad).expect_err(bad);
            assert_eq!(fault.field, "username");
        }
        assert_eq!(Username::parse("u", "AnN").expect("good").folded(), "ann");
    }

    #[test]
    fn nobody_takes_a_name_that_records_use_for_somebody_else() {
        for reserved in ["amadeus", "Anonymous", "SYSTEM", "nobody"] {
            let fault = Username::parse_new("username", reserved).expect_err(reserved);
            assert_eq!(fault.field, "username");
            assert!(Username::parse("username", reserved).is_ok(), "{reserved}");
        }
        assert!(Username::parse_new("username", "nobody-else").is_ok());
        assert!(Username::parse_new("username", "a b").is_err());
    }

    #[test]
    fn an_email_address_has_two_sides() {
        for good in ["a@b", "Ann+x@example.org"] {
            assert!(Email::parse("email", good).is_ok(), "{good}");
        }
        let too_long = format!("{}@b", "a".repeat(253));
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a\r\n@c", &too_long] {
            assert_eq!(Email::parse("email", bad).expect_err(bad).field, "email");
        }
    }
}
