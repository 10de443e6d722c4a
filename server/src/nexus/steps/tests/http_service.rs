//! Steps of type `http` against a real HTTP server.

use axum::Router;
use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};

use super::*;

async fn echo(headers: HeaderMap, RawQuery(query): RawQuery, body: Bytes) -> impl IntoResponse {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let told = serde_json::json!({
        "key": header("idempotency-key"),
        "tenant": header("x-tenant"),
        "type": header("content-type"),
        "query": query,
        "body": String::from_utf8_lossy(&body),
        "large": u64::MAX,
    });
    let json = [(
        header::CONTENT_TYPE,
        "application/problem+json; charset=utf-8",
    )];
    (StatusCode::CREATED, json, told.to_string())
}

async fn server() -> String {
    let status = |axum::extract::Path(code): axum::extract::Path<u16>| async move {
        let code = StatusCode::from_u16(code).expect("a status");
        (code, [(header::LOCATION, "/text")], "no\nsuch thing")
    };
    let routes = Router::new()
        .route("/api/echo", post(echo))
        .route("/api/text", get(async || "plain"))
        .route("/api/empty", get(async || StatusCode::NO_CONTENT))
        .route("/api/large", get(async || "x".repeat(2 * 1024 * 1024)))
        .route("/api/bytes", get(async || vec![0xff_u8, 0xfe]))
        .route(
            "/api/broken",
            get(async || ([(header::CONTENT_TYPE, "application/json")], "{")),
        )
        .route("/api/never", get(std::future::pending::<()>))
        .route("/api/status/{code}", any(status));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}/api/")
}

#[tokio::test]
async fn a_request_carries_the_key_and_its_parts_and_the_answer_is_a_value() {
    let stage = Stage::new().await;
    stage.register("web", &server().await).await;
    let given = r#"{"query": {"a b": "c&d"}, "headers": {"X-Tenant": "t"}, "body": {"n": [1]}}"#;
    let told = stage
        .step("http", "web", "POST /echo", given)
        .await
        .expect("answered");
    assert_eq!(at(&told, "status"), "201");
    assert_eq!(at(&told, "body.key"), r#""run-1/step""#);
    assert_eq!(at(&told, "body.tenant"), r#""t""#);
    assert_eq!(at(&told, "body.type"), r#""application/json""#);
    assert_eq!(at(&told, "body.query"), r#""a%20b=c%26d""#);
    assert_eq!(at(&told, "body.body"), r#""{\"n\":[1]}""#);
    assert_eq!(at(&told, "body.large"), r#""18446744073709551615""#);
    let text = stage
        .step("http", "web", "GET /text", "{}")
        .await
        .expect("answered");
    assert_eq!(at(&text, "body"), r#""plain""#);
    let empty = stage
        .step("http", "web", "GET /empty", "{}")
        .await
        .expect("answered");
    assert_eq!(at(&empty, "body"), "null");
}

#[tokio::test]
async fn what_is_no_success_is_a_failure_with_what_was_said() {
    let stage = Stage::new().await;
    stage.register("web", &server().await).await;
    stage.register("gone", "http://127.0.0.1:1").await;
    stage.register("plain", "grpc://127.0.0.1:1").await;
    for (target, action, given, expected) in [
        ("web", "GET /status/404", "{}", "NOT_FOUND"),
        ("web", "GET /status/409", "{}", "ABORTED"),
        ("web", "GET /status/429", "{}", "RESOURCE_EXHAUSTED"),
        ("web", "GET /status/503", "{}", "UNAVAILABLE"),
        ("web", "GET /status/422", "{}", "INVALID_ARGUMENT"),
        ("web", "GET /status/302", "{}", "FAILED_PRECONDITION"),
        ("web", "GET /missing", "{}", "NOT_FOUND"),
        ("web", "GET /large", "{}", "OUT_OF_RANGE"),
        ("web", "GET /bytes", "{}", "OUT_OF_RANGE"),
        ("web", "GET /broken", "{}", "INTERNAL"),
        ("web", "GET", "{}", "INVALID_ARGUMENT"),
        (
            "web",
            "GET /text",
            r#"{"headers": {"Host": "a"}}"#,
            "INVALID_ARGUMENT",
        ),
        ("gone", "GET /", "{}", "UNAVAILABLE"),
        ("plain", "GET /", "{}", "FAILED_PRECONDITION"),
    ] {
        let told = stage.step("http", target, action, given).await;
        let (code, message) = told.expect_err(action);
        assert_eq!(code, expected, "{action}: {message}");
    }
    let told = stage.step("http", "web", "GET /status/404", "{}").await;
    assert_eq!(
        told.expect_err("not found").1,
        "404 Not Found: no such thing"
    );
}

#[tokio::test]
async fn a_service_that_does_not_answer_ends_the_attempt() {
    let stage = Stage::new().await;
    stage.register("web", &server().await).await;
    let call = StepCall {
        run: &stage.run,
        step: "never".into(),
        attempt: 1,
        key: "run-1/never".into(),
        target: "web",
        action: "GET /never",
        parameters: Object::new(),
        timeout_ms: 100,
        started_ms: now_ms(),
        caller: Caller::trusted(),
        world: &stage.world,
        items: Vec::new(),
        host: &stage.host,
    };
    let told = stage.kinds.of("http").expect("it is there").run(call).await;
    assert_eq!(&*told.expect_err("too slow").code, "DEADLINE_EXCEEDED");
}
