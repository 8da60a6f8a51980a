//! What templates expect of Python beyond Jinja: methods, dates, and the `generation` tag of `transformers`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

/// A method that the engine does not have: Python's, where they are known.
pub(super) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if let (Some(text), [argument]) = (value.as_str(), args)
        && let Some(affix) = argument.as_str()
    {
        match name {
            "removeprefix" => return Ok(Value::from(text.strip_prefix(affix).unwrap_or(text))),
            "removesuffix" => return Ok(Value::from(text.strip_suffix(affix).unwrap_or(text))),
            _ => {}
        }
    }
    unknown_method_callback(state, value, name, args)
}

/// `{% generation %}` marks the assistant's words for training and prints its body: an `if` that holds does the same.
pub(super) fn without_generation_tags(source: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut done = 0;
    for (open, _) in source.match_indices("{%") {
        let body = open + 2;
        let Some(length) = source[body..].find("%}") else { break };
        let word = source[body..body + length].trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        let replacement = match word {
            "generation" => "if true",
            "endgeneration" => "endif",
            _ => continue,
        };
        let Some(at) = source[body..].find(word).map(|at| body + at) else { continue };
        out.push_str(&source[done..at]);
        out.push_str(replacement);
        done = at + word.len();
    }
    if done == 0 {
        return Cow::Borrowed(source);
    }
    out.push_str(&source[done..]);
    Cow::Owned(out)
}

/// Seconds since 1970 in UTC; 0 for a clock before that.
pub(super) fn unix_seconds_now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(0)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// `datetime.now().strftime(format)`, in UTC and in English, for the directives that dates and times need.
pub(super) fn strftime(format: &str, unix_seconds: i64) -> Result<String, Error> {
    let days = unix_seconds.div_euclid(86_400);
    let second = unix_seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    let month_name = MONTHS[(month - 1) as usize];
    let day_name = DAYS[days.rem_euclid(7) as usize];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        // Writing into a String cannot fail.
        let _ = match chars.next() {
            Some('Y') => write!(out, "{year}"),
            Some('y') => write!(out, "{:02}", year.rem_euclid(100)),
            Some('m') => write!(out, "{month:02}"),
            Some('d') => write!(out, "{day:02}"),
            Some('e') => write!(out, "{day:2}"),
            Some('B') => write!(out, "{month_name}"),
            Some('b' | 'h') => write!(out, "{}", &month_name[..3]),
            Some('A') => write!(out, "{day_name}"),
            Some('a') => write!(out, "{}", &day_name[..3]),
            Some('H') => write!(out, "{hour:02}"),
            Some('I') => write!(out, "{:02}", (hour + 11) % 12 + 1),
            Some('p') => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
            Some('M') => write!(out, "{minute:02}"),
            Some('S') => write!(out, "{second:02}"),
            Some('j') => write!(out, "{:03}", days - days_from_civil(year, 1, 1) + 1),
            Some('F') => write!(out, "{year}-{month:02}-{day:02}"),
            Some('T') => write!(out, "{hour:02}:{minute:02}:{second:02}"),
            Some('%') => write!(out, "%"),
            _ => return Err(Error::new(ErrorKind::InvalidOperation, "strftime_now: a directive that is not known")),
        };
    }
    Ok(out)
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar. Years are taken to begin
/// in March, so that the leap day ends them.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        // Expected values from Python's datetime.utcfromtimestamp(..).strftime(..).
        let format = "%Y-%m-%d %H:%M:%S %a %A %b %B %j %y %I%p %e %F %T %%";
        let cases = [
            (0, "1970-01-01 00:00:00 Thu Thursday Jan January 001 70 12AM  1 1970-01-01 00:00:00 %"),
            (951_782_399, "2000-02-28 23:59:59 Mon Monday Feb February 059 00 11PM 28 2000-02-28 23:59:59 %"),
            (951_868_800, "2000-03-01 00:00:00 Wed Wednesday Mar March 061 00 12AM  1 2000-03-01 00:00:00 %"),
            (1_735_650_245, "2024-12-31 13:04:05 Tue Tuesday Dec December 366 24 01PM 31 2024-12-31 13:04:05 %"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(strftime(format, seconds).unwrap(), expected);
        }
        assert!(strftime("%Q", 0).is_err());
        assert!(strftime("%", 0).is_err());
    }

    #[test]
    fn days_and_dates_invert_each_other() {
        for days in (-800_000..800_000).step_by(37) {
            let (year, month, day) = civil(days);
            assert_eq!(days_from_civil(year, month, day), days);
            assert!((1..=12).contains(&month) && (1..=31).contains(&day));
        }
    }

    #[test]
    fn generation_tags_become_conditions() {
        assert_eq!(without_generation_tags("a{% if x %}b{% endif %}"), "a{% if x %}b{% endif %}");
        assert_eq!(without_generation_tags("{%- generation -%}x{% endgeneration +%}"), "{%- if true -%}x{% endif +%}");
    }
}
