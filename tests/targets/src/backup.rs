//! Manifests of backups: any text behind a checksum that fits, as a hand could write it.

use std::path::PathBuf;

use barkeeper::BackupManifest;
use serde_json::Value;

/// Reads bytes as a manifest's file, then as its body.
pub(crate) fn backup(bytes: &[u8]) -> bool {
    drop(BackupManifest::from_bytes(&PathBuf::from("000001-20240102T073000Z.json"), bytes));
    let name = serde_json::from_slice::<Value>(bytes)
        .ok()
        .and_then(|body| Some(body.get("name")?.as_str()?.to_owned()));
    let path = PathBuf::from("manifests").join(format!("{}.json", name.unwrap_or_default()));
    let Ok(manifest) = BackupManifest::from_bytes(&path, &sealed(bytes)) else { return false };
    let again = BackupManifest::from_bytes(&path, &manifest.to_bytes()).expect("what was written is read");
    assert_eq!(again, manifest);
    for file in &manifest.files {
        assert!(
            !file.path.starts_with('/') && !file.path.split('/').any(|part| part == ".."),
            "{}",
            file.path
        );
    }
    manifest.bytes() < u64::MAX
}

fn sealed(body: &[u8]) -> Vec<u8> {
    let seal = format!("{{\"barkeeper_backup\":1,\"blake3\":\"{}\"}}\n", blake3::hash(body).to_hex());
    [seal.as_bytes(), body].concat()
}
