//! No circles between files.
//!
//! The rule is that of the parts, at each level: of the modules that stand beside each other in one folder, each with all that is
//! below it, none uses another that uses it, over however many steps. Two files that need each other have a third idea that both
//! of them are about: it gets a file of its own, or they are one.
//!
//! A folder's own file, `mod.rs`, is no neighbour of what is below it: it declares them, and they may use its items. A name
//! that a file only hands on (`pub use`) counts as its own file's. Tests do not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Import, Source, sources};

type Module = Vec<String>;

/// Every path of a crate, from a file to a file.
struct Crate {
    modules: BTreeSet<Module>,
    /// What the files' `use` lines call what.
    names: BTreeMap<(Module, String), Module>,
    imports: Vec<Import>,
}

impl Crate {
    fn read(folder: &str) -> Self {
        let sources = sources(folder);
        let mut for_tests = BTreeSet::new();
        for source in &sources {
            for (_, name) in source.declared().into_iter().filter(|(alone, _)| *alone) {
                for_tests.insert([source.module.as_slice(), &[name.to_owned()]].concat());
            }
        }
        let is_test = |module: &[String]| (1..=module.len()).any(|end| for_tests.contains(&module[..end]));
        let kept = sources.iter().filter(|source| !is_test(&source.module));
        let imports: Vec<Import> = kept
            .flat_map(Source::imports)
            .filter(|import| !import.in_tests)
            .collect();
        let names = imports
            .iter()
            .filter_map(|import| {
                let name = import.name.clone()?;
                Some(((import.from.clone(), name), import.to.clone()))
            })
            .collect();
        Self {
            modules: sources.into_iter().map(|source| source.module).collect(),
            names,
            imports,
        }
    }

    /// The file that has what a path leads to.
    fn file<'p>(&'p self, path: &'p [String]) -> &'p [String] {
        let end = (0..=path.len())
            .rev()
            .find(|end| self.modules.contains(&path[..*end]))
            .unwrap();
        let named = path.get(end).and_then(|name| {
            self.names
                .get(&(path[..end].to_vec(), name.clone()))
                .filter(|handed_on| handed_on.as_slice() != &path[..=end])
        });
        named.map_or(&path[..end], |named| self.file(named))
    }

    /// For each folder, the modules in it with those of the same folder that they use.
    fn folders(&self) -> BTreeMap<Module, BTreeMap<&str, BTreeMap<&str, &str>>> {
        let mut folders: BTreeMap<Module, BTreeMap<&str, BTreeMap<&str, &str>>> = BTreeMap::new();
        for import in &self.imports {
            let to = self.file(&import.to);
            let shared = import.from.iter().zip(to).take_while(|(one, other)| one == other);
            let shared = shared.count();
            if let (Some(one), Some(other)) = (import.from.get(shared), to.get(shared)) {
                let folder = folders.entry(to[..shared].to_vec()).or_default();
                let uses = folder.entry(one).or_default();
                uses.entry(other).or_insert(&import.place);
                folder.entry(other).or_default();
            }
        }
        folders
    }
}

/// The modules from which a way leads back to themselves.
fn in_circles<'m>(uses: &BTreeMap<&'m str, BTreeMap<&'m str, &str>>) -> BTreeSet<&'m str> {
    let leads_back = |start: &str| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&str> = uses[start].keys().copied().collect();
        while let Some(module) = next.pop() {
            if seen.insert(module) {
                next.extend(uses[module].keys());
            }
        }
        seen.contains(start)
    };
    uses.keys().copied().filter(|module| leads_back(module)).collect()
}

#[test]
fn no_files_use_each_other() {
    let mut found = 0;
    for crate_folder in ["src", "protocol/src"] {
        for (folder, uses) in Crate::read(crate_folder).folders() {
            let mut name = vec![crate_folder.to_owned()];
            name.extend(folder);
            let name = name.join("/");
            let circle = in_circles(&uses);
            let shown = uses.iter().flat_map(|(one, uses)| {
                let among = |other: &&str| circle.contains(one) && circle.contains(*other);
                uses.iter()
                    .filter(move |(other, _)| among(other))
                    .map(|(_, place)| *place)
            });
            assert!(
                circle.is_empty(),
                "{name}: {circle:?} are in a circle:\n{}",
                shown.collect::<Vec<_>>().join("\n")
            );
            found += 1;
        }
    }
    assert!(found > 25, "only {found} folders were read");
}

#[test]
fn a_circle_is_found_over_several_steps() {
    let way = |names: &[&'static str]| names.iter().map(|name| (*name, "")).collect::<BTreeMap<_, _>>();
    let uses = BTreeMap::from([
        ("a", way(&["b"])),
        ("b", way(&["c", "d"])),
        ("c", way(&["a"])),
        ("d", way(&[])),
        ("e", way(&["a"])),
    ]);
    assert_eq!(in_circles(&uses), BTreeSet::from(["a", "b", "c"]));
}
