//! A server that asks everybody to sign in, and the people of these tests.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use amadeus::auth::UserId;
use amadeus::auth::token::{Claims, SigningKey};
use amadeus::users::SessionId;
use amadeus_proto::v1;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::metadata::MetadataMap;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};
use v1::admin_service_client::AdminServiceClient;
use v1::auth_service_client::AuthServiceClient;
use v1::graph_service_client::GraphServiceClient;
use v1::nexus_service_client::NexusServiceClient;
use v1::user_service_client::UserServiceClient;

use crate::process::Process;

/// The key that the servers of these tests sign with.
const KEY: [u8; 32] = [7; 32];

pub const PASSWORD: &str = "correct horse battery staple";

/// A running server and its administrator.
pub struct Server {
    process: Process,
    pub channel: Channel,
    pub admin: Login,
    _folder: TempDir,
}

/// Somebody who has signed in.
#[derive(Clone, Debug)]
pub struct Login {
    pub user_id: String,
    pub access: String,
    pub refresh: String,
}

/// Adds a token to every call.
#[derive(Clone)]
pub struct Bearer(Option<String>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let value = format!("Bearer {token}").parse().expect("ASCII");
            let metadata: &mut MetadataMap = request.metadata_mut();
            metadata.insert("authorization", value);
        }
        Ok(request)
    }
}

pub type Calls = InterceptedService<Channel, Bearer>;

impl Server {
    /// Starts one in memory, with an administrator who used the token that it showed.
    pub async fn start(more: &[&str]) -> Self {
        Self::on("memory:", more).await
    }

    /// Starts one on a store that has no users yet.
    pub async fn on(store: &str, more: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let (process, channel) = launch(&folder, store, more).await;
        let mut lines = process.lines().map(|line| line.trim().to_owned());
        let setup = lines.find(|line| line.starts_with("ams_"));
        let setup = setup.expect("it shows a setup token");
        let mut server = Self {
            process,
            channel,
            admin: Login {
                user_id: String::new(),
                access: String::new(),
                refresh: String::new(),
            },
            _folder: folder,
        };
        let request = v1::RegisterRequest {
            username: "root".into(),
            password: PASSWORD.into(),
            setup_token: setup,
            ..Default::default()
        };
        let registered = server.auth(None).register(request).await;
        registered.expect("the first administrator");
        server.admin = server.login("root").await;
        server
    }

    /// Starts another one on the same store; it has its administrator already.
    pub async fn beside(&self, store: &str, more: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let (process, channel) = launch(&folder, store, more).await;
        Self {
            process,
            channel,
            admin: self.admin.clone(),
            _folder: folder,
        }
    }

    /// Ends it in order, and waits until it has.
    pub async fn end(&mut self) {
        let pid = self.process.id().to_string();
        let told = std::process::Command::new("kill").arg(&pid).status();
        assert!(told.is_ok_and(|told| told.success()), "no signal to {pid}");
        self.process.until(|heard| heard.gone).await;
        let status = self.process.end().await;
        assert!(status.success(), "{status}: {}", self.process.tail());
    }

    /// The audit log from its beginning, until this is said of an event; that one is the last.
    pub async fn audit(&self, is_last: impl Fn(&v1::AuditEvent) -> bool) -> Vec<v1::AuditEvent> {
        let asked = v1::AuditRequest {
            follow: true,
            ..Default::default()
        };
        let opened = self.operator(&self.admin.access).audit(asked).await;
        let mut messages = opened.expect("the audit log").into_inner();
        let mut events = Vec::new();
        let reading = async {
            while !events.last().is_some_and(&is_last) {
                let message = messages.message().await.expect("it goes on");
                for event in message.expect("it does not end").events {
                    if !events.last().is_some_and(&is_last) {
                        events.push(event);
                    }
                }
            }
        };
        let read = tokio::time::timeout(std::time::Duration::from_secs(30), reading).await;
        assert!(read.is_ok(), "it has only {events:#?}");
        events
    }

    /// Where its HTTP side is.
    pub fn http(&self) -> String {
        self.process.heard().http.expect("it serves")
    }

    /// What its HTTP side answers.
    pub async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http()).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    /// Memory that it has, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("the process is there");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let words = line.and_then(|line| line.split_whitespace().nth(1));
        words.and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// The tokens for the first administrator that it has shown.
    pub fn setup_tokens(&self) -> Vec<String> {
        let lines = self.process.lines().map(|line| line.trim().to_owned());
        lines.filter(|line| line.starts_with("ams_")).collect()
    }

    /// All that it has logged, apart from the token that it has to show.
    pub fn log(&self) -> String {
        let lines = self.process.lines();
        let lines = lines.filter(|line| !line.trim().starts_with("ams_"));
        lines.collect::<Vec<_>>().join("\n")
    }

    pub fn auth(&self, token: Option<&str>) -> AuthServiceClient<Calls> {
        AuthServiceClient::with_interceptor(self.channel.clone(), bearer(token))
    }

    pub fn users(&self, token: &str) -> UserServiceClient<Calls> {
        UserServiceClient::with_interceptor(self.channel.clone(), bearer(Some(token)))
    }

    pub fn graph(&self, token: &str) -> GraphServiceClient<Calls> {
        GraphServiceClient::with_interceptor(self.channel.clone(), bearer(Some(token)))
    }

    pub fn nexus(&self, token: &str) -> NexusServiceClient<Calls> {
        NexusServiceClient::with_interceptor(self.channel.clone(), bearer(Some(token)))
    }

    pub fn operator(&self, token: &str) -> AdminServiceClient<Calls> {
        AdminServiceClient::with_interceptor(self.channel.clone(), bearer(Some(token)))
    }

    /// A new user with these grants, who has signed in.
    pub async fn person(&self, name: &str, grants: Vec<v1::Grant>) -> Login {
        let request = v1::CreateUserRequest {
            username: name.into(),
            password: PASSWORD.into(),
            grants,
            ..Default::default()
        };
        let created = self.users(&self.admin.access).create_user(request).await;
        created.expect("a new user");
        self.login(name).await
    }

    pub async fn login(&self, name: &str) -> Login {
        let request = v1::LoginRequest {
            username: name.into(),
            password: PASSWORD.into(),
        };
        let reply = self.auth(None).login(request).await;
        let reply = reply.expect("signed in").into_inner();
        Login {
            user_id: reply.user.expect("the user").id,
            access: reply.access_token,
            refresh: reply.refresh_token,
        }
    }

    /// Gives the store of this graph a service with an owner.
    pub async fn register(&self, name: &str, owner: &str, needs: &[&str]) -> u64 {
        let dependency = |service: &&str| v1::Dependency {
            service: (*service).into(),
            ..Default::default()
        };
        let request = v1::RegisterServiceRequest {
            service: Some(v1::Service {
                name: name.into(),
                owner: owner.into(),
                dependencies: needs.iter().map(dependency).collect(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let reply = self
            .graph(&self.admin.access)
            .register_service(request)
            .await;
        let header = reply.expect("registered").into_inner().header;
        header.expect("a header").revision
    }

    /// The store's id, which tokens name.
    pub async fn store_id(&self) -> String {
        let mut operator = self.operator(&self.admin.access);
        let status = operator.status(v1::StatusRequest {}).await;
        let header = status.expect("a status").into_inner().header;
        header.expect("a header").store_id
    }

    /// A token of a login, as if it had been made at another time.
    pub async fn token_of(&self, login: &Login, made_s: u64) -> String {
        let claims = Claims {
            issued_s: made_s,
            expires_s: made_s + 900,
            ..self.claims(login)
        };
        key().sign(&self.store_id().await, &claims)
    }

    /// What the access token of a login says.
    pub fn claims(&self, login: &Login) -> Claims {
        use base64ct::{Base64UrlUnpadded, Encoding as _};
        let claims = login.access.split('.').nth(1).expect("three parts");
        let json = Base64UrlUnpadded::decode_vec(claims).expect("base64url");
        let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        let text = |name: &str| json[name].as_str().expect("text").to_owned();
        Claims {
            user: UserId(text("sub").into()),
            session: SessionId(text("sid").into()),
            issued_s: json["iat"].as_u64().expect("a number"),
            expires_s: json["exp"].as_u64().expect("a number"),
        }
    }
}

async fn launch(folder: &TempDir, store: &str, more: &[&str]) -> (Process, Channel) {
    let keys = key_file(folder);
    let keys = keys.to_str().expect("UTF-8");
    let mut options = vec!["--auth", "--store", store, "--token-keys", keys];
    options.extend(more);
    let mut process = Process::with(folder.path(), &[], "", &options);
    let Some(channel) = process.ready().await else {
        panic!("it did not start:\n{}", process.tail());
    };
    (process, channel)
}

fn key_file(folder: &TempDir) -> PathBuf {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = folder.path().join("keys");
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).mode(0o600).open(&path);
    let text: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(file.expect("a file"), "{text}").expect("it is written");
    path
}

pub fn key() -> SigningKey {
    SigningKey::new(&KEY).expect("it is long enough")
}

fn bearer(token: Option<&str>) -> Bearer {
    Bearer(token.map(str::to_owned))
}

pub fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

pub fn everywhere(role: v1::Role) -> v1::Grant {
    v1::Grant {
        role: role.into(),
        scope: None,
    }
}

pub fn of_prefix(role: v1::Role, prefix: &str) -> v1::Grant {
    v1::Grant {
        role: role.into(),
        scope: Some(v1::Scope {
            name_prefix: prefix.into(),
            ..Default::default()
        }),
    }
}

pub fn of_owner(role: v1::Role, owner: &str) -> v1::Grant {
    v1::Grant {
        role: role.into(),
        scope: Some(v1::Scope {
            owner: owner.into(),
            ..Default::default()
        }),
    }
}

pub fn key_of(kind: &str, name: &str) -> Option<v1::EntityRef> {
    Some(v1::EntityRef {
        kind: kind.into(),
        name: name.into(),
    })
}
