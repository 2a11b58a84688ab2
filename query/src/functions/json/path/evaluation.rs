//! Evaluating a path over a jsonb: the sequence of the values that it names.
//!
//! Values are canonical text, slices of the document where they are parts of it. In lax mode accessors see through an
//! array around an object and around a single value, and what is not there is nothing; in strict mode it is an error. The
//! rules are those of PostgreSQL 15's `jsonpath_exec.c`.

use super::numbers::Number;
use super::syntax::{Comparison, Method, Node, Path};
use crate::error::{ErrorKind, QueryError};
use crate::types::json::document::{self, Kind, string_value};
use crate::types::json::sort_key::push_sort_key;
use crate::types::json::{DEPTH_MAX, push_object, push_string, too_deep};
use std::borrow::Cow;
use std::cmp::Ordering;

/// A value of a sequence, in canonical form.
pub(super) type Item<'a> = Cow<'a, str>;

type Items<'a> = Result<Vec<Item<'a>>, QueryError>;

/// The values that a path names in a document. `variables` is an object.
pub(super) fn evaluate<'a>(path: &Path, document: &'a str, variables: &'a str) -> Items<'a> {
    let evaluation = Evaluation { root: document, variables, lax: path.lax };
    evaluation.top(&path.root, &Place { current: None, array_length: None })
}

/// Where an expression is evaluated.
struct Place<'a> {
    /// What `@` is.
    current: Option<Item<'a>>,
    /// How many items the array has whose subscript this is.
    array_length: Option<usize>,
}

struct Evaluation<'a> {
    root: &'a str,
    variables: &'a str,
    lax: bool,
}

fn error(kind: ErrorKind, message: impl Into<String>) -> QueryError {
    QueryError::new(kind, message)
}

/// The items of an array that is owned or borrowed.
fn items_of<'a>(array: &Item<'a>) -> Vec<Item<'a>> {
    match array {
        Cow::Borrowed(text) => document::items(text).map(Cow::Borrowed).collect(),
        Cow::Owned(text) => document::items(text).map(|item| Cow::Owned(item.to_string())).collect(),
    }
}

fn members_of<'a>(object: &Item<'a>) -> Vec<(String, Item<'a>)> {
    match object {
        Cow::Borrowed(text) => {
            document::members(text).map(|member| (member.quoted.to_string(), Cow::Borrowed(member.value))).collect()
        }
        Cow::Owned(text) => {
            let members = document::members(text);
            members.map(|member| (member.quoted.to_string(), Cow::Owned(member.value.to_string()))).collect()
        }
    }
}

fn truth_text(truth: Option<bool>) -> Item<'static> {
    Cow::Borrowed(match truth {
        Some(true) => "true",
        Some(false) => "false",
        None => "null",
    })
}

/// Whether levels below were taken before a node, after which nothing that is missing is an error.
fn follows_below(node: &Node) -> bool {
    match node {
        Node::Below(..) => true,
        Node::Key(inner, _)
        | Node::AnyKey(inner)
        | Node::AnyItem(inner)
        | Node::Items(inner, _)
        | Node::Method(inner, _)
        | Node::Filter(inner, _) => follows_below(inner),
        _ => false,
    }
}

impl<'a> Evaluation<'a> {
    /// The value of an expression; of a predicate whether it holds.
    fn top(&self, node: &Node, place: &Place<'a>) -> Items<'a> {
        match node.is_predicate() {
            true => Ok(vec![truth_text(self.truth(node, place)?)]),
            false => self.items(node, place),
        }
    }

    fn items(&self, node: &Node, place: &Place<'a>) -> Items<'a> {
        match node {
            Node::Root => Ok(vec![Cow::Borrowed(self.root)]),
            Node::Current => Ok(place.current.iter().cloned().collect()),
            Node::Last => Ok(vec![Cow::Owned((place.array_length.unwrap_or(0) as i64 - 1).to_string())]),
            Node::Literal(text) => Ok(vec![Cow::Owned(text.clone())]),
            Node::Variable(name) => self.variable(name),
            Node::Key(inner, key) => self.key(inner, key, place),
            Node::AnyKey(inner) => self.any_key(inner, place),
            Node::AnyItem(inner) => self.any_item(inner, place),
            Node::Items(inner, places) => self.some_items(inner, places, place),
            Node::Below(inner, first, last) => {
                let mut found = Vec::new();
                for item in self.top(inner, place)? {
                    below(&item, 0, (*first, *last), &mut found)?;
                }
                Ok(found)
            }
            Node::Method(inner, method) => self.method(inner, *method, place),
            Node::Filter(inner, predicate) => self.filter(inner, predicate, place),
            Node::Sign(sign, inner) => self.sign(*sign, inner, place),
            Node::Arithmetic(operator, left, right) => {
                let left = self.operand(*operator, left, "left", place)?;
                let right = self.operand(*operator, right, "right", place)?;
                Ok(vec![Cow::Owned(left.computed(*operator, right)?.text()?)])
            }
            predicate => Ok(vec![truth_text(self.truth(predicate, place)?)]),
        }
    }

    fn variable(&self, name: &str) -> Items<'a> {
        match document::member(self.variables, name)? {
            Some(value) => Ok(vec![Cow::Borrowed(value)]),
            None => Err(error(ErrorKind::UndefinedObject, format!("could not find jsonpath variable \"{name}\""))),
        }
    }

    /// A sequence in which lax mode has taken arrays apart.
    fn unwrapped(&self, node: &Node, place: &Place<'a>) -> Items<'a> {
        let items = self.top(node, place)?;
        Ok(if self.lax { items.into_iter().flat_map(opened).collect() } else { items })
    }

    fn is_forgiving(&self, inner: &Node) -> bool {
        self.lax || follows_below(inner)
    }

    fn key(&self, inner: &Node, key: &str, place: &Place<'a>) -> Items<'a> {
        let forgiving = self.is_forgiving(inner);
        let mut found = Vec::new();
        for item in self.unwrapped(inner, place)? {
            if Kind::of(&item) != Kind::Object {
                if !forgiving {
                    let message = "jsonpath member accessor can only be applied to an object";
                    return Err(error(ErrorKind::SqlJsonMemberNotFound, message));
                }
                continue;
            }
            let value = match &item {
                Cow::Borrowed(text) => document::sorted_member(text, key).map(Cow::Borrowed),
                Cow::Owned(text) => document::sorted_member(text, key).map(|value| Cow::Owned(value.to_string())),
            };
            match value {
                Some(value) => found.push(value),
                None if forgiving => {}
                None => {
                    let message = format!("JSON object does not contain key \"{key}\"");
                    return Err(error(ErrorKind::SqlJsonMemberNotFound, message));
                }
            }
        }
        Ok(found)
    }

    fn any_key(&self, inner: &Node, place: &Place<'a>) -> Items<'a> {
        let mut found = Vec::new();
        for item in self.unwrapped(inner, place)? {
            if Kind::of(&item) == Kind::Object {
                found.extend(members_of(&item).into_iter().map(|(_, value)| value));
            } else if !self.is_forgiving(inner) {
                let message = "jsonpath wildcard member accessor can only be applied to an object";
                return Err(error(ErrorKind::SqlJsonObjectNotFound, message));
            }
        }
        Ok(found)
    }

    fn any_item(&self, inner: &Node, place: &Place<'a>) -> Items<'a> {
        let mut found = Vec::new();
        for item in self.top(inner, place)? {
            if Kind::of(&item) == Kind::Array {
                found.extend(items_of(&item));
            } else if self.lax {
                found.push(item);
            } else if !follows_below(inner) {
                let message = "jsonpath wildcard array accessor can only be applied to an array";
                return Err(error(ErrorKind::SqlJsonArrayNotFound, message));
            }
        }
        Ok(found)
    }

    fn some_items(&self, inner: &Node, places: &[(Node, Option<Node>)], place: &Place<'a>) -> Items<'a> {
        let mut found = Vec::new();
        for array in self.top(inner, place)? {
            let items = match Kind::of(&array) {
                Kind::Array => items_of(&array),
                _ if self.lax => vec![array],
                _ if follows_below(inner) => continue,
                _ => {
                    let message = "jsonpath array accessor can only be applied to an array";
                    return Err(error(ErrorKind::SqlJsonArrayNotFound, message));
                }
            };
            let within = Place { current: place.current.clone(), array_length: Some(items.len()) };
            for (first, last) in places {
                let first = self.subscript(first, &within)?;
                let last = last.as_ref().map_or(Ok(first), |last| self.subscript(last, &within))?;
                let length = items.len() as i128;
                if !self.is_forgiving(inner) && (first < 0 || first > last || last >= length) {
                    let message = "jsonpath array subscript is out of bounds";
                    return Err(error(ErrorKind::InvalidSqlJsonSubscript, message));
                }
                let (first, last) = (first.clamp(0, length) as usize, (last + 1).clamp(0, length) as usize);
                found.extend(items.get(first..last).unwrap_or_default().iter().cloned());
            }
        }
        Ok(found)
    }

    fn subscript(&self, node: &Node, place: &Place<'a>) -> Result<i128, QueryError> {
        match self.top(node, place)?.as_slice() {
            [only] if Kind::of(only) == Kind::Number => {
                let value = Number::read(only)?.truncated();
                match i32::try_from(value) {
                    Ok(value) => Ok(i128::from(value)),
                    Err(_) => {
                        let message = "jsonpath array subscript is out of integer range";
                        Err(error(ErrorKind::InvalidSqlJsonSubscript, message))
                    }
                }
            }
            _ => {
                let message = "jsonpath array subscript is not a single numeric value";
                Err(error(ErrorKind::InvalidSqlJsonSubscript, message))
            }
        }
    }

    fn method(&self, inner: &Node, method: Method, place: &Place<'a>) -> Items<'a> {
        let whole = matches!(method, Method::Type | Method::Size);
        let items = if whole { self.top(inner, place)? } else { self.unwrapped(inner, place)? };
        let mut found = Vec::new();
        for item in items {
            match method {
                Method::Type => found.push(quoted(Kind::of(&item).word())),
                Method::Size => found.push(self.size(inner, &item)?),
                Method::KeyValue => found.extend(key_values(&item)?),
                Method::Double => found.push(double(&item)?),
                Method::Abs | Method::Floor | Method::Ceiling => found.push(rounded(&item, method)?),
            }
        }
        Ok(found)
    }

    fn size(&self, inner: &Node, item: &Item<'a>) -> Result<Item<'a>, QueryError> {
        if Kind::of(item) == Kind::Array {
            return Ok(Cow::Owned(document::items(item).count().to_string()));
        }
        if !self.is_forgiving(inner) {
            let message = "jsonpath item method .size() can only be applied to an array";
            return Err(error(ErrorKind::SqlJsonArrayNotFound, message));
        }
        Ok(Cow::Borrowed("1"))
    }

    fn filter(&self, inner: &Node, predicate: &Node, place: &Place<'a>) -> Items<'a> {
        let mut found = Vec::new();
        for item in self.unwrapped(inner, place)? {
            let within = Place { current: Some(item.clone()), array_length: place.array_length };
            if self.truth(predicate, &within)? == Some(true) {
                found.push(item);
            }
        }
        Ok(found)
    }

    fn sign(&self, sign: char, inner: &Node, place: &Place<'a>) -> Items<'a> {
        let mut found = Vec::new();
        for item in self.unwrapped(inner, place)? {
            if Kind::of(&item) != Kind::Number {
                let message = format!("operand of unary jsonpath operator {sign} is not a numeric value");
                return Err(error(ErrorKind::SqlJsonNumberNotFound, message));
            }
            let number = Number::read(&item)?;
            found.push(Cow::Owned(if sign == '-' { number.negated() } else { number }.text()?));
        }
        Ok(found)
    }

    fn operand(&self, operator: char, node: &Node, side: &str, place: &Place<'a>) -> Result<Number, QueryError> {
        match self.unwrapped(node, place)?.as_slice() {
            [only] if Kind::of(only) == Kind::Number => Number::read(only),
            _ => {
                let message = format!("{side} operand of jsonpath operator {operator} is not a single numeric value");
                Err(error(ErrorKind::SingletonSqlJsonItemRequired, message))
            }
        }
    }

    // ---- predicates ----

    /// Whether a predicate holds; `None` is unknown. What goes wrong inside of it makes it unknown.
    fn truth(&self, node: &Node, place: &Place<'a>) -> Result<Option<bool>, QueryError> {
        Ok(match node {
            Node::And(left, right) => match self.truth(left, place)? {
                Some(false) => Some(false),
                left => match self.truth(right, place)? {
                    Some(true) => left,
                    right => right,
                },
            },
            Node::Or(left, right) => match self.truth(left, place)? {
                Some(true) => Some(true),
                left => match self.truth(right, place)? {
                    Some(false) => left,
                    right => right,
                },
            },
            Node::Not(inner) => self.truth(inner, place)?.map(|truth| !truth),
            Node::IsUnknown(inner) => Some(self.truth(inner, place)?.is_none()),
            Node::Exists(inner) => match self.top(inner, place) {
                Ok(items) => Some(!items.is_empty()),
                Err(wrong) => return unknown(wrong),
            },
            Node::Comparison(operator, left, right) => {
                return self
                    .any_pair(left, Some(right.as_ref()), place, |left, right| compared(*operator, left, right));
            }
            Node::StartsWith(whole, prefix) => {
                return self.any_pair(whole, Some(prefix.as_ref()), place, |whole, prefix| {
                    match (Kind::of(whole), Kind::of(prefix)) {
                        (Kind::String, Kind::String) => {
                            Ok(Some(string_value(whole)?.starts_with(string_value(prefix)?.as_ref())))
                        }
                        _ => Ok(None),
                    }
                });
            }
            Node::LikeRegex(whole, pattern) => {
                return self.any_pair(whole, None, place, |whole, _| match Kind::of(whole) {
                    Kind::String => Ok(Some(pattern.is_match(&string_value(whole)?))),
                    _ => Ok(None),
                });
            }
            other => match self.items(other, place)?.as_slice() {
                [only] if Kind::of(only) == Kind::Boolean => Some(only == "true"),
                _ => None,
            },
        })
    }

    /// Whether a predicate holds for some pair of two sequences. In strict mode every pair is looked at, because an error
    /// in one of them makes the answer unknown.
    fn any_pair(
        &self,
        left: &Node,
        right: Option<&Node>,
        place: &Place<'a>,
        holds: impl Fn(&str, &str) -> Result<Option<bool>, QueryError>,
    ) -> Result<Option<bool>, QueryError> {
        let sequences = self.unwrapped(left, place).and_then(|left| {
            let right = right.map_or_else(|| Ok(vec![Cow::Borrowed("null")]), |right| self.unwrapped(right, place));
            Ok((left, right?))
        });
        let (left, right) = match sequences {
            Ok(sequences) => sequences,
            Err(wrong) => return unknown(wrong),
        };
        let (mut found, mut failed) = (false, false);
        for left in &left {
            for right in &right {
                match holds(left, right)? {
                    Some(true) if self.lax => return Ok(Some(true)),
                    Some(true) => found = true,
                    None if self.lax => failed = true,
                    None => return Ok(None),
                    Some(false) => {}
                }
            }
        }
        Ok(if found { Some(true) } else { Some(false).filter(|_| !failed) })
    }
}

/// An error of the data is no answer; others are errors here too.
fn unknown(wrong: QueryError) -> Result<Option<bool>, QueryError> {
    if is_of_data(&wrong) { Ok(None) } else { Err(wrong) }
}

/// Whether an error says something of the document and not of the path.
pub(super) fn is_of_data(wrong: &QueryError) -> bool {
    matches!(
        wrong.kind,
        ErrorKind::SqlJsonMemberNotFound
            | ErrorKind::SqlJsonArrayNotFound
            | ErrorKind::SqlJsonObjectNotFound
            | ErrorKind::SqlJsonNumberNotFound
            | ErrorKind::InvalidSqlJsonSubscript
            | ErrorKind::NonNumericSqlJsonItem
            | ErrorKind::SingletonSqlJsonItemRequired
            | ErrorKind::DivisionByZero
            | ErrorKind::NumericOutOfRange
    )
}

fn opened(item: Item<'_>) -> Vec<Item<'_>> {
    if Kind::of(&item) == Kind::Array { items_of(&item) } else { vec![item] }
}

fn quoted(text: &str) -> Item<'static> {
    let mut out = String::new();
    push_string(&mut out, text);
    Cow::Owned(out)
}

/// A value and everything in it that is between two levels; `None` is the level of scalars.
fn below<'a>(
    item: &Item<'a>,
    level: u32,
    levels: (Option<u32>, Option<u32>),
    found: &mut Vec<Item<'a>>,
) -> Result<(), QueryError> {
    if level as usize > DEPTH_MAX {
        return Err(too_deep());
    }
    let parts: Vec<Item<'a>> = match Kind::of(item) {
        Kind::Array => items_of(item),
        Kind::Object => members_of(item).into_iter().map(|(_, value)| value).collect(),
        _ => Vec::new(),
    };
    let is_deep_enough = match levels.0 {
        Some(first) => level >= first,
        None => Kind::of(item).is_scalar(),
    };
    if is_deep_enough && levels.1.is_none_or(|last| level <= last) {
        found.push(item.clone());
    }
    if levels.1.is_none_or(|last| level < last) {
        for part in &parts {
            below(part, level + 1, levels, found)?;
        }
    }
    Ok(())
}

fn key_values(object: &Item<'_>) -> Result<Vec<Item<'static>>, QueryError> {
    if Kind::of(object) != Kind::Object {
        let message = "jsonpath item method .keyvalue() can only be applied to an object";
        return Err(error(ErrorKind::SqlJsonObjectNotFound, message));
    }
    let described = members_of(object).into_iter().map(|(quoted, value)| {
        let mut out = String::new();
        let key = string_value(&quoted)?;
        let mut shown = String::new();
        push_string(&mut shown, &key);
        push_object(&mut out, vec![("id", "0"), ("key", shown.as_str()), ("value", value.as_ref())]);
        Ok(Cow::Owned(out))
    });
    described.collect()
}

fn double(item: &Item<'_>) -> Result<Item<'static>, QueryError> {
    let wrong = |message: &str| Err(error(ErrorKind::NonNumericSqlJsonItem, message));
    let text = match Kind::of(item) {
        Kind::Number => item.to_string(),
        Kind::String => string_value(item)?.trim().to_string(),
        _ => return wrong("jsonpath item method .double() can only be applied to a string or numeric value"),
    };
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && text.bytes().any(|byte| byte.is_ascii_digit()) => {
            let mut out = String::new();
            crate::types::json::push_number(&mut out, &format!("{value}"))?;
            Ok(Cow::Owned(out))
        }
        Ok(_) if Kind::of(item) == Kind::Number => {
            wrong("numeric argument of jsonpath item method .double() is out of range for type double precision")
        }
        _ => wrong(
            "string argument of jsonpath item method .double() is not a valid representation of a double precision number",
        ),
    }
}

fn rounded(item: &Item<'_>, method: Method) -> Result<Item<'static>, QueryError> {
    if Kind::of(item) != Kind::Number {
        let message = format!("jsonpath item method .{}() can only be applied to a numeric value", method.name());
        return Err(error(ErrorKind::NonNumericSqlJsonItem, message));
    }
    let number = Number::read(item)?;
    let result = match method {
        Method::Abs => number.absolute(),
        Method::Floor => number.floor(false),
        _ => number.floor(true),
    };
    Ok(Cow::Owned(result.text()?))
}

/// Scalars of one kind compare; null is unequal to everything else.
fn compared(operator: Comparison, left: &str, right: &str) -> Result<Option<bool>, QueryError> {
    let kinds = (Kind::of(left), Kind::of(right));
    let order = match kinds {
        (Kind::Null, Kind::Null) => Ordering::Equal,
        (Kind::Null, _) | (_, Kind::Null) => return Ok(Some(operator == Comparison::NotEqual)),
        (Kind::Boolean, Kind::Boolean) => (left == "true").cmp(&(right == "true")),
        (Kind::String, Kind::String) => string_value(left)?.cmp(&string_value(right)?),
        (Kind::Number, Kind::Number) => {
            let (mut of_left, mut of_right) = (Vec::new(), Vec::new());
            push_sort_key(&mut of_left, left)?;
            push_sort_key(&mut of_right, right)?;
            of_left.cmp(&of_right)
        }
        _ => return Ok(None),
    };
    Ok(Some(match operator {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }))
}
