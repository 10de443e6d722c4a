//! The ways to the database and to Redis, encrypted, and the other end proved.

use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use testbed::{Postgres, Redis};

use crate::cluster::{Cluster, put};
use crate::process::Process;

/// A certificate of this machine's own, which is its own authority, and its key; as PEM.
fn certificate() -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("names");
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

fn kept(folder: &TempDir, name: &str, content: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("there is room");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_spoken_to_by_tls_and_has_to_prove_who_it_is() {
    let server = match Postgres::start() {
        Ok(server) => server,
        Err(missing) => return eprintln!("skipped: {missing}"),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = certificate();
    let (certificate_file, key_file) = (
        server.keep("server.pem", &certificate),
        server.keep("server.key", &key),
    );
    for setting in [
        format!("ssl_cert_file = '{}'", certificate_file.display()),
        format!("ssl_key_file = '{}'", key_file.display()),
        "ssl = on".into(),
    ] {
        server.run("postgres", &format!("ALTER SYSTEM SET {setting}"));
    }
    server.run("postgres", "SELECT pg_reload_conf()");
    let root = kept(&folder, "root.pem", &certificate);
    let store = server.database();
    let proved = format!("{store}?sslmode=verify-full&sslrootcert={root}");
    let cluster = Cluster::start(proved, 1, &[]).await;
    let reply = cluster.members[0]
        .graph()
        .put_entity(put("a", 1, None, ""))
        .await;
    reply.expect("written");
    let sql = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
        WHERE application_name = 'amadeus' AND ssl = ";
    assert_ne!(server.run("postgres", &format!("{sql} true")), "0");
    assert_eq!(server.run("postgres", &format!("{sql} false")), "0");

    // Somebody else's certificate proves nothing, and waiting would not help.
    let (other, _) = self::certificate();
    let other = kept(&folder, "other.pem", &other);
    let pretended = format!("{store}?sslmode=verify-full&sslrootcert={other}");
    let began = Instant::now();
    let mut process = Process::with(folder.path(), &[], "", &["--store", &pretended]);
    assert!(process.ready().await.is_none(), "it must not start");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let said = process.tail();
    assert!(said.contains("certificate"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_go_through_an_encrypted_redis() {
    let Some(server) = crate::cluster::database_server() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = certificate();
    let files = ["server.pem", "server.key"].map(|name| folder.path().join(name));
    kept(&folder, "server.pem", &certificate);
    kept(&folder, "server.key", &key);
    let redis = match Redis::start_encrypted(&files[0], &files[1]) {
        Ok(redis) => redis,
        Err(missing) => return eprintln!("skipped: {missing}"),
    };
    let url = format!("rediss://127.0.0.1:{}", redis.port());
    let trusting = format!("SSL_CERT_FILE={}", files[0].display());
    let options = ["--store", &server.database(), "--redis", &url];
    let mut process = Process::with(folder.path(), &["env", &trusting], "", &options);
    assert!(process.ready().await.is_some(), "{}", process.tail());
    assert!(
        !process.tail().contains("Redis is away"),
        "{}",
        process.tail()
    );
    // One who does not trust the certificate goes without hints, and says so.
    let mut process = Process::with(folder.path(), &["env"], "", &options);
    assert!(process.ready().await.is_some(), "{}", process.tail());
    assert!(
        process.tail().contains("Redis is away"),
        "{}",
        process.tail()
    );
}
