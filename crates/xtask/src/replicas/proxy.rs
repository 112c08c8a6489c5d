//! A TCP relay whose targets change and whose connections can be cut: the balancer before the replicas, and the line to the database.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a target may take to answer a connection.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// A relay. It runs for as long as the process does.
#[derive(Clone)]
pub(super) struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    targets: Mutex<Vec<u16>>,
    cut: AtomicBool,
    next: AtomicUsize,
    lines: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Listens on a port of the loopback interface; 0 for a free one.
    pub(super) fn listen(port: u16) -> Result<Self, String> {
        let cannot = |error| format!("a relay cannot listen on 127.0.0.1:{port}: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(cannot)?;
        let port = listener.local_addr().map_err(cannot)?.port();
        let state = Arc::<State>::default();
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || {
            for incoming in listener.incoming().flatten() {
                let state = Arc::clone(&accepting);
                std::thread::spawn(move || state.relay(incoming));
            }
        });
        Ok(Self { port, state })
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Where new connections go, in turn.
    pub(super) fn send_to(&self, targets: Vec<u16>) {
        *locked(&self.state.targets) = targets;
    }

    /// Cuts all connections and lets none through, or lets them through again.
    pub(super) fn cut(&self, cut: bool) {
        self.state.cut.store(cut, Ordering::SeqCst);
        if cut {
            for line in locked(&self.state.lines).drain(..) {
                let _ = line.shutdown(Shutdown::Both);
            }
        }
    }
}

impl State {
    fn relay(&self, near: TcpStream) {
        if self.cut.load(Ordering::SeqCst) {
            return;
        }
        let Some(far) = self.connect() else { return };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { return };
        if let (Ok(one), Ok(other)) = (near.try_clone(), far.try_clone()) {
            let mut lines = locked(&self.lines);
            // Those that have ended are let go now and then.
            if lines.len() > 2_048 {
                lines.retain(|line| line.peer_addr().is_ok());
            }
            lines.extend([one, other]);
        }
        std::thread::spawn(move || copy(near_too, far_too));
        copy(far, near);
    }

    fn connect(&self) -> Option<TcpStream> {
        let targets = locked(&self.targets).clone();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        (0..targets.len()).find_map(|turn| {
            let port = targets.get((first + turn) % targets.len())?;
            TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), CONNECT_MAX).ok()
        })
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read) = from.read(&mut buffer) {
        let (some, _) = buffer.split_at(read);
        if read == 0 || to.write_all(some).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
