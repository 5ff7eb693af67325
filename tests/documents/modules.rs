//! What knows whom: no circle of modules within a crate, and no crate that knows one above it.

use super::*;

/// The crates of the functions, the lowest first: each may know those before it that it names.
const LAYERS: [(&str, &[&str]); 5] = [
    ("base", &[]),
    ("platform", &["base"]),
    ("reconcile", &["base"]),
    ("failover-sync", &["base", "platform", "reconcile"]),
    ("flush-hosts", &["base", "platform"]),
];

#[test]
fn a_crate_knows_those_below_it_and_no_others() {
    let files = project_files();
    for (name, expected) in LAYERS {
        let manifest = &files[&format!("functions/{name}/Cargo.toml")];
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
        let known = LAYERS.iter().map(|(other, _)| *other).filter(|other| {
            dependencies.lines().any(|line| line.starts_with(&format!("{other}.workspace")))
        });
        assert_eq!(known.collect::<BTreeSet<_>>(), expected.iter().copied().collect(), "{name}");
        let names = LAYERS.iter().map(|(other, _)| other.replace('-', "_"));
        let above: Vec<_> =
            names.filter(|other| other.contains('_') && *other != name.replace('-', "_")).collect();
        for (path, text) in sources(&files, name) {
            for above in &above {
                assert!(!text.contains(above.as_str()), "{path} names {above}");
            }
        }
    }
}

#[test]
fn no_modules_know_each_other_in_a_circle() {
    let files = project_files();
    let used = Regex::new(r"\bcrate::([a-z_]+)").unwrap();
    for (name, _) in LAYERS {
        let mut knows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (path, text) in sources(&files, name) {
            let module = module_of(&path);
            let others = used.captures_iter(&text).map(|found| found[1].to_owned());
            let others = others.filter(|other| *other != module);
            knows.entry(module.clone()).or_default().extend(others);
        }
        assert!(knows.len() > 3, "{name}: {knows:?}");
        // Whoever knows nobody that is left is in no circle.
        while let Some(free) = knows.iter().find_map(|(module, others)| {
            others.iter().all(|other| !knows.contains_key(other)).then(|| module.clone())
        }) {
            knows.remove(&free);
        }
        assert!(knows.is_empty(), "{name}: {knows:?}");
    }
}

/// The code of a crate without comments and tests.
fn sources(files: &BTreeMap<String, String>, name: &str) -> BTreeMap<String, String> {
    let place = format!("functions/{name}/src/");
    let of_crate = files.iter().filter(|(path, _)| {
        path.starts_with(&place) && path.ends_with(".rs") && !path.contains("/tests")
    });
    let code = of_crate.filter(|(path, _)| !["lib", "main"].contains(&&module_of(path)[..]));
    code.map(|(path, text)| {
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        (path.clone(), lines.collect::<Vec<_>>().join("\n"))
    })
    .collect()
}

/// The module at the top of the crate that a file belongs to.
fn module_of(path: &str) -> String {
    let inside = path.split("/src/").nth(1).unwrap();
    inside.split(['/', '.']).next().unwrap().to_owned()
}
