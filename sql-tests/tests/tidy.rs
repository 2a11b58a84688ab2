//! The absences that keep the house clean, read from `cargo metadata` and from the sources.

use serde_json::Value;
use sql_tests::package_folder;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our crates each of them may use.
const ROOMS: &[(&str, &[&str])] = &[
    ("catalog", &[]),
    ("storage", &["catalog"]),
    ("views", &["catalog"]),
    ("query", &["catalog", "storage", "views"]),
    ("server", &["catalog", "query"]),
    ("bench", &[]),
    ("sql-tests", &[]),
];

/// Which crates may name a library.
const LIBRARIES: &[(&str, &[&str])] =
    &[("pgwire", &["server"]), ("datafusion", &["query", "views"]), ("sled", &["catalog"]), ("parquet", &["storage"])];

/// Words of one machine.
const MACHINE_PATHS: &[&str] = &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/")];
/// What must not be left in code.
const LEFTOVERS: &[&str] =
    &[concat!("to", "do!("), concat!("db", "g!("), concat!("unimple", "mented!("), concat!("#[ig", "nore")];
const TEXT_FILES: &[&str] = &["rs", "md", "toml", "sh", "py", "js", "json", "slt", "yml", "yaml", "sql"];

#[test]
fn the_rooms_know_only_those_below() {
    let dependencies = dependencies();
    let ours: BTreeSet<&str> = ROOMS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        dependencies.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        ours,
        "the workspace has other crates"
    );
    for (room, below) in ROOMS {
        for known in dependencies[*room].iter().filter(|name| ours.contains(name.as_str())) {
            assert!(below.contains(&known.as_str()), "{room} must not depend on {known}");
        }
    }
}

#[test]
fn each_library_is_named_where_it_belongs() {
    for (room, known) in dependencies() {
        for (library, rooms) in LIBRARIES {
            assert!(!known.contains(*library) || rooms.contains(&room.as_str()), "{room} must not name {library}");
        }
    }
}

#[test]
fn one_file_of_the_catalog_names_its_index() {
    let naming: Vec<PathBuf> =
        sources_of("catalog").into_iter().filter(|(_, text)| text.contains("sled::")).map(|(path, _)| path).collect();
    assert_eq!(naming.len(), 1, "sled is named in {naming:?}");
}

#[test]
fn one_place_makes_a_change_durable() {
    let mut places = Vec::new();
    for (path, text) in sources_of("query") {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if code.contains("catalog.commit(") {
                places.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert_eq!(places.len(), 1, "catalog.commit is called from {places:?}");
}

#[test]
fn sqlstates_stand_in_one_file() {
    let table = root().join("server/src/errors.rs");
    let codes = quoted_codes(&read(&table));
    assert!(codes.len() > 30, "the table of SQLSTATEs in {} was not found", table.display());
    for room in ["catalog", "storage", "query", "server"] {
        for (path, text) in sources_of(room) {
            if path == table {
                continue;
            }
            let found: Vec<String> = quoted_codes(&text).intersection(&codes).cloned().collect();
            assert!(found.is_empty(), "{} spells SQLSTATEs: {found:?}", path.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for path in files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        assert!(read(&path).starts_with("//!"), "{} does not open with //!", path.display());
    }
}

#[test]
fn nothing_is_left_undone() {
    for path in files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let text = read(&path);
        for word in LEFTOVERS {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn no_file_knows_one_machine() {
    for path in files() {
        let text = read(&path);
        for word in MACHINE_PATHS {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}

/// The names of each workspace crate's dependencies, those of its tests left out.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_string();
    let packages = metadata["packages"].as_array().unwrap().iter().map(|package| {
        let listed = package["dependencies"].as_array().unwrap().iter();
        (name(package), listed.filter(|dependency| dependency["kind"].is_null()).map(name).collect())
    });
    packages.collect()
}

/// The sources of a crate or room without its tests.
fn sources_of(room: &str) -> Vec<(PathBuf, String)> {
    let folder = root().join(room);
    let is_test = |path: &Path| {
        path.file_stem().is_some_and(|stem| stem == "tests")
            || path.components().any(|part| part.as_os_str() == "tests")
    };
    let is_source = |path: &PathBuf| {
        path.starts_with(&folder) && path.extension().is_some_and(|extension| extension == "rs") && !is_test(path)
    };
    files().into_iter().filter(is_source).map(|path| (path.clone(), without_tests(read(&path)))).collect()
}

/// Cuts an inline module of tests, which stands at a file's end.
fn without_tests(text: String) -> String {
    match text.find("#[cfg(test)]\nmod tests {") {
        Some(start) => text[..start].to_string(),
        None => text,
    }
}

/// Five digits and capital letters in quotes, at least one of them a digit.
fn quoted_codes(text: &str) -> BTreeSet<String> {
    let is_code = |word: &&str| {
        word.len() == 5
            && word.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
            && word.bytes().any(|byte| byte.is_ascii_digit())
    };
    text.lines().flat_map(|line| line.split('"').skip(1).step_by(2)).filter(is_code).map(str::to_string).collect()
}

/// Every text file of the repository.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "node_modules" && name != "meridian-data" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| TEXT_FILES.iter().any(|known| extension == *known)) {
                found.push(path);
            }
        }
    }
    found
}

fn root() -> PathBuf {
    package_folder().parent().unwrap().to_path_buf()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
