//! What must be said differently to different systems: the table and the load.

use crate::system::{Kind, Settle};
use std::path::Path;

/// The definition as Meridian takes it, brought to another system.
pub(crate) fn create_table(kind: Kind, definition: &str) -> String {
    let columns = definition.split("PARTITION BY").next().unwrap_or(definition).trim_end();
    match kind {
        Kind::Meridian => definition.trim_end().trim_end_matches(';').to_owned(),
        Kind::DuckDb | Kind::PostgreSql | Kind::DataFusion => columns.to_owned(),
        Kind::ClickHouse => {
            let columns = columns.replace(" NOT NULL", "").replace(" timestamp", " DateTime");
            format!(
                "{columns} ENGINE = MergeTree PARTITION BY (region, toYYYYMM(sale_date)) ORDER BY (sale_date, sold_at)"
            )
        }
    }
}

/// The statements by which an embedded system loads a csv file by itself.
pub(crate) fn load(kind: Kind, file: &Path, settle: Settle) -> Vec<String> {
    let file = file.display();
    if kind == Kind::ClickHouse {
        return vec![format!("INSERT INTO sales SELECT * FROM file('{file}', 'CSV')")];
    }
    // Guessing what the file looks like would cost more than a small load itself.
    let mut statements = vec![format!("COPY sales FROM '{file}' (FORMAT csv, HEADER false, AUTO_DETECT false)")];
    if settle == Settle::Checkpoint {
        statements.push("CHECKPOINT".to_owned());
    }
    statements
}

/// The statements by which DataFusion turns a csv file into Parquet files in `directory`, sorted as Meridian's are, and reads those.
pub(crate) fn load_datafusion(definition: &str, file: &Path, directory: &Path) -> Vec<String> {
    let columns = create_table(Kind::DataFusion, definition).replacen("CREATE TABLE sales", "", 1);
    let (file, folder) = (file.display(), directory.join("sales"));
    let folder = folder.display();
    vec![
        format!(
            "CREATE EXTERNAL TABLE incoming {columns} STORED AS CSV LOCATION '{file}' OPTIONS ('format.has_header' 'false')"
        ),
        format!(
            "COPY (SELECT * FROM incoming ORDER BY region, sale_date, sold_at) TO '{folder}/' STORED AS PARQUET \
             OPTIONS ('format.compression' 'zstd(1)')"
        ),
        "DROP TABLE incoming".to_owned(),
        format!("CREATE EXTERNAL TABLE sales STORED AS PARQUET LOCATION '{folder}/'"),
    ]
}
