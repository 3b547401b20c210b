//! The tree as tiles, which any program that knows <https://c2sp.org/tlog-tiles> reads.
//!
//! A tile has up to 256 hashes: of entries on level 0, of full tiles of the level below on all others. A full one never
//! changes. A folder of them and of the checkpoint is all that a web server needs.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    note::{Signed, Verifier},
    through::Through,
    tree::{Hash, Tree},
    verify::{Bad, Progress},
};
use crate::log::source::Records;

/// How many hashes a full tile has.
const WIDTH: usize = 256;

/// Which tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    level: usize,
    index: u64,
    /// How many hashes it has: 256 where it is full.
    width: usize,
}

impl Tile {
    /// `tile/0/x001/x234/067`, and `….p/12` where only 12 of its hashes are known.
    fn path(self) -> PathBuf {
        let mut path = PathBuf::from(format!("tile/{}", self.level));
        let digits = self.index.to_string();
        let digits = format!("{digits:0>width$}", width = digits.len().next_multiple_of(3));
        let groups: Vec<&str> =
            digits.as_bytes().chunks(3).filter_map(|three| std::str::from_utf8(three).ok()).collect();
        if let Some((last, before)) = groups.split_last() {
            path.extend(before.iter().map(|group| format!("x{group}")));
            path.push(last);
        }
        if self.width < WIDTH {
            path.as_mut_os_string().push(".p");
            path.push(self.width.to_string());
        }
        path
    }
}

/// Makes the tiles of a tree that grows; keeps those that are not full.
#[derive(Default)]
struct Tiler {
    levels: Vec<(u64, Vec<Hash>)>,
}

impl Tiler {
    /// Adds a leaf, and gives each tile that is full with it to `put`.
    fn push(&mut self, leaf: Hash, put: &mut impl FnMut(Tile, &[Hash]) -> io::Result<()>) -> io::Result<()> {
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push((0, Vec::with_capacity(WIDTH)));
            }
            let Some((index, hashes)) = self.levels.get_mut(level) else { break };
            hashes.push(hash);
            if hashes.len() < WIDTH {
                break;
            }
            put(Tile { level, index: *index, width: WIDTH }, hashes)?;
            let mut tree = Tree::default();
            hashes.drain(..).for_each(|hash| tree.push(hash));
            hash = tree.root();
            *index += 1;
        }
        Ok(())
    }

    /// Those that are not full. Empty ones are none.
    fn partial(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        let tiles = self.levels.iter().enumerate().filter(|(_, (_, hashes))| !hashes.is_empty());
        tiles.map(|(level, (index, hashes))| (Tile { level, index: *index, width: hashes.len() }, hashes.as_slice()))
    }
}

/// Writes the tiles of the log in `records`, and its newest checkpoint as the last of all, below `folder`. What is there
/// from before is gone on from, and never changed.
///
/// # Errors
/// Where something can't be read or written, or `folder` has other tiles; then, why the log is not what was signed.
pub fn write_tiles(
    records: &Records,
    key: &Verifier,
    folder: &Path,
    progress: impl FnMut(Progress),
) -> io::Result<Result<Signed, Bad>> {
    let mut tiler = Tiler::default();
    let log = match Through::begin(records, key)? {
        Ok(log) => log,
        Err(bad) => return Ok(Err(bad)),
    };
    let mut put_full = |tile, hashes: &[Hash]| put(folder, tile, hashes);
    let signed = log.read(progress, |_, _, leaf| tiler.push(leaf, &mut put_full))?;
    if let Ok(signed) = &signed {
        for (tile, hashes) in tiler.partial() {
            put(folder, tile, hashes)?;
        }
        fs::create_dir_all(folder)?;
        replace(&folder.join("checkpoint"), signed.note.as_bytes())?;
    }
    Ok(signed)
}

fn put(folder: &Path, tile: Tile, hashes: &[Hash]) -> io::Result<()> {
    let path = folder.join(tile.path());
    let bytes = hashes.concat();
    match fs::read(&path) {
        Ok(there) if there == bytes => return Ok(()),
        Ok(_) => {
            let why = format!("{} is a tile of another log, or was changed; write to another folder", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
    }
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    replace(&path, &bytes)?;
    // Nobody needs its beginnings once it is full.
    let mut beginnings = path.into_os_string();
    beginnings.push(".p");
    if tile.width == WIDTH && Path::new(&beginnings).is_dir() {
        fs::remove_dir_all(&beginnings)?;
    }
    Ok(())
}

/// Whoever serves the folder meanwhile sees all of it or nothing.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    fs::write(&draft, bytes)?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::chain::tree::leaf;

    #[test]
    fn a_tile_lies_where_the_specification_says() {
        let at = |level, index, width| Tile { level, index, width }.path().display().to_string();
        assert_eq!(at(0, 0, 256), "tile/0/000");
        assert_eq!(at(0, 273, 112), "tile/0/273.p/112");
        assert_eq!(at(1, 1_000, 256), "tile/1/x001/000");
        assert_eq!(at(0, 1_234_067, 8), "tile/0/x001/x234/067.p/8");
    }

    /// The specification's own example, and its odd one.
    #[test]
    fn a_tree_has_the_tiles_that_the_specification_counts() {
        let count = |size: u32| {
            let (mut tiler, mut full) = (Tiler::default(), Vec::new());
            let mut tree = Tree::default();
            for n in 0..size {
                let leaf = leaf(&n.to_be_bytes());
                tree.push(leaf);
                tiler
                    .push(leaf, &mut |tile, hashes| {
                        assert_eq!(hashes.len(), WIDTH);
                        full.push((tile.level, tile.index));
                        Ok(())
                    })
                    .unwrap();
            }
            let partial: Vec<_> = tiler.partial().map(|(tile, _)| (tile.level, tile.index, tile.width)).collect();
            // From the top: a partial tile's hashes, level by level, are the perfect subtrees of the tree.
            let mut root = None;
            for (_, hashes) in tiler.partial() {
                let mut part = Tree::default();
                hashes.iter().for_each(|hash| part.push(*hash));
                root = Some(match root {
                    None => part.root(),
                    Some(below) => part.with_right(below),
                });
            }
            assert_eq!(root.unwrap(), tree.root(), "{size}");
            (full, partial)
        };
        let (full, partial) = count(70_000);
        assert_eq!(full.iter().filter(|(level, _)| *level == 0).count(), 273);
        assert_eq!(full.iter().filter(|(level, _)| *level == 1).collect::<Vec<_>>(), [&(1, 0)]);
        assert_eq!(partial, [(0, 273, 112), (1, 1, 17), (2, 0, 1)]);
        assert_eq!(count(256), (vec![(0, 0)], vec![(1, 0, 1)]));
    }
}
