//! Tests of the log: what was synced is read back, what was torn is cut, what was damaged is refused.

use super::*;
use crate::draft::Op;
use crate::faults::Faults;
use crate::samples::format_block;
use crate::stored::encode_ops;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use tempfile::TempDir;

struct Bench {
    directory: TempDir,
    files: Files,
    faults: Arc<Faults>,
}

impl Bench {
    fn new() -> Self {
        let (files, faults) = Faults::files();
        Self { directory: tempfile::tempdir().unwrap(), files, faults }
    }

    fn read(&self) -> Result<Log, LogError> {
        Log::read(&self.files, self.directory.path())
    }

    fn writer(&self, next: u64, file_bytes_max: u64) -> LogWriter {
        self.read().unwrap().into_writer(CommitSeq(next), file_bytes_max).unwrap()
    }

    fn path(&self, first: u64) -> PathBuf {
        file_path(self.directory.path(), CommitSeq(first))
    }

    /// Writes records `from..to`, one append each.
    fn write(&self, from: u64, to: u64, file_bytes_max: u64) {
        let mut writer = self.writer(from, file_bytes_max);
        for seq in from..to {
            writer.stage(CommitSeq(seq), &[payload(seq).as_bytes()]).unwrap();
            writer.append_staged().unwrap();
        }
    }

    /// The seqs that a replay gives, after checking their payloads.
    fn replayed(&self, after: u64) -> Vec<u64> {
        let mut seqs = Vec::new();
        let replayed: Result<(), LogError> = self.read().unwrap().replay(CommitSeq(after), |record| {
            assert_eq!(record.payload, payload(record.seq.0).as_bytes());
            seqs.push(record.seq.0);
            Ok(())
        });
        replayed.unwrap();
        seqs
    }

    fn log_names(&self) -> Vec<String> {
        let paths = self.files.list(self.directory.path()).unwrap();
        paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }
}

fn payload(seq: u64) -> String {
    format!("payload of commit {seq}")
}

#[test]
fn records_come_back_in_order_over_several_files() {
    let bench = Bench::new();
    bench.write(1, 4, u64::MAX);
    bench.write(4, 10, 100);
    assert_eq!(bench.replayed(0), (1..10).collect::<Vec<_>>());
    assert_eq!(bench.replayed(7), [8, 9]);
    assert!(bench.log_names().len() > 2, "{:?}", bench.log_names());
    assert_eq!(bench.read().unwrap().last(), Some(CommitSeq(9)));
}

#[test]
fn several_records_take_one_sync() {
    let bench = Bench::new();
    let mut writer = bench.writer(1, u64::MAX);
    let before = bench.faults.syncs.load(SeqCst);
    for seq in 1..50 {
        writer.stage(CommitSeq(seq), &[payload(seq).as_bytes()]).unwrap();
    }
    writer.append_staged().unwrap();
    assert_eq!(bench.faults.syncs.load(SeqCst) - before, 1);
    assert_eq!(bench.replayed(0).len(), 49);
}

#[test]
fn a_large_append_leaves_making_room_to_the_next_small_one() {
    let bench = Bench::new();
    let mut writer = bench.writer(1, u64::MAX);
    let mut append = |seq, payload: &[u8]| {
        writer.stage(CommitSeq(seq), &[payload]).unwrap();
        writer.append_staged().unwrap();
        std::fs::metadata(bench.path(1)).unwrap().len()
    };
    let large = vec![b'x'; APPEND_BYTES_BEFORE_ROOM_MAX + 1];
    let length = append(1, &large);
    assert!(length < large.len() as u64 + *ROOM_BYTES.start(), "no zeros follow");
    assert!(append(2, b"small") > length + *ROOM_BYTES.start());
    let log = bench.read().unwrap();
    assert_eq!((log.last(), log.torn_bytes()), (Some(CommitSeq(2)), 0));
}

#[test]
fn appends_into_the_room_do_not_make_the_file_longer() {
    let bench = Bench::new();
    let mut writer = bench.writer(1, u64::MAX);
    let mut append = |seq| {
        writer.stage(CommitSeq(seq), &[payload(seq).as_bytes()]).unwrap();
        writer.append_staged().unwrap();
        std::fs::metadata(bench.path(1)).unwrap().len()
    };
    let length = append(1);
    assert!(length >= *ROOM_BYTES.start());
    assert!((2..50).all(|seq| append(seq) == length));
    // As after a kill: the room is no torn tail.
    let log = bench.read().unwrap();
    assert_eq!((log.last(), log.torn_bytes()), (Some(CommitSeq(49)), 0));
    drop(writer);
    assert!(std::fs::metadata(bench.path(1)).unwrap().len() < length, "the room is given back");
    assert_eq!(bench.replayed(0).len(), 49);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on() {
    let bench = Bench::new();
    bench.write(1, 3, u64::MAX);
    let good = std::fs::metadata(bench.path(1)).unwrap().len();
    bench.write(3, 4, u64::MAX);
    let whole = std::fs::read(bench.path(1)).unwrap();
    for length in good as usize..whole.len() {
        for garbage in [&b""[..], &[0; 40], b"MREC"] {
            let torn = [&whole[..length], garbage].concat();
            std::fs::write(bench.path(1), &torn).unwrap();
            let log = bench.read().unwrap();
            assert_eq!(log.last(), Some(CommitSeq(2)), "torn at {length}");
            let without_room = torn[good as usize..].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            assert_eq!(log.torn_bytes(), without_room as u64);
            bench.write(3, 4, u64::MAX);
            assert_eq!(bench.replayed(0), [1, 2, 3], "torn at {length}");
            assert_eq!(bench.read().unwrap().torn_bytes(), 0);
        }
    }
}

#[test]
fn a_flipped_bit_is_a_torn_tail_in_the_last_record_and_refused_anywhere_else() {
    let bench = Bench::new();
    bench.write(1, 3, u64::MAX);
    let last_begins = std::fs::metadata(bench.path(1)).unwrap().len() as usize;
    bench.write(3, 4, u64::MAX);
    let whole = std::fs::read(bench.path(1)).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(bench.path(1), &flipped).unwrap();
        match bench.read() {
            Ok(log) => {
                assert!(at >= last_begins, "a bit at {at} went unnoticed");
                assert_eq!(log.last(), Some(CommitSeq(2)));
            }
            Err(error) => {
                assert!(at < last_begins, "a bit at {at}: {error}");
                assert!(error.to_string().contains("00000000000000000001.log"), "{error}");
            }
        }
    }
}

#[test]
fn damage_names_the_file_and_the_offset() {
    let bench = Bench::new();
    bench.write(1, 4, u64::MAX);
    let mut bytes = std::fs::read(bench.path(1)).unwrap();
    bytes[FILE_HEADER_BYTES + 30] ^= 1;
    std::fs::write(bench.path(1), bytes).unwrap();
    let Err(LogError::Damaged { path, offset, .. }) = bench.read() else { panic!("the damage went unnoticed") };
    assert_eq!((path, offset), (bench.path(1), FILE_HEADER_BYTES as u64));
}

#[test]
fn records_of_one_append_are_not_promised_before_all_of_them_are() {
    let bench = Bench::new();
    bench.write(1, 3, u64::MAX);
    let good = std::fs::metadata(bench.path(1)).unwrap().len() as usize;
    let mut writer = bench.writer(3, u64::MAX);
    for seq in 3..6 {
        writer.stage(CommitSeq(seq), &[payload(seq).as_bytes()]).unwrap();
    }
    writer.append_staged().unwrap();
    let mut bytes = std::fs::read(bench.path(1)).unwrap();
    bytes[good..good + 20].fill(0);
    std::fs::write(bench.path(1), &bytes).unwrap();
    assert_eq!(bench.read().unwrap().last(), Some(CommitSeq(2)), "the append was torn at its beginning");

    bytes[good - 1] ^= 1;
    std::fs::write(bench.path(1), &bytes).unwrap();
    assert!(bench.read().is_err(), "a later append proves that record 2 was whole once");
}

#[test]
fn a_bad_record_before_a_later_file_is_refused() {
    let bench = Bench::new();
    bench.write(1, 4, u64::MAX);
    bench.write(4, 5, 1);
    assert_eq!(bench.log_names().len(), 2);
    let length = std::fs::metadata(bench.path(1)).unwrap().len();
    bench.files.open_append(&bench.path(1), length - 1).unwrap();
    assert!(matches!(bench.read(), Err(LogError::Damaged { .. })));
}

#[test]
fn a_missing_file_is_refused() {
    let bench = Bench::new();
    bench.write(1, 2, u64::MAX);
    bench.write(2, 5, 1);
    std::fs::remove_file(bench.path(3)).unwrap();
    let error = bench.read().unwrap_err().to_string();
    assert!(error.contains("begins with commit 4, but commit 3"), "{error}");
}

#[test]
fn a_newer_version_is_refused_as_such() {
    let bench = Bench::new();
    bench.write(1, 2, u64::MAX);
    let mut bytes = std::fs::read(bench.path(1)).unwrap();
    set_version(&mut bytes, VERSION as u8 + 1);
    std::fs::write(bench.path(1), &bytes).unwrap();
    assert!(matches!(bench.read(), Err(LogError::Newer { version, .. }) if version == VERSION + 1));
    set_version(&mut bytes, 0);
    std::fs::write(bench.path(1), bytes).unwrap();
    assert!(matches!(bench.read(), Err(LogError::Damaged { offset: 0, .. })));
}

fn set_version(file: &mut [u8], version: u8) {
    file[8] = version;
    let checksum = crc32c::crc32c(&file[..24]);
    file[24..28].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn a_file_of_an_older_version_is_never_appended_to() {
    for version in 1..VERSION {
        let bench = Bench::new();
        bench.write(1, 3, u64::MAX);
        let mut bytes = std::fs::read(bench.path(1)).unwrap();
        set_version(&mut bytes, version as u8);
        std::fs::write(bench.path(1), &bytes).unwrap();
        bench.write(3, 4, u64::MAX);
        assert_eq!(std::fs::read(bench.path(1)).unwrap(), bytes);
        assert_eq!(bench.replayed(0), [1, 2, 3]);
        assert_eq!(bench.log_names().len(), 2, "a file of version {version} is followed by one of today");
    }
}

#[test]
fn an_empty_file_of_an_older_version_makes_room_for_one_of_today() {
    for version in 1..VERSION {
        let bench = Bench::new();
        bench.write(1, 1, u64::MAX);
        let mut bytes = std::fs::read(bench.path(1)).unwrap();
        set_version(&mut bytes, version as u8);
        std::fs::write(bench.path(1), &bytes).unwrap();
        bench.write(1, 2, u64::MAX);
        assert_eq!(bench.replayed(0), [1]);
        assert_eq!(bench.log_names().len(), 1);
        assert_eq!(bench.read().unwrap().list[0].version, VERSION);
    }
}

#[test]
fn files_that_end_before_a_seq_are_named_and_the_newest_is_not() {
    let bench = Bench::new();
    bench.write(1, 2, u64::MAX);
    bench.write(2, 5, 1);
    assert_eq!(bench.log_names().len(), 4);
    let remove_through = |seq: u64| {
        for path in paths_through(&bench.files, bench.directory.path(), CommitSeq(seq)).unwrap() {
            std::fs::remove_file(path).unwrap();
        }
    };
    remove_through(2);
    assert_eq!(bench.replayed(0), [3, 4]);
    assert_eq!(bench.read().unwrap().first(), Some(CommitSeq(3)));
    remove_through(100);
    assert_eq!(bench.replayed(0), [4]);
}

#[test]
fn a_full_disk_leaves_nothing_behind_and_the_next_append_succeeds() {
    let bench = Bench::new();
    bench.write(1, 3, u64::MAX);
    let mut writer = bench.writer(3, u64::MAX);
    bench.faults.disk_full.store(true, SeqCst);
    writer.stage(CommitSeq(3), &[b"too much"]).unwrap();
    assert!(matches!(writer.append_staged(), Err(AppendError::DiskFull(_))));
    assert_eq!(bench.replayed(0), [1, 2]);
    assert_eq!(bench.read().unwrap().torn_bytes(), 0);
    bench.faults.disk_full.store(false, SeqCst);
    writer.stage(CommitSeq(3), &[payload(3).as_bytes()]).unwrap();
    writer.append_staged().unwrap();
    assert_eq!(bench.replayed(0), [1, 2, 3]);
}

#[test]
fn a_new_file_that_finds_no_room_leaves_the_old_one_in_use() {
    let bench = Bench::new();
    bench.write(1, 2, u64::MAX);
    let mut writer = bench.writer(2, 1);
    bench.faults.disk_full.store(true, SeqCst);
    writer.stage(CommitSeq(2), &[payload(2).as_bytes()]).unwrap();
    bench.faults.disk_full.store(false, SeqCst);
    writer.append_staged().unwrap();
    assert_eq!(bench.replayed(0), [1, 2]);
    assert_eq!(bench.log_names().len(), 1);
}

/// A reader of version 1 stays for ever; these are the bytes of a file with one record.
#[test]
fn a_file_of_version_1_is_read() {
    let bench = Bench::new();
    let file = concat!(
        "4d455249444c4f47",
        "01000000",
        "00000000",
        "0100000000000000",
        "00000000",
        "4d524543",
        "13000000",
        "00000000",
        "0100000000000000",
        "0100000000000000",
        "01",
        "7061796c6f6164206f6620636f6d6d69742031",
    );
    let mut bytes: Vec<u8> =
        (0..file.len()).step_by(2).map(|at| u8::from_str_radix(&file[at..at + 2], 16).unwrap()).collect();
    let header = crc32c::crc32c(&bytes[..24]);
    bytes[24..28].copy_from_slice(&header.to_le_bytes());
    let record = crc32c::crc32c_append(0, &bytes[40..]);
    bytes[36..40].copy_from_slice(&record.to_le_bytes());
    std::fs::write(bench.path(1), bytes).unwrap();
    assert_eq!(bench.replayed(0), [1]);
}

#[test]
fn the_document_has_the_bytes_that_are_written_and_read() {
    let bench = Bench::new();
    let page = format_block("hex", "log");
    let path = bench.path(7);
    std::fs::write(&path, &page).unwrap();
    let mut payloads = Vec::new();
    let log = bench.read().unwrap();
    let replayed: Result<(), LogError> = log.replay(CommitSeq(0), |record| {
        assert_eq!((record.seq, record.append, record.kind), (CommitSeq(7), CommitSeq(7), KIND_COMMIT));
        payloads.push(record.payload.to_vec());
        Ok(())
    });
    replayed.unwrap();
    let ops = encode_ops(&[Op::DropSchema { name: "x".to_string() }]);
    assert_eq!(payloads, [[&1_763_755_145_000_001_i64.to_le_bytes(), ops.as_slice()].concat()]);

    let salt = 0x1122_3344;
    let file = bench.files.open_append(&path, page.len() as u64).unwrap();
    let mut writer = LogWriter::new(bench.files.clone(), bench.directory.path().to_path_buf(), file, salt, u64::MAX);
    writer.stage(CommitSeq(7), &[&payloads[0]]).unwrap();
    assert_eq!([file_header(salt, CommitSeq(7)), writer.staged.clone()].concat(), page);
}

#[test]
fn the_older_files_of_the_document_are_read() {
    let bench = Bench::new();
    let [today, older] = ["log", "log-2"].map(|name| format_block("hex", name));
    std::fs::write(bench.path(7), [older.as_slice(), &today[FILE_HEADER_BYTES..]].concat()).unwrap();
    let [file] = bench.read().unwrap().list.try_into().unwrap();
    assert_eq!((file.version, file.last), (2, Some(CommitSeq(7))));
}

#[test]
fn the_log_after_a_commit_is_counted_in_bytes() {
    let bench = Bench::new();
    bench.write(1, 30, 200);
    let log = bench.read().unwrap();
    assert!(log.list.len() > 3);
    for after in 0..30 {
        let mut bytes = 0;
        let replayed: Result<(), LogError> = log.replay(CommitSeq(after), |record| {
            bytes += record.bytes;
            Ok(())
        });
        replayed.unwrap();
        assert_eq!(log.bytes_after(CommitSeq(after)).unwrap(), bytes, "after {after}");
    }
}
