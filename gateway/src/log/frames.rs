//! Packed segments in frames that unpack by themselves, and a table of them at the end, so that a line in the middle is read
//! without all that stands before it.
//!
//! The form is zstd's seekable format (contrib/seekable_format in its sources): the table is a frame that every unpacker
//! skips, so `zstdcat` reads such a file as any other. A table proves nothing; what is read by it is compared with its hash.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

/// So many bytes are packed together. Smaller ones are found sooner, larger ones take less room.
const FRAME: u64 = 1 << 20;
const SKIPPED: u32 = 0x184D_2A5E;
const SEEKABLE: u32 = 0x8F92_EAB1;
/// How many frames, what is said of each, [`SEEKABLE`].
const FOOT: i64 = 9;

/// Packs all of `plain`.
pub(super) fn pack_into(mut plain: impl Read, mut out: impl Write, level: i32) -> io::Result<()> {
    let (mut table, mut count) = (Vec::new(), 0_u32);
    let mut part = Vec::new();
    loop {
        part.clear();
        let length = (&mut plain).take(FRAME).read_to_end(&mut part)?;
        if length == 0 && count > 0 {
            break;
        }
        let mut encoder = zstd::Encoder::new(Vec::new(), level)?;
        encoder.include_checksum(true)?;
        encoder.set_pledged_src_size(Some(length as u64))?;
        encoder.write_all(&part)?;
        let packed = encoder.finish()?;
        out.write_all(&packed)?;
        table.extend_from_slice(&size(packed.len())?);
        table.extend_from_slice(&size(length)?);
        count += 1;
    }
    let foot = [&count.to_le_bytes()[..], &[0], &SEEKABLE.to_le_bytes()].concat();
    let head = [SKIPPED.to_le_bytes(), size(table.len() + foot.len())?].concat();
    out.write_all(&[head, table, foot].concat())
}

fn size(bytes: usize) -> io::Result<[u8; 4]> {
    u32::try_from(bytes).map(u32::to_le_bytes).map_err(|_| io::Error::other("a frame is too large"))
}

/// What was packed, from byte `offset` on. What has no table is unpacked from its beginning.
pub(super) fn unpacking_at(
    mut packed: impl Read + Seek + Send + 'static,
    offset: u64,
) -> io::Result<impl io::BufRead + Send + 'static> {
    let (from, before) = frame_of(&mut packed, offset)?.unwrap_or_default();
    packed.seek(SeekFrom::Start(from))?;
    let mut reading = BufReader::with_capacity(1 << 17, zstd::Decoder::new(packed)?);
    io::copy(&mut (&mut reading).take(offset - before), &mut io::sink())?;
    Ok(reading)
}

/// Where the frame begins that has this byte, and how many bytes the frames before it have.
fn frame_of(packed: &mut (impl Read + Seek), offset: u64) -> io::Result<Option<(u64, u64)>> {
    let end = packed.seek(SeekFrom::End(0))?;
    if end < FOOT.unsigned_abs() {
        return Ok(None);
    }
    let mut foot = [0; FOOT as usize];
    packed.seek(SeekFrom::End(-FOOT))?;
    packed.read_exact(&mut foot)?;
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
    let (count, how) = (number(&foot[..4]), foot[4]);
    let table_at = end.checked_sub(FOOT.unsigned_abs() + u64::from(count) * 8);
    let Some(table_at) = table_at.filter(|_| number(&foot[5..]) == SEEKABLE && how == 0) else { return Ok(None) };
    packed.seek(SeekFrom::Start(table_at))?;
    let mut table = vec![0; count as usize * 8];
    packed.read_exact(&mut table)?;
    let (mut from, mut before) = (0, 0);
    for frame in table.chunks_exact(8) {
        let (packed, plain) = (number(&frame[..4]), number(&frame[4..]));
        if before + u64::from(plain) > offset {
            return Ok(Some((from, before)));
        }
        from += u64::from(packed);
        before += u64::from(plain);
    }
    // Behind the last one there is nothing; an unpacker says so.
    Ok(Some((0, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_reads_from_everywhere() {
        for length in [0, 1, 100, FRAME as usize, FRAME as usize + 1, 3 * FRAME as usize - 7] {
            let plain: Vec<u8> = (0..length).map(|n| ((n * n) >> 5) as u8).collect();
            let mut packed = Vec::new();
            pack_into(&plain[..], &mut packed, 3).unwrap();
            assert_eq!(zstd::decode_all(&packed[..]).unwrap(), plain, "as any unpacker does");
            let without = zstd::encode_all(&plain[..], 3).unwrap();
            for offset in [0, 1, length / 2, length.saturating_sub(1), length] {
                let offset = offset.min(length);
                for packed in [&packed, &without] {
                    let mut read = Vec::new();
                    let mut reading = unpacking_at(io::Cursor::new(packed.clone()), offset as u64).unwrap();
                    reading.read_to_end(&mut read).unwrap();
                    assert!(read == plain[offset..], "{length}, {offset}: {} bytes", read.len());
                }
            }
        }
    }

    #[test]
    fn only_the_frame_that_is_wanted_is_unpacked() {
        let plain = vec![7; 3 * FRAME as usize];
        let mut packed = Vec::new();
        pack_into(&plain[..], &mut packed, 3).unwrap();
        // The first frame is no more.
        let (second, before) = frame_of(&mut io::Cursor::new(&packed), FRAME + 5).unwrap().unwrap();
        assert_eq!(before, FRAME);
        packed[..second as usize].fill(0);
        let mut read = Vec::new();
        unpacking_at(io::Cursor::new(packed.clone()), FRAME + 5).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), 2 * FRAME as usize - 5);
        assert!(zstd::decode_all(&packed[..]).is_err());
    }
}
