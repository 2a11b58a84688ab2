//! Functions over regular expressions and SQL's patterns, with PostgreSQL's syntax and answers.
//!
//!     pattern text ──expression::translate──▶ Pattern (of the `regex` crate) ──▶ matches in each row's text
//!
//! A kernel keeps the patterns that it has compiled in a batch, so a constant is compiled once. After a match the search goes on
//! at its end, one character later if it is empty; unlike in most libraries an empty match may follow another match at once.
//! Positions are characters from 1.

mod codes;
mod expression;
mod sets;

use super::overload::{Function, Kind, Overload};
use super::strings::{
    Answer, TEXT_BYTES_MAX, TextLists, byte_offset, character_count, counted, integers, invalid, present, selected,
    texts, too_long, written,
};
use crate::error::{ErrorKind, QueryError};
use arrow::array::{Array, ArrayRef, BooleanArray};
use expression::{Options, invalid_expression, translate};
use regex::{CaptureLocations, Regex, RegexBuilder};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Patterns that are kept compiled within a batch, as many as PostgreSQL keeps in a session.
const PATTERNS_MAX: usize = 32;
/// Bytes that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 10 << 20;
/// `invalid_use_of_escape_character`, 2200C.
const SEPARATOR_ERROR: ErrorKind = ErrorKind::InvalidParameterValue;

pub(super) fn functions() -> Vec<Function> {
    use Kind::{Bool, Int4, Text, TextArray};
    let up_to_flags: &[Kind] = &[Text, Text, Text];
    let mut functions = vec![
        Function::immutable("regexp_like", prefixes(up_to_flags, 2, Bool, |c, _| is_like(c))),
        Function::immutable("regexp_match", prefixes(up_to_flags, 2, TextArray, |c, _| first_match(c))),
        Function::immutable(
            "regexp_split_to_array",
            prefixes(up_to_flags, 2, TextArray, |c, _| split("regexp_split_to_array", c)),
        ),
        Function::immutable("regexp_replace", replacements()),
        Function::immutable("regexp_count", prefixes(&[Text, Text, Int4, Text], 2, Int4, |c, _| count(c))),
        Function::immutable(
            "regexp_instr",
            prefixes(&[Text, Text, Int4, Int4, Int4, Text, Int4], 2, Int4, |c, _| place(c)),
        ),
        Function::immutable(
            "regexp_substr",
            prefixes(&[Text, Text, Int4, Int4, Text, Int4], 2, Text, |c, _| nth_substring(c)),
        ),
        Function::immutable("similar_to", prefixes(up_to_flags, 2, Bool, |c, _| is_similar(c))),
        Function::immutable("substring_pattern", vec![Overload::new(&[Text, Text], Text, |c, _| substring(c))]),
        Function::immutable(
            "substring_similar",
            vec![Overload::new(&[Text, Text, Text], Text, |c, _| substring_similar(c))],
        ),
    ];
    functions.extend(sets::functions());
    functions
}

/// What `substring` does with patterns: a regular expression, or one of SQL's with an escape character.
pub(super) fn substring_overloads() -> [Overload; 2] {
    use Kind::Text;
    [
        Overload::new(&[Text, Text], Text, |c, _| substring(c)),
        Overload::new(&[Text, Text, Text], Text, |c, _| substring_similar(c)),
    ]
}

/// Overloads for lists of arguments that may end early.
fn prefixes(
    arguments: &'static [Kind],
    arguments_min: usize,
    result: Kind,
    kernel: super::overload::Kernel,
) -> Vec<Overload> {
    (arguments_min..=arguments.len()).map(|count| Overload::new(&arguments[..count], result, kernel)).collect()
}

fn replacements() -> Vec<Overload> {
    use Kind::{Int4, Text};
    vec![
        Overload::new(&[Text, Text, Text], Text, |c, _| replace(c, ReplaceArguments::default())),
        Overload::new(&[Text, Text, Text, Text], Text, |c, _| {
            replace(c, ReplaceArguments { flags: Some(3), ..ReplaceArguments::default() })
        }),
        Overload::new(&[Text, Text, Text, Int4], Text, |c, _| {
            replace(c, ReplaceArguments { start: Some(3), ..ReplaceArguments::default() })
        }),
        Overload::new(&[Text, Text, Text, Int4, Int4], Text, |c, _| {
            replace(c, ReplaceArguments { start: Some(3), number: Some(4), flags: None })
        }),
        Overload::new(&[Text, Text, Text, Int4, Int4, Text], Text, |c, _| {
            replace(c, ReplaceArguments { start: Some(3), number: Some(4), flags: Some(5) })
        }),
    ]
}

/// A compiled pattern with the places of the match that was read last.
struct Pattern {
    /// Never empty; all match from the same place, and the furthest end counts, or the nearest if `shortest`.
    extents: Vec<Regex>,
    groups: Option<Regex>,
    group_count: usize,
    shortest: bool,
    /// The flag g, which is the function's and not the expression's.
    global: bool,
    places: CaptureLocations,
}

impl Pattern {
    fn new(pattern: &str, options: Options) -> Result<Self, QueryError> {
        let translation = translate(pattern, options)?;
        let extents = translation.extents.iter().map(|extent| compile(extent)).collect::<Result<Vec<_>, _>>()?;
        let groups = translation.groups.as_deref().map(compile).transpose()?;
        let places = groups.as_ref().unwrap_or(&extents[0]).capture_locations();
        let (group_count, shortest) = (translation.group_count, translation.shortest);
        Ok(Self { extents, groups, group_count, shortest, global: false, places })
    }

    fn is_match(&self, text: &str) -> bool {
        self.extents[0].is_match(text)
    }

    /// The first match from a byte on.
    fn find(&self, text: &str, from: usize) -> Option<Range<usize>> {
        let first = self.extents[0].find_at(text, from)?;
        let others = self.extents[1..].iter().filter_map(|extent| extent.find_at(text, first.start()));
        let ends = others.filter(|other| other.start() == first.start()).map(|other| other.end());
        let end = if self.shortest { ends.fold(first.end(), usize::min) } else { ends.fold(first.end(), usize::max) };
        Some(first.start()..end)
    }

    /// As `find`; after it the match's groups are known.
    fn read(&mut self, text: &str, from: usize) -> Option<Range<usize>> {
        let Some(groups) = &self.groups else {
            return match self.extents.len() {
                1 => self.extents[0].captures_read_at(&mut self.places, text, from).map(|found| found.range()),
                _ => self.find(text, from),
            };
        };
        let found = self.find(text, from)?;
        let inside = groups.captures_read_at(&mut self.places, &text[..found.end], found.start);
        if inside.is_none() {
            // The end matched only because of what follows it.
            self.extents[0].captures_read_at(&mut self.places, text, found.start);
        }
        Some(found)
    }

    fn group(&self, number: usize) -> Option<Range<usize>> {
        self.places.get(number).map(|(start, end)| start..end)
    }

    /// The texts of the groups of the match that was read, or of all of it where there are no groups, as one list.
    fn push_groups(&self, text: &str, found: Range<usize>, lists: &mut TextLists) {
        if self.group_count == 0 {
            lists.push(Some(&text[found]));
        }
        for number in 1..=self.group_count {
            lists.push(self.group(number).map(|place| &text[place]));
        }
        lists.finish();
    }

    /// Where in the text a group of the match is, the whole match being group 0.
    fn part(&self, found: &Range<usize>, number: usize) -> Option<Range<usize>> {
        if number == 0 { Some(found.clone()) } else { self.group(number) }
    }
}

fn compile(pattern: &str) -> Result<Regex, QueryError> {
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
    built.map_err(|_| invalid_expression("regular expression is too complex"))
}

/// An expression that is asked about many texts. Two are equal if they are written alike.
pub(super) struct Matcher {
    source: String,
    pattern: Pattern,
}

impl Matcher {
    pub(super) fn new(source: &str) -> Result<Self, QueryError> {
        Ok(Self { source: source.to_string(), pattern: Pattern::new(source, Options::default())? })
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.pattern.is_match(text)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// Where the search goes on after a match; may be beyond the text's end.
fn after(text: &str, found: &Range<usize>) -> usize {
    let stepped = text[found.end..].chars().next().map_or(1, char::len_utf8);
    if found.is_empty() { found.end + stepped } else { found.end }
}

/// The patterns of a batch, by their text and by what else they are compiled from: flags or an escape character.
#[derive(Default)]
struct Patterns {
    compiled: Vec<(String, String, Pattern)>,
    /// The entry that is replaced next when all places are taken.
    oldest: usize,
}

impl Patterns {
    fn get(
        &mut self,
        pattern: &str,
        detail: &str,
        new: impl FnOnce(&str, &str) -> Result<Pattern, QueryError>,
    ) -> Result<&mut Pattern, QueryError> {
        let is_same = |entry: &(String, String, Pattern)| entry.0 == pattern && entry.1 == detail;
        let known = self.compiled.iter().position(is_same);
        let position = match known {
            Some(position) => position,
            None => {
                let entry = (pattern.to_string(), detail.to_string(), new(pattern, detail)?);
                self.keep(entry)
            }
        };
        Ok(&mut self.compiled[position].2)
    }

    fn keep(&mut self, entry: (String, String, Pattern)) -> usize {
        if self.compiled.len() < PATTERNS_MAX {
            self.compiled.push(entry);
            return self.compiled.len() - 1;
        }
        let position = self.oldest;
        self.compiled[position] = entry;
        self.oldest = (position + 1) % PATTERNS_MAX;
        position
    }
}

/// A pattern with a function's flags, among them g.
fn with_flags(pattern: &str, flags: &str) -> Result<Pattern, QueryError> {
    let (options, global) = read_flags(flags)?;
    Ok(Pattern { global, ..Pattern::new(pattern, options)? })
}

/// What flags ask for, and whether g is among them.
fn read_flags(flags: &str) -> Result<(Options, bool), QueryError> {
    let mut options = Options::default();
    let mut global = false;
    for letter in flags.chars() {
        if letter == 'g' {
            global = true;
        } else if !options.apply(letter)? {
            return Err(invalid(format!("invalid regular expression option: \"{letter}\"")));
        }
    }
    Ok((options, global))
}

/// A pattern for a function that gives one answer for a text, and so refuses g before it reads the pattern.
fn without_global(function: &str, pattern: &str, flags: &str) -> Result<Pattern, QueryError> {
    let (options, global) = read_flags(flags)?;
    if !global {
        return Pattern::new(pattern, options);
    }
    let error = invalid(format!("{function}() does not support the \"global\" option"));
    Err(if function == "regexp_match" { error.hint("Use the regexp_matches function instead.") } else { error })
}

fn flags_at(columns: &[ArrayRef], position: usize, row: usize) -> &str {
    if position < columns.len() { texts(columns, position).value(row) } else { "" }
}

/// An optional integer argument, which must not be less than its least value.
fn number_at(
    columns: &[ArrayRef],
    position: usize,
    row: usize,
    (name, least, default): (&str, i32, i32),
) -> Result<usize, QueryError> {
    let number = if position < columns.len() { integers(columns, position).value(row) } else { default };
    let checked = usize::try_from(number).ok().filter(|_| number >= least);
    checked.ok_or_else(|| invalid(format!("invalid value for parameter \"{name}\": {number}")))
}

/// The byte where a search begins that starts at a character from 1; `None` behind the text's end.
fn search_start(text: &str, start: usize) -> Option<usize> {
    let before = start - 1;
    if before > text.len() || (before > 0 && before > character_count(text)) {
        return None;
    }
    Some(byte_offset(text, before))
}

const START: (&str, i32, i32) = ("start", 1, 1);
const NUMBER: (&str, i32, i32) = ("n", 1, 1);

fn tested(columns: &[ArrayRef], mut body: impl FnMut(usize) -> Result<bool, QueryError>) -> Answer {
    let nulls = present(columns);
    let mut test = |row| match &nulls {
        Some(nulls) if nulls.is_null(row) => Ok(None),
        _ => body(row).map(Some),
    };
    let answers: BooleanArray = (0..columns[0].len()).map(&mut test).collect::<Result<Vec<_>, _>>()?.into();
    Ok(Arc::new(answers))
}

fn is_like(columns: &[ArrayRef]) -> Answer {
    let (text, pattern) = (texts(columns, 0), texts(columns, 1));
    let mut patterns = Patterns::default();
    let new = |pattern: &str, flags: &str| without_global("regexp_like", pattern, flags);
    tested(columns, |row| {
        Ok(patterns.get(pattern.value(row), flags_at(columns, 2, row), new)?.is_match(text.value(row)))
    })
}

/// The groups of the first match, or all of it where there are no groups.
fn first_match(columns: &[ArrayRef]) -> Answer {
    let (text, pattern) = (texts(columns, 0), texts(columns, 1));
    let nulls = present(columns);
    let mut patterns = Patterns::default();
    let mut lists = TextLists::with_capacity(text.len());
    let new = |pattern: &str, flags: &str| without_global("regexp_match", pattern, flags);
    for row in 0..text.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            lists.finish_null();
            continue;
        }
        let text = text.value(row);
        let pattern = patterns.get(pattern.value(row), flags_at(columns, 2, row), new)?;
        let Some(found) = pattern.read(text, 0) else {
            lists.finish_null();
            continue;
        };
        pattern.push_groups(text, found, &mut lists);
    }
    Ok(lists.into_array())
}

/// What stands between matches; empty matches at either end of the text or at the end of another match split nothing.
fn split(function: &str, columns: &[ArrayRef]) -> Answer {
    let (text, pattern) = (texts(columns, 0), texts(columns, 1));
    let nulls = present(columns);
    let mut patterns = Patterns::default();
    let mut lists = TextLists::with_capacity(text.len());
    let new = |pattern: &str, flags: &str| without_global(function, pattern, flags);
    for row in 0..text.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            lists.finish_null();
            continue;
        }
        let text = text.value(row);
        let pattern = patterns.get(pattern.value(row), flags_at(columns, 2, row), new)?;
        let (mut item_start, mut previous_end, mut search) = (0, 0, 0);
        while search <= text.len()
            && let Some(found) = pattern.find(text, search)
        {
            search = after(text, &found);
            if found.start < text.len() && found.end > previous_end {
                lists.push(Some(&text[item_start..found.start]));
                item_start = found.end;
            }
            previous_end = found.end;
        }
        lists.push(Some(&text[item_start..]));
        lists.finish();
    }
    Ok(lists.into_array())
}

/// Where the arguments after the replacement are.
#[derive(Clone, Copy, Default)]
struct ReplaceArguments {
    start: Option<usize>,
    number: Option<usize>,
    flags: Option<usize>,
}

fn replace(columns: &[ArrayRef], arguments: ReplaceArguments) -> Answer {
    let (text, pattern, replacement) = (texts(columns, 0), texts(columns, 1), texts(columns, 2));
    let absent = columns.len();
    let mut patterns = Patterns::default();
    written(columns, |row, result| {
        let flags = flags_at(columns, arguments.flags.unwrap_or(absent), row);
        if arguments.start.is_none() && flags.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(start_without_cast(flags));
        }
        let start = number_at(columns, arguments.start.unwrap_or(absent), row, START)?;
        let number = number_at(columns, arguments.number.unwrap_or(absent), row, ("n", 0, 1))?;
        let pattern = patterns.get(pattern.value(row), flags, with_flags)?;
        let all = arguments.number.is_none() && pattern.global;
        let text = text.value(row);
        match search_start(text, start) {
            Some(from) => {
                let wanted = if all { 0 } else { number };
                replace_in(text, from, pattern, replacement.value(row), wanted, result)
            }
            None => {
                result.push_str(text);
                Ok(())
            }
        }
    })
}

fn start_without_cast(flags: &str) -> QueryError {
    let first: String = flags.chars().take(1).collect();
    invalid(format!("invalid regular expression option: \"{first}\"")).hint(
        "If you meant to use regexp_replace() with a start parameter, cast the fourth argument to integer explicitly.",
    )
}

/// Replaces the wanted match, counted from 1, or all of them for 0.
fn replace_in(
    text: &str,
    from: usize,
    pattern: &mut Pattern,
    replacement: &str,
    wanted: usize,
    result: &mut String,
) -> Result<(), QueryError> {
    let is_plain = !replacement.contains('\\');
    let (mut copied, mut search, mut matches) = (0, from, 0);
    while search <= text.len()
        && let Some(found) = if is_plain { pattern.find(text, search) } else { pattern.read(text, search) }
    {
        matches += 1;
        search = after(text, &found);
        if wanted > 0 && matches < wanted {
            continue;
        }
        result.push_str(&text[copied..found.start]);
        if is_plain {
            result.push_str(replacement);
        } else {
            push_replacement(text, &found, pattern, replacement, result);
        }
        if result.len() > TEXT_BYTES_MAX {
            return Err(too_long());
        }
        copied = found.end;
        if wanted > 0 {
            break;
        }
    }
    result.push_str(&text[copied..]);
    Ok(())
}

/// `\1` to `\9` are groups, `\&` is the match and `\\` a backslash; any other backslash is itself.
fn push_replacement(text: &str, found: &Range<usize>, pattern: &Pattern, replacement: &str, result: &mut String) {
    let mut characters = replacement.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            result.push(character);
            continue;
        }
        match characters.next() {
            Some('&') => result.push_str(&text[found.clone()]),
            Some('\\') => result.push('\\'),
            Some(digit @ '1'..='9') => {
                let number = digit as usize - '0' as usize;
                let place = Some(number).filter(|number| *number <= pattern.group_count).and_then(|n| pattern.group(n));
                result.push_str(place.map_or("", |place| &text[place]));
            }
            Some(other) => result.extend(['\\', other]),
            None => result.push('\\'),
        }
    }
}

fn count(columns: &[ArrayRef]) -> Answer {
    let (text, pattern) = (texts(columns, 0), texts(columns, 1));
    let mut patterns = Patterns::default();
    let new = |pattern: &str, flags: &str| without_global("regexp_count", pattern, flags);
    counted(columns, |row| {
        let text = text.value(row);
        let start = number_at(columns, 2, row, START)?;
        let pattern = patterns.get(pattern.value(row), flags_at(columns, 3, row), new)?;
        let Some(mut search) = search_start(text, start) else { return Ok(0) };
        let mut matches = 0;
        while search <= text.len()
            && let Some(found) = pattern.find(text, search)
        {
            matches += 1;
            search = after(text, &found);
        }
        Ok(matches)
    })
}

/// The match with this number, counted from 1; its groups are known afterwards.
fn nth_match(pattern: &mut Pattern, text: &str, start: usize, number: usize) -> Option<Range<usize>> {
    let mut search = search_start(text, start)?;
    for _ in 1..number {
        let found = pattern.find(text, search)?;
        search = after(text, &found);
        if search > text.len() {
            return None;
        }
    }
    pattern.read(text, search)
}

fn place(columns: &[ArrayRef]) -> Answer {
    let (text, pattern) = (texts(columns, 0), texts(columns, 1));
    let mut patterns = Patterns::default();
    let new = |pattern: &str, flags: &str| without_global("regexp_instr", pattern, flags);
    counted(columns, |row| {
        let text = text.value(row);
        let start = number_at(columns, 2, row, START)?;
        let number = number_at(columns, 3, row, NUMBER)?;
        let wants_end = number_at(columns, 4, row, ("endoption", 0, 0))?;
        if wants_end > 1 {
            return Err(invalid(format!("invalid value for parameter \"endoption\": {wants_end}")));
        }
        let group = number_at(columns, 6, row, ("subexpr", 0, 0))?;
        let pattern = patterns.get(pattern.value(row), flags_at(columns, 5, row), new)?;
        if group > pattern.group_count {
            return Ok(0);
        }
        let found = nth_match(pattern, text, start, number);
        let place = found.and_then(|found| pattern.part(&found, group));
        let byte = place.map(|place| if wants_end == 1 { place.end } else { place.start });
        Ok(byte.map_or(0, |byte| character_count(&text[..byte]) + 1))
    })
}

fn nth_substring(columns: &[ArrayRef]) -> Answer {
    let (text, pattern) = (texts(columns, 0), texts(columns, 1));
    let mut patterns = Patterns::default();
    let new = |pattern: &str, flags: &str| without_global("regexp_substr", pattern, flags);
    selected(columns, |row| {
        let text = text.value(row);
        let start = number_at(columns, 2, row, START)?;
        let number = number_at(columns, 3, row, NUMBER)?;
        let group = number_at(columns, 5, row, ("subexpr", 0, 0))?;
        let pattern = patterns.get(pattern.value(row), flags_at(columns, 4, row), new)?;
        if group > pattern.group_count {
            return Ok(None);
        }
        let found = nth_match(pattern, text, start, number);
        Ok(found.and_then(|found| pattern.part(&found, group)).map(|place| &text[place]))
    })
}

/// The first group of the first match, or all of it where there are no groups.
fn first_part<'a>(pattern: &mut Pattern, text: &'a str) -> Option<&'a str> {
    let found = pattern.read(text, 0)?;
    let place = pattern.part(&found, pattern.group_count.min(1))?;
    Some(&text[place])
}

fn substring(columns: &[ArrayRef]) -> Answer {
    let (text, pattern) = (texts(columns, 0), texts(columns, 1));
    let mut patterns = Patterns::default();
    selected(columns, |row| {
        let pattern = patterns.get(pattern.value(row), "", with_flags)?;
        Ok(first_part(pattern, text.value(row)))
    })
}

fn substring_similar(columns: &[ArrayRef]) -> Answer {
    let (text, pattern, escape) = (texts(columns, 0), texts(columns, 1), texts(columns, 2));
    let mut patterns = Patterns::default();
    selected(columns, |row| {
        let pattern = patterns.get(pattern.value(row), escape.value(row), similar_pattern)?;
        Ok(first_part(pattern, text.value(row)))
    })
}

/// `text SIMILAR TO pattern [ESCAPE escape]`.
fn is_similar(columns: &[ArrayRef]) -> Answer {
    let (text, pattern) = (texts(columns, 0), texts(columns, 1));
    let escape = columns.get(2).map(|_| texts(columns, 2));
    let mut patterns = Patterns::default();
    tested(columns, |row| {
        let escape = escape.map_or("\\", |escape| escape.value(row));
        Ok(patterns.get(pattern.value(row), escape, similar_pattern)?.is_match(text.value(row)))
    })
}

fn similar_pattern(pattern: &str, escape: &str) -> Result<Pattern, QueryError> {
    Pattern::new(&regular_from_similar(pattern, escape)?, Options::default())
}

/// A pattern of SQL as a regular expression for the whole text. An escaped double quote ends the part before the substring that is
/// asked for, a second one that substring.
fn regular_from_similar(pattern: &str, escape: &str) -> Result<String, QueryError> {
    let mut characters = escape.chars();
    let (escape, None) = (characters.next(), characters.next()) else {
        return Err(QueryError::new(ErrorKind::InvalidEscapeSequence, "invalid escape string")
            .hint("Escape string must be empty or one character."));
    };
    let mut separators = ["){1,1}?(", "){1,1}(?:"].into_iter();
    let mut regular = String::with_capacity(pattern.len() + 6);
    regular.push_str("^(?:");
    let (mut is_escaped, mut in_brackets) = (false, false);
    for character in pattern.chars() {
        if std::mem::take(&mut is_escaped) {
            if character == '"' && !in_brackets {
                regular.push_str(separators.next().ok_or_else(too_many_separators)?);
            } else {
                regular.extend(['\\', character]);
            }
            continue;
        }
        match character {
            _ if Some(character) == escape => is_escaped = true,
            '\\' => regular.push_str("\\\\"),
            _ if in_brackets => {
                regular.push(character);
                in_brackets = character != ']';
            }
            '[' => {
                regular.push('[');
                in_brackets = true;
            }
            '%' => regular.push_str(".*"),
            '_' => regular.push('.'),
            '(' => regular.push_str("(?:"),
            '.' | '^' | '$' => regular.extend(['\\', character]),
            other => regular.push(other),
        }
    }
    regular.push_str(")$");
    Ok(regular)
}

fn too_many_separators() -> QueryError {
    let message = "SQL regular expression may not contain more than two escape-double-quote separators";
    QueryError::new(SEPARATOR_ERROR, message)
}
