//! Parts of the log that prove themselves: one entry to somebody who gets no other, and tiles to a program that is not ours.

use std::{fs, path::PathBuf};

use serde_json::Value;
use tlog_tiles::{
    Checkpoint, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record, prove_tree, record_hash,
    tree_hash,
};

use crate::{
    evidence::{auditor, said, stops},
    harness::Story,
};

/// All lines of the log.
fn lines(story: &Story) -> Vec<String> {
    let log = story.folder().join("records/log");
    let files = fs::read_dir(log).expect("a folder").map(|file| file.expect("a file").path());
    let mut segments: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "jsonl")).collect();
    segments.sort();
    let texts = segments.iter().map(|path| fs::read_to_string(path).expect("a segment"));
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_entry_is_proven_to_somebody_who_gets_no_other() {
    let mut story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    ana.runs("select count(*) from orders").ends().await.expect("a read");
    ana.runs("drop table orders").gets_refused().await;
    drop(ana);
    stops(&mut story).await;
    let log = lines(&story);
    let denied = log.iter().find(|line| line.contains("\"kind\":\"denied\"")).expect("a refusal");
    let seq = serde_json::from_str::<Value>(denied).expect("an entry")["seq"].to_string();
    let proof = story.tells(&["audit", "prove", &seq]).await;
    assert!(proof.status.success(), "{}", said(&proof));
    let proof = String::from_utf8(proof.stdout).expect("text");

    // The auditor has the key, and this.
    let desk = tempfile::tempdir().expect("a folder");
    let key = story.tells(&["audit", "key"]).await.stdout;
    fs::write(desk.path().join("key"), key).expect("the key");
    let verifies = async |proof: &str| {
        fs::write(desk.path().join("refusal.tlog-proof"), proof).expect("a file");
        auditor(desk.path(), &["verify", "--key", "key", "--proof", "refusal.tlog-proof"]).await
    };
    let good = verifies(&proof).await;
    assert!(good.status.success(), "{}", said(&good));
    assert_eq!(said(&good).lines().next(), Some(denied.as_str()), "the entry, byte for byte");
    assert!(said(&good).contains(&format!("this is entry {seq} of {}", log.len())), "{}", said(&good));

    let (head, checkpoint) = proof.split_once("\n\n").expect("a checkpoint");
    let parts: Vec<&str> = head.lines().collect();
    let without = |at: usize| [&parts[..at], &parts[at + 1..]].concat().join("\n") + "\n\n" + checkpoint;
    let with = |at: usize, line: &str| {
        let mut parts = parts.clone();
        parts[at] = line;
        parts.join("\n") + "\n\n" + checkpoint
    };
    let other = log.iter().find(|line| !line.contains("\"kind\":\"denied\"")).expect("another entry");
    let said_otherwise = denied.replace("drop table orders", "drop table others");
    assert_ne!(&said_otherwise, denied);
    let base64 = |line: &str| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        format!("extra {}", STANDARD.encode(line))
    };
    let table = [
        ("words of the entry", with(1, &base64(&said_otherwise)), "does not vouch"),
        ("another entry of the log", with(1, &base64(other)), "does not vouch"),
        ("another place", with(2, "index 0"), "does not vouch"),
        ("a place in another spelling", with(2, &format!("index 0{}", &parts[2][6..])), "no proof"),
        ("a hash less", without(3), "does not vouch"),
        ("a hash for another", with(3, parts[4]), "does not vouch"),
        ("no checkpoint", head.to_owned(), "no checkpoint"),
        (
            "a checkpoint that says more",
            proof.replacen(&format!("\n{}\n", log.len()), "\n9999\n", 1),
            "signature is wrong",
        ),
        ("something else", "hello".to_owned(), "no checkpoint"),
    ];
    for (what, changed, expected) in table {
        assert_ne!(changed, proof, "{what}");
        let bad = verifies(&changed).await;
        assert_eq!(bad.status.code(), Some(1), "{what}: {}", said(&bad));
        assert!(said(&bad).contains(expected), "{what}: {}", said(&bad));
    }
    for nowhere in ["0", &(log.len() + 1).to_string()] {
        let none = story.tells(&["audit", "prove", nowhere]).await;
        assert_eq!(none.status.code(), Some(1), "{}", said(&none));
        assert!(said(&none).contains("there is no entry"), "{}", said(&none));
    }
}

/// A folder of tiles, as another program reads it.
struct Site(PathBuf);

impl Site {
    fn checkpoint(&self) -> Checkpoint {
        let note = fs::read(self.0.join("checkpoint")).expect("a checkpoint");
        Checkpoint::from_reader(&mut note.as_slice(), false).expect("a checkpoint's form")
    }

    /// Everything that the checkpoint says, asked of the tiles.
    fn hashes(&self, of: &Checkpoint) -> TileHashReader<'_> {
        TileHashReader::new(of.size(), *of.hash(), self)
    }
}

impl TileReader for Site {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            // Its paths are older than the specification, and name the height.
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            let full = path.split(".p/").next().unwrap_or_default();
            let bytes = fs::read(self.0.join(&path)).or_else(|_| fs::read(self.0.join(full)));
            let mut bytes = bytes.unwrap_or_else(|why| panic!("{path}: {why}"));
            bytes.truncate(tile.width() as usize * 32);
            bytes
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// Another implementation finds each entry in the tiles, under the root that is signed.
fn believes(site: &Site, log: &[String]) -> Checkpoint {
    let checkpoint = site.checkpoint();
    let (size, root) = (checkpoint.size(), *checkpoint.hash());
    assert_eq!(size, log.len() as u64);
    let hashes = site.hashes(&checkpoint);
    assert!(tree_hash(size, &hashes).expect("a root") == root);
    for (at, line) in (0..).zip(log) {
        let proof = prove_record(size, at, &hashes).expect("a proof");
        check_record(&proof, size, root, at, record_hash(line.as_bytes())).expect("it is there");
    }
    checkpoint
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_reads_the_log_as_tiles_and_sees_that_it_only_grows() {
    let mut story = Story::begin().await;
    let site = Site(story.folder().join("site"));
    let works = async |story: &mut Story, times: usize| {
        let ana = story.logs_in("ana").await;
        for _ in 0..times {
            ana.runs("select count(*) from orders").ends().await.expect("a read");
        }
        drop(ana);
        stops(story).await;
    };
    works(&mut story, 100).await;
    let written = story.tells(&["audit", "tiles", "--to", site.0.to_str().expect("a path")]).await;
    assert!(written.status.success(), "{}", said(&written));
    let early = believes(&site, &lines(&story));
    assert!(early.size() < 256, "no tile is full: {}", early.size());

    story.starts("serve").await;
    works(&mut story, 100).await;
    let written = story.tells(&["audit", "tiles", "--to", site.0.to_str().expect("a path")]).await;
    assert!(written.status.success(), "{}", said(&written));
    let late = believes(&site, &lines(&story));
    assert!(late.size() > 256, "one is: {}", late.size());
    assert!(site.0.join("tile/0/000").is_file() && !site.0.join("tile/0/000.p").exists(), "its beginning is gone");
    assert!(site.0.join("tile/1/000.p/1").is_file());
    let proof = prove_tree(late.size(), early.size(), &site.hashes(&late)).expect("a proof");
    check_tree(&proof, late.size(), *late.hash(), early.size(), *early.hash()).expect("it goes on from the early one");

    // A folder of something else is left as it is.
    let tile = site.0.join("tile/0/000");
    let mut bytes = fs::read(&tile).expect("a tile");
    bytes[0] ^= 1;
    fs::write(&tile, &bytes).expect("a change");
    let refused = story.tells(&["audit", "tiles", "--to", site.0.to_str().expect("a path")]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("tile/0/000 is a tile of another log, or was changed"), "{}", said(&refused));
    assert_eq!(fs::read(&tile).expect("a tile"), bytes);
    changed_entries_make_no_tiles(&story).await;
}

/// What was not signed is not handed on as if it had been.
async fn changed_entries_make_no_tiles(story: &Story) {
    let segment = story.folder().join("records/log/00000001.jsonl");
    let text = fs::read_to_string(&segment).expect("a segment");
    fs::write(&segment, text.replacen("count(*)", "count(0)", 1)).expect("an edit");
    let fresh = story.folder().join("fresh");
    for arguments in [&["audit", "tiles", "--to", fresh.to_str().expect("a path")][..], &["audit", "prove", "3"]] {
        let refused = story.tells(arguments).await;
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains("are not the"), "{}", said(&refused));
    }
    assert!(!fresh.join("checkpoint").exists());
}
