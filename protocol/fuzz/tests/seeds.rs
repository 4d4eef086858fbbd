//! Plays every seed to its target: `seeds/NAME/*` are what the target NAME starts from, and
//! what it has found.

use std::path::Path;

use fuzz::TARGETS;

fn seed(path: &Path) -> datatest_stable::Result<()> {
    let folder = path.parent().and_then(Path::file_name).ok_or("no folder")?;
    let (_, target) = TARGETS
        .iter()
        .find(|(name, _)| folder == *name)
        .ok_or("no target of this name")?;
    target(&std::fs::read(path)?);
    Ok(())
}

datatest_stable::harness! {
    { test = seed, root = "seeds", pattern = r"^.*/.*$" },
}
