//! A line to a server on which answers get lost.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Passes everything on between its clients and a server, until an answer is to be lost: then the server has been sent the whole request, has
/// answered it, and the connection ends before a byte of that arrives. What is sent over TLS cannot be told apart.
pub struct Proxy {
    port: u16,
    plan: Arc<Plan>,
}

#[derive(Default)]
struct Plan {
    /// The next answer is lost, whoever it is for.
    next: AtomicBool,
    /// The answer to the next request with these bytes in it is lost.
    to: Mutex<Option<Vec<u8>>>,
    lost: AtomicU32,
    clients: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A line to the server on a port of 127.0.0.1. It stays for as long as the process does.
    #[must_use]
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let plan = Arc::<Plan>::default();
        let its_plan = Arc::clone(&plan);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                its_plan.connect(client, upstream);
            }
        });
        Self { port, plan }
    }

    /// Its own port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Loses the next answer, whoever it is for.
    pub fn lose_next_answer(&self) {
        self.plan.next.store(true, Ordering::Relaxed);
    }

    /// Loses the answer to the next request that contains this text: a short one, which is sent in one piece.
    pub fn lose_answer_to(&self, request: &str) {
        *self.plan.to.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.as_bytes().to_vec());
    }

    /// Ends every connection that there is. A server that works on a request goes on, for it hears of it when it answers.
    pub fn cut(&self) {
        for client in self.plan.clients.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may have ended by itself.
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// How many answers were lost.
    #[must_use]
    pub fn lost(&self) -> u32 {
        self.plan.lost.load(Ordering::Relaxed)
    }
}

impl Plan {
    fn connect(self: &Arc<Self>, client: TcpStream, upstream: TcpStream) {
        let asked = Arc::new(AtomicBool::new(false));
        let (from, to) = (client.try_clone().expect("a stream"), upstream.try_clone().expect("a stream"));
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).push(client.try_clone().expect("a stream"));
        let (plan, is_asked) = (Arc::clone(self), Arc::clone(&asked));
        std::thread::spawn(move || {
            pass(from, to, |request| {
                // Before it is passed on, so that no answer is quicker.
                is_asked.fetch_or(plan.is_meant(request), Ordering::SeqCst);
                false
            });
        });
        let plan = Arc::clone(self);
        std::thread::spawn(move || {
            pass(upstream, client, |_answer| {
                let is_lost = asked.load(Ordering::SeqCst) || plan.next.swap(false, Ordering::Relaxed);
                plan.lost.fetch_add(u32::from(is_lost), Ordering::Relaxed);
                is_lost
            });
        });
    }

    fn is_meant(&self, request: &[u8]) -> bool {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = to.as_ref().is_some_and(|text| request.windows(text.len()).any(|part| part == text));
        if is_it {
            *to = None;
        }
        is_it
    }
}

/// Passes on what is not lost, until one side ends or something is.
fn pass(mut from: TcpStream, mut to: TcpStream, is_lost: impl Fn(&[u8]) -> bool) {
    let mut bytes = [0; 65_536];
    while let Ok(count) = from.read(&mut bytes) {
        let some = bytes.get(..count).unwrap_or_default();
        if some.is_empty() || is_lost(some) || to.write_all(some).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
