//! The name that a client's certificate gives its owner: the common name of its subject.
//!
//! rustls has verified the chain before this is asked, so what is read here was signed by the authority that the operator
//! named. Still nothing is guessed: a subject with no common name, with several, or with one in an encoding of the last
//! century has no name here, and its connection is one without a certificate.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The common name (2.5.4.3), as DER writes its object identifier.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
pub(super) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// Longest name that is taken. Users have shorter ones.
const NAME_BYTES: usize = 256;

/// The common name of a certificate's subject.
#[must_use]
pub(super) fn common_name(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    only_common_name(certificate.subject())
}

/// The only common name among the names of a subject: `SET { SEQUENCE { OID, string }, ... }, ...`.
fn only_common_name(mut names: &[u8]) -> Option<Arc<str>> {
    let mut found = None;
    while !names.is_empty() {
        let mut set = expect(&mut names, SET)?;
        while !set.is_empty() {
            let mut pair = expect(&mut set, SEQUENCE)?;
            let what = expect(&mut pair, OBJECT_IDENTIFIER)?;
            let (tag, value) = take(&mut pair)?;
            if what != COMMON_NAME {
                continue;
            }
            // Two would leave it to whoever reads them which one counts.
            if found.is_some() || ![UTF8_STRING, PRINTABLE_STRING, IA5_STRING].contains(&tag) {
                return None;
            }
            found = Some(value);
        }
    }
    let name = std::str::from_utf8(found?).ok()?;
    let is_one =
        !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(char::is_control);
    is_one.then(|| name.into())
}

pub(super) fn expect<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    take(rest)
        .filter(|(found, _)| *found == tag)
        .map(|(_, value)| value)
}

/// Takes one value off the front: its tag, and what it holds.
pub(super) fn take<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, after) = rest.split_first()?;
    let (&first, after) = after.split_first()?;
    // A length of 128 and more stands in the bytes that follow, whose number `first` tells.
    let (len, after) = match first {
        0..=0x7f => (usize::from(first), after),
        0x81 | 0x82 => {
            let (bytes, after) = after.split_at_checked(usize::from(first & 0x7f))?;
            let add = |len, byte: &u8| len << 8 | usize::from(*byte);
            (bytes.iter().fold(0, add), after)
        }
        _ => return None,
    };
    let (value, after) = after.split_at_checked(len)?;
    *rest = after;
    Some((tag, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    fn named(names: Vec<(DnType, DnValue)>) -> Option<Arc<str>> {
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("a name");
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (what, name) in names {
            params.distinguished_name.push(what, name);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        common_name(certificate.der())
    }

    fn text(text: &str) -> DnValue {
        DnValue::Utf8String(text.into())
    }

    #[test]
    fn the_common_name_is_found_among_the_others() {
        let names = vec![
            (DnType::CountryName, text("DE")),
            (DnType::OrganizationName, text(&"long".repeat(60))),
            (DnType::CommonName, text("checkout")),
        ];
        assert_eq!(named(names).as_deref(), Some("checkout"));
        let printable = DnValue::PrintableString("cart".try_into().expect("letters"));
        assert_eq!(
            named(vec![(DnType::CommonName, printable)]).as_deref(),
            Some("cart")
        );
    }

    #[test]
    fn what_is_no_name_is_none() {
        assert_eq!(named(vec![]), None);
        assert_eq!(named(vec![(DnType::OrganizationName, text("o"))]), None);
        for name in ["", "a\nb", &"x".repeat(NAME_BYTES + 1)] {
            assert_eq!(named(vec![(DnType::CommonName, text(name))]), None);
        }
        let wide = DnValue::BmpString("wide".try_into().expect("letters"));
        assert_eq!(named(vec![(DnType::CommonName, wide)]), None);
    }

    #[test]
    fn two_common_names_are_none() {
        let pair = |name: &[u8]| {
            let mut pair = vec![SET, 11, SEQUENCE, 9, OBJECT_IDENTIFIER, 3];
            pair.extend(COMMON_NAME);
            pair.extend([UTF8_STRING, 2]);
            pair.extend(name);
            pair
        };
        assert_eq!(only_common_name(&pair(b"ab")).as_deref(), Some("ab"));
        assert_eq!(only_common_name(&[pair(b"ab"), pair(b"cd")].concat()), None);
    }

    #[test]
    fn bytes_that_are_cut_short_are_none() {
        let whole = [
            SET,
            11,
            SEQUENCE,
            9,
            OBJECT_IDENTIFIER,
            3,
            0x55,
            4,
            3,
            UTF8_STRING,
            2,
            b'a',
            b'b',
        ];
        for end in 0..whole.len() {
            assert_eq!(only_common_name(&whole[..end]), None, "{end}");
        }
        assert_eq!(only_common_name(&[SET, 0x84, 255, 255, 255, 255]), None);
        assert!(only_common_name(&whole).is_some());
    }
}
