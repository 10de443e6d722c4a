//! Tests of access tokens.

use proptest::prelude::*;

use super::*;

const STORE: &str = "0123456789abcdef0123456789abcdef";
const NOW_MS: u64 = 1_800_000_000_123;
const NOW_S: u64 = NOW_MS / 1_000;

fn key(byte: u8) -> SigningKey {
    SigningKey::new(&[byte; 32]).expect("long enough")
}

fn claims() -> Claims {
    let session = SessionId("s1".into());
    Claims::new(UserId("u1".into()), session, NOW_MS)
}

fn token() -> String {
    key(1).sign(STORE, &claims())
}

fn verified(token: &str, now_ms: u64) -> Result<Claims, Refused> {
    verify(token, &[key(1), key(2)], STORE, now_ms).map(|(claims, _)| claims)
}

/// A token with this header and these claims, signed in order.
fn made(header: &str, claims: &str) -> String {
    let part = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = hmac::sign(&key(1).key, signed.as_bytes());
    format!(
        "{signed}.{}",
        Base64UrlUnpadded::encode_string(signature.as_ref())
    )
}

fn header(alg: &str, kid: &str, typ: &str) -> String {
    format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"{typ}"}}"#)
}

fn written(iss: &str, aud: &str, iat: u64, exp: u64) -> String {
    let sid = "s1";
    format!(
        r#"{{"iss":"{iss}","aud":"{aud}","sub":"u1","sid":"{sid}","iat":{iat},"exp":{exp},"jti":"1"}}"#,
    )
}

#[test]
fn what_was_signed_is_read_back() {
    let said = claims();
    for signer in [1, 2] {
        let token = key(signer).sign(STORE, &said);
        assert_eq!(verified(&token, NOW_MS), Ok(said.clone()));
    }
}

#[test]
fn a_token_is_good_for_its_lifetime_and_not_a_second_longer() {
    let token = token();
    let end = (NOW_S + LIFETIME_S) * 1_000;
    assert!(verified(&token, end - 1).is_ok());
    assert_eq!(verified(&token, end), Err(Refused::Expired));
}

#[test]
fn a_token_from_a_clock_that_is_ahead_is_refused_beyond_a_minute() {
    let token = token();
    assert!(verified(&token, (NOW_S - AHEAD_S) * 1_000).is_ok());
    let behind = (NOW_S - AHEAD_S) * 1_000 - 1;
    assert_eq!(verified(&token, behind), Err(Refused::Early));
}

#[test]
fn no_other_header_is_read_even_if_it_is_signed() {
    let id = key(1).id().to_owned();
    let good = written(STORE, STORE, NOW_S, NOW_S + 60);
    assert!(verified(&made(&header("HS256", &id, "at+jwt"), &good), NOW_MS).is_ok());
    let others = [
        header("none", &id, "at+jwt"),
        header("None", &id, "at+jwt"),
        header("HS512", &id, "at+jwt"),
        header("RS256", &id, "at+jwt"),
        header("HS256", &id, "JWT"),
        format!(r#"{{"alg":"HS256","kid":"{id}"}}"#),
        format!(r#"{{"kid":"{id}","alg":"HS256","typ":"at+jwt"}}"#),
        format!(r#"{{"alg":"HS256","kid":"{id}","typ":"at+jwt","jwk":{{}}}}"#),
        format!(r#"{{"alg":"HS256","kid":"{id}", "typ":"at+jwt"}}"#),
        String::new(),
    ];
    for header in others {
        let token = made(&header, &good);
        assert_eq!(
            verified(&token, NOW_MS),
            Err(Refused::Malformed),
            "{header}"
        );
    }
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let token = token();
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    assert_eq!(
        verified(&format!("{signed}."), NOW_MS),
        Err(Refused::Forged)
    );
    assert_eq!(verified(signed, NOW_MS), Err(Refused::Malformed));
}

#[test]
fn a_token_of_another_key_of_that_name_is_forged_and_of_another_name_unknown() {
    let token = key(3).sign(STORE, &claims());
    assert_eq!(verified(&token, NOW_MS), Err(Refused::UnknownKey));
    let mut parts: Vec<&str> = token.split('.').collect();
    let ours = key(1);
    parts[0] = &ours.header;
    assert_eq!(verified(&parts.join("."), NOW_MS), Err(Refused::Forged));
}

#[test]
fn a_token_of_another_store_is_refused() {
    let header = header("HS256", key(1).id(), "at+jwt");
    for (iss, aud) in [(STORE, "other"), ("other", STORE), ("other", "other")] {
        let token = made(&header, &written(iss, aud, NOW_S, NOW_S + 60));
        assert_eq!(verified(&token, NOW_MS), Err(Refused::Foreign));
    }
}

#[test]
fn a_token_that_would_be_good_for_too_long_is_refused() {
    let header = header("HS256", key(1).id(), "at+jwt");
    for exp in [NOW_S + LIFETIME_S + 1, u64::MAX] {
        let token = made(&header, &written(STORE, STORE, NOW_S, exp));
        assert_eq!(verified(&token, NOW_MS), Err(Refused::Early));
    }
}

#[test]
fn claims_that_say_more_or_less_than_ours_are_refused() {
    let header = header("HS256", key(1).id(), "at+jwt");
    let good = written(STORE, STORE, NOW_S, NOW_S + 60);
    let more = good.replace('}', r#","admin":true}"#);
    let less = good.replace(r#","jti":"1""#, "");
    let twice = good.replace(r#""sub":"u1""#, r#""sub":"u1","sub":"u2""#);
    for claims in [more, less, twice, "[]".into(), String::new()] {
        let token = made(&header, &claims);
        assert_eq!(
            verified(&token, NOW_MS),
            Err(Refused::Malformed),
            "{claims}"
        );
    }
}

#[test]
fn what_is_too_long_is_not_looked_at() {
    let token = format!("{}{}", token(), "A".repeat(TOKEN_BYTES));
    assert_eq!(verified(&token, NOW_MS), Err(Refused::Malformed));
}

#[test]
fn short_keys_are_none_and_no_key_is_shown() {
    assert!(SigningKey::new(&[7; 31]).is_none());
    let shown = format!("{:?}", key(7));
    assert!(!shown.contains(&hex(&[7; 4])), "{shown}");
}

#[test]
fn every_truncation_is_refused() {
    let token = token();
    for end in 0..token.len() {
        assert!(verified(&token[..end], NOW_MS).is_err(), "{end}");
        assert!(verified(&token[end + 1..], NOW_MS).is_err(), "{end}");
    }
}

#[test]
fn every_flip_of_a_bit_is_refused() {
    let token = token();
    for at in 0..token.len() * 8 {
        let mut bytes = token.clone().into_bytes();
        bytes[at / 8] ^= 1 << (at % 8);
        // What is not UTF-8 does not get as far as here.
        if let Ok(flipped) = String::from_utf8(bytes) {
            assert!(verified(&flipped, NOW_MS).is_err(), "bit {at}");
        }
    }
}

proptest! {
    #[test]
    fn nothing_that_was_not_signed_is_good(text in "\\PC{0,200}") {
        prop_assert!(verified(&text, NOW_MS).is_err());
    }

    #[test]
    fn nothing_that_was_changed_is_good(at in 0_usize..1_000, with in "[-_.=A-Za-z0-9]{0,3}", cut in 0_usize..4) {
        let token = token();
        let at = at % token.len();
        let end = (at + cut).min(token.len());
        let changed = format!("{}{with}{}", &token[..at], &token[end..]);
        prop_assume!(changed != token);
        prop_assert!(verified(&changed, NOW_MS).is_err());
    }
}
