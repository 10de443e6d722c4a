//! A siege: servers, database, Redis and the ways between them fail at random while clients write, and come back without
//! a call. Nothing that was acknowledged is lost, nothing is applied twice, and all agree in the end.
//!
//! `AMADEUS_SIEGE_FAULTS` says how many faults (8), `AMADEUS_TEST_SEED` repeats the choices.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use amadeus_proto::v1::graph_service_client::GraphServiceClient;
use testbed::{Mode, Postgres, Proxy, Redis, Signal};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic::transport::Channel;

use crate::cluster::{Cluster, Member, put, read, soon};
use crate::random::{Random, seed, setting};

const SERVERS: usize = 3;
const CLIENTS: u64 = 9;

/// How long a client waits for one reply, and for a write to be acknowledged by any server.
const REPLY: Duration = Duration::from_secs(12);
const ACKNOWLEDGED: Duration = Duration::from_secs(90);

/// The ways to the servers, which change when one is started again; and what was acknowledged.
struct Field {
    channels: Mutex<Vec<Channel>>,
    acknowledged: AtomicU64,
    over: AtomicBool,
}

impl Field {
    fn channels(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts on its own entity, each time against whatever server chance picks, until the siege is over; how far it came.
async fn count(field: Arc<Field>, client: u64, mut random: Random) -> Result<u64, String> {
    let name = format!("client-{client}");
    let (mut number, mut revision) = (0, 0);
    while !field.over.load(Ordering::Relaxed) {
        let request = format!("{name}-{number}");
        let began = Instant::now();
        revision = loop {
            let channel = random.pick(&field.channels()).clone();
            let mut graph = GraphServiceClient::new(channel);
            let write = put(&name, number + 1, Some(revision), &request);
            let told = match timeout(REPLY, graph.put_entity(write)).await {
                Ok(Ok(reply)) => reply.into_inner(),
                Ok(Err(status))
                    if matches!(
                        status.code(),
                        Code::Aborted | Code::AlreadyExists | Code::NotFound
                    ) =>
                {
                    return Err(format!("{request}, after {revision}: {status}"));
                }
                _ if began.elapsed() > ACKNOWLEDGED => {
                    return Err(format!("{request}: nobody acknowledged it"));
                }
                _ => {
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            break told.header.map_or(0, |header| header.revision);
        };
        number += 1;
        field.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    Ok(number)
}

/// What can fail.
struct Besieged {
    cluster: Cluster,
    database: Postgres,
    redis: Redis,
    proxies: Vec<Proxy>,
    options: Vec<Vec<String>>,
    field: Arc<Field>,
}

impl Besieged {
    async fn restart(&mut self, at: usize) {
        self.cluster.members[at].process.end().await;
        let options: Vec<&str> = self.options[at].iter().map(String::as_str).collect();
        let member = Member::start(&self.cluster.folder, options[0], &options[1..]).await;
        self.field.channels()[at] = member.channel();
        self.cluster.members[at] = member;
    }

    /// Waits until one of these servers tells of it.
    async fn told(&self, servers: &[usize], what: &str) {
        soon(what, || async {
            for at in servers {
                let said = self.cluster.members[*at].http("/readyz?verbose").await;
                if said.contains(what) {
                    return true;
                }
            }
            false
        })
        .await;
    }

    /// Waits until every server says that it is well, in its health and in its metrics.
    async fn well(&self, after: &str) {
        soon(&format!("all are well again after {after}"), || async {
            for member in &self.cluster.members {
                let said = member.http("/readyz?verbose").await;
                let metrics = member.http("/metrics").await;
                let degraded = |line: &str| {
                    line.starts_with("amadeus_degraded") && !line.trim_end().ends_with(" 0")
                };
                let is_well = said.contains("200 OK") && !said.contains("[~]");
                if !is_well || metrics.lines().any(degraded) {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Lets something fail and come back; what it was.
    async fn suffer(&mut self, random: &mut Random) -> &'static str {
        let at = random.below(SERVERS as u64) as usize;
        let a_while = Duration::from_millis(100 + random.below(2_500));
        match random.below(11) {
            0 | 1 => {
                self.restart(at).await;
                "a server killed"
            }
            2 => {
                self.cluster.members[at].signal("-STOP");
                sleep(a_while).await;
                self.cluster.members[at].signal("-CONT");
                "a server stopped for a while"
            }
            3 => {
                self.redis.end(Signal::Kill);
                self.told(&[0, 1, 2], "[~] redis degraded").await;
                self.redis.resume();
                "Redis killed"
            }
            4 => {
                self.redis.signal(Signal::Stop);
                sleep(a_while).await;
                self.redis.signal(Signal::Continue);
                "Redis stopped for a while"
            }
            5 => {
                self.database.end(Signal::Kill);
                self.told(&[0, 1, 2], "[-] log failed").await;
                self.database.resume();
                "the database killed"
            }
            6 => {
                self.database.end(Signal::Interrupt);
                self.database.resume();
                "the database restarted"
            }
            7 => {
                self.database.signal(Signal::Stop);
                sleep(a_while).await;
                self.database.signal(Signal::Continue);
                "the database stopped for a while"
            }
            8 => {
                self.proxies[at].cut();
                "a server's connections cut"
            }
            9 => {
                let mode = *random.pick(&[Mode::Mute, Mode::Silent, Mode::Refuse]);
                self.proxies[at].set(mode);
                if mode == Mode::Refuse {
                    self.proxies[at].cut();
                    self.told(&[at], "[-] log failed").await;
                } else {
                    sleep(a_while).await;
                }
                self.proxies[at].set(Mode::Pass);
                self.proxies[at].cut();
                "a server cut off from the database"
            }
            _ => {
                self.proxies[at].set(Mode::Slow(Duration::from_millis(20)));
                sleep(a_while).await;
                self.proxies[at].set(Mode::Pass);
                "a slow way to the database"
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_nothing_acknowledged_is_lost_or_applied_twice() {
    let (database, redis) = match (Postgres::start(), Redis::start()) {
        (Ok(database), Ok(redis)) => (database, redis),
        (Err(missing), _) | (_, Err(missing)) => return eprintln!("skipped: {missing}"),
    };
    let mut random = Random::of(seed());
    let faults = setting("AMADEUS_SIEGE_FAULTS").unwrap_or(8);
    let name = database
        .database()
        .rsplit('/')
        .next()
        .expect("a name")
        .to_owned();
    let proxies: Vec<Proxy> = (0..SERVERS).map(|_| Proxy::to(database.port())).collect();
    let options = |proxy: &Proxy| {
        let store = format!("postgres://amadeus@127.0.0.1:{}/{name}", proxy.port());
        let redis = redis.url();
        vec![
            store,
            "--redis".into(),
            redis,
            "--checkpoint-every".into(),
            "500".into(),
        ]
    };
    let options: Vec<Vec<String>> = proxies.iter().map(options).collect();
    let mut cluster = Cluster::start(options[0][0].clone(), 0, &[]).await;
    for options in &options {
        let more: Vec<&str> = options[1..].iter().map(String::as_str).collect();
        let member = Member::start(&cluster.folder, &options[0], &more).await;
        cluster.members.push(member);
    }
    let field = Arc::new(Field {
        channels: Mutex::new(cluster.members.iter().map(Member::channel).collect()),
        acknowledged: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    let mut besieged = Besieged {
        cluster,
        database,
        redis,
        proxies,
        options,
        field: field.clone(),
    };
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (field, random) = (field.clone(), random.branch());
        clients.spawn(async move { (client, count(field, client, random).await) });
    }
    let mut suffered: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..faults {
        let before = field.acknowledged.load(Ordering::Relaxed);
        let fault = besieged.suffer(&mut random).await;
        *suffered.entry(fault).or_default() += 1;
        let began = Instant::now();
        while field.acknowledged.load(Ordering::Relaxed) < before + CLIENTS {
            let ended = clients
                .try_join_next()
                .map(|ended| ended.expect("no panic"));
            assert!(ended.is_none(), "after {fault}: {ended:?}");
            assert!(
                began.elapsed() < ACKNOWLEDGED,
                "no write comes through after {fault}"
            );
            sleep(Duration::from_millis(20)).await;
        }
        besieged.well(fault).await;
    }
    field.over.store(true, Ordering::Relaxed);
    let mut total = 0;
    let mut counted = BTreeMap::new();
    while let Some(ended) = clients.join_next().await {
        let (client, number) = ended.expect("no panic");
        let number = number.unwrap_or_else(|what| panic!("{what}"));
        counted.insert(client, number);
        total += number;
    }
    assert_eq!(
        besieged.cluster.agree().await,
        total,
        "a revision for each write"
    );
    for member in &besieged.cluster.members {
        for (client, number) in &counted {
            let found = read(&mut member.graph(), &format!("client-{client}"), None).await;
            assert_eq!(found.expect("there").0, *number, "client {client}");
        }
    }
    eprintln!("{total} writes; {suffered:?}");
}
