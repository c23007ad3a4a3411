//! How long files, functions and the names of tests may be.

use std::path::Path;

use syn::spanned::Spanned;
use syn::visit::Visit;

pub const LINES_OF_A_FILE: usize = 400;
pub const LINES_OF_A_FUNCTION: usize = 60;
pub const LETTERS_OF_A_TEST_NAME: usize = 80;

/// Each Rust file in `folder`, by its place from there.
pub fn rust_files(folder: &Path) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    super::checker::collect(folder, &mut paths);
    assert!(!paths.is_empty(), "there is no Rust file in {}", folder.display());
    paths.sort();
    let named = |path: &std::path::PathBuf| {
        let place = path.strip_prefix(folder).unwrap().display().to_string();
        (place, std::fs::read_to_string(path).unwrap())
    };
    paths.iter().map(named).collect()
}

/// The functions of a file that are too long, and the names of tests that are, as `name: how long`.
pub fn too_long(file: &str, source: &str) -> Vec<String> {
    let mut found = Functions { file, offences: Vec::new() };
    found.visit_file(&syn::parse_file(source).unwrap_or_else(|error| panic!("{file}: {error}")));
    found.offences
}

struct Functions<'a> {
    file: &'a str,
    offences: Vec<String>,
}

impl Functions<'_> {
    fn look_at(&mut self, attributes: &[syn::Attribute], signature: &syn::Signature, body: &syn::Block) {
        let name = signature.ident.to_string();
        let lines = body.span().end().line + 1 - signature.span().start().line;
        if lines > LINES_OF_A_FUNCTION {
            self.offences.push(format!("{}: {name}: {lines} lines", self.file));
        }
        let is_test = attributes.iter().any(|attribute| attribute.path().segments.last().unwrap().ident == "test");
        if is_test && name.len() > LETTERS_OF_A_TEST_NAME {
            self.offences.push(format!("{}: {name}: {} letters", self.file, name.len()));
        }
    }
}

impl<'a> Visit<'a> for Functions<'_> {
    /// The scenarios are listed by a macro; their functions bear no attribute.
    fn visit_macro(&mut self, list: &'a syn::Macro) {
        if list.path.segments.last().unwrap().ident == "scenarios" {
            let names = list.tokens.to_string();
            let names = names.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
            let too_long = names.filter(|name| name.len() > LETTERS_OF_A_TEST_NAME);
            self.offences.extend(too_long.map(|name| format!("{}: {name}: {} letters", self.file, name.len())));
        }
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.look_at(&item.attrs, &item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.look_at(&item.attrs, &item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.look_at(&item.attrs, &item.sig, body);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}

#[test]
fn finds_a_function_that_is_too_long_wherever_it_stands() {
    let body = |lines: usize| "    let _ = 1;\n".repeat(lines);
    for (before, after) in [("", ""), ("impl A {\n", "}\n"), ("trait T {\n", "}\n"), ("fn outer() {\n", "}\n")] {
        let source = |lines| format!("{before}fn long() {{\n{}}}\n{after}", body(lines));
        assert_eq!(too_long("a.rs", &source(59)).iter().filter(|found| found.contains(": long:")).count(), 1);
        assert_eq!(too_long("a.rs", &source(58)).iter().filter(|found| found.contains(": long:")).count(), 0);
    }
}

#[test]
fn finds_a_name_of_a_test_that_is_too_long_and_no_other() {
    let long = "x".repeat(LETTERS_OF_A_TEST_NAME + 1);
    let source = |attribute: &str, name: &str| format!("{attribute} fn {name}() {{}}");
    assert_eq!(too_long("a.rs", &source("#[test]", &long)), [format!("a.rs: {long}: 81 letters")]);
    assert_eq!(too_long("a.rs", &source("#[tokio::test]", &long)).len(), 1);
    assert_eq!(too_long("a.rs", &format!("const ALL: [S; 2] = scenarios![Shared: short, {long}];")).len(), 1);
    assert_eq!(too_long("a.rs", &source("", &long)).len(), 0);
    assert_eq!(too_long("a.rs", &source("#[test]", &long[1..])).len(), 0);
}
