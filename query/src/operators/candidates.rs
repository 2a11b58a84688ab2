//! Candidates: which of several operators or functions of one name PostgreSQL means when some operand has no type yet.
//!
//! A string literal and a parameter that nobody has declared are both `unknown`. The rules are those of chapters
//! 10.2, 10.3 and 10.5 of PostgreSQL's manual and of its `parse_func.c`, over PostgreSQL's own lists: all operators
//! and functions that it has, not only those that Meridian computes. So what an unknown operand becomes does not
//! depend on what is missing here.
//!
//!     operator_types("+", [timestamp, unknown])       [timestamp, interval]
//!     function_types("date_trunc", [unknown, date])   [text, timestamptz]
//!     common_type([unknown, integer, numeric])        numeric

use crate::pg_catalog::{function_by_oid, functions_by_name, is_implicit_cast, operators_by_name};
use crate::user_types::{is_enum, traits_of as type_traits};

/// A type by its OID.
pub(crate) type Oid = u32;

/// The type of what has none yet.
pub(crate) const UNKNOWN: Oid = 705;
/// The argument type that takes every value as it is.
pub(crate) const ANY: Oid = 2276;
const TEXT: Oid = 25;
const ANY_ELEMENT: Oid = 2283;
const ANY_ARRAY: Oid = 2277;
const ANY_NON_ARRAY: Oid = 2776;
const ANY_COMPATIBLE: Oid = 5077;
const ANY_COMPATIBLE_ARRAY: Oid = 5078;
const ANY_COMPATIBLE_NON_ARRAY: Oid = 5079;
/// `anyenum`.
const ANY_ENUM: Oid = 3500;
/// The ranges: no value of Meridian is one of these.
const ABSENT_FAMILIES: [Oid; 4] = [3831, 4537, 5080, 4538];
/// `pg_type.typcategory` of text and its kin.
const STRINGS: u8 = b'S';

/// Why no candidate was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// None takes such operands.
    Missing,
    /// Several do, and none of them is better than the others.
    Ambiguous,
    /// One does, but only operands of unknown type would say which type its `anyelement` is.
    Undetermined,
    /// One does, but there are no arrays of what its operands are: of arrays.
    NoArray(Oid),
}

/// The operand types of the operator that is meant; a prefix operator has one operand.
pub(crate) fn operator_types(symbol: &str, operands: &[Oid]) -> Result<Vec<Oid>, Failure> {
    let all = operators_by_name(symbol).iter().map(Vec::as_slice);
    let candidates: Vec<&[Oid]> = all.filter(|types| types.len() == operands.len()).collect();
    // An operand of unknown type is taken for the other one's type first.
    let assumed: Vec<Oid> = match operands {
        [UNKNOWN, right] => vec![*right; 2],
        [left, UNKNOWN] => vec![*left; 2],
        _ => operands.to_vec(),
    };
    let exact = candidates.iter().copied().find(|types| **types == assumed);
    let chosen = exact.map_or_else(|| choose(&candidates, operands), Ok)?;
    without_families(chosen, operands)
}

/// The argument types of the function that is meant; [`ANY`] where it takes any type as it is.
pub(crate) fn function_types(name: &str, arguments: &[Oid]) -> Result<Vec<Oid>, Failure> {
    let all = functions_by_name(name).iter().filter_map(|oid| function_by_oid(*oid));
    let candidates: Vec<Vec<Oid>> = all
        .filter_map(|function| {
            let declared: Vec<Oid> = function.arguments.iter().map(|oid| *oid as Oid).collect();
            spread(declared, function.variadic as Oid, function.defaults, arguments.len())
        })
        .collect();
    let candidates: Vec<&[Oid]> = candidates.iter().map(Vec::as_slice).collect();
    without_families(choose(&candidates, arguments)?, arguments)
}

/// The types that a function declares for a number of arguments: the last one repeated where it is variadic, without
/// those that have defaults; `None` where it does not take so many.
fn spread(mut declared: Vec<Oid>, variadic: Oid, defaults: usize, count: usize) -> Option<Vec<Oid>> {
    if variadic != 0 && count >= declared.len() {
        declared.pop();
        declared.resize(count, variadic);
    }
    let fits = (declared.len().saturating_sub(defaults)..=declared.len()).contains(&count);
    declared.truncate(count);
    fits.then_some(declared)
}

/// The type that values of all these types have together; of unknown ones alone it is text. `None` where there is none.
pub(crate) fn common_type(types: &[Oid]) -> Option<Oid> {
    let mut common = UNKNOWN;
    for next in types.iter().copied().filter(|next| *next != UNKNOWN) {
        if common == UNKNOWN {
            common = next;
        } else if next != common {
            let (known, other) = (type_traits(common)?, type_traits(next)?);
            if known.category != other.category {
                return None;
            }
            if !known.is_preferred && is_coercible(common, next) && !is_coercible(next, common) {
                common = next;
            }
        }
    }
    Some(if common == UNKNOWN { TEXT } else { common })
}

/// The type of arrays over a type.
pub(crate) fn array_of(element: Oid) -> Option<Oid> {
    type_traits(element)?.array
}

/// The type of an array's elements; `None` for what is no array.
pub(crate) fn element_of(array: Oid) -> Option<Oid> {
    type_traits(array)?.element
}

/// Whether a value of a type is taken for one of another without a cast.
pub(super) fn is_coercible(from: Oid, to: Oid) -> bool {
    if from == to || from == UNKNOWN || is_family(to) || is_implicit_cast(from, to) {
        return true;
    }
    matches!((element_of(from), element_of(to)), (Some(from), Some(to)) if is_implicit_cast(from, to))
}

/// Whether a declared type stands for several.
fn is_family(oid: Oid) -> bool {
    matches!(
        oid,
        ANY | ANY_ELEMENT
            | ANY_ARRAY
            | ANY_NON_ARRAY
            | ANY_COMPATIBLE
            | ANY_COMPATIBLE_ARRAY
            | ANY_COMPATIBLE_NON_ARRAY
            | ANY_ENUM
    ) || ABSENT_FAMILIES.contains(&oid)
}

/// What the families of a candidate's declared types stand for in one call; `None` for what no operand of known type
/// says.
#[derive(Debug, Default)]
struct Families {
    element: Option<Oid>,
    compatible: Option<Oid>,
}

impl Families {
    /// `None` where the operands contradict each other.
    fn of(declared: &[Oid], operands: &[Oid]) -> Option<Self> {
        let mut elements = Vec::new();
        let mut compatible = Vec::new();
        for (declared, operand) in declared.iter().zip(operands).filter(|(_, operand)| **operand != UNKNOWN) {
            match *declared {
                ANY_ELEMENT | ANY_NON_ARRAY => elements.push(*operand),
                ANY_ENUM if !is_enum(*operand) => return None,
                ANY_ENUM => elements.push(*operand),
                ANY_ARRAY => elements.push(element_of(*operand)?),
                ANY_COMPATIBLE | ANY_COMPATIBLE_NON_ARRAY => compatible.push(*operand),
                ANY_COMPATIBLE_ARRAY => compatible.push(element_of(*operand)?),
                other if ABSENT_FAMILIES.contains(&other) => return None,
                _ => {}
            }
        }
        if elements.windows(2).any(|pair| pair[0] != pair[1]) {
            return None;
        }
        let element = elements.first().copied();
        let compatible = if compatible.is_empty() { None } else { Some(common_type(&compatible)?) };
        let is_array = |known: Option<Oid>| known.is_some_and(|known| element_of(known).is_some());
        let refused = (declared.contains(&ANY_NON_ARRAY) && is_array(element))
            || (declared.contains(&ANY_COMPATIBLE_NON_ARRAY) && is_array(compatible));
        (!refused).then_some(Self { element, compatible })
    }
}

/// Declared types with the call's own in the place of families.
fn without_families(declared: &[Oid], operands: &[Oid]) -> Result<Vec<Oid>, Failure> {
    let families = Families::of(declared, operands).ok_or(Failure::Missing)?;
    let compatible = families.compatible.unwrap_or(TEXT);
    let makes_array = |family: Oid| declared.contains(&family);
    let items = [(ANY_ARRAY, families.element), (ANY_COMPATIBLE_ARRAY, Some(compatible))];
    let without = items
        .iter()
        .filter(|(family, _)| makes_array(*family))
        .find_map(|(_, item)| item.filter(|item| array_of(*item).is_none()));
    if let Some(item) = without {
        return Err(Failure::NoArray(item));
    }
    let resolved = declared.iter().map(|declared| match *declared {
        ANY_ELEMENT | ANY_NON_ARRAY | ANY_ENUM => families.element,
        ANY_ARRAY => families.element.and_then(array_of),
        ANY_COMPATIBLE | ANY_COMPATIBLE_NON_ARRAY => Some(compatible),
        ANY_COMPATIBLE_ARRAY => array_of(compatible),
        other if ABSENT_FAMILIES.contains(&other) => None,
        other => Some(other),
    });
    resolved.collect::<Option<Vec<Oid>>>().ok_or(Failure::Undetermined)
}

fn takes(declared: &[Oid], operands: &[Oid]) -> bool {
    declared.iter().zip(operands).all(|(declared, operand)| is_coercible(*operand, *declared))
        && Families::of(declared, operands).is_some()
}

/// PostgreSQL's `func_select_candidate`. All candidates have as many types as there are operands.
fn choose<'a>(candidates: &[&'a [Oid]], operands: &[Oid]) -> Result<&'a [Oid], Failure> {
    let mut left: Vec<&[Oid]> = candidates.iter().copied().filter(|types| takes(types, operands)).collect();
    match left.as_slice() {
        [] => return Err(Failure::Missing),
        [only] => return Ok(only),
        _ => {}
    }
    let known: Vec<usize> = (0..operands.len()).filter(|index| operands[*index] != UNKNOWN).collect();
    keep_best(&mut left, |types| known.iter().filter(|index| types[**index] == operands[**index]).count());
    keep_best(&mut left, |types| {
        let fits = |index: &&usize| {
            let (declared, operand) = (types[**index], operands[**index]);
            declared == operand || is_preferred_for(declared, operand)
        };
        known.iter().filter(fits).count()
    });
    if left.len() > 1 && known.len() < operands.len() {
        keep_category(&mut left, operands);
    }
    if left.len() > 1 && known.len() < operands.len() {
        assume_same(&mut left, operands, &known);
    }
    match left.as_slice() {
        [only] => Ok(only),
        _ => Err(Failure::Ambiguous),
    }
}

/// Whether a type is the preferred one of another's category.
fn is_preferred_for(declared: Oid, operand: Oid) -> bool {
    match (type_traits(declared), type_traits(operand)) {
        (Some(declared), Some(operand)) => declared.is_preferred && declared.category == operand.category,
        _ => false,
    }
}

fn keep_best(left: &mut Vec<&[Oid]>, score: impl Fn(&[Oid]) -> usize) {
    let best = left.iter().map(|types| score(types)).max().unwrap_or(0);
    left.retain(|types| score(types) == best);
}

/// Operands of unknown type are strings where some candidate takes one there, else of the category that all
/// candidates agree on.
fn keep_category(left: &mut Vec<&[Oid]>, operands: &[Oid]) {
    let mut slots = Vec::new();
    for index in (0..operands.len()).filter(|index| operands[*index] == UNKNOWN) {
        let traits: Vec<_> = left.iter().filter_map(|types| type_traits(types[index])).collect();
        let Some(first) = traits.first() else { return };
        let same = traits.iter().all(|other| other.category == first.category);
        let category = match traits.iter().any(|other| other.category == STRINGS) {
            true => STRINGS,
            false if same => first.category,
            false => return,
        };
        let preferred = traits.iter().any(|other| other.category == category && other.is_preferred);
        slots.push((index, category, preferred));
    }
    let fits = |types: &&[Oid]| {
        slots.iter().all(|(index, category, preferred)| {
            type_traits(types[*index])
                .is_some_and(|traits| traits.category == *category && (!preferred || traits.is_preferred))
        })
    };
    if left.iter().any(fits) {
        left.retain(fits);
    }
}

/// Last, operands of unknown type are taken for the type that all others have, if that leaves one candidate.
fn assume_same(left: &mut Vec<&[Oid]>, operands: &[Oid], known: &[usize]) {
    let Some(first) = known.first().map(|index| operands[*index]) else { return };
    if known.iter().any(|index| operands[*index] != first) {
        return;
    }
    let assumed = vec![first; operands.len()];
    let fitting: Vec<&[Oid]> = left.iter().copied().filter(|types| takes(types, &assumed)).collect();
    if let [only] = fitting.as_slice() {
        *left = vec![only];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_operator(symbol: &str, operands: &[Oid], expected: Result<&[Oid], Failure>) {
        assert_eq!(operator_types(symbol, operands), expected.map(<[Oid]>::to_vec), "{symbol} {operands:?}");
    }

    #[track_caller]
    fn check_function(name: &str, arguments: &[Oid], expected: Result<&[Oid], Failure>) {
        assert_eq!(function_types(name, arguments), expected.map(<[Oid]>::to_vec), "{name} {arguments:?}");
    }

    const INT4: Oid = 23;
    const FLOAT8: Oid = 701;
    const NUMERIC: Oid = 1700;
    const VARCHAR: Oid = 1043;
    const DATE: Oid = 1082;
    const TIMESTAMP: Oid = 1114;
    const TIMESTAMPTZ: Oid = 1184;
    const INTERVAL: Oid = 1186;
    const INT4_ARRAY: Oid = 1007;

    #[test]
    fn an_unknown_operand_takes_the_type_of_the_other_where_there_is_such_an_operator() {
        check_operator("=", &[INT4, UNKNOWN], Ok(&[INT4, INT4]));
        check_operator("=", &[VARCHAR, UNKNOWN], Ok(&[TEXT, TEXT]));
        check_operator("-", &[UNKNOWN, TIMESTAMP], Ok(&[TIMESTAMP, TIMESTAMP]));
        check_operator("+", &[TIMESTAMP, UNKNOWN], Ok(&[TIMESTAMP, INTERVAL]));
        check_operator("*", &[UNKNOWN, INTERVAL], Ok(&[FLOAT8, INTERVAL]));
        check_operator("||", &[INT4_ARRAY, UNKNOWN], Ok(&[INT4_ARRAY, INT4_ARRAY]));
        check_operator("||", &[UNKNOWN, INT4], Ok(&[TEXT, INT4]));
        check_operator("^", &[INT4, UNKNOWN], Ok(&[FLOAT8, FLOAT8]));
        check_operator("=", &[UNKNOWN, UNKNOWN], Ok(&[TEXT, TEXT]));
        check_operator("+", &[UNKNOWN], Ok(&[FLOAT8]));
    }

    #[test]
    fn several_equally_good_candidates_are_an_error() {
        check_operator("+", &[UNKNOWN, UNKNOWN], Err(Failure::Ambiguous));
        check_operator("+", &[DATE, UNKNOWN], Err(Failure::Ambiguous));
        check_operator("-", &[UNKNOWN], Err(Failure::Ambiguous));
        check_function("date_trunc", &[UNKNOWN, UNKNOWN], Err(Failure::Ambiguous));
        check_function("sum", &[UNKNOWN], Err(Failure::Ambiguous));
        check_function("nosuch", &[UNKNOWN], Err(Failure::Missing));
        check_function("array_length", &[UNKNOWN, INT4], Err(Failure::Undetermined));
    }

    #[test]
    fn functions_prefer_strings_and_then_the_preferred_type_of_a_category() {
        check_function("round", &[UNKNOWN], Ok(&[FLOAT8]));
        check_function("round", &[UNKNOWN, INT4], Ok(&[NUMERIC, INT4]));
        check_function("length", &[UNKNOWN], Ok(&[TEXT]));
        check_function("age", &[UNKNOWN, UNKNOWN], Ok(&[TIMESTAMPTZ, TIMESTAMPTZ]));
        check_function("age", &[UNKNOWN, TIMESTAMP], Ok(&[TIMESTAMP, TIMESTAMP]));
        check_function("max", &[UNKNOWN], Ok(&[TEXT]));
        check_function("concat", &[UNKNOWN, INT4], Ok(&[ANY, ANY]));
        check_function("lag", &[INT4, UNKNOWN, UNKNOWN], Ok(&[INT4, INT4, INT4]));
        check_function("array_append", &[INT4_ARRAY, UNKNOWN], Ok(&[INT4_ARRAY, INT4]));
    }

    #[test]
    fn values_meet_in_the_type_that_the_others_become_by_themselves() {
        assert_eq!(common_type(&[UNKNOWN, INT4, NUMERIC]), Some(NUMERIC));
        assert_eq!(common_type(&[UNKNOWN, UNKNOWN]), Some(TEXT));
        assert_eq!(common_type(&[VARCHAR, UNKNOWN]), Some(VARCHAR));
        assert_eq!(common_type(&[INT4, TEXT]), None);
    }
}
