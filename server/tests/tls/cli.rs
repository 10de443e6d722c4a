//! The command line over TLS: what it needs to trust a server, and what it says where it does not.

use std::path::Path;
use std::process::{Command, Output};

use crate::authority::{Authority, keep, options};
use crate::process::Process;
use crate::serving::Served;

fn amadeus(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_amadeus"))
        .args(arguments)
        .env_clear()
        .env("HOME", folder)
        .output()
        .expect("it can be started")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_by_its_authority_and_what_is_missing_is_said() {
    let authority = Authority::new("the authority");
    let clients = Authority::new("the clients' authority");
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let files = keep(folder, &authority.server(), Some(&clients));
    let served = Served::start(folder, &options(&files)).await;
    let kept = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).expect("there is room");
        path.display().to_string()
    };
    let ca = kept("ca.pem", &authority.pem);
    let me = clients.client("alice");
    let (certificate, key) = (kept("me.pem", &me.certificate), kept("me.key", &me.key));
    let stranger = kept("stranger.pem", &Authority::new("a stranger").pem);
    let https = format!("https://{}", served.grpc);
    let port = served.grpc.rsplit(':').next().expect("a port");

    for good in [
        &["--addr", &https, "--ca", &ca][..],
        &["--addr", &served.grpc, "--ca", &ca],
        &["--addr", &format!("localhost:{port}"), "--ca", &ca],
    ] {
        let done = amadeus(folder, &[&["status"][..], good].concat());
        assert!(done.status.success(), "{good:?}: {}", said(&done));
    }
    let wrong_key = ["--client-cert", &certificate, "--client-key", &ca];
    for (wrong, words, exit) in [
        (
            &["--addr", &https, "--ca", &stranger][..],
            "give the authority that signed it with --ca",
            5,
        ),
        (&["--addr", &https], "--ca", 5),
        (&["--addr", &https, "--ca", "absent.pem"], "absent.pem", 1),
        (&["--addr", &https, "--ca", &key], "holds no certificate", 2),
        (
            &["--addr", &https, "--client-cert", &certificate],
            "go together",
            2,
        ),
        (
            &[&["--addr", &https][..], &wrong_key].concat(),
            "holds no private key",
            2,
        ),
        (
            &["--addr", &format!("http://{}", served.grpc)],
            "https://",
            5,
        ),
    ] {
        let done = amadeus(folder, &[&["status"][..], wrong].concat());
        assert!(said(&done).contains(words), "{wrong:?}: {}", said(&done));
        // Or 2, on a machine that has no authorities of its own.
        let exits = [Some(exit), Some(2)];
        assert!(
            exits.contains(&done.status.code()),
            "{wrong:?}: {}",
            said(&done)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_called_by_another_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = Process::with(folder.path(), &[], "", &["--store", "memory:"]);
    process.ready().await.expect("it serves");
    let address = process.heard().address.expect("it serves");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, Authority::new("any").pem).expect("there is room");
    let ca = ca.display().to_string();
    let https = format!("https://{address}");
    let done = amadeus(folder.path(), &["status", "--addr", &https, "--ca", &ca]);
    assert!(
        said(&done).contains("call it by http://"),
        "{}",
        said(&done)
    );
}
