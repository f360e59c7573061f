//! The clock that requests are judged and answered by. `Date` and all other dates of an answer come from it, and `Date` is asked for last, so
//! that none of them lies ahead of it (RFC 9110 §8.8.2.1).

use std::cell::RefCell;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use actix_web::http::header::HeaderValue;

use crate::model::http_date;
use crate::model::stamp::Timestamp;

/// By how many seconds a clock may be put right without `Date` running backwards.
const CORRECTED_MAX: i64 = 5;

/// The clock's time.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// The present second, as `Date` says it: not an earlier one than it last said, unless the clock was set back.
pub(crate) fn second() -> i64 {
    static LATEST: AtomicI64 = AtomicI64::new(i64::MIN);
    let now = now().seconds();
    let latest = LATEST.fetch_max(now, Ordering::Relaxed).max(now);
    if latest - now > CORRECTED_MAX {
        LATEST.store(now, Ordering::Relaxed);
        return now;
    }
    latest
}

/// The value of `Date`.
pub(crate) fn date() -> HeaderValue {
    thread_local! {
        static WRITTEN: RefCell<(i64, HeaderValue)> = const { RefCell::new((i64::MIN, HeaderValue::from_static(""))) };
    }
    let second = second();
    WRITTEN.with_borrow_mut(|written| {
        if written.0 != second {
            let text = http_date::format(Timestamp::new(second, 0));
            *written = (second, HeaderValue::from_str(&text).expect("letters and digits"));
        }
        written.1.clone()
    })
}
