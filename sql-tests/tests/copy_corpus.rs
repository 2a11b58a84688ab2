//! The kept corpus of hard COPY files.

use sql_tests::copy_corpus::{Corpus, Server, files, on_meridian};

#[tokio::test(flavor = "multi_thread")]
async fn hard_files_are_read_as_postgres_reads_them() {
    for file in files().unwrap() {
        let corpus = Corpus::read(&file).unwrap();
        let differences =
            on_meridian(async |session| corpus.differences(session, Server::Meridian).await).await.unwrap();
        assert!(differences.is_empty(), "{}\n{}", file.display(), differences.join("\n\n"));
    }
}
