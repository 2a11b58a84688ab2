//! Which layer wins, and what a mistake in one is told.

use super::*;

fn environment(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.to_string(), OsString::from(value))).collect();
    move |name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

fn parse(text: &str) -> Result<FileLayer, StartError> {
    FileLayer::parse(Path::new("meridian.toml"), text)
}

fn refused(text: &str) -> String {
    let error = parse(text).unwrap_err();
    format!("{}\n{}", error.message, error.hint.unwrap_or_default())
}

#[test]
fn without_any_layer_the_defaults_hold() {
    let config = ServeConfig::layered(&ServeOptions::default(), &environment(&[])).unwrap();
    assert_eq!(config.data_dir, Path::new("./meridian-data"));
    assert_eq!(config.listen, "127.0.0.1:5433");
    assert_eq!((config.memory_bytes, config.password, config.connections_max), (None, None, 200));
}

#[test]
fn flags_win_over_environment_and_environment_over_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("meridian.toml");
    let text = "listen = '127.0.0.1:1'\ndata_dir = '/file'\nmemory = '1GB'\nmax_connections = 7\n";
    std::fs::write(&file, text).unwrap();
    let options = ServeOptions { listen: Some("127.0.0.1:3".to_string()), ..ServeOptions::default() };
    let variables = [
        ("MERIDIAN_CONFIG", file.to_str().unwrap()),
        ("MERIDIAN_LISTEN", "127.0.0.1:2"),
        ("MERIDIAN_DATA_DIR", "/environment"),
        ("MERIDIAN_MEMORY", ""),
    ];
    let config = ServeConfig::layered(&options, &environment(&variables)).unwrap();
    assert_eq!(config.listen, "127.0.0.1:3");
    assert_eq!(config.data_dir, Path::new("/environment"));
    assert_eq!(config.memory_bytes, Some(1 << 30));
    assert_eq!(config.connections_max, 7);
}

#[test]
fn a_password_file_named_by_a_flag_wins_over_a_password_in_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "from the file\nsecond line\n").unwrap();
    let variables = environment(&[("MERIDIAN_PASSWORD", "from the environment")]);
    let without = ServeConfig::layered(&ServeOptions::default(), &variables).unwrap();
    assert_eq!(without.password.as_deref(), Some("from the environment"));
    let options = ServeOptions { password_file: Some(file), ..ServeOptions::default() };
    let with = ServeConfig::layered(&options, &variables).unwrap();
    assert_eq!(with.password.as_deref(), Some("from the file"));
}

#[test]
fn an_empty_password_file_is_no_password() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "\n").unwrap();
    let error = read_password(&file).unwrap_err();
    assert!(error.message.ends_with("is empty"), "{error}");
}

#[test]
fn an_unknown_key_is_told_its_line_and_the_nearest_key() {
    assert_eq!(
        refused("listen = '127.0.0.1:1'\n\ndata_directory = '/x'\n"),
        "unrecognized setting \"data_directory\" in file \"meridian.toml\" line 3\nPerhaps you meant \"data_dir\"."
    );
    assert_eq!(
        refused("quux = 1"),
        "unrecognized setting \"quux\" in file \"meridian.toml\" line 1\n\
         Known settings are: data_dir, listen, memory, password_file, max_connections, copy_dir, history_retention."
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_told_what_is_wanted() {
    assert_eq!(
        refused("\nmax_connections = 0"),
        "invalid value for setting \"max_connections\" in file \"meridian.toml\" line 2\nIt takes a number above zero."
    );
    assert_eq!(
        refused("memory = 5"),
        "invalid value for setting \"memory\" in file \"meridian.toml\" line 1\nIt takes a size in quotes, as in \"8GB\"."
    );
}

#[test]
fn a_syntax_error_in_the_file_is_told_its_line() {
    let error = parse("listen = 'a'\nlisten 'b'\n").unwrap_err();
    assert!(error.message.starts_with("syntax error in file \"meridian.toml\" line 2"), "{error}");
}

#[test]
fn sizes_are_read_as_postgresql_writes_them() {
    for (text, bytes) in [("1024B", 1024), ("64kB", 65536), ("512MB", 512 << 20), ("8 GB", 8 << 30), ("1tb", 1 << 40)] {
        assert_eq!(parse_memory(text), Ok(bytes), "{text}");
    }
    for text in ["", "GB", "-1GB", "1.5GB", "8XB", "0", "1", "8589934592", "99999999999TB"] {
        assert!(parse_memory(text).is_err(), "{text}");
    }
}

#[test]
fn lengths_of_time_have_a_unit() {
    for (text, seconds) in [("0", 0), ("0s", 0), ("5s", 5), (" 36h ", 36 * 3600), ("7d", 7 * 86_400), ("1min", 60)] {
        assert_eq!(parse_retention(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
    for text in ["", "5", " 5 ", "-1h", "1 fortnight"] {
        let hint = parse_retention(text).unwrap_err().hint;
        assert!(hint.is_some_and(|hint| hint.contains("with a unit of s, min, h or d")), "{text}");
    }
}
