//! Steps of type `event` over a log in memory.

use super::*;
use crate::events;

impl Stage {
    async fn event(&self, key: &str, caller: Caller, action: &str, given: &str) -> Told {
        let told = self.keyed(key, caller, "event", "", action, given);
        let told = tokio::time::timeout(Duration::from_secs(20), told).await;
        told.expect("in time")
    }

    async fn emit(&self, key: &str, given: &str) -> Value {
        let told = self.event(key, Caller::trusted(), "emit", given).await;
        told.expect("emitted")
    }
}

#[tokio::test]
async fn an_event_is_told_once_for_a_key_and_belongs_to_the_run() {
    let stage = Stage::new().await;
    let paid = r#"{"type": "order.paid", "payload": {"order": "7"}}"#;
    let first = stage.emit("run-1/tell", paid).await;
    let again = stage.emit("run-1/tell", paid).await;
    assert_eq!(first, again);
    assert_eq!(at(&first, "id"), r#""run-1/tell""#);
    let waiting = r#"{"types": ["order.*"], "correlation_id": "c-1"}"#;
    let found = stage
        .event("k", Caller::trusted(), "await", waiting)
        .await
        .expect("found");
    assert_eq!(at(&found, "payload.order"), r#""7""#);
    assert_eq!(at(&found, "offset"), at(&first, "offset"));
    assert_eq!(at(&found, "actor"), r#""anonymous""#);
    assert_eq!(at(&found, "entity"), "null");
}

#[tokio::test]
async fn waiting_begins_where_the_run_began_and_takes_the_first_that_fits() {
    let mut stage = Stage::new().await;
    stage
        .emit(
            "before",
            r#"{"type": "a", "payload": {"n": 1, "of": {"x": 1}}}"#,
        )
        .await;
    stage.run.event_offset = stage.world.events.next_offset();
    for (key, n) in [("one", 2), ("two", 1), ("three", 1)] {
        let given = format!(r#"{{"type": "a", "payload": {{"n": {n}, "key": "{key}"}}}}"#);
        stage.emit(key, &given).await;
    }
    let waiting = r#"{"types": ["b", "a"], "match": {"n": 1}}"#;
    for _ in 0..2 {
        let found = stage
            .event("k", Caller::trusted(), "await", waiting)
            .await
            .expect("found");
        assert_eq!(at(&found, "payload.key"), r#""two""#);
    }
}

#[tokio::test]
async fn an_event_that_comes_later_ends_the_wait() {
    let stage = Stage::new().await;
    let waiting = r#"{"types": ["late"], "entity": "order/7"}"#;
    let wait = stage.event("k", Caller::trusted(), "await", waiting);
    let tell = async {
        stage
            .emit("other", r#"{"type": "late", "entity": "order/8"}"#)
            .await;
        let entity = r#"{"type": "late", "entity": {"kind": "order", "name": "7"}}"#;
        stage.emit("this", entity).await;
    };
    let (found, ()) = tokio::join!(wait, tell);
    let found = found.expect("found");
    assert_eq!(at(&found, "entity"), r#"{"kind":"order","name":"7"}"#);
    assert_eq!(at(&found, "id"), r#""this""#);
}

#[tokio::test]
async fn a_run_waits_only_for_what_its_owner_may_see_and_tells_only_what_they_may() {
    let stage = Stage::new().await;
    for (key, given) in [
        ("1", r#"{"type": "a"}"#),
        ("2", r#"{"type": "a", "entity": "host/1"}"#),
        ("3", r#"{"type": "a", "entity": "order/1"}"#),
    ] {
        stage.emit(key, given).await;
    }
    let waiting = r#"{"types": ["a"]}"#;
    let found = stage
        .event("k", reader_of("order"), "await", waiting)
        .await
        .expect("found");
    assert_eq!(at(&found, "id"), r#""3""#);
    let told = stage
        .event("k", reader_of("order"), "emit", r#"{"type": "a"}"#)
        .await;
    assert_eq!(code(told), "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_run_that_waits_sees_less_when_its_owner_does_and_ends_when_they_may_see_nothing() {
    let stage = Stage::new().await;
    let host = reader_of("host").principal.grants[0].clone();
    let order = reader_of("order").principal.grants[0].clone();
    let becomes = async |grants: Vec<Grant>| {
        *stage.host.caller.lock().expect("no panic") = Some(somebody(grants));
        // The next look is made with these.
        let mut asked = stage.host.asked.subscribe();
        asked.changed().await.expect("it is there");
    };
    let tell = async |key: &str, entity: &str| {
        let event = events::NewEvent {
            id: key.into(),
            kind: "a".into(),
            entity: kg_core::model::EntityRef::parse("", entity).ok(),
            correlation: "".into(),
            payload: Object::new(),
            time_ms: 0,
            actor: "somebody".into(),
        };
        let told = stage.world.events.append(vec![event]).await;
        told.expect("there is room");
    };
    let both = somebody(vec![host, order.clone()]);
    let waiting = r#"{"types": ["a"]}"#;
    let taken = async {
        becomes(vec![order]).await;
        tell("hidden", "host/1").await;
        tell("seen", "order/1").await;
    };
    let wait = stage.event("k", both.clone(), "await", waiting);
    let (found, ()) = tokio::join!(wait, taken);
    assert_eq!(at(&found.expect("found"), "id"), r#""seen""#);
    let nothing_more = r#"{"types": ["b"]}"#;
    let wait = stage.event("k", both, "await", nothing_more);
    let (ended, ()) = tokio::join!(wait, becomes(Vec::new()));
    assert_eq!(code(ended), "PERMISSION_DENIED");
}

#[tokio::test]
async fn what_an_event_gets_wrong_is_named() {
    let stage = Stage::new().await;
    for (action, given) in [
        ("emit", r"{}"),
        ("emit", r#"{"type": "run.started"}"#),
        ("emit", r#"{"type": "a b"}"#),
        ("emit", r#"{"type": "a", "entity": "order"}"#),
        ("emit", r#"{"type": "a", "types": ["a"]}"#),
        ("emit", r#"{"type": "a", "payload": 1}"#),
        ("await", r#"{"type": "a"}"#),
        ("await", r#"{"types": []}"#),
        ("await", r#"{"types": [1]}"#),
        ("await", r#"{"types": ["a"], "payload": {}}"#),
        ("tell", r#"{"type": "a"}"#),
    ] {
        let told = stage.event("k", Caller::trusted(), action, given).await;
        assert_eq!(code(told), "INVALID_ARGUMENT", "{action} {given}");
    }
}
