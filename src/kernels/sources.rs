/*!
The identity of the kernels' source code. A training run records it, because its result depends on that code.
*/

use sha2::{Digest, Sha256};

macro_rules! sources {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!($name))),*] };
}

/// The name and the text of each file of this folder.
const SOURCES: [(&str, &str); 22] = sources![
    "amx.rs",
    "attention.rs",
    "cross_entropy.rs",
    "element.rs",
    "head.rs",
    "lanes.rs",
    "machine.rs",
    "mod.rs",
    "no_open_mp.rs",
    "norm.rs",
    "open_mp.rs",
    "operand.rs",
    "panels.rs",
    "product.rs",
    "rotation.rs",
    "rows.rs",
    "shape.rs",
    "sources.rs",
    "squares.rs",
    "swiglu.rs",
    "team.rs",
    "tiles.rs",
];

/// The SHA-256 of all source files of this folder, in hexadecimal.
pub fn sources_sha256() -> String {
    let mut all = Sha256::new();
    for (name, text) in SOURCES {
        // A digest of each part has one length, so no two lists of files have the same bytes.
        all.update(Sha256::digest(name));
        all.update(Sha256::digest(text));
    }
    all.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_a_source() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernels");
        let mut names: Vec<_> = folder
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, SOURCES.map(|(name, _)| name));
        for (name, text) in SOURCES {
            assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), text, "{name}");
        }
    }
}
