//! A server that asks everybody to sign in, and the people of these tests.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use amadeus::auth::UserId;
use amadeus::auth::token::{Claims, SigningKey};
use amadeus::users::SessionId;
use amadeus_proto::v1;
use tempfile::TempDir;
use tonic::metadata::MetadataMap;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};
use v1::admin_service_client::AdminServiceClient;
use v1::auth_service_client::AuthServiceClient;
use v1::graph_service_client::GraphServiceClient;
use v1::user_service_client::UserServiceClient;

use crate::process::Process;

/// The key that the servers of these tests sign with.
const KEY: [u8; 32] = [7; 32];

pub const PASSWORD: &str = "correct horse battery staple";

/// A running server and its administrator.
pub struct Server {
    /// Ends with this.
    _process: Process,
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
        let tail = process.tail();
        let setup = tail.lines().map(str::trim).find(|l| l.starts_with("ams_"));
        let setup = setup.expect("it shows a setup token").to_owned();
        let mut server = Self {
            _process: process,
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
            _process: process,
            channel,
            admin: self.admin.clone(),
            _folder: folder,
        }
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
