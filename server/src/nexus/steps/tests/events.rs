//! Steps of type `event` over a log in memory.

use super::*;

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
