//! The pace of a body: how long it may pause, how fast it has to come, and how large it may be. Time counts only while the client is waited for,
//! so a slow disk makes nobody's body slow; and what came fast earlier is no excuse for what comes slowly now.

use std::time::Duration;

use actix_http::Payload;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use crate::http::reply::RequestError;
use crate::http::settings::HttpSettings;

/// Over which time the rate of a body is judged.
const RATE_OVER: Duration = Duration::from_secs(60);

/// Takes a body at the pace that the limits ask for.
#[derive(Debug)]
pub(crate) struct Pace {
    idle_max: Duration,
    rate_min: u64,
    bytes_max: u64,
    ends_at: Option<Instant>,
    received: u64,
    /// Since when the client is waited for.
    since: Option<Instant>,
    /// How long it was waited for, and what came, since the rate was last judged.
    waited: Duration,
    lately: u64,
}

impl Pace {
    /// The pace of an upload.
    pub(crate) fn of_upload(settings: &HttpSettings) -> Self {
        Self {
            idle_max: settings.body_idle_max,
            rate_min: settings.body_rate_min,
            bytes_max: settings.upload_bytes_max.unwrap_or(u64::MAX),
            ends_at: None,
            received: 0,
            since: None,
            waited: Duration::ZERO,
            lately: 0,
        }
    }

    /// The pace of a body that is held in memory: it is short, and has to be there in time as a whole.
    pub(crate) fn of_short_body(settings: &HttpSettings, bytes_max: u64, time_max: Duration) -> Self {
        Self { bytes_max, ends_at: Some(Instant::now() + time_max), ..Self::of_upload(settings) }
    }

    /// How much has come, in bytes.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The next piece of the body; `None` only at its proper end. May be given up and asked again: the wait goes on.
    pub(crate) async fn next(&mut self, body: &mut Payload) -> Result<Option<Bytes>, RequestError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let idle_until = since + self.idle_max;
        let until = self.ends_at.map_or(idle_until, |ends_at| ends_at.min(idle_until));
        let chunk = match timeout_at(until, body.next()).await {
            Err(_) => return Err(RequestError::SlowBody),
            Ok(None) => return Ok(None),
            Ok(Some(Err(_))) => return Err(RequestError::BrokenBody),
            Ok(Some(Ok(chunk))) => chunk,
        };
        self.since = None;
        self.received += chunk.len() as u64;
        if self.received > self.bytes_max {
            return Err(RequestError::LargeBody);
        }
        self.judge(since.elapsed(), chunk.len() as u64)?;
        Ok(Some(chunk))
    }

    fn judge(&mut self, waited: Duration, bytes: u64) -> Result<(), RequestError> {
        self.waited += waited;
        self.lately += bytes;
        if self.waited < RATE_OVER {
            return Ok(());
        }
        if self.lately < self.rate_min.saturating_mul(self.waited.as_secs()) {
            return Err(RequestError::SlowBody);
        }
        (self.waited, self.lately) = (Duration::ZERO, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;
    use crate::http::media::TrustedPages;

    fn settings(rate_min: u64) -> HttpSettings {
        HttpSettings {
            plain_passwords: false,
            trusted_proxies: Vec::new(),
            user_header: None,
            own_names: Vec::new(),
            allowed_origins: Vec::new(),
            body_idle_max: Duration::from_secs(30),
            body_rate_min: rate_min,
            upload_bytes_max: None,
            partial_put: false,
            uploads_max: 1,
            copies_max: 1,
            event_streams_max: 1,
            hashing_max: 1,
            cache_bytes: 0,
            propfind_members_max: 0,
            trusted_pages: TrustedPages::default(),
        }
    }

    fn pace(rate_min: u64) -> Pace {
        Pace::of_upload(&settings(rate_min))
    }

    /// However fast it came before: one megabyte does not buy a quarter of an hour.
    #[test]
    fn a_body_that_turns_slow_is_given_up() {
        let mut pace = pace(1000);
        assert_eq!(pace.judge(Duration::from_millis(500), 1_000_000), Ok(()));
        let mut seconds = 0;
        while pace.judge(Duration::from_secs(1), 10).is_ok() {
            seconds += 1;
            assert!(seconds < 130, "never");
        }
        assert!(seconds >= 59, "{seconds}");
    }

    /// What is fast enough on the whole may pause, and where no rate is asked for nothing is too slow.
    #[test]
    fn a_body_that_is_fast_enough_goes_on() {
        for (rate_min, bytes) in [(1000, 30_000), (0, 1)] {
            let mut pace = pace(rate_min);
            for _ in 0..100 {
                assert_eq!(pace.judge(Duration::from_secs(29), bytes), Ok(()));
            }
        }
    }

    /// What has to be there in time as a whole ends then, though it has never paused and no rate is asked for. What is no such body goes on.
    #[test]
    fn a_short_body_that_comes_a_byte_at_a_time_ends_in_its_time() {
        let bytes = || {
            let next = |count| async move {
                sleep(Duration::from_millis(1)).await;
                (count < 1000).then(|| (Ok(Bytes::from_static(b" ")), count + 1))
            };
            Payload::from(stream::unfold(0, next).boxed_local())
        };
        let ends = |mut pace: Pace, mut body: Payload| async move {
            loop {
                match pace.next(&mut body).await {
                    Ok(Some(_)) => {}
                    ended => return ended,
                }
            }
        };
        actix_rt::System::new().block_on(async {
            let short = Pace::of_short_body(&settings(0), u64::MAX, Duration::from_millis(50));
            assert_eq!(ends(short, bytes()).await, Err(RequestError::SlowBody));
            assert_eq!(ends(pace(0), bytes()).await, Ok(None));
        });
    }
}
