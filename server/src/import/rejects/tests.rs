//! Names of tables of rejects.

use super::*;

#[test]
fn a_name_in_quotes_keeps_its_quotes_around_all_of_it() {
    assert_eq!(table_of("sales"), "sales_rejects");
    assert_eq!(table_of("\"Weird Name\""), "\"Weird Name_rejects\"");
    assert_eq!(table_of("s.\"Weird\""), "s.\"Weird_rejects\"");
}
