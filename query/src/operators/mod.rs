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
//! fails instead of wrapping. What these rules do not cover (arrays, names and OIDs of the catalog) is left to DataFusion.

pub(crate) mod arithmetic;
pub(crate) mod call;
pub(crate) mod casts;
pub(crate) mod lowering;
pub(crate) mod resolution;
pub(crate) mod sites;
