//! The modules of the crate, parsed, and which file uses what of which other file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// One source file that is a module of its own. What is compiled for tests alone is left out.
pub struct Module {
    /// From the root of the sources.
    pub file: PathBuf,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    imports: Vec<Import>,
    syntax: syn::File,
}

struct Import {
    name: String,
    path: Vec<String>,
    /// Gives a name on to others (`pub use`): that alone uses nothing.
    passes_on: bool,
}

/// All modules that `lib.rs` in `root` leads to.
pub fn of_crate(root: &Path) -> Vec<Module> {
    let mut modules = Vec::new();
    load(root, Path::new("lib.rs"), None, &mut modules);
    modules
}

fn load(root: &Path, file: &Path, parent: Option<usize>, modules: &mut Vec<Module>) -> usize {
    let source = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let syntax = syn::parse_file(&source).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let declared: Vec<String> = syntax.items.iter().filter_map(declared_module).collect();
    let imports = syntax.items.iter().flat_map(imports_of).collect();
    let index = modules.len();
    modules.push(Module { file: file.to_owned(), parent, children: BTreeMap::new(), imports, syntax });
    for name in declared {
        let child = load(root, &file_of(root, file, &name), Some(index), modules);
        modules[index].children.insert(name, child);
    }
    index
}

fn declared_module(item: &syn::Item) -> Option<String> {
    match item {
        syn::Item::Mod(module) if module.content.is_none() && !is_for_tests(&module.attrs) => {
            Some(module.ident.to_string())
        }
        _ => None,
    }
}

fn file_of(root: &Path, parent: &Path, name: &str) -> PathBuf {
    let stem = parent.file_stem().unwrap();
    let folder = parent.parent().unwrap();
    let folder = if stem == "lib" || stem == "mod" { folder.to_owned() } else { folder.join(stem) };
    let alone = folder.join(format!("{name}.rs"));
    if root.join(&alone).is_file() { alone } else { folder.join(name).join("mod.rs") }
}

pub fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

fn imports_of(item: &syn::Item) -> Vec<Import> {
    let syn::Item::Use(item) = item else { return Vec::new() };
    let mut imports = Vec::new();
    if !is_for_tests(&item.attrs) {
        let passes_on = !matches!(item.vis, syn::Visibility::Inherited);
        flatten(&item.tree, &mut Vec::new(), passes_on, &mut imports);
    }
    imports
}

fn flatten(tree: &syn::UseTree, before: &mut Vec<String>, passes_on: bool, imports: &mut Vec<Import>) {
    let mut import = |name: &syn::Ident, last: Option<&syn::Ident>| {
        let path = before.iter().cloned().chain(last.map(ToString::to_string)).collect();
        imports.push(Import { name: name.to_string(), path, passes_on });
    };
    match tree {
        syn::UseTree::Name(item) if item.ident == "self" => {
            let name = syn::Ident::new(before.last().unwrap(), item.ident.span());
            import(&name, None);
        }
        syn::UseTree::Name(item) => import(&item.ident, Some(&item.ident)),
        syn::UseTree::Rename(item) => import(&item.rename, Some(&item.ident)),
        syn::UseTree::Glob(star) => import(&syn::Ident::new("all", star.star_token.spans[0]), None),
        syn::UseTree::Path(item) => {
            before.push(item.ident.to_string());
            flatten(&item.tree, before, passes_on, imports);
            before.pop();
        }
        syn::UseTree::Group(group) => {
            for item in &group.items {
                flatten(item, before, passes_on, imports);
            }
        }
    }
}

/// Where a path leads: a module itself, or something that its file defines.
#[derive(Clone, Copy)]
enum Target {
    Module(usize),
    DefinedIn(usize),
}

/// For each module, the modules whose definitions it uses.
pub fn uses(modules: &[Module]) -> Vec<BTreeSet<usize>> {
    (0..modules.len())
        .map(|index| {
            let mut paths = Paths(Vec::new());
            paths.visit_file(&modules[index].syntax);
            let imported = modules[index].imports.iter().filter(|import| !import.passes_on);
            let named = imported.map(|import| &import.path).chain(&paths.0);
            let targets = named.filter_map(|path| resolve(modules, index, path, 0));
            let used = targets.filter_map(|target| match target {
                Target::DefinedIn(file) if file != index => Some(file),
                _ => None,
            });
            used.collect()
        })
        .collect()
}

/// Follows a path as it is written in module `from`, through names that are passed on, to where it is defined.
fn resolve(modules: &[Module], from: usize, path: &[String], depth: usize) -> Option<Target> {
    let (first, rest) = path.split_first()?;
    let begin = match first.as_str() {
        "crate" => Target::Module(0),
        "self" => Target::Module(from),
        "super" => Target::Module(modules[from].parent?),
        name => step(modules, from, name, depth)?,
    };
    rest.iter().try_fold(begin, |target, name| match target {
        Target::Module(at) if name == "super" => modules[at].parent.map(Target::Module),
        Target::Module(at) => Some(step(modules, at, name, depth).unwrap_or(Target::DefinedIn(at))),
        Target::DefinedIn(_) => Some(target),
    })
}

fn step(modules: &[Module], at: usize, name: &str, depth: usize) -> Option<Target> {
    if let Some(child) = modules[at].children.get(name) {
        return Some(Target::Module(*child));
    }
    let import = modules[at].imports.iter().find(|import| import.name == name && import.path != [name])?;
    // An import may name one that names it: a mistake in the source, and no reason to search for ever.
    if depth < 20 { resolve(modules, at, &import.path, depth + 1) } else { None }
}

/// The paths that stand in code, but in that of tests.
struct Paths(Vec<Vec<String>>);

impl<'a> Visit<'a> for Paths {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    /// What stands in a macro is not parsed: paths are picked out of its words.
    fn visit_macro(&mut self, item: &'a syn::Macro) {
        let text = item.tokens.to_string().replace(" :: ", "::");
        let words = text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':'));
        let paths = words.filter(|word| word.contains("::") && !word.starts_with(':'));
        self.0.extend(paths.map(|word| word.split("::").map(str::to_owned).collect()));
        syn::visit::visit_macro(self, item);
    }
}

/// The groups of files that need each other, directly or by way of others: sorted, each with two files or more.
pub fn circles(modules: &[Module]) -> Vec<Vec<String>> {
    let uses = uses(modules);
    let reached: Vec<BTreeSet<usize>> = (0..modules.len()).map(|index| reachable(&uses, index)).collect();
    let groups: BTreeSet<Vec<String>> = (0..modules.len())
        .map(|index| {
            let back = reached[index].iter().filter(|other| reached[**other].contains(&index));
            let mut files: Vec<String> = back.map(|other| modules[*other].file.display().to_string()).collect();
            files.sort();
            files
        })
        .filter(|group| group.len() > 1)
        .collect();
    groups.into_iter().collect()
}

fn reachable(uses: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<usize> = uses[from].iter().copied().collect();
    while let Some(next) = waiting.pop() {
        if found.insert(next) {
            waiting.extend(&uses[next]);
        }
    }
    found
}

#[test]
fn finds_a_circle_whether_it_is_imported_written_out_or_passed_on() {
    for code in [
        "use super::b::B; pub struct A;",
        "pub fn a() { crate::b::call(); }",
        "use crate::b; pub fn a() { b::call(); }",
        "use crate::B; pub struct A;",
        "pub fn a() -> bool { matches!(1, crate::b::ONE) }",
    ] {
        assert_eq!(circles(&planted(code)), [["a.rs", "b.rs"]], "{code}");
    }
}

#[test]
fn a_name_that_is_passed_on_or_used_in_tests_alone_makes_no_circle() {
    for code in [
        "pub use crate::b::B; pub struct A;",
        "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }",
        "use crate::b; pub struct A;",
        "pub struct A;",
    ] {
        assert_eq!(circles(&planted(code)), Vec::<Vec<String>>::new(), "{code}");
    }
}

/// A crate of which `b.rs` uses `a.rs`, which holds `code`.
#[cfg(test)]
fn planted(code: &str) -> Vec<Module> {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("lib.rs"), "pub mod a; pub mod b; pub use b::B;").unwrap();
    std::fs::write(root.path().join("a.rs"), code).unwrap();
    std::fs::write(root.path().join("b.rs"), "use crate::a::A; pub struct B; pub const ONE: u8 = 1; pub fn call() {}")
        .unwrap();
    of_crate(root.path())
}
