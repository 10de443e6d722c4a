//! Who signs in over TLS, from the first administrator on: by a password and what it leaves on this machine, and by a certificate.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tokio::task::spawn_blocking;

use crate::authority::{Authority, keep, options};
use crate::serving::Served;

const PASSWORD: &str = "correct horse battery\n";

/// Somebody at a machine, with a folder for what they leave there.
#[derive(Clone)]
struct Somebody {
    folder: std::path::PathBuf,
    way: Vec<String>,
}

impl Somebody {
    fn runs(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_amadeus"))
            .args(arguments)
            .args(&self.way)
            .env_clear()
            .env("HOME", &self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let mut stdin = child.stdin.take().expect("a pipe");
        // One that needs nothing may be gone before it is told.
        let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("it ends")
    }

    fn sees(&self, arguments: &[&str], input: &str) -> String {
        let output = self.runs(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    fn expire(&self) {
        let path = self.folder.join(".config/amadeus/credentials.toml");
        let text = std::fs::read_to_string(&path).expect("it is kept");
        let expired: Vec<String> = text
            .lines()
            .map(|line| match line.starts_with("access_expires_ms") {
                true => "access_expires_ms = 1".to_owned(),
                false => line.to_owned(),
            })
            .collect();
        std::fs::write(&path, expired.join("\n")).expect("there is room");
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn store(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("graph.db").display())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_administrator_signs_in_and_a_certificate_does_without() {
    let authority = Authority::new("the authority");
    let clients = Authority::new("the clients' authority");
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let files = keep(folder, &authority.server(), Some(&clients));
    let url = store(folder);
    let nobody = Somebody {
        folder: folder.into(),
        way: Vec::new(),
    };
    let first = [
        "user",
        "create",
        "root",
        "--admin",
        "--store",
        &url,
        "--password-stdin",
    ];
    assert!(nobody.sees(&first, PASSWORD).contains("may:      admin"));
    let again = nobody.runs(&first, PASSWORD);
    assert_eq!(again.status.code(), Some(4), "{}", said(&again));

    let mut options = options(&files);
    options[1] = url.clone();
    options.push("--auth".into());
    let served = Served::start(folder, &options).await;
    let held = nobody.runs(&first, PASSWORD);
    assert!(
        said(&held).contains("one process at a time"),
        "{}",
        said(&held)
    );

    let ca = folder.join("ca.pem");
    std::fs::write(&ca, &authority.pem).expect("there is room");
    let way = [
        "--addr",
        &format!("https://{}", served.grpc),
        "--ca",
        &ca.display().to_string(),
    ];
    let root = Somebody {
        folder: folder.into(),
        way: way.map(str::to_owned).into(),
    };
    let refused = root.runs(&["status"], "");
    assert_eq!(refused.status.code(), Some(4));
    assert!(
        said(&refused).contains("amadeus login"),
        "{}",
        said(&refused)
    );
    let wrong = root.runs(
        &["login", "root", "--password-stdin"],
        "wrong horse battery\n",
    );
    assert_eq!(wrong.status.code(), Some(4), "{}", said(&wrong));
    let shown = root.sees(&["login", "root", "--password-stdin"], PASSWORD);
    assert!(shown.contains("as root (admin)"), "{shown}");
    root.sees(&["status"], "");

    // Many find an expired token at once; one exchanges it, and nobody is taken for a thief.
    root.expire();
    let many: Vec<_> = (0..8)
        .map(|_| {
            let root = root.clone();
            spawn_blocking(move || root.sees(&["whoami"], ""))
        })
        .collect();
    for one in many {
        let shown = one.await.expect("no panic");
        assert!(shown.contains("name:     root"), "{shown}");
    }

    // Who shows a certificate is its user, whoever has signed in on this machine.
    let issued = clients.client("root");
    let mut by_certificate = root.clone();
    for (option, name, content) in [
        ("--client-cert", "root.pem", &issued.certificate),
        ("--client-key", "root.key", &issued.key),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, content).expect("there is room");
        by_certificate.way.push(option.into());
        by_certificate.way.push(path.display().to_string());
    }
    let shown = by_certificate.sees(&["key", "create", "ci", "-o", "json"], "");
    let key = shown.split('"').find(|word| word.starts_with("amk_"));
    let mut program = root.clone();
    program.folder = folder.join("nowhere");
    program
        .way
        .extend(["--token".to_owned(), key.expect("a key").to_owned()]);
    assert!(program.sees(&["whoami"], "").contains("root/ci"));

    let ended = root.sees(&["logout"], "");
    assert!(ended.contains("1 session ended"), "{ended}");
    let refused = root.runs(&["status"], "");
    assert_eq!(refused.status.code(), Some(4));
}
