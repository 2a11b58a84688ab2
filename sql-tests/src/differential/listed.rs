//! The differences that POSTGRES.md lists, as narrow as they can be said.
//!
//! There are two sorts. A *mark* on a production says that its value or type is another one there by design; the
//! values are then compared by that mark's measure. An *observation* explains an answer by what PostgreSQL says of the
//! statement's parts: a numeric that is NaN, a value that lies beyond what Meridian holds.

use super::client::Outcome;
use super::comparison::Kind;
use super::tree::Mark;
use crate::wire::ColumnDescription;
use std::cmp::Ordering;

const WRONG_TYPE: &str = "42804";
const FLOAT4_OID: u32 = 700;
const FLOAT8_OID: u32 = 701;
const DATE_OID: u32 = 1082;
const TIMESTAMP_OID: u32 = 1114;
const TIMESTAMPTZ_OID: u32 = 1184;
const INTERVAL_OID: u32 = 1186;
const NUMERIC_OID: u32 = 1700;
const NUMERIC_ARRAY_OID: u32 = 1231;
const TEXT_OID: u32 = 25;
const TEXT_ARRAY_OID: u32 = 1009;
const VARCHAR_OID: u32 = 1043;
const VARCHAR_ARRAY_OID: u32 = 1015;
/// char(n) and its array.
const PADDED_OIDS: &[u32] = &[1042, 1014];

const OUT_OF_RANGE: &str = "22003";
const INVALID_PARAMETER: &str = "22023";
const NOT_SUPPORTED: &str = "0A000";
const ARRAY_SUBSCRIPT: &str = "2202E";
const INTERVAL_CODES: [&str; 2] = ["22007", "22015"];
const AMBIGUOUS_COLUMN: &str = "42702";
const INVALID_ESCAPE: &str = "22025";
const SYNTAX_ERROR: &str = "42601";
const MOMENT_OUT_OF_RANGE: &str = "22008";
/// The class of errors that a statement's form causes: of names, operators and types.
const FORM_ERROR_CLASS: &str = "42";
const BEYOND_NUMERIC: &str = "a numeric value of # digits is not supported";
/// The classes of errors that nothing excuses: internal ones, and statements that take too long.
const BROKEN_CLASSES: &[&str] = &["XX", "57"];
/// The classes of errors that a value causes rather than a statement.
const DATA_ERROR_CLASSES: &[&str] = &["22", "54"];

/// Numerics beyond so many digits are refused; "numeric has at most 76 digits".
const NUMERIC_DIGITS_MAX: usize = 76;
/// "Beyond 36 digits before the point they are errors", of products of quotients.
const QUOTIENT_WHOLE_DIGITS_MAX: usize = 36;
/// Digits after the point that a quotient keeps.
const QUOTIENT_DIGITS_MAX: usize = 32;
/// "Timestamps end in January 294247": what is in the year before may come to lie beyond.
const TIMESTAMP_YEAR_MAX: i64 = 294_245;
/// "Intervals hold at most 292 years of hours, minutes and seconds".
const INTERVAL_HOURS_MAX: i64 = 2_562_047;
/// An interval as a zone counts in PostgreSQL by the lowest 32 bits of its seconds, which these hours fill.
const ZONE_HOURS_MAX: i64 = 596_523;
/// "Zones with summer time are computed without it after 2099".
const SUMMER_TIME_YEAR_MAX: i64 = 2099;
/// How much a sum of doubles may differ, as part of Σ|x|.
const SUM_TOLERANCE: f64 = 1e-12;
const REAL_SUM_TOLERANCE: f64 = 1e-6;
/// How much what is computed in double precision may differ from what PostgreSQL computes exactly.
const DOUBLE_TOLERANCE: f64 = 1e-12;
/// Two doubles, relative to their size.
const LAST_DIGIT: f64 = 4.5e-16;
/// What is computed from a cube root, as a part of its size.
const OF_LAST_DIGIT: f64 = 1e-10;

/// What a mark is called in the summary.
pub(crate) fn rule_of(mark: Mark) -> &'static str {
    match mark {
        Mark::None => "none",
        Mark::CubeRoot | Mark::OfCubeRoot => "Numbers: cube roots are rounded to the nearest",
        Mark::Scale => "Numbers: the scale of numerics that meet, and of what is computed from quotients",
        Mark::Double => "Numbers: power, sqrt, ln, log, exp of numeric are double precision",
        Mark::Variance => "Numbers: variances depend on the order of rows, or are double precision",
        Mark::FloatSum => "Numbers: sums of doubles are rounded once",
        Mark::RealSum => "Numbers: sums of reals are rounded once",
    }
}

/// A literal may make a real of what its place says is a double.
pub(crate) fn mark_of(mark: Mark, column: &ColumnDescription) -> Mark {
    if mark == Mark::FloatSum && column.type_oid == FLOAT4_OID { Mark::RealSum } else { mark }
}

/// Whether two values are the same by the measure of the mark.
pub(crate) fn is_same(value: &str, expected: &str, mark: Mark, magnitude: f64) -> bool {
    if value == expected {
        return true;
    }
    let numbers = || Some((value.parse::<f64>().ok()?, expected.parse::<f64>().ok()?));
    let within = |tolerance: f64| numbers().is_some_and(|(value, expected)| (value - expected).abs() <= tolerance);
    let size = || numbers().map_or(0.0, |(value, expected)| value.abs().max(expected.abs()));
    match mark {
        Mark::None => false,
        Mark::CubeRoot => within(LAST_DIGIT * size()),
        Mark::OfCubeRoot => within(OF_LAST_DIGIT * size()),
        Mark::Scale => same_decimals(value, expected),
        Mark::Double => within(DOUBLE_TOLERANCE * size()) || same_decimal(value, expected),
        Mark::Variance => within(DOUBLE_TOLERANCE * size()) || within(SUM_TOLERANCE * magnitude),
        Mark::FloatSum => within(SUM_TOLERANCE * magnitude),
        Mark::RealSum => within(REAL_SUM_TOLERANCE * magnitude),
    }
}

/// Whether another type is one of the listed ones.
pub(crate) fn is_type_listed(column: &ColumnDescription, expected: &ColumnDescription, mark: Mark) -> bool {
    match mark {
        Mark::Double | Mark::Variance => expected.type_oid == NUMERIC_OID && column.type_oid == FLOAT8_OID,
        Mark::None | Mark::CubeRoot | Mark::OfCubeRoot | Mark::Scale | Mark::FloatSum | Mark::RealSum => false,
    }
}

/// Whether PostgreSQL may fail where Meridian answers: a sum of doubles overflows in between, though not in the end.
pub(crate) fn is_failure_listed(code: &str, mark: Mark) -> bool {
    matches!(mark, Mark::FloatSum | Mark::RealSum | Mark::Variance) && code == OUT_OF_RANGE
}

/// Whether two decimals, or arrays of them, are equal when each is rounded to the smaller scale.
fn same_decimals(one: &str, other: &str) -> bool {
    let is_between = |letter: char| matches!(letter, '{' | '}' | ',');
    let shape = |text: &str| text.chars().filter(|letter| is_between(*letter)).collect::<String>();
    let mut pairs = one.split(is_between).zip(other.split(is_between));
    shape(one) == shape(other) && pairs.all(|(one, other)| one == other || same_decimal(one, other))
}

/// Whether two decimals are equal when both are rounded to the smaller scale.
fn same_decimal(one: &str, other: &str) -> bool {
    let scale_of = |text: &str| text.split_once('.').map_or(0, |(_, digits)| digits.len());
    let scale = scale_of(one).min(scale_of(other));
    match (rounded(one, scale), rounded(other, scale)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// A decimal rounded half away from zero, as its sign and digits without the point; `None` for what is no decimal.
fn rounded(text: &str, scale: usize) -> Option<(bool, Vec<u8>)> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (kept, cut) = fraction.split_at(scale.min(fraction.len()));
    let mut digits: Vec<u8> = whole.bytes().chain(kept.bytes()).map(|byte| byte - b'0').collect();
    if cut.bytes().next().is_some_and(|first| first >= b'5') {
        let carried = digits.iter_mut().rev().find_map(|digit| {
            *digit = (*digit + 1) % 10;
            (*digit != 0).then_some(())
        });
        if carried.is_none() {
            digits.insert(0, 1);
        }
    }
    let significant: Vec<u8> = digits.iter().copied().skip_while(|digit| *digit == 0).collect();
    Some((negative && !significant.is_empty(), significant))
}

/// What a statement says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traits {
    /// It means a zone that knows summer time.
    pub has_summer_time: bool,
    /// It has a CASE, a coalesce or a WHERE that is decided without a row.
    pub is_decided: bool,
    /// Its rows come in a defined order.
    pub is_ordered: bool,
    /// It takes rows by their order: DISTINCT ON, or a window.
    pub takes_first: bool,
    /// It groups by sets, an item of which begins with a parenthesis.
    pub has_open_set: bool,
    /// Numerics meet in it, or it computes with quotients.
    pub has_meeting: bool,
    /// It moves times by an interval as a zone.
    pub has_interval_zone: bool,
    /// It names collation C beside letters that are not ASCII.
    pub has_collation: bool,
}

/// The listed difference that explains an answer by what PostgreSQL says of the statement's parts, over all rows and over
/// each by itself, the whole last, and Meridian of the same.
pub(crate) fn explanation(
    kind: &Kind,
    parts: &[Outcome],
    meridian_parts: &[Outcome],
    traits: Traits,
) -> Option<&'static str> {
    let (answer, meridian) = (parts.last(), meridian_parts.last());
    if let Some(rule) = explanation_of_form(kind, parts, answer, meridian, traits) {
        return Some(rule);
    }
    if let Some(rule) = explanation_of_errors(kind, parts, meridian_parts) {
        return Some(rule);
    }
    if let Kind::OnlyMeridianFails { message, .. } = kind
        && message == BEYOND_NUMERIC
    {
        return Some("Numbers: numeric has at most 76 digits");
    }
    if let Kind::OnlyMeridianFails { code, message } | Kind::Code { meridian: code, message, .. } = kind
        && code == INVALID_PARAMETER
        && message == "time zone \"\" not recognized"
    {
        return Some("Dates and times: time zones in POSIX notation have no summer time");
    }
    let is_in_both = |code: &str| has_error_in_both(parts, meridian_parts, code);
    if error_code(kind).is_some_and(|code| (code == NOT_SUPPORTED || is_of_data(code)) && is_in_both(code)) {
        return Some("which parts of a statement are computed, and in which order, is not defined");
    }
    let may_be_of_values = matches!(kind, Kind::Value | Kind::RowCount) || error_code(kind).is_some_and(is_of_data);
    if may_be_of_values { explanation_of_values(kind, parts, traits) } else { None }
}

/// What explains an answer by a value that PostgreSQL has of one of its parts. No value explains another type, name or
/// modifier, a lost connection, or an error that values do not cause.
fn explanation_of_values(kind: &Kind, parts: &[Outcome], traits: Traits) -> Option<&'static str> {
    let any = |oids: &[u32], holds: &dyn Fn(&str) -> bool| {
        parts.iter().any(|part| values_of(part, oids).into_iter().any(holds))
    };
    let is_special = |value: &str| matches!(value, "NaN" | "Infinity" | "-Infinity");
    if any(&[NUMERIC_OID], &is_special) {
        return Some("Numbers: numeric has no NaN and no infinity");
    }
    if *kind == Kind::Value && any(&[NUMERIC_OID], &is_finer_than_numeric) {
        return Some("Numbers: quotients keep 32 digits after the point, other numerics without a type 36");
    }
    if meridian_code(kind) == Some(OUT_OF_RANGE) && any(&[NUMERIC_OID], &is_beyond_numeric) {
        return Some("Numbers: numeric has at most 76 digits, a quotient 22 before the point");
    }
    if any(&[DATE_OID, TIMESTAMP_OID, TIMESTAMPTZ_OID], &|value| value.ends_with("infinity")) {
        return Some("Dates and times: infinity is refused");
    }
    if any(&[TIMESTAMP_OID, TIMESTAMPTZ_OID], &|value| year_of(value) > TIMESTAMP_YEAR_MAX) {
        return Some("Dates and times: timestamps end in January 294247");
    }
    if any(&[INTERVAL_OID], &|value| hours_of(value) >= INTERVAL_HOURS_MAX) {
        return Some("Dates and times: intervals hold at most 292 years of hours");
    }
    let is_of_moments = *kind == Kind::Value || error_code(kind) == Some(MOMENT_OUT_OF_RANGE);
    if traits.has_interval_zone && is_of_moments && any(&[INTERVAL_OID], &|value| hours_of(value) >= ZONE_HOURS_MAX) {
        return Some("Dates and times: an interval as a zone moves by all of its time");
    }
    let moments = [DATE_OID, TIMESTAMP_OID, TIMESTAMPTZ_OID];
    if traits.has_summer_time && any(&moments, &|value| year_of(value) > SUMMER_TIME_YEAR_MAX) {
        return Some("Dates and times: zones with summer time are computed without it after 2099");
    }
    None
}

/// Whether a part has an error in both servers by itself. It comes or not, as they choose to compute the part.
fn has_error_in_both(parts: &[Outcome], meridian_parts: &[Outcome], code: &str) -> bool {
    let mut both = parts.iter().zip(meridian_parts);
    both.any(|(part, meridian)| part.code() == Some(code) && meridian.code() == Some(code))
}

/// What explains that both servers fail, each in its way: of several errors either may be the first that is found.
pub(crate) fn explanation_of_errors(
    kind: &Kind,
    parts: &[Outcome],
    meridian_parts: &[Outcome],
) -> Option<&'static str> {
    let Kind::Code { postgres, meridian, message } = kind else { return None };
    if BROKEN_CLASSES.iter().any(|class| meridian.starts_with(class)) {
        return None;
    }
    let is_in_both = |code: &str| has_error_in_both(parts, meridian_parts, code);
    // A value that is beyond what Meridian holds is an error where it stands.
    (is_in_both(postgres) || is_in_both(meridian) || message == BEYOND_NUMERIC)
        .then_some("Messages: a statement with several errors may end with another of them")
}

/// What explains an answer by the statement's form and the types of its columns.
fn explanation_of_form(
    kind: &Kind,
    parts: &[Outcome],
    answer: Option<&Outcome>,
    meridian: Option<&Outcome>,
    traits: Traits,
) -> Option<&'static str> {
    let has_negative_zero = parts.iter().any(|part| values_of(part, &[FLOAT4_OID, FLOAT8_OID]).contains(&"-0"));
    let is_padded = parts.iter().chain(meridian).any(|answer| has_column_of(answer, PADDED_OIDS));
    match kind {
        Kind::Modifier if traits.is_decided => Some("Modifiers: those of branches that need no row"),
        Kind::Modifier if is_padded => Some("char(n): beside NULL alone it keeps its length"),
        Kind::Value if is_padded && answer.map(without_blanks) == meridian.map(without_blanks) => {
            Some("char(n): values of different lengths that meet lose their blanks")
        }
        Kind::Value if traits.has_meeting && answer.map(without_zeros) == meridian.map(without_zeros) => {
            Some(rule_of(Mark::Scale))
        }
        Kind::Code { postgres, meridian, message }
            if postgres == WRONG_TYPE && meridian == SYNTAX_ERROR && message.contains("keyword: COLLATE") =>
        {
            Some("Text: COLLATE behind a cast to what is no text is a syntax error")
        }
        Kind::Value if traits.has_collation => Some("Text: letters are those of Unicode, under COLLATE \"C\" too"),
        Kind::OnlyPostgresFails { code } if code == INVALID_ESCAPE => {
            Some("Text: a LIKE pattern may end with a backslash")
        }
        Kind::Value
            if has_negative_zero
                && (traits.takes_first || (traits.is_ordered && rows_of(answer) == rows_of(meridian))) =>
        {
            Some("Numbers: -0 comes before 0 in ORDER BY")
        }
        Kind::OnlyPostgresFails { code } if code == ARRAY_SUBSCRIPT => {
            Some("Arrays: ARRAY[…] of arrays of any lengths")
        }
        Kind::Code { postgres, meridian, .. }
            if INTERVAL_CODES.contains(&postgres.as_str()) && INTERVAL_CODES.contains(&meridian.as_str()) =>
        {
            Some("Messages: a text that is no interval may be one out of range")
        }
        Kind::Type { .. } | Kind::OnlyPostgresFails { .. }
            if is_of_varchar_items(kind) && parts.iter().any(|part| has_column_of(part, &[VARCHAR_ARRAY_OID])) =>
        {
            Some("Arrays: the items of varchar[] are texts")
        }
        Kind::OnlyPostgresFails { code } if code == AMBIGUOUS_COLUMN => {
            Some("Queries: ORDER BY of a name that several columns have takes the first")
        }
        _ if meridian_code(kind) == Some(SYNTAX_ERROR) && traits.has_open_set => {
            Some("Queries: parentheses around an item of grouping sets")
        }
        _ => None,
    }
}

/// Whether a varchar or an array of them is a text to Meridian, or an operator that PostgreSQL has not for them.
fn is_of_varchar_items(kind: &Kind) -> bool {
    match kind {
        Kind::Type { postgres, meridian } => {
            [VARCHAR_OID, VARCHAR_ARRAY_OID].contains(postgres) && [TEXT_OID, TEXT_ARRAY_OID].contains(meridian)
        }
        Kind::OnlyPostgresFails { code } => code.starts_with(FORM_ERROR_CLASS),
        _ => false,
    }
}

/// Whether a value causes an error of this code.
fn is_of_data(code: &str) -> bool {
    DATA_ERROR_CLASSES.iter().any(|class| code.starts_with(class))
}

fn has_column_of(outcome: &Outcome, oids: &[u32]) -> bool {
    matches!(outcome, Outcome::Rows { columns, .. } if columns.iter().any(|column| oids.contains(&column.type_oid)))
}

/// An answer's rows without blanks, and without the quotes that arrays put around them.
fn without_blanks(outcome: &Outcome) -> Vec<Vec<Option<String>>> {
    let Outcome::Rows { rows, .. } = outcome else { return Vec::new() };
    let plain = |value: &Option<String>| value.as_ref().map(|text| text.replace([' ', '"'], ""));
    let mut rows: Vec<Vec<Option<String>>> = rows.iter().map(|row| row.iter().map(plain).collect()).collect();
    rows.sort();
    rows
}

/// An answer's rows in any order, numerics without the zeros at their end.
fn without_zeros(outcome: &Outcome) -> Vec<Vec<Option<String>>> {
    let Outcome::Rows { columns, rows } = outcome else { return Vec::new() };
    let plain = |(value, column): (&Option<String>, &ColumnDescription)| {
        let text = value.as_ref()?;
        let is_numeric = [NUMERIC_OID, NUMERIC_ARRAY_OID].contains(&column.type_oid);
        let trimmed = |number: &str| match number.contains('.') {
            true => number.trim_end_matches('0').trim_end_matches('.').to_string(),
            false => number.to_string(),
        };
        Some(if is_numeric {
            text.split(',').map(|part| trimmed(part.trim_end_matches('}'))).collect()
        } else {
            text.clone()
        })
    };
    let mut rows: Vec<Vec<Option<String>>> =
        rows.iter().map(|row| row.iter().zip(columns).map(plain).collect()).collect();
    rows.sort();
    rows
}

/// An answer's rows in any order, whatever the signs of their zeros.
fn rows_of(outcome: Option<&Outcome>) -> Vec<Vec<Option<&str>>> {
    let Some(Outcome::Rows { rows, .. }) = outcome else { return Vec::new() };
    let mut rows: Vec<Vec<Option<&str>>> = rows
        .iter()
        .map(|row| row.iter().map(|value| value.as_deref().map(|text| if text == "-0" { "0" } else { text })).collect())
        .collect();
    rows.sort();
    rows
}

/// The SQLSTATE that only one of the servers answered, or Meridian's where both did.
fn error_code(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::OnlyPostgresFails { code } => Some(code),
        other => meridian_code(other),
    }
}

fn meridian_code(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::OnlyMeridianFails { code, .. } => Some(code),
        Kind::Code { meridian, .. } => Some(meridian),
        _ => None,
    }
}

/// The values in columns of these types.
fn values_of<'a>(outcome: &'a Outcome, oids: &[u32]) -> Vec<&'a str> {
    let Outcome::Rows { columns, rows } = outcome else { return Vec::new() };
    let wanted: Vec<usize> = (0..columns.len()).filter(|column| oids.contains(&columns[*column].type_oid)).collect();
    rows.iter().flat_map(|row| wanted.iter().filter_map(|column| row[*column].as_deref())).collect()
}

fn is_finer_than_numeric(value: &str) -> bool {
    value.split_once('.').is_some_and(|(_, fraction)| fraction.len() > QUOTIENT_DIGITS_MAX)
}

fn is_beyond_numeric(value: &str) -> bool {
    let (whole, fraction) = value.trim_start_matches('-').split_once('.').unwrap_or((value, ""));
    let significant = whole.trim_start_matches('0').len();
    match (significant + fraction.len()).cmp(&NUMERIC_DIGITS_MAX) {
        Ordering::Greater => true,
        _ => significant > QUOTIENT_WHOLE_DIGITS_MAX,
    }
}

/// The year of a date or timestamp in ISO style; years before Christ count as none.
fn year_of(value: &str) -> i64 {
    value.split('-').next().and_then(|year| year.parse().ok()).unwrap_or_default()
}

/// The hours of an interval in the style `postgres`.
fn hours_of(value: &str) -> i64 {
    let time = value.split(' ').find(|part| part.contains(':')).unwrap_or_default();
    time.trim_start_matches(['-', '+']).split(':').next().and_then(|hours| hours.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{
        FLOAT8_OID, INTERVAL_OID, NUMERIC_OID, OUT_OF_RANGE, SYNTAX_ERROR, TEXT_ARRAY_OID, TEXT_OID, Traits,
        VARCHAR_ARRAY_OID, VARCHAR_OID, WRONG_TYPE, explanation, explanation_of_errors, is_same, same_decimal,
    };
    use crate::differential::client::Outcome;
    use crate::differential::comparison::Kind;
    use crate::differential::tree::Mark;
    use crate::session::Failure;
    use crate::wire::ColumnDescription;

    #[test]
    fn decimals_are_equal_up_to_the_smaller_scale() {
        assert!(same_decimal("0.3333333333333333", "0.33333333333333333333"));
        assert!(same_decimal("1.00", "1"));
        assert!(same_decimal("9.9999", "10.00"));
        assert!(same_decimal("-0.00", "0"));
        assert!(!same_decimal("1.01", "1.02"));
        assert!(!same_decimal("1", "-1"));
    }

    #[test]
    fn a_variance_may_differ_by_a_part_of_its_magnitude() {
        let (meridian, postgres) = ("-12163267855954.186", "-12163265981705.482");
        assert!(is_same(meridian, postgres, Mark::Variance, 9.3e18));
        assert!(!is_same(meridian, postgres, Mark::Variance, 1e18));
        assert!(is_same("0", "1.3e-17", Mark::Variance, 0.1));
        assert!(!is_same("1.2e-10", "1.3e-10", Mark::Variance, 0.0));
    }

    #[test]
    fn items_of_varchar_arrays_are_texts_and_nothing_else() {
        let columns = |type_oid| vec![ColumnDescription { name: "array".into(), type_oid, type_modifier: -1 }];
        let parts = [Outcome::Rows { columns: columns(VARCHAR_ARRAY_OID), rows: Vec::new() }];
        let listed = |kind: Kind| explanation(&kind, &parts, &[], Traits::default()).is_some();
        assert!(listed(Kind::Type { postgres: VARCHAR_OID, meridian: TEXT_OID }));
        assert!(listed(Kind::Type { postgres: VARCHAR_ARRAY_OID, meridian: TEXT_ARRAY_OID }));
        assert!(!listed(Kind::Type { postgres: VARCHAR_OID, meridian: NUMERIC_OID }));
        assert!(!listed(Kind::OnlyPostgresFails { code: "22003".into() }));
    }

    #[test]
    fn an_error_of_a_part_explains_another_error_but_no_internal_one() {
        let code = Some(OUT_OF_RANGE.into());
        let failed = Failure { code, message: String::new(), detail: None, hint: None, context: None, position: None };
        let parts = [Outcome::Failure(Box::new(failed))];
        let kind =
            |code: &str| Kind::Code { postgres: OUT_OF_RANGE.into(), meridian: code.into(), message: String::new() };
        assert!(explanation_of_errors(&kind("2201E"), &parts, &parts).is_some());
        assert!(explanation_of_errors(&kind("2201E"), &parts, &[]).is_none());
        assert!(explanation_of_errors(&kind("XX000"), &parts, &parts).is_none());
    }

    #[test]
    fn values_explain_neither_types_nor_lost_connections() {
        let columns = vec![ColumnDescription { name: "n".into(), type_oid: NUMERIC_OID, type_modifier: -1 }];
        let parts = [Outcome::Rows { columns, rows: vec![vec![Some("NaN".into())]] }];
        let listed = |kind: Kind| explanation(&kind, &parts, &[], Traits::default()).is_some();
        assert!(listed(Kind::Value));
        assert!(listed(Kind::OnlyPostgresFails { code: OUT_OF_RANGE.into() }));
        assert!(!listed(Kind::OnlyMeridianFails { code: "XX000".into(), message: String::new() }));
        assert!(!listed(Kind::ConnectionLost));
        assert!(!listed(Kind::Modifier));
        assert!(!listed(Kind::Type { postgres: NUMERIC_OID, meridian: FLOAT8_OID }));
    }

    #[test]
    fn an_interval_as_a_zone_explains_only_times() {
        let columns = vec![ColumnDescription { name: "i".into(), type_oid: INTERVAL_OID, type_modifier: -1 }];
        let parts = |hours: &str| [Outcome::Rows { columns: columns.clone(), rows: vec![vec![Some(hours.into())]] }];
        let traits = Traits { has_interval_zone: true, ..Traits::default() };
        let listed = |kind: Kind, hours: &str| explanation(&kind, &parts(hours), &[], traits).is_some();
        assert!(listed(Kind::Value, "-1193046:28:16"));
        assert!(!listed(Kind::Value, "596522:59:59"));
        assert!(!listed(Kind::RowCount, "1193046:28:16"));
    }

    #[test]
    fn a_collation_of_what_is_no_text_is_a_syntax_error() {
        let message = "syntax error: no infix parser for token Word(Word { value: \"\", keyword: COLLATE })";
        let of = |postgres: &str, message: &str| Kind::Code {
            postgres: postgres.into(),
            meridian: SYNTAX_ERROR.into(),
            message: message.into(),
        };
        let listed = |kind: Kind| explanation(&kind, &[], &[], Traits::default()).is_some();
        assert!(listed(of(WRONG_TYPE, message)));
        assert!(!listed(of(WRONG_TYPE, "syntax error at or near \"\"")));
        assert!(!listed(of("42883", message)));
    }

    #[test]
    fn a_sum_may_differ_by_a_part_of_its_magnitude() {
        assert!(is_same("0.30000000000000004", "0.3", Mark::FloatSum, 1.0));
        assert!(!is_same("0.30000000000000004", "0.3", Mark::None, 1.0));
        assert!(!is_same("0.31", "0.3", Mark::FloatSum, 1.0));
        assert!(!is_same("NaN", "0.3", Mark::FloatSum, 1.0));
    }
}
