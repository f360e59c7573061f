//! HTTP-dates (RFC 9110 §5.6.7): read in their three forms, written in the one that is preferred. They know whole seconds alone, and any
//! year from 0 to 9999: files may be older than the epoch.

use std::time::{Duration, UNIX_EPOCH};

use super::stamp::Timestamp;

/// The form that is preferred (IMF-fixdate).
const FIXDATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// The last second that has one: of the year 9999.
const LAST: u64 = 253_402_300_799;

/// Reads a date, in seconds since the epoch; `None` if it is none, or names a day of the week that it does not fall on.
pub fn parse(text: &[u8]) -> Option<i64> {
    let text = str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    if text.contains(char::is_control) {
        return None;
    }
    if let Ok(time) = httpdate::parse_http_date(text) {
        return i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok();
    }
    // Only this form tells the century, so that it can be of before the epoch.
    let date = jiff::civil::DateTime::strptime(FIXDATE, text).ok()?;
    let seconds = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    (date.strftime(FIXDATE).to_string() == text).then_some(seconds)
}

/// Writes a date, rounded down to the second.
pub fn format(time: Timestamp) -> String {
    match u64::try_from(time.seconds()) {
        Ok(seconds) if seconds <= LAST => httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds)),
        _ => {
            let seconds = jiff::Timestamp::from_second(time.seconds()).unwrap_or_default();
            seconds.strftime(FIXDATE).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_in_each_of_its_forms_and_nothing_else_is_one() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            (" Sun, 06 Nov 1994 08:49:37 GMT\t", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", Some(-1)),
            ("Mon, 01 Jan 1601 00:00:00 GMT", Some(-11_644_473_600)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Mon, 06 Nov 1994 08:49:37 GMT", None),
            ("Tue, 31 Dec 1969 23:59:59 GMT", None),
            ("Wed, 31 Dec 1969 23:59:59", None),
            ("wed, 31 dec 1969 23:59:59 gmt", None),
            ("Wed, 31 Dec 1969 23:59:59 GMT, Wed, 31 Dec 1969 23:59:59 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 +0000", None),
            ("Sun, 31 Nov 1994 08:49:37 GMT", None),
            ("\u{b}Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT\n", None),
            ("Sun, 06 Nov 1994\t08:49:37 GMT", None),
            ("784111777", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(parse(b"Sun, 06 Nov 1994 08:49:37 GMT\xff"), None);
    }

    #[test]
    fn a_date_comes_back_from_its_text_on_both_sides_of_the_epoch() {
        for seconds in [-9_000_000_000, -2_147_483_648, -1, 0, 784_111_777, 9_000_000_000] {
            let text = format(Timestamp::new(seconds, 999_999_999));
            assert_eq!(parse(text.as_bytes()), Some(seconds), "{text}");
        }
        assert_eq!(format(Timestamp::new(784_111_777, 0)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(format(Timestamp::new(-1, 1)), "Wed, 31 Dec 1969 23:59:59 GMT");
    }
}
