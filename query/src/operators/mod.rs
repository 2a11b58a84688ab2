//! Operators and casts as PostgreSQL resolves them.
//!
//! DataFusion coerces operands by rules of its own, wraps integers on overflow and casts as Arrow does. Here each operator, cast
//! and typed literal of a statement becomes a *site*: a call that knows PostgreSQL's type for it while the planner works, and where
//! it stands in the text, for errors. After planning each site is lowered to what computes it:
//!
//!     syntax tree ──annotate──▶ site calls ──SqlToRel──▶ plan with sites ──lower──▶ plan
//!                  sites.rs                  call.rs                       lowering.rs
//!
//! `resolution.rs` holds PostgreSQL's rules of operand types, `casts.rs` its casts over columns, `arithmetic.rs` arithmetic that
//! fails instead of wrapping, `meetings.rs` the values that become one, `long_numbers.rs` literals beyond numeric, `whole_expressions.rs` what is volatile and stands in several places. `averaged_sums.rs`, `interval_order.rs` and `float_order.rs` go over the lowered plan once
//! more: sums below averages, whatever compares intervals, and whatever tells -0 from 0. What these rules do not cover (arrays, names and OIDs of the catalog) is left to DataFusion.
//!
//! Parameters that the client declared no type for get one before that: the statement is planned once more with calls that forgive
//! everything (`open_call.rs`), and `inference.rs` looks at what surrounds each parameter (`contexts.rs`, `candidates.rs`).

mod aggregate_lowering;
pub mod arithmetic;
mod array_items;
pub(crate) mod array_parameters;
pub(crate) mod array_syntax;
pub(crate) mod averaged_sums;
pub(crate) mod call;
mod called_functions;
pub(crate) mod candidates;
pub(crate) mod casts;
mod checks;
mod conditions;
pub(crate) mod contexts;
mod conversions;
mod date_bounds;
mod document_lowering;
mod elements;
mod equal_filters;
mod extractions;
pub(crate) mod float_order;
pub(crate) mod frames;
pub(crate) mod grouping_sets;
mod in_lists;
pub(crate) mod inference;
pub(crate) mod interval_order;
pub(crate) mod json_casts;
pub(crate) mod json_operators;
mod json_syntax;
mod literals;
pub(crate) mod long_numbers;
pub(crate) mod lowering;
pub(crate) mod meetings;
pub(crate) mod modifiers;
pub(crate) mod open_call;
mod ordinals;
mod places;
mod prefixes;
pub(crate) mod repeated_keys;
pub(crate) mod resolution;
mod set_arguments;
pub(crate) mod sites;
mod subquery_comparisons;
mod unions;
pub(crate) mod value_lists;
mod variadic_calls;
pub(crate) mod whole_expressions;
pub(crate) mod window_keys;
mod window_syntax;
