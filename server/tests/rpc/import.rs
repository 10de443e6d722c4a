//! Files in and out over the wire.

use amadeus_proto::v1;
use futures::StreamExt;
use tonic::Code;
use v1::import_request::Part;

use crate::harness::{Server, revision};

fn messages(options: Option<v1::ImportOptions>, content: &[u8]) -> Vec<v1::ImportRequest> {
    let options = options.map(Part::Options);
    let chunks = content
        .chunks(50_000)
        .map(|chunk| Part::Chunk(chunk.to_vec().into()));
    options
        .into_iter()
        .chain(chunks)
        .map(|part| v1::ImportRequest { part: Some(part) })
        .collect()
}

async fn import(
    server: &Server,
    options: Option<v1::ImportOptions>,
    content: &[u8],
) -> Result<v1::ImportResponse, tonic::Status> {
    let sent = futures::stream::iter(messages(options, content));
    let reply = server.graph.clone().import(sent).await?;
    Ok(reply.into_inner())
}

async fn export(server: &Server, format: v1::export_request::Format) -> Vec<u8> {
    let request = v1::ExportRequest {
        format: format.into(),
        consistency: None,
    };
    let mut stream = server
        .graph
        .clone()
        .export(request)
        .await
        .expect("a stream")
        .into_inner();
    let mut content = Vec::new();
    while let Some(piece) = stream.message().await.expect("no error") {
        content.extend_from_slice(&piece.chunk);
    }
    content
}

fn csv(rows: usize) -> Vec<u8> {
    let mut text = String::from("from,relation,to\n");
    for row in 0..rows {
        text.push_str(&format!("k/{},needs,k/{}\n", row + 1, row / 7));
    }
    text.into_bytes()
}

#[tokio::test]
async fn the_example_round_trips_byte_for_byte() {
    let server = Server::start().await;
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/online-boutique.json"
    );
    let content = std::fs::read(path).expect("the example");
    let reply = import(&server, None, &content).await.expect("imported");
    assert!(reply.done);
    assert!(reply.entities_created > 5);
    assert_eq!(revision(reply.header), 1);
    assert_eq!(
        export(&server, v1::export_request::Format::Json).await,
        content
    );
    let again = import(&server, None, &content).await.expect("imported");
    assert_eq!((again.entities_created, again.relations_created), (0, 0));
    assert_eq!(again.unchanged, again.mutations);
    assert_eq!(server.head(), 1);
}

#[tokio::test]
async fn a_csv_says_what_is_durable_and_a_repetition_goes_on() {
    let server = Server::start().await;
    let options = v1::ImportOptions {
        request_id: "long".into(),
        ..Default::default()
    };
    let content = csv(25_000);
    for round in 0..2 {
        let sent = futures::stream::iter(messages(Some(options.clone()), &content));
        let replies = server
            .graph
            .clone()
            .import_stream(sent)
            .await
            .expect("a stream");
        let replies: Vec<_> = replies
            .into_inner()
            .map(|r| r.expect("no error"))
            .collect()
            .await;
        let rows: Vec<u32> = replies.iter().map(|r| r.rows).collect();
        assert_eq!(rows, [10_000, 20_000, 25_000]);
        assert_eq!(
            replies.iter().map(|r| r.done).collect::<Vec<_>>(),
            [false, false, true]
        );
        let last = &replies[2];
        assert_eq!(last.relations_created, if round == 0 { 25_000 } else { 0 });
        assert_eq!(server.head(), 3);
    }
    let other = csv(24_999);
    let refused = import(&server, Some(options), &other)
        .await
        .expect_err("another file");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("request_id"), "{refused}");
}

#[tokio::test]
async fn a_file_with_faults_is_refused_whole_with_each_of_them() {
    let server = Server::start().await;
    let faulty = br#"{"amadeus": 1,
        "entities": [{"kind": "", "name": "x"}, {"kind": "ok", "name": "fine"}],
        "services": [{"name": "a", "dependencies": [{"service": "a"}]}, {"name": "b", "capabilities": [""]}]}"#;
    let refused = import(&server, None, faulty).await.expect_err("faulty");
    assert_eq!(refused.code(), Code::InvalidArgument);
    for place in [
        "entities[0]",
        "services[0].dependencies",
        "services[1].capabilities",
    ] {
        assert!(refused.message().contains(place), "{refused}");
    }
    assert_eq!(server.head(), 0);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let server = Server::start().await;
    let options = v1::ImportOptions {
        dry_run: true,
        ..Default::default()
    };
    let reply = import(&server, Some(options), &csv(25_000))
        .await
        .expect("checked");
    assert_eq!(
        (reply.relations_created, reply.rows, reply.done),
        (25_000, 25_000, true)
    );
    assert_eq!(server.head(), 0);
}

#[tokio::test]
async fn what_is_no_file_is_refused() {
    let server = Server::start().await;
    for (content, word) in [
        (&b""[..], "empty"),
        (b"{\"amadeus\": 1, \"entities\": [", "EOF"),
        (b"{\"what\": 1}", "form"),
        (b"a,b,c\n1,2,3\n", "from"),
        (b"from,relation,to\nk/a,likes,k/b\nk/a,likes\n", "3"),
        (b"from,relation,to\nk/a,,k/b\n", "2"),
    ] {
        let refused = import(&server, None, content).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains(word), "{word}: {refused}");
    }
    let late = vec![
        v1::ImportRequest {
            part: Some(Part::Chunk(b"{".as_slice().into())),
        },
        v1::ImportRequest {
            part: Some(Part::Options(v1::ImportOptions::default())),
        },
    ];
    let refused = server
        .graph
        .clone()
        .import(futures::stream::iter(late))
        .await;
    assert!(refused.expect_err("too late").message().contains("options"));
    assert_eq!(server.head(), 0);
}
