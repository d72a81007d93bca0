//! Points in time by the calendar, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// A point in time by the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Civil {
    pub(crate) year: u64,
    pub(crate) month: u64,
    pub(crate) day: u64,
    pub(crate) hour: u64,
    pub(crate) minute: u64,
    pub(crate) second: u64,
}

impl Civil {
    /// So many seconds after the beginning of 1970.
    pub(crate) fn of(unix_seconds: u64) -> Self {
        let (days, seconds) = (
            unix_seconds / SECONDS_PER_DAY,
            unix_seconds % SECONDS_PER_DAY,
        );
        // Years that begin in March have their leap day last; 400 of them have always as many days.
        const DAYS_TO_1970: u64 = 719_468;
        const DAYS_PER_ERA: u64 = 146_097;
        let (era, day_of_era) = (
            (days + DAYS_TO_1970) / DAYS_PER_ERA,
            (days + DAYS_TO_1970) % DAYS_PER_ERA,
        );
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }
}

/// A second of the calendar, its parts between these.
pub(crate) fn seconds(unix_seconds: u64, between: [u8; 5]) -> String {
    let at = Civil::of(unix_seconds);
    let [a, b, c, d, e] = between.map(char::from);
    format!(
        "{:04}{a}{:02}{b}{:02}{c}{:02}{d}{:02}{e}{:02}",
        at.year, at.month, at.day, at.hour, at.minute, at.second
    )
}

/// Time since the beginning of 1970; none before it.
pub(crate) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn dates_are_those_of_the_calendar(unix_seconds in 0u64..253_402_300_800) {
            let civil = Civil::of(unix_seconds);
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix_seconds));
            let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
            let month = &months[(civil.month as usize - 1) * 3..][..3];
            let Civil { year, day, hour, minute, second, .. } = civil;
            let expected = format!("{day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT");
            prop_assert!(date.ends_with(&expected), "{} {}", date, expected);
        }
    }
}
