//! The entrance: connections as they come are taken in here, and no client takes all the places that there are. An encrypted one is let in once its
//! handshake is made.

use crate::http::wire::connection::{Connection, ConnectionLimits};
use crate::http::wire::crowd::{ConnectionPermit, Crowd};
use crate::http::wire::fast_path::Edge;
use crate::http::wire::handshake::{HandshakeLimits, Handshakes, shake_hands};
use actix_http::error::DispatchError;
use actix_rt::net::TcpStream;
use actix_server::GracefulShutdownSignal;
use rustls::ServerConfig;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

/// A connection that was taken in, as the dispatcher wants it.
pub(crate) type Accepted = (Connection, actix_http::Protocol, Option<SocketAddr>);

/// Takes a connection in, unless its client has as many as it may: then it closes.
pub(crate) fn accepted(mut connection: Connection, crowd: &Arc<Crowd>) -> Result<Accepted, DispatchError> {
    let peer = connection.peer();
    connection.takes(place_of(peer, crowd)?);
    Ok((connection, actix_http::Protocol::Http1, peer))
}

fn place_of(peer: Option<SocketAddr>, crowd: &Arc<Crowd>) -> Result<ConnectionPermit, DispatchError> {
    crowd.enter(peer).ok_or_else(|| {
        tracing::debug!(?peer, "closed a connection: its address has as many as it may");
        DispatchError::Io(io::ErrorKind::ConnectionRefused.into())
    })
}

/// What lets clients in by TLS, for one worker.
pub(crate) struct TlsEntrance {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) handshakes: Arc<Handshakes>,
    pub(crate) handshake: HandshakeLimits,
    pub(crate) limits: ConnectionLimits,
    pub(crate) crowd: Arc<Crowd>,
    pub(crate) edge: Rc<dyn Edge>,
    pub(crate) stopping: GracefulShutdownSignal,
}

impl TlsEntrance {
    /// As [`accepted`], once the handshake is made.
    pub(crate) async fn let_in(self: Rc<Self>, tcp: TcpStream) -> Result<Accepted, DispatchError> {
        // A client that is gone already still came by TCP.
        let peer = Some(tcp.peer_addr().unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into()));
        let place = place_of(peer, &self.crowd)?;
        let (config, permit) = (Arc::clone(&self.config), self.handshakes.begin());
        let shaken = shake_hands(tcp, config, &*self.edge, self.handshake, permit, self.stopping.notified()).await;
        let socket = shaken.map_err(|error| {
            tracing::debug!(?peer, "closed a connection before its first request: {error}");
            DispatchError::Io(error)
        })?;
        let mut connection = Connection::tls(socket, self.limits, Rc::clone(&self.edge));
        connection.takes(place);
        Ok((connection, actix_http::Protocol::Http1, peer))
    }
}
