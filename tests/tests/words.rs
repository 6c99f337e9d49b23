//! Language of code and documents: doc comments that say what a thing is, short lines, no private
//! vocabulary, terms of the field. The terms are in `docs/glossary.md`. Files and headings that
//! documents name exist.
//!
//! The figures are printed: `cargo nextest run … --test words --no-capture`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum share of doc comments that open with a relative clause [percent]. In wasmtime, axum, ort
/// and cpal it is about 1.
const RELATIVE_PERCENT: f64 = 3.0;
/// First words of such comments.
const RELATIVE: [&str; 7] = ["What", "Whether", "Who", "Whoever", "How", "Where", "When"];
/// Maximum number of occurrences of [`RIDDLES`].
const RIDDLE_COUNT: usize = 10;
/// Phrases without a referent, for which there is always a term.
const RIDDLES: [&str; 5] = ["whoever", "so many", "so much", "of late", "is told"];
/// Maximum length of a line with a comment [characters].
const COMMENT_WIDTH: usize = 100;
/// Maximum number of longer comment lines. Those that are left are in `host/build`, `proto/src`,
/// `host/src/audio/decode` and `host/src/sandbox`.
const LONG_LINES: usize = 0;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads the files below the root with one of these extensions, by path. Build outputs, files that
/// are not part of the workspace, and this file are left out.
fn tree(extensions: &[&str]) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the workspace") {
            let entry = entry.expect("an entry of the folder");
            let (path, name) = (entry.path(), entry.file_name());
            let kind = entry.file_type().expect("the entry's type");
            if kind.is_dir() {
                let is_hidden = name.to_string_lossy().starts_with('.');
                if !is_hidden
                    && !["target", "shared", "corpus", "node_modules"].iter().any(|out| name == *out)
                {
                    folders.push(path);
                }
                continue;
            }
            let wanted = path.extension().is_some_and(|end| extensions.iter().any(|wanted| end == *wanted));
            if kind.is_file()
                && wanted
                && !path.ends_with("tests/tests/words.rs")
                && let Ok(text) = fs::read_to_string(&path)
            {
                files.insert(path, text);
            }
        }
    }
    assert!(!files.is_empty());
    files
}

/// Prints a figure with its limit, and the files with the largest parts; fails beyond the limit.
fn hold(figure: &str, value: f64, limit: f64, files: &BTreeMap<PathBuf, usize>) {
    println!("{figure}: {value:.1} (limit {limit})");
    let mut worst: Vec<_> = files.iter().filter(|(_, count)| **count > 0).collect();
    worst.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let worst: Vec<String> =
        worst.iter().take(20).map(|(path, count)| format!("{count} in {}", path.display())).collect();
    assert!(value <= limit, "{figure}: {value:.1} is more than {limit}:\n{}", worst.join("\n"));
}

/// Returns the text of a line of a doc comment.
fn doc(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let text = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))?;
    (!text.starts_with('/')).then_some(text.trim_start())
}

#[test]
fn doc_comments_begin_with_a_verb_or_the_noun() {
    let (mut all, mut relative, mut files) = (0, 0, BTreeMap::new());
    for (path, text) in tree(&["rs"]) {
        let mut before = None;
        for line in text.lines() {
            let now = doc(line);
            if before.is_none()
                && let Some(first) = now
            {
                all += 1;
                let word = first.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                if RELATIVE.contains(&word) {
                    relative += 1;
                    *files.entry(path.clone()).or_default() += 1;
                }
            }
            before = now;
        }
    }
    let percent = 100.0 * f64::from(relative) / f64::from(all);
    println!("doc comments: {all}, of which {relative} open with a relative clause");
    hold("doc comments that open with a relative clause [%]", percent, RELATIVE_PERCENT, &files);
}

/// Text in lower case with single spaces, without the marks of comments.
fn plain(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.trim_start();
        let line = ["///", "//!", "//", "#"].iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line);
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Counts `phrase` in `text`, where it is no part of a longer word.
fn count(text: &str, phrase: &str) -> usize {
    let is_inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(phrase)
        .filter(|(at, _)| {
            !text[..*at].chars().next_back().is_some_and(is_inside)
                && !text[at + phrase.len()..].chars().next().is_some_and(is_inside)
        })
        .count()
}

#[test]
fn there_are_no_riddles() {
    let files: BTreeMap<PathBuf, usize> = tree(&["rs", "md"])
        .into_iter()
        .map(|(path, text)| {
            let text = plain(&text);
            (path, RIDDLES.iter().map(|riddle| count(&text, riddle)).sum())
        })
        .collect();
    hold(
        &format!("occurrences of {RIDDLES:?}"),
        files.values().sum::<usize>() as f64,
        RIDDLE_COUNT as f64,
        &files,
    );
}

#[test]
fn comment_lines_are_short() {
    let is_long = |line: &&str| line.trim_start().starts_with("//") && line.chars().count() > COMMENT_WIDTH;
    let files: BTreeMap<PathBuf, usize> =
        tree(&["rs"]).into_iter().map(|(path, text)| (path, text.lines().filter(is_long).count())).collect();
    let figure = format!("comment lines of more than {COMMENT_WIDTH} characters");
    hold(&figure, files.values().sum::<usize>() as f64, LONG_LINES as f64, &files);
}

#[test]
fn each_term_of_the_glossary_is_used() {
    let glossary = fs::read_to_string(root().join("docs/glossary.md")).expect("the glossary");
    let terms: Vec<String> = glossary
        .lines()
        .filter_map(|line| line.strip_prefix("| **")?.split_once("**"))
        .map(|(term, _)| term.to_lowercase())
        .collect();
    println!("terms of the glossary: {}", terms.len());
    assert!((30..=50).contains(&terms.len()), "{} terms", terms.len());
    for row in glossary.lines().filter(|line| line.starts_with("| **")) {
        let row = row.replace("\\|", "");
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.trim().is_empty()), "no source: {row}");
    }
    let texts: Vec<String> = tree(&["rs", "md"])
        .into_iter()
        .filter(|(path, _)| !path.ends_with("docs/glossary.md"))
        .map(|(_, text)| plain(&text))
        .collect();
    let unused: Vec<&String> =
        terms.iter().filter(|term| !texts.iter().any(|text| text.contains(term.as_str()))).collect();
    assert!(unused.is_empty(), "no file uses {unused:?}");
}

#[test]
fn each_metric_has_its_full_name_beside_its_registration_and_nowhere_else() {
    // Names of servers are registered, too.
    let sources = tree(&["rs"]).into_iter().filter(|(path, _)| {
        path.starts_with(root().join("host/server/src")) && !path.ends_with("zeroconf.rs")
    });
    let sources: BTreeMap<PathBuf, String> = sources.collect();
    let operations = fs::read_to_string(root().join("docs/operations.md")).expect("the operator's page");
    let mut metrics = Vec::new();
    for text in sources.values() {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if !line.contains(".register(") && !line.contains(".register_with_unit(") {
                continue;
            }
            let name = lines[at..].iter().find_map(|line| line.split('"').nth(1));
            let name = name.expect("a metric has a name");
            let full = lines[at - 1].trim().strip_prefix("// ").unwrap_or_default();
            assert!(
                full.starts_with(&format!("hearken_{name}")),
                "the full name of {name} is not above {line:?}"
            );
            metrics.push(full.to_owned());
        }
    }
    println!("metrics: {}", metrics.len());
    assert!(metrics.len() >= 20, "{metrics:?}");
    for metric in &metrics {
        let found = sources.iter().filter(|(_, text)| count(text, metric) > 0);
        let found: Vec<&PathBuf> = found.map(|(path, _)| path).collect();
        assert_eq!(found.len(), 1, "{metric} is in {found:?}");
        assert!(count(&operations, metric) > 0, "docs/operations.md does not explain {metric}");
    }
    for file in ["dashboard.json", "alerts.yml"] {
        let text = fs::read_to_string(root().join("examples/monitoring").join(file)).expect("a file");
        let words = text.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
        let asked: Vec<&str> = words.filter(|word| word.starts_with("hearken_")).collect();
        assert!(asked.len() >= 6, "{file}: {asked:?}");
        for name in asked {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(metrics.iter().any(|metric| metric == name), "{file}: there is no metric {name}");
        }
    }
    let dashboard = fs::read(root().join("examples/monitoring/dashboard.json")).expect("a file");
    serde_json::from_slice::<serde_json::Value>(&dashboard).expect("JSON");
}

/// Text of a document, apart from its links' addresses: code (spans, and drawings, which are blocks
/// without a language), and prose.
struct Document {
    code: Vec<String>,
    prose: Vec<String>,
}

impl Document {
    fn parse(text: &str) -> Self {
        let (mut code, mut paragraphs) = (Vec::new(), vec![String::new()]);
        // The language of the block that is open.
        let mut block: Option<&str> = None;
        for line in text.lines() {
            if let Some(language) = line.trim_start().strip_prefix("```") {
                block = if block.is_some() { None } else { Some(language.trim()) };
            } else if block == Some("") {
                code.push(line.to_owned());
            } else if block.is_none() && line.trim().is_empty() {
                paragraphs.push(String::new());
            } else if block.is_none() {
                let paragraph = paragraphs.last_mut().expect("there is always one");
                paragraph.push_str(line);
                paragraph.push('\n');
            }
        }
        assert!(block.is_none(), "a block of code is not closed");
        let mut prose = Vec::new();
        for paragraph in paragraphs {
            let parts: Vec<&str> = paragraph.split('`').collect();
            assert!(parts.len() % 2 == 1, "a code span is not closed: {paragraph}");
            code.extend(parts.iter().skip(1).step_by(2).map(|&span| span.to_owned()));
            prose.push(parts.into_iter().step_by(2).collect::<Vec<_>>().join("``"));
        }
        Self { code, prose }
    }

    /// Words in code that look like paths of the repository: Rust files, and all that begins with
    /// one of its folders.
    fn paths(&self) -> impl Iterator<Item = &str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        let words = self.code.iter().flat_map(|code| {
            code.split(|c: char| c.is_whitespace() || ",;()".contains(c))
                .map(|word| word.trim_end_matches(['.', ':']))
        });
        words.filter(move |word| {
            let is_rust = word.strip_suffix(".rs").is_some_and(|name| !name.is_empty());
            let is_below = word.split_once('/').is_some_and(|(folder, _)| {
                !["", "target", "shared"].contains(&folder) && root().join(folder).is_dir()
            });
            word.chars().all(is_part) && (is_rust || is_below)
        })
    }

    /// Addresses of its links within the repository.
    fn links(&self) -> impl Iterator<Item = &str> {
        let inline = self.prose.iter().flat_map(|text| {
            text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(address, _)| address)
        });
        let definitions = self.prose.iter().flat_map(|text| text.lines()).filter_map(|line| {
            line.strip_prefix('[').and_then(|line| line.split_once("]: ")).map(|(_, address)| address)
        });
        inline.chain(definitions).filter(|address| !address.contains("://"))
    }
}

/// Returns the anchors of a document's headings, as hosts of repositories make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let (mut anchors, mut is_code) = (BTreeSet::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        let heading = line.trim_start_matches('#');
        if is_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
        // Headings of the same text are numbered, from the second one on.
        let mut free = anchor.clone();
        for number in 1.. {
            if anchors.insert(free) {
                break;
            }
            free = format!("{anchor}-{number}");
        }
    }
    anchors
}

#[test]
fn each_path_and_link_in_a_document_leads_somewhere() {
    let sources: Vec<PathBuf> = tree(&["rs"]).into_keys().collect();
    let (mut paths, mut links, mut broken) = (0, 0, Vec::new());
    for (file, text) in tree(&["md"]) {
        let folder = file.parent().expect("the file's folder");
        let document = Document::parse(&text);
        let mut fail = |what: &str, name: &str| broken.push(format!("{}: {what} {name}", file.display()));
        for path in document.paths() {
            paths += 1;
            let is_there = [root().as_path(), folder].iter().any(|from| from.join(path).exists())
                || path.ends_with(".rs") && sources.iter().any(|source| source.ends_with(path));
            if !is_there {
                fail("there is no", path);
            }
        }
        for link in document.links() {
            links += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { file.clone() } else { folder.join(path) };
            if !target.exists() {
                fail("a link leads nowhere:", link);
            } else if !anchor.is_empty() {
                let target = fs::read_to_string(&target).expect("a document");
                if !anchors(&target).contains(anchor) {
                    fail("there is no heading for", link);
                }
            }
        }
    }
    println!("paths in documents: {paths}; links within the repository: {links}");
    assert!(paths >= 200 && links >= 150, "{paths} paths and {links} links: most are not found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
