use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn read_from(reader: impl Read + Send + 'static) -> Result<Vec<u8>, CorpusError> {
    let path = Path::new("file");
    let mut all = Vec::new();
    unpacked(path, Box::new(reader))?.read_to_end(&mut all).map_err(|source| reading(path, source))?;
    Ok(all)
}

fn read(bytes: &[u8]) -> Result<Vec<u8>, CorpusError> {
    read_from(Cursor::new(bytes.to_vec()))
}

/// Gives a few bytes at a time, is interrupted in between, and ends with an error.
struct Slow(Vec<u8>, usize, bool);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.2 = !self.2;
        if self.2 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let some = buffer.len().min(3).min(self.0.len() - self.1);
        if some == 0 {
            return Err(io::Error::other("it changed while it was read"));
        }
        buffer[..some].copy_from_slice(&self.0[self.1..][..some]);
        self.1 += some;
        Ok(some)
    }
}

/// A frame of zstd that holds no text.
fn note(length: u8) -> Vec<u8> {
    [&[0x53, 0x2a, 0x4d, 0x18, length, 0, 0, 0], &*vec![7; usize::from(length)]].concat()
}

proptest! {
    /// Whatever is packed comes out, all members of it, and every part that is missing is missed.
    #[test]
    fn what_was_packed_comes_out(
        parts in prop::collection::vec(prop::collection::vec(b'a'..b'e', 0..300), 1..4),
        noted in 0..9u8,
        at: prop::sample::Index,
    ) {
        let text = parts.concat();
        let zstds: Vec<u8> = parts.iter().flat_map(|part| [zstd(part), note(noted)].concat()).collect();
        let zstds = [note(noted), zstds].concat();
        let gzips: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
        prop_assert_eq!(&read(&text).unwrap(), &text);
        for (packed, one) in [(gzips, gzip(&text)), (zstds, zstd(&text))] {
            prop_assert_eq!(&read(&packed).unwrap(), &text);
            // The door is asked until it has no more to say.
            let told = read_from(Slow(packed, 0, false)).unwrap_err().to_string();
            prop_assert_eq!(told, "cannot read file: it changed while it was read");
            let cut = 4 + at.index(one.len() - 4);
            let told = read(&one[..cut]).unwrap_err();
            prop_assert_eq!(told.to_string(), "file ends in the middle: it was cut short; get the whole of it again");
        }
    }

    #[test]
    fn any_change_is_an_error_or_harmless(at: prop::sample::Index, bit in 0..8u8) {
        let text = b"a text with some words, and some words again".repeat(5);
        for mut packed in [gzip(&text), zstd(&text)] {
            let at = at.index(packed.len());
            packed[at] ^= 1 << bit;
            // Names and times of day are in no check sum.
            if let Ok(read) = read(&packed) {
                prop_assert!(read == text || at < 4, "{at}");
            }
        }
    }
}

#[test]
fn what_is_no_text_says_what_to_do() {
    let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    assert_eq!(message(b"\xfd7zXZ\0"), "file is packed by xz, and plain text in UTF-8 is meant: unpack it first");
    assert!(message(b"PK\x03\x04").contains("a zip archive"));
    assert!(message(b"PAR1\x15").contains("a Parquet table"));
    assert!(message(b"\xff\xfea\0").contains("in UTF-16"));
    assert!(message(b"\0a\0b\0\n").contains("in UTF-16"));
    let twice = "packed twice, within by gzip, and plain text in UTF-8 is meant: unpack it once, `gunzip --keep FILE`";
    assert_eq!(message(&zstd(&gzip(b"a"))), format!("file is {twice}"));
    assert!(message(&gzip(&zstd(b"a"))).contains("packed twice, within by zstd"));
    assert!(message(&gzip(b"PK\x03\x04")).contains("a zip archive"));
    for text in [&b""[..], b"P", b"a\0", b"\0"] {
        assert_eq!(read(text).unwrap(), text);
        assert_eq!(read(&gzip(text)).unwrap(), text);
    }
}

#[test]
fn broken_packing_is_told_from_a_missing_end() {
    let mut broken = gzip(b"some text");
    let sum = broken.len() - 8;
    broken[sum] ^= 1;
    let message = read(&broken).unwrap_err().to_string();
    let expected = "file is packed, and its packing is broken (corrupt gzip stream does not have a matching checksum); \
                    get the whole of it again";
    assert_eq!(message, expected);
    let mut broken = zstd(b"some text");
    *broken.last_mut().unwrap() ^= 1;
    assert!(read(&broken).unwrap_err().to_string().contains("(its check sum is another)"));
}

/// What follows a member of gzip is one, or zeros, as `gunzip` takes it.
#[test]
fn what_goes_on_behind_its_end_is_told() {
    let behind = |bytes: &[u8]| read(&[&gzip(b"a"), bytes].concat());
    for bytes in [&b"\n"[..], b"some more than a header", b"\0\0some", b"(\xb5/\xfd"] {
        let message = behind(bytes).unwrap_err().to_string();
        let expected = "file is packed by gzip, and goes on behind the end of that; get it again, or take what unpacks of it, \
                        `gunzip < FILE > TEXT`";
        assert_eq!(message, expected);
    }
    assert_eq!(behind(&[0; 1000]).unwrap(), b"a");
    assert_eq!(behind(&[&[0; 600], &*gzip(b"b"), &[0; 7]].concat()).unwrap(), b"ab");
    assert!(matches!(behind(b"\x1f"), Err(CorpusError::CutShort { .. })));
    assert!(matches!(behind(b"\x1f\x8bno header of it"), Err(CorpusError::Broken { .. })));
}

/// Zeros: a thousandth is left of them by gzip, and next to nothing by zstd.
#[test]
fn a_bomb_is_an_error() {
    let zeros = vec![0_u8; FLOOR as usize + (1 << 20)];
    for packed in [gzip(&zeros), zstd(&zeros)] {
        let message = read(&packed).unwrap_err().to_string();
        assert!(message.starts_with("file unpacks to more than 500 times its size (64 MiB so far)"), "{message}");
    }
    assert_eq!(read(&gzip(&zeros[..FLOOR as usize])).unwrap().len(), FLOOR as usize);
}
