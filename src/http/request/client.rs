//! Who makes a request, and from where.

use actix_http::RequestHead;
use actix_web::http::header;

use crate::access::Caller;
use crate::http::headers::field::text;
use crate::model::principal::Client;

/// Where a request of this caller comes from.
pub(crate) fn client(caller: &Caller, head: &RequestHead) -> Client {
    let address = head.peer_addr.map(|peer| peer.ip());
    Client::new(caller.principal().clone(), address, text(&head.headers, header::USER_AGENT))
}
