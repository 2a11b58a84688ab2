//! Definitions that change while other transactions write: who comes second hears which table it was.

use crate::wire::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_the_table_that_changed() {
    let fixture = Fixture::start();
    let (first, second) = (fixture.session().await, fixture.session().await);
    for change in ["ALTER TABLE orders ALTER id SET NOT NULL", "DROP TABLE orders"] {
        first.run("CREATE TABLE IF NOT EXISTS orders (id integer)").await.unwrap();
        first.run("BEGIN").await.unwrap();
        first.run("INSERT INTO orders VALUES (NULL)").await.unwrap();
        second.run(change).await.unwrap();
        let failure = first.run("COMMIT").await.unwrap_err();
        assert!(failure.has_code("40001"), "{change}: {failure:?}");
        let detail = "Table \"orders\" was dropped or altered by a concurrent commit.";
        assert_eq!(failure.detail.as_deref(), Some(detail), "{change}");
        second.run("DROP TABLE IF EXISTS orders").await.unwrap();
    }
}
