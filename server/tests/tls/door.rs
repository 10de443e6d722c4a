//! The door itself: who comes through, and by which name.

use std::sync::Arc;

use amadeus::connection::Peer;
use amadeus::metrics::Metrics;
use amadeus::tls::{Certificates, Door, Protocol};
use futures::StreamExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::Request;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::authority::{Authority, keep};

struct House {
    authority: Authority,
    address: String,
    metrics: Arc<Metrics>,
    _folder: TempDir,
}

/// A house with one door, which trusts certificates of `clients`.
async fn house(protocol: Protocol, clients: Option<&Authority>) -> (House, Door) {
    let authority = Authority::new("the authority");
    let folder = tempfile::tempdir().expect("a folder");
    let files = keep(folder.path(), &authority.server(), clients);
    let (certificates, _) = Certificates::load(files).expect("they are good");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let metrics = Arc::new(Metrics::new().expect("the names differ"));
    let door = Door::open(listener, protocol, Some(certificates), metrics.handshakes());
    let house = House {
        authority,
        address,
        metrics,
        _folder: folder,
    };
    (house, door)
}

#[tokio::test]
async fn the_name_in_a_client_certificate_is_with_every_request() {
    let clients = Authority::new("the clients' authority");
    let (house, door) = house(Protocol::Grpc, Some(&clients)).await;
    let (seen, mut names) = tokio::sync::mpsc::unbounded_channel();
    let look = move |request: Request<()>| {
        let peer = request.extensions().get::<Peer>().expect("it is there");
        seen.send(peer.clone()).expect("somebody looks");
        Ok(request)
    };
    let (_, health) = tonic_health::server::health_reporter();
    let served = tonic::transport::Server::builder()
        .layer(tonic::service::InterceptorLayer::new(look))
        .add_service(health)
        .serve_with_incoming(door);
    tokio::spawn(served);

    let checkout = clients.client("checkout");
    for (client, name) in [(Some(&checkout), Some("checkout")), (None, None)] {
        let channel = house.authority.channel(&house.address, client).await;
        let mut health = HealthClient::new(channel.expect("it is served"));
        for _ in 0..2 {
            let reply = health.check(HealthCheckRequest::default()).await;
            reply.expect("an answer");
            let peer = names.recv().await.expect("a call");
            let certificate = peer.certificate.as_ref();
            assert_eq!(certificate.map(|shown| &*shown.name), name);
            assert!(peer.address.ip().is_loopback());
        }
    }

    // One that another authority signed is no way in, by whatever name.
    let forged = Authority::new("the clients' authority").client("checkout");
    let channel = house.authority.channel(&house.address, Some(&forged)).await;
    let refused = match channel {
        Ok(channel) => {
            let mut health = HealthClient::new(channel);
            health.check(HealthCheckRequest::default()).await.is_err()
        }
        Err(_) => true,
    };
    assert!(refused);
    assert!(names.try_recv().is_err());
}

#[tokio::test]
async fn a_certificate_of_a_server_is_none_of_a_client() {
    let clients = Authority::new("the clients' authority");
    let servers = clients.server_only();
    let (house, mut door) = house(Protocol::Grpc, Some(&clients)).await;
    let connected = house
        .authority
        .connect(&house.address, &["h2"], Some(&servers))
        .await;
    // TLS 1.3 tells the client with the first bytes that it reads.
    if let Ok(mut stream) = connected {
        assert!(stream.read_u8().await.is_err());
    }
    let good = clients.client("cart");
    let stream = house
        .authority
        .connect(&house.address, &["h2"], Some(&good))
        .await;
    let _stream = stream.expect("it is good");
    let connection = door.next().await.expect("open").expect("one");
    let certificate = connection.peer().certificate.as_ref();
    assert_eq!(certificate.map(|shown| &*shown.name), Some("cart"));
}

#[tokio::test]
async fn each_door_speaks_its_protocol_and_no_other() {
    for (protocol, spoken, other) in [
        (Protocol::Grpc, "h2", "http/1.1"),
        (Protocol::Http, "http/1.1", "h2"),
    ] {
        let (house, _door) = house(protocol, None).await;
        let stream = house
            .authority
            .connect(&house.address, &[other, spoken], None)
            .await;
        let stream = stream.expect("one of them is spoken");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(spoken.as_bytes()));
        let refused = house
            .authority
            .connect(&house.address, &[other], None)
            .await;
        assert!(refused.is_err());
        let done = house.metrics.handshakes().done;
        assert!(done.get() <= 1);
    }
}

#[tokio::test]
async fn those_who_say_nothing_hold_up_nobody() {
    let (house, mut door) = house(Protocol::Grpc, None).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(&house.address).await.expect("accepted"));
    }
    let mut rude = TcpStream::connect(&house.address).await.expect("accepted");
    rude.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .expect("sent");
    let stream = house.authority.connect(&house.address, &["h2"], None).await;
    let _stream = stream.expect("it is served");
    assert!(door.next().await.expect("open").is_ok());
    // The one who spoke no TLS is sent away.
    let mut answer = Vec::new();
    let _ = rude.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
    let handshakes = house.metrics.handshakes();
    assert_eq!((handshakes.done.get(), handshakes.failed.get()), (1, 1));
}

#[tokio::test]
async fn all_that_is_written_arrives_encrypted_however_it_is_flushed() {
    let (house, mut door) = house(Protocol::Http, None).await;
    let stream = house.authority.connect(&house.address, &[], None).await;
    let mut client = stream.expect("it is served");
    let mut connection = door.next().await.expect("open").expect("one");
    let sent: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let expected = sent.clone();
    let writing = tokio::spawn(async move {
        for some in sent.chunks(99_973) {
            connection.write_all(some).await.expect("it is taken");
            connection.flush().await.expect("it is sent");
        }
        connection.shutdown().await.expect("it ends");
    });
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.expect("it arrives");
    writing.await.expect("no panic");
    assert!(received == expected);
}

#[tokio::test]
async fn a_small_answer_arrives_with_its_flush() {
    let (house, mut door) = house(Protocol::Http, None).await;
    let stream = house.authority.connect(&house.address, &[], None).await;
    let mut client = stream.expect("it is served");
    let mut connection = door.next().await.expect("open").expect("one");
    for word in [b"one", b"two"] {
        connection.write_all(word).await.expect("it is taken");
        connection.flush().await.expect("it is sent");
        let mut read = [0; 3];
        client.read_exact(&mut read).await.expect("it arrives");
        assert_eq!(&read, word);
    }
}
