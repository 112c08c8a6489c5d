//! A TCP relay whose targets change and whose connections can be cut or made slow: the balancer before replicas, a cluster's Service, the line to the
//! database.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a target may take to answer a connection.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// A relay. It runs for as long as the process does.
#[derive(Clone)]
pub(crate) struct Relay {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    targets: Mutex<Vec<SocketAddr>>,
    cut: AtomicBool,
    /// How much later than it comes everything is passed on, in milliseconds.
    delay_ms: AtomicU64,
    next: AtomicUsize,
    lines: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// Listens on a port of the loopback interface; 0 for a free one.
    pub(crate) fn listen(port: u16) -> Result<Self, String> {
        Self::listen_at((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Listens at an address of the loopback interface.
    pub(crate) fn listen_at(at: SocketAddr) -> Result<Self, String> {
        let cannot = |error| format!("a relay cannot listen on {at}: {error}");
        let listener = TcpListener::bind(at).map_err(cannot)?;
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

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// To which ports of this machine new connections go, in turn.
    pub(crate) fn send_to(&self, ports: Vec<u16>) {
        self.send_to_addresses(ports.into_iter().map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect());
    }

    /// Where new connections go, in turn.
    pub(crate) fn send_to_addresses(&self, targets: Vec<SocketAddr>) {
        *locked(&self.state.targets) = targets;
    }

    /// From now on everything is passed on so much later, each way.
    pub(crate) fn slow_down(&self, delay: Duration) {
        self.state.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Cuts all connections and lets none through, or lets them through again.
    pub(crate) fn cut(&self, cut: bool) {
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
        std::thread::scope(|both| {
            both.spawn(|| self.copy(near_too, far_too));
            self.copy(far, near);
        });
    }

    fn connect(&self) -> Option<TcpStream> {
        let targets = locked(&self.targets).clone();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        (0..targets.len())
            .find_map(|turn| TcpStream::connect_timeout(targets.get((first + turn) % targets.len())?, CONNECT_MAX).ok())
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read) = from.read(&mut buffer) {
            let (some, _) = buffer.split_at(read);
            std::thread::sleep(Duration::from_millis(self.delay_ms.load(Ordering::SeqCst)));
            if read == 0 || to.write_all(some).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
