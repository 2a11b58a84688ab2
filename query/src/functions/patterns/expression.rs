//! PostgreSQL's advanced regular expressions, translated for the `regex` crate.
//!
//!     text + options ──parse──▶ branches of nodes ──render──▶ patterns of the `regex` crate
//!
//! PostgreSQL takes the longest match or the shortest, as the first quantifier of the expression prefers; the crate takes
//! the one that a backtracking search finds first. The difference is bridged in three ways: for the extent of a match all quantifiers
//! are rendered alike, alternatives that are plain words are tried longest first, and other alternatives are rendered in
//! several orders, of whose matches the caller takes the longest. Back-references and look-around are refused.

use super::codes::{Code, NO_CHARACTERS};
use crate::error::{ErrorKind, QueryError};

/// Groups within groups.
const NESTING_MAX: usize = 100;
/// Orders of the alternatives that are tried.
const ORDERS_MAX: usize = 8;
/// PostgreSQL's limit for a repetition count.
const REPETITIONS_MAX: u32 = 255;

const DIGITS: &str = "0-9";
const WORD: &str = "\\p{Alphabetic}\\p{Nd}_";
const SPACE: &str =
    "\\x09-\\x0d\\x20\\x{1680}\\x{2000}-\\x{2006}\\x{2008}-\\x{200a}\\x{2028}\\x{2029}\\x{205f}\\x{3000}";

/// How an expression is to be read, from a function's flags and from options within the expression.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    case_insensitive: bool,
    /// White space and comments are ignored.
    expanded: bool,
    /// `.` and negated brackets do not match a line feed.
    dot_stops: bool,
    /// `^` and `$` match at line feeds too.
    anchors_at_lines: bool,
    /// No character is special.
    literal: bool,
}

impl Options {
    /// Takes a letter into account; `false` for a letter that is no option.
    pub(super) fn apply(&mut self, letter: char) -> Result<bool, QueryError> {
        match letter {
            'i' => self.case_insensitive = true,
            'c' => self.case_insensitive = false,
            'x' => self.expanded = true,
            't' => self.expanded = false,
            'n' | 'm' => (self.dot_stops, self.anchors_at_lines) = (true, true),
            's' => (self.dot_stops, self.anchors_at_lines) = (false, false),
            'p' => (self.dot_stops, self.anchors_at_lines) = (true, false),
            'w' => (self.dot_stops, self.anchors_at_lines) = (false, true),
            'q' => self.literal = true,
            'b' => return Err(unsupported("a basic regular expression (option b)")),
            'e' => return Err(unsupported("an extended regular expression (option e)")),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn prefix(self) -> String {
        let letters = [(self.case_insensitive, 'i'), (!self.dot_stops, 's'), (self.anchors_at_lines, 'm')];
        let letters: String = letters.iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect();
        if letters.is_empty() { letters } else { format!("(?{letters})") }
    }
}

/// An expression in the syntax of the `regex` crate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translation {
    /// Patterns that match where the expression does and begin where it does. How far the expression's match reaches is the
    /// furthest end among theirs, or the nearest if `shortest`.
    pub extents: Vec<String>,
    /// For a match whose end is known, the groups' places, searched in the text up to that end; `None` where the
    /// only extent has them.
    pub groups: Option<String>,
    pub group_count: usize,
    pub shortest: bool,
}

pub(super) fn translate(pattern: &str, options: Options) -> Result<Translation, QueryError> {
    let (branches, options, group_count) = parse(pattern, options)?;
    let preference = preference_of(&branches).unwrap_or(Preference::Longest);
    let is_mixed = has_other(&branches, preference);
    let forced = is_mixed.then_some(preference);
    let prefix = options.prefix();
    let orders = alternatives_max(&branches).min(ORDERS_MAX);
    let extent = |order| prefix.clone() + &rendered(&branches, Style { forced, order });
    let needs_groups = group_count > 0 && (is_mixed || orders > 1);
    let natural = Style { forced: None, order: 0 };
    Ok(Translation {
        extents: (0..orders).map(extent).collect(),
        groups: needs_groups.then(|| format!("{prefix}(?:{})\\z", rendered(&branches, natural))),
        group_count,
        shortest: preference == Preference::Shortest,
    })
}

pub(super) fn invalid_expression(reason: &str) -> QueryError {
    QueryError::new(ErrorKind::InvalidRegularExpression, format!("invalid regular expression: {reason}"))
}

fn unsupported(what: &str) -> QueryError {
    QueryError::unsupported(what).hint("Write the regular expression without it.")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preference {
    Longest,
    Shortest,
}

enum Node {
    Literal(char),
    /// A set of characters in the crate's syntax.
    Set(String),
    /// What matches at a place, without any character.
    Constraint(&'static str),
    Group {
        captures: bool,
        branches: Vec<Branch>,
    },
    Repeated {
        node: Box<Node>,
        least: u32,
        most: Option<u32>,
        /// `None` for an exact count, which prefers nothing.
        preference: Option<Preference>,
    },
}

type Branch = Vec<Node>;

/// What an escape stands for.
enum Escape {
    Character(Code),
    Set {
        items: &'static str,
        negated: bool,
    },
    Constraint(&'static str),
    /// What the group of this number matched.
    BackReference(usize),
}

fn parse(pattern: &str, mut options: Options) -> Result<(Vec<Branch>, Options, usize), QueryError> {
    let mut rest = pattern;
    if let Some(directed) = rest.strip_prefix("***").filter(|_| !options.literal) {
        let director = directed.chars().next();
        match director {
            Some('=') => options.literal = true,
            Some(':') => {}
            _ => return Err(invalid_expression("quantifier operand invalid")),
        }
        rest = &directed[1..];
    }
    if !options.literal {
        rest = embedded_options(rest, &mut options)?;
    }
    if options.literal {
        return Ok((vec![rest.chars().map(Node::Literal).collect()], options, 0));
    }
    let mut parser = Parser { rest, options, groups: 0, depth: 0 };
    let branches = parser.branches()?;
    Ok((branches, options, parser.groups))
}

/// `(?xyz)` at the very start.
fn embedded_options<'a>(pattern: &'a str, options: &mut Options) -> Result<&'a str, QueryError> {
    let inner = pattern.strip_prefix("(?").filter(|inner| inner.starts_with(|first: char| first.is_ascii_alphabetic()));
    let Some(inner) = inner else { return Ok(pattern) };
    let bad = || invalid_expression("invalid embedded option");
    let (letters, rest) = inner.split_once(')').ok_or_else(bad)?;
    for letter in letters.chars() {
        if !options.apply(letter)? {
            return Err(bad());
        }
    }
    Ok(rest)
}

struct Parser<'a> {
    rest: &'a str,
    options: Options,
    groups: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let first = characters.next();
        self.rest = characters.as_str();
        first
    }

    fn eat(&mut self, expected: &str) -> bool {
        let rest = self.rest.strip_prefix(expected);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Comments, and in expanded syntax white space.
    fn skip_ignored(&mut self) {
        loop {
            if let Some(comment) = self.rest.strip_prefix("(?#") {
                self.rest = comment.split_once(')').map_or("", |(_, after)| after);
            } else if self.options.expanded && self.rest.starts_with('#') {
                self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
            } else if self.options.expanded && self.rest.starts_with(|first: char| first.is_ascii_whitespace()) {
                self.next();
            } else {
                return;
            }
        }
    }

    fn at_bound(&self) -> bool {
        self.rest.strip_prefix('{').is_some_and(|inner| inner.starts_with(|first: char| first.is_ascii_digit()))
    }

    /// Up to the end or a closing parenthesis, which stays.
    fn branches(&mut self) -> Result<Vec<Branch>, QueryError> {
        let mut branches = vec![Vec::new()];
        loop {
            self.skip_ignored();
            match self.peek() {
                None => return Ok(branches),
                Some(')') if self.depth > 0 => return Ok(branches),
                Some(')') => return Err(invalid_expression("parentheses () not balanced")),
                Some('|') => {
                    self.next();
                    branches.push(Vec::new());
                }
                Some('*' | '+' | '?') => return Err(invalid_expression("quantifier operand invalid")),
                Some('{') if self.at_bound() => return Err(invalid_expression("quantifier operand invalid")),
                Some(_) => {
                    let node = self.quantified()?;
                    branches.last_mut().expect("there is always a branch").push(node);
                }
            }
        }
    }

    fn quantified(&mut self) -> Result<Node, QueryError> {
        let node = self.atom()?;
        self.skip_ignored();
        // A quantifier after a constraint has no operand, which the loop over nodes says.
        if matches!(node, Node::Constraint(_)) {
            return Ok(node);
        }
        let (least, most, is_exact) = match self.peek() {
            Some('*') => (0, None, false),
            Some('+') => (1, None, false),
            Some('?') => (0, Some(1), false),
            Some('{') if self.at_bound() => self.bound()?,
            _ => return Ok(node),
        };
        self.next();
        let preference = if self.eat("?") { Preference::Shortest } else { Preference::Longest };
        let preference = Some(preference).filter(|_| !is_exact);
        Ok(Node::Repeated { node: Box::new(node), least, most, preference })
    }

    /// `{m}`, `{m,}` or `{m,n}` up to its last brace, which stays: the counts, and whether it is the first form.
    fn bound(&mut self) -> Result<(u32, Option<u32>, bool), QueryError> {
        let bad = || invalid_expression("invalid repetition count(s)");
        self.next();
        let least = self.count()?;
        let is_exact = !self.eat(",");
        let most = match self.peek() {
            _ if is_exact => Some(least),
            Some(digit) if digit.is_ascii_digit() => Some(self.count()?),
            _ => None,
        };
        match self.peek() {
            Some('}') if most.is_none_or(|most| most >= least) => Ok((least, most, is_exact)),
            Some(_) => Err(bad()),
            None => Err(invalid_expression("braces {} not balanced")),
        }
    }

    fn count(&mut self) -> Result<u32, QueryError> {
        let mut count = 0;
        while let Some(digit) = self.peek().and_then(|digit| digit.to_digit(10)) {
            count = count * 10 + digit;
            if count > REPETITIONS_MAX {
                return Err(invalid_expression("invalid repetition count(s)"));
            }
            self.next();
        }
        Ok(count)
    }

    fn atom(&mut self) -> Result<Node, QueryError> {
        let first = self.next().expect("the caller has seen a character");
        Ok(match first {
            '(' => return self.group(),
            '[' if self.eat("[:<:]]") => Node::Constraint("\\b{start}"),
            '[' if self.eat("[:>:]]") => Node::Constraint("\\b{end}"),
            '[' => Node::Set(self.bracket()?),
            '.' => Node::Set(".".into()),
            '^' => Node::Constraint("^"),
            '$' => Node::Constraint("$"),
            '\\' => match self.escape()? {
                Escape::Character(code) => {
                    code.character().map_or_else(|| Node::Set(NO_CHARACTERS.into()), Node::Literal)
                }
                Escape::Set { items, negated } => Node::Set(format!("[{}{items}]", if negated { "^" } else { "" })),
                Escape::Constraint(constraint) => Node::Constraint(constraint),
                Escape::BackReference(number) if number > self.groups => {
                    return Err(invalid_expression("invalid backreference number"));
                }
                Escape::BackReference(_) => return Err(unsupported("a back-reference in a regular expression")),
            },
            other => Node::Literal(other),
        })
    }

    fn group(&mut self) -> Result<Node, QueryError> {
        let look_around = ["?=", "?!", "?<=", "?<!"];
        if look_around.iter().any(|start| self.rest.starts_with(start)) {
            return Err(unsupported("look-around in a regular expression"));
        }
        let captures = !self.eat("?:");
        if captures && self.rest.starts_with('?') {
            return Err(invalid_expression("quantifier operand invalid"));
        }
        self.groups += usize::from(captures);
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(invalid_expression("regular expression is too complex"));
        }
        let branches = self.branches()?;
        self.depth -= 1;
        if !self.eat(")") {
            return Err(invalid_expression("parentheses () not balanced"));
        }
        Ok(Node::Group { captures, branches })
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<Escape, QueryError> {
        let bad = || invalid_expression("invalid escape \\ sequence");
        let first = self.next().ok_or_else(bad)?;
        let set = |items, negated| Ok(Escape::Set { items, negated });
        let character = match first {
            'd' => return set(DIGITS, false),
            'D' => return set(DIGITS, true),
            'w' => return set(WORD, false),
            'W' => return set(WORD, true),
            's' => return set(SPACE, false),
            'S' => return set(SPACE, true),
            'A' => return Ok(Escape::Constraint("\\A")),
            'Z' => return Ok(Escape::Constraint("\\z")),
            'm' => return Ok(Escape::Constraint("\\b{start}")),
            'M' => return Ok(Escape::Constraint("\\b{end}")),
            'y' => return Ok(Escape::Constraint("\\b")),
            'Y' => return Ok(Escape::Constraint("\\B")),
            'a' => '\u{7}',
            'b' => '\u{8}',
            'B' => '\\',
            'c' => char::from((u32::from(self.next().ok_or_else(bad)?) & 0x1f) as u8),
            'e' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'u' => return self.coded(4, 4),
            'U' => return self.coded(8, 8),
            'x' => return self.coded(1, usize::from(u8::MAX)),
            '0'..='9' => return self.numbered(first),
            letter if letter.is_ascii_alphabetic() => return Err(bad()),
            other => other,
        };
        Ok(Escape::Character(character.into()))
    }

    /// A character by its code in hexadecimal digits, of which the last eight count.
    fn coded(&mut self, digits_min: usize, digits_max: usize) -> Result<Escape, QueryError> {
        let bad = || invalid_expression("invalid escape \\ sequence");
        let (mut code, mut digits) = (0_u32, 0);
        while digits < digits_max
            && let Some(digit) = self.peek().and_then(|digit| digit.to_digit(16))
        {
            code = (code << 4) | digit;
            digits += 1;
            self.next();
        }
        if digits < digits_min {
            return Err(bad());
        }
        Ok(Escape::Character(Code::new(code).ok_or_else(bad)?))
    }

    /// A backslash before a digit: an octal code of one byte or a back-reference. One digit but 0 is always a back-reference,
    /// more are one if there are so many groups.
    fn numbered(&mut self, first: char) -> Result<Escape, QueryError> {
        let after_first = self.rest;
        let digits = 1 + after_first.bytes().take_while(u8::is_ascii_digit).count();
        let number: String = std::iter::once(first).chain(after_first.chars().take(digits - 1)).collect();
        let number: usize = number.parse().unwrap_or(usize::MAX);
        if first != '0' && (digits == 1 || number <= self.groups) {
            self.rest = &after_first[digits - 1..];
            return Ok(Escape::BackReference(number));
        }
        let bad = || invalid_expression("invalid escape \\ sequence");
        let value = first.to_digit(8).ok_or_else(bad)?;
        let (mut code, mut length) = (value, 0);
        for digit in after_first.chars().take(2).map_while(|digit| digit.to_digit(8)) {
            if code * 8 + digit > u32::from(u8::MAX) {
                break;
            }
            (code, length) = (code * 8 + digit, length + 1);
        }
        self.rest = &after_first[length..];
        Ok(Escape::Character(Code::new(code).ok_or_else(bad)?))
    }

    /// After the opening bracket: the whole set in the crate's syntax.
    fn bracket(&mut self) -> Result<String, QueryError> {
        let unbalanced = || invalid_expression("brackets [] not balanced");
        let negated = self.eat("^");
        let mut set = String::from(if negated { "[^" } else { "[" });
        let mut is_first = true;
        loop {
            let item = match self.next().ok_or_else(unbalanced)? {
                ']' if !is_first => break,
                '-' if !is_first && self.peek() != Some(']') => {
                    return Err(invalid_expression("invalid character range"));
                }
                character => self.bracket_item(character)?,
            };
            is_first = false;
            match item {
                BracketItem::Items(items) => set.push_str(&items),
                BracketItem::Character(start) => self.range_from(start, &mut set)?,
            }
        }
        if negated && self.options.dot_stops {
            set.push_str("\\n");
        }
        set.push(']');
        Ok(set)
    }

    /// A character of a bracket, or a range that begins with it.
    fn range_from(&mut self, start: Code, set: &mut String) -> Result<(), QueryError> {
        let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
        let end = if is_range { self.range_end(start)? } else { start };
        match start.characters_to(end) {
            None => set.push_str(NO_CHARACTERS),
            Some((first, last)) => {
                push_character(first, set);
                if first < last {
                    set.push('-');
                    push_character(last, set);
                }
            }
        }
        Ok(())
    }

    /// `-` and the end of a range.
    fn range_end(&mut self, start: Code) -> Result<Code, QueryError> {
        self.next();
        let last = self.next().ok_or_else(|| invalid_expression("brackets [] not balanced"))?;
        match self.bracket_item(last)? {
            BracketItem::Character(end) if end >= start => Ok(end),
            _ => Err(invalid_expression("invalid character range")),
        }
    }

    fn bracket_item(&mut self, first: char) -> Result<BracketItem, QueryError> {
        Ok(match first {
            '[' if self.eat(":") => BracketItem::Items(self.named_class()?),
            '[' if self.eat(".") => BracketItem::Character(self.collating_element(".]")?.into()),
            '[' if self.eat("=") => BracketItem::Character(self.collating_element("=]")?.into()),
            '\\' => match self.escape()? {
                Escape::Character(code) => BracketItem::Character(code),
                Escape::Set { items, negated: false } => BracketItem::Items(items.into()),
                Escape::Set { items, negated: true } => BracketItem::Items(format!("[^{items}]")),
                Escape::Constraint(_) | Escape::BackReference(_) => {
                    return Err(invalid_expression("invalid escape \\ sequence"));
                }
            },
            other => BracketItem::Character(other.into()),
        })
    }

    /// `name:]`.
    fn named_class(&mut self) -> Result<String, QueryError> {
        let (name, rest) = self.rest.split_once(":]").ok_or_else(|| invalid_expression("brackets [] not balanced"))?;
        self.rest = rest;
        let is_cased = !self.options.case_insensitive;
        Ok(match name {
            "alnum" => "\\p{Alphabetic}\\p{Nd}".into(),
            "alpha" => "\\p{Alphabetic}".into(),
            "lower" if is_cased => "\\p{Lowercase}".into(),
            "upper" if is_cased => "\\p{Uppercase}".into(),
            "lower" | "upper" => "\\p{Alphabetic}".into(),
            "digit" => DIGITS.into(),
            "xdigit" => "0-9A-Fa-f".into(),
            "word" => WORD.into(),
            "space" => SPACE.into(),
            "blank" => "\\x09\\x20\\x{1680}\\x{2000}-\\x{2006}\\x{2008}-\\x{200a}\\x{205f}\\x{3000}".into(),
            "cntrl" => "\\p{Cc}\\x{2028}\\x{2029}".into(),
            "punct" => "[[^\\p{Alphabetic}\\p{Nd}\\p{C}\\p{Z}]\\p{Cf}\\p{Co}]".into(),
            "graph" => "[^\\p{Cc}\\p{Cn}\\p{Z}]".into(),
            "print" => "[^\\p{Cc}\\p{Cn}\\p{Zl}\\p{Zp}]".into(),
            "ascii" => "\\x00-\\x7f".into(),
            _ => return Err(invalid_expression("invalid character class")),
        })
    }

    /// One character up to `end`; names of characters are not known.
    fn collating_element(&mut self, end: &str) -> Result<char, QueryError> {
        let (element, rest) =
            self.rest.split_once(end).ok_or_else(|| invalid_expression("brackets [] not balanced"))?;
        self.rest = rest;
        let mut characters = element.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(character),
            _ => Err(invalid_expression("invalid collating element")),
        }
    }
}

enum BracketItem {
    Character(Code),
    Items(String),
}

fn push_character(character: char, pattern: &mut String) {
    if "\\.+*?()|[]{}^$#&-~".contains(character) {
        pattern.push('\\');
    }
    pattern.push(character);
}

/// What the expression prefers as a whole: alternatives the longest, else what the first quantifier with a preference does.
fn preference_of(branches: &[Branch]) -> Option<Preference> {
    match branches {
        [branch] => branch.iter().find_map(preference_of_node),
        _ => Some(Preference::Longest),
    }
}

fn preference_of_node(node: &Node) -> Option<Preference> {
    match node {
        Node::Literal(_) | Node::Set(_) | Node::Constraint(_) => None,
        Node::Group { branches, .. } => preference_of(branches),
        Node::Repeated { node, preference, .. } => preference.or_else(|| preference_of_node(node)),
    }
}

/// Whether something prefers the other than what is wanted, as alternatives do the longest.
fn has_other(branches: &[Branch], wanted: Preference) -> bool {
    let is_other = |node: &Node| match node {
        Node::Literal(_) | Node::Set(_) | Node::Constraint(_) => false,
        Node::Group { branches, .. } => has_other(branches, wanted),
        Node::Repeated { node, preference, .. } => {
            preference.is_some_and(|preference| preference != wanted)
                || matches!(node.as_ref(), Node::Group { branches, .. } if has_other(branches, wanted))
        }
    };
    let has_alternatives = branches.len() > 1 && wanted != Preference::Longest;
    has_alternatives || branches.iter().flatten().any(is_other)
}

fn is_plain(branch: &Branch) -> bool {
    branch.iter().all(|node| matches!(node, Node::Literal(_)))
}

/// The largest number of alternatives in one place whose order matters, at least one.
fn alternatives_max(branches: &[Branch]) -> usize {
    let own = if branches.iter().all(is_plain) { 1 } else { branches.len() };
    let inner = branches.iter().flatten().map(|node| match node {
        Node::Group { branches, .. } => alternatives_max(branches),
        Node::Repeated { node, .. } => match node.as_ref() {
            Node::Group { branches, .. } => alternatives_max(branches),
            _ => 1,
        },
        _ => 1,
    });
    inner.fold(own, usize::max)
}

#[derive(Clone, Copy)]
struct Style {
    /// What all quantifiers are to prefer, instead of what each says.
    forced: Option<Preference>,
    /// Which alternative stands first.
    order: usize,
}

fn rendered(branches: &[Branch], style: Style) -> String {
    let mut pattern = String::new();
    render(branches, style, &mut pattern);
    pattern
}

fn render(branches: &[Branch], style: Style, pattern: &mut String) {
    let mut ordered: Vec<&Branch> = branches.iter().collect();
    if branches.iter().all(is_plain) {
        ordered.sort_by_key(|branch| std::cmp::Reverse(branch.len()));
        if style.forced == Some(Preference::Shortest) {
            ordered.reverse();
        }
    } else {
        // Numbers of groups follow their order; whoever asks for another than the written one needs no groups.
        ordered.rotate_left(style.order % branches.len());
    }
    for (position, branch) in ordered.into_iter().enumerate() {
        pattern.push_str(if position > 0 { "|" } else { "" });
        branch.iter().for_each(|node| render_node(node, style, pattern));
    }
}

fn render_node(node: &Node, style: Style, pattern: &mut String) {
    match node {
        Node::Literal(character) => push_character(*character, pattern),
        Node::Set(set) => pattern.push_str(set),
        Node::Constraint(constraint) => pattern.push_str(constraint),
        Node::Group { captures, branches } => {
            pattern.push_str(if *captures { "(" } else { "(?:" });
            render(branches, style, pattern);
            pattern.push(')');
        }
        Node::Repeated { node, least, most, preference } => {
            // `(…){1,1}?` asks for the shortest match of the whole group.
            let is_shortest_whole = (*least, *most, *preference) == (1, Some(1), Some(Preference::Shortest));
            let inner = if is_shortest_whole { Some(Preference::Shortest) } else { None };
            render_node(node, Style { forced: style.forced.or(inner), ..style }, pattern);
            let most = most.map(|most| most.to_string()).unwrap_or_default();
            pattern.push_str(&format!("{{{least},{most}}}"));
            let shown = preference.and(style.forced).or(*preference);
            pattern.push_str(if shown == Some(Preference::Shortest) { "?" } else { "" });
        }
    }
}
