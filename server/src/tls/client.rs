//! A client's certificate, which its connection shows once and its calls are judged by for as long as it stands.
//!
//! A handshake tells that it was good then. A connection may live for months, so what ends a certificate is kept: its time, and
//! the authorities that vouched for it, whom the operator may have replaced since.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;

use super::subject::{SEQUENCE, common_name, expect, take};

const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The authorities of clients that a server had at some time, by what their file held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Authorities(pub u128);

/// A certificate that was verified, with a name.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The common name of its subject.
    pub name: Arc<str>,
    /// Until when it is good, in milliseconds since 1970.
    pub expires_ms: u64,
    /// Who vouched for it.
    pub authorities: Authorities,
    /// The SHA-256 of the certificate.
    pub digest: [u8; 32],
    /// It, and what was shown with it to lead to an authority.
    pub chain: Arc<[CertificateDer<'static>]>,
}

impl ClientCertificate {
    /// Of a chain that was verified; `None`, where the first has no name or no end that can be read.
    pub(super) fn of(chain: &[CertificateDer<'_>], authorities: Authorities) -> Option<Self> {
        let own = chain.first()?;
        let mut sum = [0; 32];
        sum.copy_from_slice(digest(&SHA256, own).as_ref());
        Some(Self {
            name: common_name(own)?,
            expires_ms: not_after_s(own)?.checked_mul(1_000)?,
            authorities,
            digest: sum,
            chain: chain
                .iter()
                .cloned()
                .map(CertificateDer::into_owned)
                .collect(),
        })
    }
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ClientCertificate({:?}, until {})",
            self.name, self.expires_ms
        )
    }
}

/// The end of a certificate's time, in seconds since 1970. `webpki` compares it and does not tell it.
fn not_after_s(mut certificate: &[u8]) -> Option<u64> {
    let mut whole = expect(&mut certificate, SEQUENCE)?;
    let mut signed = expect(&mut whole, SEQUENCE)?;
    // The version, which the first of them did not have, and the serial number.
    if take(&mut signed)?.0 == VERSION {
        take(&mut signed)?;
    }
    let (_algorithm, _issuer) = (take(&mut signed)?, take(&mut signed)?);
    let mut validity = expect(&mut signed, SEQUENCE)?;
    let _not_before = take(&mut validity)?;
    let (tag, text) = take(&mut validity)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    match (tag, text.len()) {
        (GENERALIZED_TIME, 14) => seconds(number(&text[..4])?, &text[4..]),
        // RFC 5280: from 1950 to 2049.
        (UTC_TIME, 12) => {
            let year = number(&text[..2])?;
            seconds(year + if year < 50 { 2_000 } else { 1_900 }, &text[2..])
        }
        _ => None,
    }
}

/// Seconds since 1970 of a year, and of month, day, hour, minute and second with two digits each.
fn seconds(year: u64, rest: &str) -> Option<u64> {
    let part = |i: usize| number(rest.get(2 * i..2 * i + 2)?);
    let (month, day, hour, minute, second) = (part(0)?, part(1)?, part(2)?, part(3)?, part(4)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the odd day is the last of one.
    let (year, month) = match month {
        1 | 2 => (year.checked_sub(1)?, month + 9),
        _ => (year, month - 3),
    };
    let leaps = year / 4 - year / 100 + year / 400;
    let days = 365 * year + leaps + (153 * month + 2) / 5 + day - 1;
    // The days from March of the year 0 to 1970.
    Some((days.checked_sub(719_468)? * 24 + hour) * 3_600 + minute * 60 + second)
}

fn number(digits: &str) -> Option<u64> {
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    fn ending(year: i32, month: u8, day: u8) -> ClientCertificate {
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("a name");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "checkout");
        params.not_after = date_time_ymd(year, month, day);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let read = ClientCertificate::of(&[certificate.der().clone()], Authorities(7));
        read.expect("it has a name")
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_either_form() {
        // `date -u -d 2031-03-01 +%s`, and so on.
        for ((year, month, day), end_s) in [
            ((2_031, 3, 1), 1_930_089_600),
            ((2_032, 2, 29), 1_961_625_600),
            ((2_049, 12, 31), 2_524_521_600),
            ((2_050, 1, 1), 2_524_608_000),
            ((4_096, 1, 1), 67_090_118_400),
            ((9_999, 12, 31), 253_402_214_400),
            ((1_999, 12, 31), 946_598_400),
        ] {
            let read = ending(year, month, day);
            assert_eq!(read.expires_ms, end_s * 1_000, "{year}-{month}-{day}");
            assert_eq!(
                (&*read.name, read.authorities),
                ("checkout", Authorities(7))
            );
        }
    }

    #[test]
    fn the_time_of_day_counts_and_what_is_no_time_is_none() {
        assert_eq!(seconds(1_970, "0101000000"), Some(0));
        assert_eq!(seconds(2_026, "0228235959"), Some(1_772_323_199));
        for bad in [
            "",
            "0101",
            "13010000",
            "0001000000",
            "0100000000",
            "01a1000000",
        ] {
            assert_eq!(seconds(2_026, bad), None, "{bad}");
        }
        assert_eq!(seconds(1_969, "1231235959"), None);
    }

    #[test]
    fn bytes_that_are_cut_short_have_no_end() {
        let whole = ending(2_031, 3, 1).chain[0].to_vec();
        assert!(not_after_s(&whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(not_after_s(&whole[..end]), None, "{end}");
        }
    }
}
