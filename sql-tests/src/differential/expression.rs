//! Random expressions from the productions, by type.
//!
//! Most are valid. A slot takes an expression of another type now and then, and a probe puts operators, functions and
//! casts to values of any types, so that the resolution of overloads and its errors are compared as well.

use super::productions::{CAST_TARGETS, GENERIC, OPERATORS, PREFIX_OPERATORS, productions};
use super::slots;
use super::tables::Column;
use super::tree::{Mark, Piece, Role, Tree, is_atomic, is_cube_root};
use super::values::{Range, Type};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// How often a slot takes an expression of another type.
const ILL_TYPED: f64 = 0.012;
/// How often a slot of a probe does.
const ILL_TYPED_IN_PROBE: f64 = 0.4;
/// How often an operand stands without the parentheses that it would need.
const UNPARENTHESISED: f64 = 0.06;

/// Makes expressions over the columns of a source.
pub(crate) struct Generator<'a> {
    pub random: &'a mut StdRng,
    pub columns: &'a [Column],
    /// From which values literals are drawn.
    pub range: Range,
    pub ill_typed: f64,
}

impl<'a> Generator<'a> {
    pub(crate) fn new(random: &'a mut StdRng, columns: &'a [Column], range: Range) -> Self {
        Self { random, columns, range, ill_typed: ILL_TYPED }
    }

    /// An expression of a random type.
    pub(crate) fn any(&mut self, depth: u32) -> Tree {
        let of = Type::random(self.random);
        self.value(of, depth, false)
    }

    /// An expression of the type. Where it is `exact`, no listed difference may show in its value.
    pub(crate) fn value(&mut self, of: Type, depth: u32, exact: bool) -> Tree {
        if depth == 0 || self.random.random_bool(0.2) {
            return self.leaf(of);
        }
        loop {
            let generic = self.random.random_bool(0.1);
            let templates = if generic { GENERIC } else { productions(of) };
            let template = templates.choose(self.random).copied().unwrap_or("{T}");
            let (mark, template) = mark_of(template, of);
            if mark == Mark::None || !exact {
                let tree = self.instantiate(template, Some(of), depth - 1, exact || !is_transparent(template));
                return Tree { mark: mark.max(tree.mark), ..tree };
            }
        }
    }

    /// A column, a literal or NULL.
    pub(crate) fn leaf(&mut self, of: Type) -> Tree {
        let role = Role::Value(Some(of));
        let columns: Vec<&Column> = self.columns.iter().filter(|column| column.of_type == of).collect();
        if let Some(column) = columns.choose(self.random).filter(|_| self.random.random_bool(0.65)) {
            return Tree::leaf(role, of.name(), column.name.as_str());
        }
        if self.random.random_bool(0.08) {
            let typed = self.random.random_bool(0.7);
            return Tree::leaf(role, "NULL", if typed { format!("NULL::{}", of.name()) } else { "NULL".into() });
        }
        let value = of.values(self.range).choose(self.random).copied().unwrap_or_default();
        Tree::leaf(role, of.name(), of.any_literal(value, self.random))
    }

    /// An operator, a cast or a call whose arguments have any types.
    pub(crate) fn probe(&mut self) -> Tree {
        self.ill_typed = ILL_TYPED_IN_PROBE;
        let (left, right) = (Type::random(self.random), Type::random(self.random));
        let tree = match self.random.random_range(0..10) {
            0..3 => {
                let operator = OPERATORS.choose(self.random).copied().unwrap_or("+");
                self.operation(&format!("{{{}}} {operator} {{{}}}", left.name(), right.name()))
            }
            3 => {
                let operator = PREFIX_OPERATORS.choose(self.random).copied().unwrap_or("-");
                self.operation(&format!("{operator} {{{}}}", left.name()))
            }
            4 => {
                let target = CAST_TARGETS.choose(self.random).copied().unwrap_or("int4");
                self.operation(&format!("{{{}}}::{target}", left.name()))
            }
            5 | 6 => self.operation(&format!("{{{}}}::{}", left.name(), right.name())),
            _ => {
                let template = productions(left).choose(self.random).copied().unwrap_or("{A}");
                let (mark, template) = mark_of(template, left);
                let tree = self.instantiate(template, Some(left), 0, true);
                Tree { mark: mark.max(tree.mark), ..tree }
            }
        };
        self.ill_typed = ILL_TYPED;
        Tree { role: Role::Value(None), ..tree }
    }

    /// A template whose slots take leaves of exactly their types.
    fn operation(&mut self, template: &str) -> Tree {
        let ill_typed = std::mem::replace(&mut self.ill_typed, 0.0);
        let tree = self.instantiate(template, None, 0, true);
        self.ill_typed = ill_typed;
        tree
    }

    /// Fills the slots of a template.
    pub(crate) fn instantiate(&mut self, template: &str, of: Option<Type>, depth: u32, exact: bool) -> Tree {
        let mut pieces = Vec::new();
        let any = Type::random(self.random);
        let mut rest = template;
        while let Some((before, slot, after)) = next_slot(rest) {
            pieces.push(Piece::Text(before.to_string()));
            let of_slot = match slot {
                "T" => of,
                "A" => Some(any),
                name => Type::named(name),
            };
            let tree = match of_slot {
                Some(of_slot) => self.slot(of_slot, depth, exact),
                None => Tree::fixed(slots::random_text(slot, self.random).unwrap_or_else(|| format!("{{{slot}}}"))),
            };
            let enclosed = is_enclosed(before, after);
            let text = tree.text();
            // Two minus signs begin a comment.
            let may_be_bare = !(before.ends_with('-') && text.starts_with('-'));
            let bare = enclosed || is_atomic(&text) || (may_be_bare && self.random.random_bool(UNPARENTHESISED));
            pieces.push(Piece::Tree(Box::new(tree), !bare));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_string()));
        let tree = Tree { role: Role::Value(of), label: template.to_string(), mark: Mark::None, pieces };
        Tree { mark: mark_of_operands(&tree), ..tree }
    }

    fn slot(&mut self, of: Type, depth: u32, exact: bool) -> Tree {
        let ill_typed = self.random.random_bool(self.ill_typed);
        let of = if ill_typed { Type::random(self.random) } else { of };
        let depth = if depth > 0 && self.random.random_bool(0.3) { depth - 1 } else { depth };
        self.value(of, depth, exact)
    }
}

/// The mark of a template, and the template without it.
fn mark_of(template: &'static str, of: Type) -> (Mark, &'static str) {
    // A template that begins with an equals sign is no operator: those begin with a slot.
    if let Some(template) = template.strip_prefix('=') {
        return (Mark::Double, template);
    }
    let meeting = of == Type::Numeric && template.matches("{T}").count() > 1;
    (if meeting { Mark::Scale } else { Mark::None }, template)
}

/// The mark of an expression that has a numeric where its template means another type.
fn mark_of_operands(tree: &Tree) -> Mark {
    let label = tree.label.as_str();
    let types: Vec<Type> = tree.children().filter_map(Tree::value_type).collect();
    let doubles = ["sqrt(", "exp(", "ln(", "log(", "log10(", "power(", "pow("];
    if is_cube_root(tree) {
        return Mark::CubeRoot;
    }
    let has_numeric = || tree.all().into_iter().any(|(_, part)| part.value_type() == Some(Type::Numeric));
    if is_of_arrays(label) && has_numeric() {
        return Mark::Scale;
    }
    let is_power = label.contains('^') || doubles.iter().any(|function| label.starts_with(function));
    if is_power && tree.children().any(may_be_numeric) {
        return Mark::Double;
    }
    if !types.contains(&Type::Numeric) {
        let to_numeric = label.ends_with("::numeric") && types.iter().any(|of| !of.is_number() || of.is_float());
        return if to_numeric { Mark::Scale } else { Mark::None };
    }
    Mark::None
}

/// Whether an operand is a numeric, also by arithmetic with one where its template means integers.
fn may_be_numeric(operand: &Tree) -> bool {
    let is_arithmetic = [" + ", " - ", " * ", " / ", " % "].iter().any(|operator| operand.label.contains(operator));
    operand.value_type() == Some(Type::Numeric) || (is_arithmetic && operand.children().any(may_be_numeric))
}

/// Whether values meet in an array.
fn is_of_arrays(label: &str) -> bool {
    label.contains("[]") || label.starts_with("ARRAY[")
}

/// True where a difference in scale comes out as just that.
fn is_transparent(template: &str) -> bool {
    template.contains("{T}") || template.starts_with("round({numeric}, ") || template.starts_with("{numeric}::numeric(")
}

/// What stands before a template's next slot, the slot's name, and what stands behind it.
fn next_slot(template: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = template.split_once('{')?;
    let (slot, after) = rest.split_once('}')?;
    Some((before, slot, after))
}

/// True for a slot between parentheses and commas.
fn is_enclosed(before: &str, after: &str) -> bool {
    let opened = before.trim_end().ends_with(['(', ',', '[']) || before.ends_with("=> ");
    opened && after.trim_start().starts_with([')', ',', ']'])
}

#[cfg(test)]
mod tests {
    use super::{next_slot, productions, slots};
    use crate::differential::values::Type;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn every_slot_of_a_template_can_be_filled() {
        let mut random = StdRng::seed_from_u64(1);
        for template in Type::ALL.iter().flat_map(|of| productions(*of)) {
            let mut rest = *template;
            while let Some((_, slot, after)) = next_slot(rest) {
                let is_value = matches!(slot, "T" | "A") || Type::named(slot).is_some();
                let known = is_value || slots::random_text(slot, &mut random).is_some();
                assert!(known, "{{{slot}}} of {template} is not known");
                rest = after;
            }
        }
    }
}
