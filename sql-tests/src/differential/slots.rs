//! What stands in slots that are no values of a type: units, zones, patterns, templates, small numbers.

use super::values::quoted;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// The texts that a slot takes, and whether they stand in quotes.
fn choices(slot: &str) -> Option<(bool, &'static [&'static str])> {
    Some(match slot {
        // Small numbers, where a large one would only ask for memory.
        "n" => (false, &["0", "1", "2", "3", "-1", "-2", "5", "12", "NULL"]),
        "positive" => (false, &["1", "2", "3", "4"]),
        "scale" => (false, &["0", "1", "2", "4", "-1", "-3"]),
        "precision" => (false, &["0", "1", "3", "6"]),
        "zone" => (true, ZONES),
        "field" => (true, FIELDS),
        // The scale of `julian` is that of a quotient; it has a template of its own.
        "extract" => (false, EXTRACT_FIELDS),
        "unit" => (true, UNITS),
        "stride" => (true, &["15 minutes", "1 day", "7 days", "1 hour 30 minutes", "0.5 seconds"]),
        "like" => (true, &["a%", "%b%", "_", "%", "", "a\\%%", "ABC%", "__c", "%ß%", "é_", "_%_", "%\\_c"]),
        "regex" => (true, REGEXES),
        "flags" => (true, &["", "i", "g", "gi", "n", "x"]),
        "replacement" => (true, &["", "X", "[\\&]", "\\1", "\\\\"]),
        "similar" => (true, &["a%", "(a|b)%", "[a-c]+", "_{3}", "%", "a|abc"]),
        "number" => (true, &["12", " -7 ", "1.5", "1e3", "99999999999", "", "abc", "0x1F", "NaN", "+3", "1 2", ".5"]),
        "boolean" => (true, &["true", "t", "off", "yes", "0", "1", " TRUE ", "maybe", ""]),
        "date_text" => (true, DATE_TEXTS),
        "time_text" => {
            (true, &["12:30", "23:59:60", "25:00", "04:05:06.7891234", "040506", "12:30 PM", "abc", "1:2:3"])
        }
        "timestamp_text" => (true, TIMESTAMP_TEXTS),
        "interval_text" => (true, INTERVAL_TEXTS),
        "date_template" => (true, DATE_TEMPLATES),
        "interval_template" => (true, &["HH24:MI:SS", "DD HH24:MI:SS.MS", "YYYY-MM-DD", "DDD", "FMHH:FMMI", "US"]),
        "number_template" => (true, NUMBER_TEMPLATES),
        "reading_template" => {
            (true, &["YYYY-MM-DD", "DD Mon YYYY", "YYYYMMDD", "MM/DD/YY", "IYYY-IW-ID", "J", "YYYY-DDD"])
        }
        "reading_text" => (
            true,
            &[
                "2024-02-29",
                "29 Feb 2024",
                "20241231",
                "02/30/24",
                "2024-53-1",
                "2460000",
                "2023-366",
                "x",
                "2024-13-01",
            ],
        ),
        "moment_template" => {
            (true, &["YYYY-MM-DD HH24:MI:SS", "DD.MM.YYYY HH12:MI AM", "YYYY-MM-DD HH24:MI:SS.US", "HH24MI"])
        }
        "moment_text" => (
            true,
            &["2024-03-31 02:30:00", "27.10.2024 02:30 PM", "2024-01-01 25:00:00", "2024-01-01 12:30:45.5", "1234"],
        ),
        "number_reading_template" => (true, &["999", "9999.99", "S999", "9G999", "999PR", "FM99.9"]),
        "number_reading_text" => (true, &["12", "-12.5", "1,234", "<12>", "12.345", " 7", "abc", "1e2"]),
        "separator" => (true, &["", ",", "a", " ", "ab", "ß"]),
        "characters" => (true, &["", "a", " ", "ab", "äß", "xyz", "a%"]),
        "format" => {
            (true, &["%s", "%s-%s", "%I", "%L", "%%", "[%10s]", "[%-5s]", "%1$s %1$s", "%x", "%2$s", "%s %s %s"])
        }
        "encoding" => (true, &["hex", "base64", "escape", "HEX", "none"]),
        "bytes_text" => (true, &["616263", "YWJj", "\\\\x", "zz", "6", ""]),
        "uuid_text" => {
            (true, &["550e8400e29b41d4a716446655440000", "{550e8400-e29b-41d4-a716-446655440000}", "550e8400", "x"])
        }
        "array_text" => (true, &["{1,2}", "{ 1 , NULL }", "{a,\"b c\"}", "{", "{{1,2},{3,4}}", "[2:3]={1,2}", "{}"]),
        "key" => (true, &["a", "b", "c", "ä", "", "0", "-1"]),
        "path" => (true, &["{a}", "{b,c}", "{b,c,0}", "{0}", "{-1}", "{1,x}", "{}", "{a,NULL}"]),
        "json_text" => (
            true,
            &[
                "{\"a\":1,\"a\":2}",
                " [1 , 2.50] ",
                "\"\\u00e4\"",
                "\"\\u0000\"",
                "1e3",
                "01",
                "{a:1}",
                "[1,",
                "",
                "nul",
                "{\"x\": [1.0, -0, 1E-2]}",
            ],
        ),
        "form" => (false, &["NFC", "NFD", "NFKC", "NFKD"]),
        "codepoint" => (false, &["65", "228", "128512", "0", "-1", "1114112", "55296"]),
        "interval_fields" => (
            false,
            &["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "YEAR TO MONTH", "DAY TO SECOND", "DAY TO HOUR"],
        ),
        _ => return None,
    })
}

/// A random text for the slot; `None` for a slot that this file does not know.
pub(crate) fn random_text(slot: &str, random: &mut StdRng) -> Option<String> {
    let (in_quotes, texts) = choices(slot)?;
    let text = texts.choose(random).copied().unwrap_or_default();
    Some(if in_quotes { quoted(text) } else { text.to_string() })
}

/// True where a text names a zone that knows summer time.
pub(crate) fn names_summer_time(text: &str) -> bool {
    ["Europe/", "America/", "Australia/", "europe/"].iter().any(|area| text.contains(area))
}

/// Zones to which times are moved. Old names such as EST5EDT mean another zone in each version of the zones' files.
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "+02",
    "-05:30",
    "EST",
    "CET",
    "pst",
    "Europe/Nowhere",
    "UTC+3",
    "europe/berlin",
];

const FIELDS: &[&str] = &[
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "milliseconds",
    "microseconds",
    "dow",
    "isodow",
    "doy",
    "week",
    "isoyear",
    "quarter",
    "decade",
    "century",
    "millennium",
    "epoch",
    "julian",
    "timezone",
    "timezone_hour",
    "timezone_minute",
    "fortnight",
];

const EXTRACT_FIELDS: &[&str] = &[
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "milliseconds",
    "microseconds",
    "dow",
    "isodow",
    "doy",
    "week",
    "isoyear",
    "quarter",
    "decade",
    "century",
    "millennium",
    "epoch",
    "timezone",
    "timezone_hour",
    "timezone_minute",
    "fortnight",
];

const UNITS: &[&str] = &[
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "milliseconds",
    "microseconds",
    "week",
    "quarter",
    "decade",
    "century",
    "millennium",
    "fortnight",
    "YEAR",
    "days",
];

const REGEXES: &[&str] = &[
    "a",
    "^a",
    "b$",
    "[a-c]+",
    "(a)(b)?",
    ".",
    "\\d+",
    "\\s",
    "\\w+",
    "x*",
    "a|b",
    "[[:alpha:]]",
    "(",
    "a{2}",
    "^$",
    "ß",
    "[^a]",
    "\\mabc",
    "(?i)ABC",
    "é",
];

const DATE_TEXTS: &[&str] = &[
    "2024-02-29",
    "2023-02-29",
    "20240131",
    "Jan 5, 2024",
    "5 January 2024",
    "2024.123",
    "epoch",
    "12/31/2024",
    "31/12/2024",
    "J2451187",
    "2024-1-5",
    "0000-01-01",
    "44-03-15 BC",
    "2024-01-01 12:00",
    "",
    "abc",
    "January 32 2024",
    "24-01-05",
];

const TIMESTAMP_TEXTS: &[&str] = &[
    "2024-02-29 12:34:56",
    "2024-02-29T12:34:56Z",
    "2024-03-31 02:30",
    "2024-10-27 02:30",
    "2024-01-01 00:00:00+14",
    "2024-01-01 12:00 Europe/Berlin",
    "2024-01-01 12:00 EST",
    "2024-01-01 24:00:00",
    "2024-01-01 12:00:60",
    "epoch",
    "Mon Jan 01 10:00:00 2024",
    "20240101T101112",
    "2024-01-01 1:2",
    "2024-01-01 12:00:00.1234567",
    "2024-01-01 12 PM",
    "abc",
    "",
    "2024-01-01 12:00 Mars/Crater",
];

const INTERVAL_TEXTS: &[&str] = &[
    "1 day",
    "1-2",
    "P1Y2M3DT4H5M6S",
    "PT-1.5S",
    "1 day 2:03:04",
    "1.5 months",
    "-1 days -2:03",
    "2 weeks",
    "1 fortnight",
    "",
    "1 year ago",
    "12:34:56.7891234",
    "0.1 years",
    "1 century",
    "99999999999 days",
    "P0001-02-03T04:05:06",
    "3 d 4 h",
    "1",
    "1:2",
];

const DATE_TEMPLATES: &[&str] = &[
    "YYYY-MM-DD",
    "HH24:MI:SS.US",
    "Day, DD Month YYYY",
    "FMDay, FMDD FMMonth",
    "IYYY-IW-ID",
    "DDD",
    "Q",
    "HH12:MI am",
    "SSSS",
    "TZ",
    "TZH:TZM",
    "OF",
    "J",
    "YYYY BC",
    "Dy Mon DDth",
    "CC",
    "\"text\" YY",
    "RM",
    "WW W",
    "MS",
    "Y,YYY",
    "FF3",
    "fmMONTH dY",
];

const NUMBER_TEMPLATES: &[&str] = &[
    "999", "0000", "9,999.99", "FM999.9", "S9999", "999PR", "MI99", "9.9EEEE", "RN", "FMRN", "99V9", "L999", "999TH",
    "B99", "SG99", "99D9", "PL99", "",
];
