//! How fresh a read is.

use std::sync::atomic::Ordering;
use std::time::Duration;

use amadeus_proto::v1;
use kg_core::commit::HistoryLimits;
use tonic::{Code, Request};
use v1::consistency::Level;

use crate::harness::{Server, at_exact, key, level, revision};

fn read(consistency: Option<v1::Consistency>) -> v1::GetEntityRequest {
    v1::GetEntityRequest {
        r#ref: Some(key("probe/x")),
        consistency,
    }
}

#[tokio::test]
async fn old_revisions_read_as_they_were() {
    let mut server = Server::start().await;
    for n in 1..=100 {
        server.put("probe/x", f64::from(n)).await;
    }
    for n in 1..=100_u64 {
        let reply = server
            .graph
            .get_entity(read(at_exact(n)))
            .await
            .expect("kept")
            .into_inner();
        assert_eq!(revision(reply.header), n);
        let entity = reply.entity.expect("it was there");
        assert_eq!(entity, crate::harness::entity("probe/x", n as f64).tap(n));
    }
    let absent = server.graph.get_entity(read(at_exact(0))).await;
    assert_eq!(absent.expect_err("not yet").code(), Code::NotFound);
    let future = server.graph.get_entity(read(at_exact(101))).await;
    let future = future.expect_err("there is no such revision");
    assert_eq!(future.code(), Code::OutOfRange);
    assert!(future.message().contains("101"), "{future}");
}

trait Tap {
    fn tap(self, modified: u64) -> Self;
}

impl Tap for v1::Entity {
    fn tap(mut self, modified: u64) -> Self {
        self.created_revision = 1;
        self.modified_revision = modified;
        self
    }
}

#[tokio::test]
async fn a_revision_that_is_no_longer_kept_is_out_of_range() {
    let mut server = Server::with(HistoryLimits {
        revisions: 5,
        ..HistoryLimits::default()
    })
    .await;
    for n in 1..=30 {
        server.put("probe/x", f64::from(n)).await;
    }
    let gone = server
        .graph
        .get_entity(read(at_exact(2)))
        .await
        .expect_err("gone");
    assert_eq!(gone.code(), Code::OutOfRange);
    let oldest = server.context.graph.revisions().1;
    assert!(gone.message().contains(&oldest.to_string()), "{gone}");
}

#[tokio::test]
async fn at_least_waits_for_the_revision() {
    let server = Server::start().await;
    server.put("probe/x", 0.0).await;
    let mut graph = server.graph.clone();
    let waiting = tokio::spawn(async move {
        graph
            .get_entity(read(level(Level::AtLeast(3))))
            .await
            .map(|r| revision(r.into_inner().header))
    });
    server.put("probe/x", 1.0).await;
    assert!(!waiting.is_finished());
    server.put("probe/x", 2.0).await;
    assert_eq!(waiting.await.expect("it ran").expect("reached"), 3);
}

#[tokio::test]
async fn waiting_ends_at_the_deadline_and_says_what_was_waited_for() {
    let mut server = Server::start().await;
    let mut request = Request::new(read(level(Level::AtLeast(1_000_000_000))));
    request.set_timeout(Duration::from_millis(200));
    let late = server.graph.get_entity(request).await.expect_err("never");
    assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
    assert!(late.message().contains("1000000000"), "{late}");
}

#[tokio::test]
async fn linearizable_asks_the_log_and_the_default_does_not() {
    let mut server = Server::start().await;
    let wrote = server.put("probe/x", 1.0).await;
    server.graph.get_entity(read(None)).await.expect("read");
    assert_eq!(server.asked.load(Ordering::Relaxed), 0);
    for asked in [true, false] {
        let reply = server
            .graph
            .get_entity(read(level(Level::Linearizable(asked))))
            .await;
        assert_eq!(revision(reply.expect("read").into_inner().header), wrote);
    }
    assert_eq!(server.asked.load(Ordering::Relaxed), 1);
}
