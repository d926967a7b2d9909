//! The HTTP listener for those who watch: `/metrics`, `/healthz`, `/readyz`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use xmpp_core::server::Server;

use crate::cluster::Node;
use crate::metrics::{self, Expiry};
use crate::rooms::Rooms;
use crate::store::Store;

/// Requests served at a time; more wait.
const CLIENTS: usize = 32;
/// A request takes no longer to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// A store that takes longer to answer is not ready.
const STORE: Duration = Duration::from_secs(2);
/// Most bytes of a request's head.
const HEAD: usize = 16 * 1024;

/// What there is to see. Clone is cheap and shows the same.
#[derive(Clone)]
pub struct Monitor {
    shared: Arc<Shared>,
}

struct Shared {
    server: Server,
    store: Store,
    rooms: Rooms,
    /// This server's part in a cluster.
    node: Option<Node>,
    ready: AtomicBool,
    expiries: RwLock<Vec<Expiry>>,
}

impl Monitor {
    /// Not ready yet.
    pub fn new(server: Server, store: Store, rooms: Rooms, node: Option<Node>) -> Monitor {
        Monitor {
            shared: Arc::new(Shared {
                server,
                store,
                rooms,
                node,
                ready: AtomicBool::new(false),
                expiries: RwLock::default(),
            }),
        }
    }

    /// Whether the server takes clients.
    pub fn set_ready(&self, ready: bool) {
        self.shared.ready.store(ready, Ordering::Relaxed);
    }

    /// When the certificates expire that are served now.
    pub fn set_expiries(&self, expiries: Vec<Expiry>) {
        *self
            .shared
            .expiries
            .write()
            .unwrap_or_else(PoisonError::into_inner) = expiries;
    }

    /// Listens; returns the address, which tells the port if 0 was asked for.
    pub async fn listen(&self, address: SocketAddr) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        tokio::spawn(self.clone().accept(listener));
        Ok(address)
    }

    async fn accept(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CLIENTS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "monitoring");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let monitor = self.clone();
            tokio::spawn(async move {
                let answer = service_fn(|request| {
                    let monitor = monitor.clone();
                    async move { Ok::<_, Infallible>(monitor.answer(&request).await) }
                });
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .max_buf_size(HEAD)
                    // One request each: who watches comes by seldom.
                    .keep_alive(false);
                let served = http.serve_connection(TokioIo::new(stream), answer);
                // The time-out is for those who do not read.
                if let Ok(Err(error)) = tokio::time::timeout(2 * PATIENCE, served).await {
                    tracing::debug!(%error, "monitoring");
                }
                drop(place);
            });
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = reply(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
            refused
                .headers_mut()
                .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/metrics" => self.metrics().await,
            "/healthz" => reply(StatusCode::OK, "alive\n"),
            "/readyz" => match self.is_ready().await {
                Ok(()) => reply(StatusCode::OK, "ready\n"),
                Err(reason) => reply(StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            _ => reply(StatusCode::NOT_FOUND, "/metrics, /healthz or /readyz\n"),
        }
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let Shared {
            server,
            store,
            rooms,
            node,
            expiries,
            ..
        } = &*self.shared;
        // It looks at all sessions, which clients should not wait for.
        let counted = server.clone();
        let Some(queues) = server.blocking(move || counted.session_queues()).await else {
            return reply(StatusCode::INTERNAL_SERVER_ERROR, "not counted\n");
        };
        let expiries = expiries.read().unwrap_or_else(PoisonError::into_inner);
        let store = (store.waiting(), store.writing());
        let cluster = node.as_ref().map(Node::status);
        let text = metrics::render(server, rooms, cluster.as_ref(), queues, store, &expiries);
        let mut response = Response::new(Full::from(text));
        let media = hyper::header::HeaderValue::from_static(metrics::MEDIA_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, media);
        response
    }

    async fn is_ready(&self) -> Result<(), &'static str> {
        if !self.shared.ready.load(Ordering::Relaxed) {
            return Err("starting or shutting down\n");
        }
        let Shared { server, store, .. } = &*self.shared;
        let domain = server.config().domains.first().ok_or("no domain\n")?;
        let accounts = &server.stores().accounts;
        let ask = async {
            accounts.exists(&domain.name).await?;
            match store.writing().is_failing {
                // Where nobody is sent, nobody would find out that it has passed.
                true => store.try_writing().await,
                false => Ok(()),
            }
        };
        match tokio::time::timeout(STORE, ask).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("the store fails\n"),
            Err(_) => Err("the store does not answer\n"),
        }
    }
}

fn reply(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
