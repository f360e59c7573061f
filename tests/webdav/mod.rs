//! WebDAV (RFC 4918): collections, locks, properties, lists of states, COPY and MOVE.

mod collections;
mod copies;
mod dav_bombs;
mod dav_if;
mod dav_locks;
mod dav_model;
mod dav_moves;
mod dav_properties;
mod known_listings;
mod sync_collection;
