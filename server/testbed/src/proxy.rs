//! A TCP proxy that stands between a program and what it needs, and fails on cue.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What the proxy does with what comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Passes it on.
    #[default]
    Pass,
    /// Passes on what is asked, and swallows the answers.
    Mute,
    /// Swallows everything: each end believes that it is still connected.
    Silent,
    /// Passes everything on, each piece so much later.
    Slow(Duration),
    /// Closes whatever connects.
    Refuse,
}

/// The proxy. It ends with the program.
#[derive(Clone, Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    mode: Mode,
    open: Vec<TcpStream>,
}

impl Proxy {
    /// A proxy to a port of this machine.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn to(upstream: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.unwrap_or_else(|error| panic!("no port is free: {error}"));
        let at = listener.local_addr();
        let proxy = Self {
            port: at.map(|at| at.port()).unwrap_or_default(),
            state: Arc::default(),
        };
        let own = proxy.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                own.connect(client, upstream);
            }
        });
        proxy
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, for open connections too.
    pub fn set(&self, mode: Mode) {
        self.state().mode = mode;
    }

    /// Closes all that is open.
    pub fn cut(&self) {
        for stream in self.state().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, client: TcpStream, upstream: u16) {
        if self.state().mode == Mode::Refuse {
            return;
        }
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)) else {
            return;
        };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
            self.state().open.extend(stream.try_clone());
        }
        for (from, to, is_answer) in [(&client, &server, false), (&server, &client, true)] {
            if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                let own = self.clone();
                thread::spawn(move || own.pass(from, to, is_answer));
            }
        }
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, is_answer: bool) {
        let mut piece = [0; 64 * 1024];
        while let Ok(n @ 1..) = from.read(&mut piece) {
            let mode = self.state().mode;
            match mode {
                Mode::Silent => continue,
                Mode::Mute if is_answer => continue,
                Mode::Slow(by) => thread::sleep(by),
                Mode::Pass | Mode::Mute | Mode::Refuse => {}
            }
            if to.write_all(&piece[..n]).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
