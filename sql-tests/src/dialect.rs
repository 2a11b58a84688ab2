//! The same statement for PostgreSQL, so that it can say what the right answer is.
//!
//! A materialized view that is never stale is a plain view there, and a partitioned table is a table: what a query
//! answers does not depend on where rows lie. Replaced words are padded, so that error positions stay the same.

/// The statement as PostgreSQL knows it; `None` for one that means nothing there.
pub fn for_postgres(sql: &str) -> Option<String> {
    let folded = sql.trim_start().to_ascii_lowercase();
    if folded.starts_with("refresh materialized view") || folded.starts_with("checkpoint") {
        return None;
    }
    if folded.starts_with("create table") {
        return Some(without_partitions(sql));
    }
    if ["create", "drop", "alter"].iter().any(|verb| folded.starts_with(&format!("{verb} materialized view"))) {
        return Some(replace_ignoring_case(sql, "materialized", "            "));
    }
    Some(sql.to_string())
}

/// Cuts `PARTITION BY (…)` and everything behind it, or `WITH (order_by …)` alone. PostgreSQL's own spellings, by LIST and RANGE, stay.
fn without_partitions(sql: &str) -> String {
    let folded = sql.to_ascii_lowercase();
    let cut = [folded.find("partition by ("), folded.find("with (order_by")].into_iter().flatten().min();
    cut.map_or_else(|| sql.to_string(), |cut| sql[..cut].trim_end().to_string())
}

fn replace_ignoring_case(sql: &str, word: &str, with: &str) -> String {
    match sql.to_ascii_lowercase().find(word) {
        Some(start) => format!("{}{with}{}", &sql[..start], &sql[start + word.len()..]),
        None => sql.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::for_postgres;

    #[test]
    fn partitions_are_cut_and_views_are_plain() {
        let table = "CREATE TABLE t (d date) PARTITION BY (month(d)) WITH (order_by = 'd')";
        assert_eq!(for_postgres(table).as_deref(), Some("CREATE TABLE t (d date)"));
        let own = "CREATE TABLE t (r text) PARTITION BY LIST (r)";
        assert_eq!(for_postgres(own).as_deref(), Some(own));
        let view = "CREATE MATERIALIZED VIEW v AS SELECT 1";
        assert_eq!(for_postgres(view).as_deref(), Some("CREATE              VIEW v AS SELECT 1"));
        assert_eq!(for_postgres("REFRESH MATERIALIZED VIEW v"), None);
    }
}
