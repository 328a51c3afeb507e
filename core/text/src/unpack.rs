//! Files that are packed: known by how they begin, whatever they are called, and unpacked while they stream.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::mem;
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::error::CorpusError;

/// What is unpacked before anybody asks how little it was packed into.
const FLOOR: u64 = 64 << 20;

/// A text packs to a hundredth of its size at best. Deflate cannot do more than 1,032.
const TIMES: u64 = 500;

/// Bytes that tell what a file is.
const HEAD: u64 = 8;

/// The text in a file that is plain, or packed by gzip or zstd. The file is read to its end, what it is packed in
/// included.
///
/// What is wrong with the packing stands in the errors of the reader, and [`reading`] takes it out of them.
///
/// # Errors
/// [`CorpusError::NotText`] for what begins as no text, and whatever reading the first bytes gave.
pub(crate) fn unpacked(path: &Path, reader: Box<dyn Read + Send>) -> Result<Box<dyn BufRead + Send>, CorpusError> {
    let failed = |source| reading(path, source);
    let packed = headed(BufReader::with_capacity(1 << 16, reader)).map_err(failed)?;
    let decoder = match &packed.head {
        [0x1f, 0x8b, ..] => Decoder::Gzip(Box::new(GzDecoder::new(Packed::new(packed.reader)))),
        // A frame, or one that holds nothing but what a program notes for itself.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Decoder::Zstd { decoder: Box::new(FrameDecoder::new()), source: Packed::new(packed.reader), within: false }
        }
        _ => return text(path, packed),
    };
    let unpacker = Unpacker { path: path.to_owned(), decoder, unpacked: 0 };
    text(path, headed(BufReader::with_capacity(1 << 16, unpacker)).map_err(failed)?)
}

/// The error of reading `path` that a reader gave.
pub(crate) fn reading(path: &Path, source: io::Error) -> CorpusError {
    match source.downcast::<CorpusError>() {
        Ok(error) => error,
        Err(source) => CorpusError::Io { path: path.to_owned(), source },
    }
}

/// A reader whose first bytes are known.
struct Headed<R> {
    head: [u8; HEAD as usize],
    reader: R,
}

fn headed(mut reader: impl BufRead + Send + 'static) -> io::Result<Headed<Box<dyn BufRead + Send>>> {
    let mut first = Vec::new();
    reader.by_ref().take(HEAD).read_to_end(&mut first)?;
    let mut head = [0; HEAD as usize];
    head[..first.len()].copy_from_slice(&first);
    Ok(Headed { head, reader: Box::new(Cursor::new(first).chain(reader)) })
}

fn text(path: &Path, file: Headed<Box<dyn BufRead + Send>>) -> Result<Box<dyn BufRead + Send>, CorpusError> {
    match other_than_text(&file.head) {
        None => Ok(file.reader),
        Some((kind, remedy)) => Err(CorpusError::NotText { path: path.to_owned(), kind, remedy }),
    }
}

/// What a file that begins so is instead of text in UTF-8, and what makes that of it.
fn other_than_text(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let unpack = "unpack it first";
    match bytes {
        // Once is undone by now.
        [0x1f, 0x8b, ..] => Some(("packed twice, within by gzip", "unpack it once, `gunzip --keep FILE`")),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(("packed twice, within by zstd", "unpack it once, `zstd -d FILE`")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(("packed by xz", unpack)),
        [b'P', b'K', 3, 4, ..] => Some(("a zip archive", unpack)),
        [b'P', b'A', b'R', b'1', 0..=31, ..] => Some(("a Parquet table", "it is read by `kind = \"parquet\"`")),
        // Its mark, or, without one, every other byte of what is mostly ASCII: one NUL may stand in a text.
        [0xff, 0xfe, ..]
        | [0xfe, 0xff, ..]
        | [0, 1..=255, 0, 1..=255, 0, 1..=255, ..]
        | [1..=255, 0, 1..=255, 0, 1..=255, 0, ..] => {
            Some(("in UTF-16", "convert it, `iconv -f UTF-16 -t UTF-8 FILE > TEXT`"))
        }
        _ => None,
    }
}

/// The packed bytes. What is wrong below a decoder comes out of it in words of its own: here it stays as it was.
struct Packed {
    reader: Box<dyn BufRead + Send>,
    /// The bytes that a decoder took.
    taken: u64,
    /// Whether a decoder asked for more than there is.
    ended: bool,
    /// Whether what follows the end is not packed.
    goes_on: bool,
    failed: Option<io::Error>,
}

impl Packed {
    fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self { reader, taken: 0, ended: false, goes_on: false, failed: None }
    }
}

impl BufRead for Packed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.reader.fill_buf() {
                Ok(bytes) => {
                    self.ended = bytes.is_empty();
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    self.failed = Some(error);
                    return Err(kind.into());
                }
            }
        }
        self.reader.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.taken += bytes as u64;
        self.reader.consume(bytes);
    }
}

impl Read for Packed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

enum Decoder {
    /// Of as many members as there are.
    Gzip(Box<GzDecoder<Packed>>),
    /// Of as many frames as there are.
    Zstd { decoder: Box<FrameDecoder>, source: Packed, within: bool },
}

impl Decoder {
    fn packed(&mut self) -> &mut Packed {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zstd { source, .. } => source,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (decoder, source, within) = match self {
            Self::Gzip(decoder) => return members(decoder, buffer),
            Self::Zstd { decoder, source, within } => (decoder, source, within),
        };
        loop {
            if *within && (decoder.can_collect() > 0 || !decoder.is_finished()) {
                while decoder.can_collect() == 0 && !decoder.is_finished() {
                    let blocks = BlockDecodingStrategy::UptoBlocks(1);
                    decoder.decode_blocks(&mut *source, blocks).map_err(io::Error::other)?;
                }
                let read = decoder.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
                continue;
            }
            let sum = decoder.get_checksum_from_data();
            if *within && sum.is_some() && sum != decoder.get_calculated_checksum() {
                return Err(io::Error::other("its check sum is another"));
            }
            *within = false;
            if source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            match decoder.init(&mut *source) {
                Ok(()) => *within = true,
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut source.take(length.into()), &mut io::sink())?;
                    if skipped < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

/// Reads one member of gzip after the other. Zeros behind one fill up a block of a tape, and are nothing.
fn members(decoder: &mut GzDecoder<Packed>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let read = decoder.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        let source = decoder.get_mut();
        match source.fill_buf()?.first().copied() {
            None => return Ok(0),
            Some(0) => source.consume(1),
            Some(0x1f) => {
                let source = mem::replace(source, Packed::new(Box::new(io::empty())));
                decoder.reset(source);
            }
            Some(_) => {
                source.goes_on = true;
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
}

struct Unpacker {
    path: PathBuf,
    decoder: Decoder,
    unpacked: u64,
}

impl Read for Unpacker {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let path = || self.path.clone();
        let read = match self.decoder.read(buffer) {
            Ok(read) => read,
            Err(error) => {
                let packed = self.decoder.packed();
                return Err(match packed.failed.take() {
                    Some(failed) => failed,
                    None if packed.goes_on => io::Error::other(CorpusError::GoesOn { path: path() }),
                    None if packed.ended => io::Error::other(CorpusError::CutShort { path: path() }),
                    None => io::Error::other(CorpusError::Broken { path: path(), reason: error.to_string() }),
                });
            }
        };
        self.unpacked += read as u64;
        let taken = self.decoder.packed().taken;
        if self.unpacked > FLOOR && self.unpacked / TIMES > taken {
            let bomb = CorpusError::Bomb { path: path(), unpacked: self.unpacked, times: TIMES };
            return Err(io::Error::other(bomb));
        }
        Ok(read)
    }
}

#[cfg(test)]
pub(crate) mod tests;
