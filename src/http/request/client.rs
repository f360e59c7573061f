//! Who makes a request, and from where.

use actix_http::RequestHead;
use actix_web::http::header;

use crate::http::headers::field::text;
use crate::model::principal::{Client, Principal};

/// For whom a request is made. There are no users yet, so nobody can say.
pub(crate) fn principal(_head: &RequestHead) -> Principal {
    Principal::Anonymous
}

/// Where a request comes from.
pub(crate) fn client(head: &RequestHead) -> Client {
    let address = head.peer_addr.map(|peer| peer.ip());
    Client::new(principal(head), address, text(&head.headers, header::USER_AGENT))
}
