//! Who calls where one has to sign in: the administrator whom a new server waits for, and those whom they let in.

use amadeus_proto::v1;
use v1::{
    CreateUserRequest, CreateUserResponse, Grant, LoginRequest, LoginResponse, RegisterRequest,
    RegisterResponse, Role, Scope,
};

use super::headers::Shown;
use super::load::ask;
use super::servers::Server;
use super::way::Way;

const REGISTER: &str = "/amadeus.v1.AuthService/Register";
const LOGIN: &str = "/amadeus.v1.AuthService/Login";
const CREATE_USER: &str = "/amadeus.v1.UserService/CreateUser";

const PASSWORD: &str = "correct horse battery staple";

/// The way of a new server's first administrator, who may do everything.
pub fn administrator<'a>(server: &Server, stranger: &Way<'a>) -> Way<'a> {
    let request = RegisterRequest {
        username: "root".into(),
        password: PASSWORD.into(),
        setup_token: server.setup_token(),
        ..RegisterRequest::default()
    };
    let _: RegisterResponse = ask(stranger, REGISTER, &request);
    stranger.showing(Shown::Once(login(stranger, "root")))
}

/// The access token of a new user who may read what these cover; it is good for a quarter of an hour.
pub fn reader(administrator: &Way<'_>, name: &str, scopes: &[Option<Scope>]) -> String {
    let grant = |scope: &Option<Scope>| Grant {
        role: Role::Reader.into(),
        scope: scope.clone(),
    };
    let request = CreateUserRequest {
        username: name.into(),
        password: PASSWORD.into(),
        grants: scopes.iter().map(grant).collect(),
        ..CreateUserRequest::default()
    };
    let _: CreateUserResponse = ask(administrator, CREATE_USER, &request);
    login(&administrator.showing(Shown::Nothing), name)
}

fn login(stranger: &Way<'_>, name: &str) -> String {
    let request = LoginRequest {
        username: name.into(),
        password: PASSWORD.into(),
    };
    let reply: LoginResponse = ask(stranger, LOGIN, &request);
    reply.access_token
}

/// Services whose names begin so.
pub fn services(name_prefix: &str) -> Option<Scope> {
    Some(Scope {
        kind: "service".into(),
        name_prefix: name_prefix.into(),
        ..Scope::default()
    })
}
