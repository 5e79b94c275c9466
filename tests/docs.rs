//! README and docs against the program: every command that they show is taken by the command line,
//! those marked `test` run, every flag is in both, and samples and pictures are what the program
//! reads and writes.
//!
//! A block of commands is fenced as `console`; its commands begin with `$ `. One fenced as
//! `console test` is run in short form, in order, in a folder that has docs/ and tests/tears/; a command may end with
//! any verdict unless `# exit code N` says with which. A scenario is fenced as `json scenario`.

mod common;

use common::{BINARY, Dir, run};
use mapstorm::oracle::{Class, Mechanism};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Ends of a run, whatever the kernel tears and however little the short form judges.
const VERDICTS: [i32; 4] = [0, 1, 4, 5];

/// The README fits this.
const README_BYTES: usize = 8 << 10;

/// Flags whose value the short form makes smaller, in the first row that fits: the name of a command,
/// or nothing for any.
const SHORT: [(&str, &str, &str); 7] = [
    ("selfcheck", "--seconds", "1"),
    ("", "--seconds", "0.3"),
    ("", "--seconds-per-case", "0.1"),
    ("", "--duration", "0.05"),
    ("", "--nsamples", "2"),
    ("", "--runs", "1"),
    ("", "--mb", "8"),
];

/// What the short form adds to commands that leave it to the default.
const ADDED: [(&str, &[(&str, &str)]); 3] = [
    ("cases", &[("--seconds-per-case", "0.1"), ("--only", "1")]),
    ("latency", &[("--mb", "8")]),
    ("first-tears", &[("--threads", "2"), ("--runs", "1"), ("--seconds", "0.3")]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page: its place in the repository, and its text.
struct Page {
    name: String,
    text: String,
}

fn pages() -> Vec<Page> {
    let mut names: Vec<String> = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()))
        .filter(|name| name.ends_with(".md"))
        .collect();
    names.push("README.md".into());
    names.sort();
    let read = |name: String| {
        let text = fs::read_to_string(root().join(&name)).unwrap();
        Page { name, text }
    };
    names.into_iter().map(read).collect()
}

/// A fenced block.
struct Block<'a> {
    info: &'a str,
    lines: Vec<&'a str>,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => open = Some(Block { info, lines: Vec::new() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.lines.push(line),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// The commands of a block, each with the exit code that it is said to have.
fn commands(block: &Block<'_>) -> Vec<(String, Option<i32>)> {
    let commands = block.lines.iter().filter_map(|line| line.strip_prefix("$ "));
    commands
        .map(|line| {
            let (command, comment) = line.split_once(" # ").unwrap_or((line, ""));
            let code = comment.trim().strip_prefix("exit code ").map(|code| code.parse().unwrap());
            (command.trim().to_owned(), code)
        })
        .collect()
}

/// What is written in the text between backticks, outside blocks.
fn spans(text: &str) -> Vec<String> {
    let mut fenced = false;
    let prose: Vec<&str> = text
        .lines()
        .filter(|line| {
            let fence = line.starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
        .collect();
    let prose = prose.join(" ");
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The arguments of each mapstorm that a line of a shell runs.
fn runs(line: &str) -> Vec<Vec<String>> {
    let parts = line.split("&&").flat_map(|part| part.split(['|', ';']));
    parts
        .filter_map(|part| {
            let words: Vec<&str> = part.split_whitespace().collect();
            let from = words.iter().position(|word| !word.contains('='))?;
            let args = match &words[from..] {
                ["mapstorm", args @ ..] => args,
                ["cargo", "run", "--release", "--", args @ ..] => args,
                _ => return None,
            };
            let redirects = |word: &&&str| !word.contains('>');
            Some(args.iter().take_while(redirects).map(|&word| word.to_owned()).collect())
        })
        .collect()
}

/// All that a page shows of mapstorm's command line, from blocks and from the text.
fn shown(page: &Page) -> Vec<Vec<String>> {
    let blocks = blocks(&page.text);
    let console = blocks.iter().filter(|block| block.info.starts_with("console"));
    let lines = console.flat_map(commands).map(|(command, _)| command);
    lines.chain(spans(&page.text)).flat_map(|line| runs(&line)).collect()
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Whether the command line takes the arguments: with --help behind them they are parsed, and
/// nothing is run. So are those of a guest, behind `--`; those of a parser are its own.
fn taken(args: &[String]) -> Result<(), String> {
    if let Some(at) = args.iter().position(|word| word == "--") {
        if args[0] != "consumer" {
            taken(&args[at + 1..])?;
        }
        return taken(&args[..at]);
    }
    let output = run([args, &["--help".to_owned()]].concat());
    match output.status.code() {
        Some(0) => Ok(()),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn every_command_shown_is_taken() {
    for wrong in ["--no-such-flag", "--seconds never", "no-such-command", "cases --boundary x"] {
        assert!(taken(&words(wrong)).is_err(), "{wrong}: this test would see nothing");
    }
    for page in pages() {
        for args in shown(&page) {
            if let Err(why) = taken(&args) {
                panic!("{}: mapstorm {}: {why}", page.name, args.join(" "));
            }
        }
    }
}

/// The command with less to do.
fn short(command: &str) -> String {
    let mut words: Vec<&str> = command.split_whitespace().collect();
    for at in 1..words.len() {
        let fits = |row: &&(&str, &str, &str)| {
            row.1 == words[at - 1] && (row.0.is_empty() || words.contains(&row.0))
        };
        if let Some((_, _, value)) = SHORT.iter().find(fits) {
            words[at] = value;
        }
    }
    for (name, flags) in ADDED {
        if !words.contains(&name) {
            continue;
        }
        for (flag, value) in flags {
            if !words.contains(flag) {
                words.extend([flag, value]);
            }
        }
    }
    words
        .join(" ")
        .replace("cargo run --release --", "mapstorm")
        .replace("DURATION=2", "DURATION=0.1")
}

#[test]
fn commands_marked_as_tests_run() {
    let binary = Path::new(BINARY).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    for page in pages() {
        let dir = Dir::new();
        for folder in ["docs", "tests/tears"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
            for entry in fs::read_dir(root().join(folder)).unwrap() {
                let from = entry.unwrap().path();
                fs::copy(&from, dir.join(folder).join(from.file_name().unwrap())).unwrap();
            }
        }
        for block in blocks(&page.text).iter().filter(|block| block.info == "console test") {
            for (command, code) in commands(block) {
                assert!(!runs(&command).is_empty(), "{}: runs no mapstorm: {command}", page.name);
                let command = short(&command);
                let mut shell = Command::new("sh");
                shell.args(["-c", &command]).current_dir(dir.path()).env("PATH", &path);
                let output = shell.stdin(Stdio::null()).output().expect("there is a shell");
                let ended = output.status.code();
                let fine = match code {
                    Some(code) => ended == Some(code),
                    None => ended.is_some_and(|code| VERDICTS.contains(&code)),
                };
                let told = String::from_utf8_lossy(&output.stderr);
                assert!(fine, "{}: {command}: {ended:?}, said {code:?}: {told}", page.name);
            }
        }
    }
}

/// The flags that a help lists.
fn flags_of(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    lines.flat_map(flags).collect()
}

/// The long flags in a line. Of a command of cargo's, what lies behind its `--`.
fn flags(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("--") {
        let before = rest[..at].chars().next_back();
        let name: String = rest[at + 2..]
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')
            .collect();
        let begins = before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '-');
        if begins && name.starts_with(|c: char| c.is_ascii_lowercase()) {
            found.push(format!("--{name}"));
        }
        rest = &rest[at + 2 + name.len()..];
    }
    found
}

/// The text without what is addressed to cargo.
fn without_cargo(text: &str) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("cargo ") {
        left += &rest[..at];
        let end = rest[at..].find(['`', '\n']).map_or(rest.len(), |end| at + end);
        if let Some(own) = rest[at..end].find(" -- ") {
            left += &rest[at + own + 4..end];
        }
        rest = &rest[end..];
    }
    left + rest
}

/// The help of each command; that of the storm is the program's own.
fn helps() -> BTreeMap<String, String> {
    let help = |args: &str| String::from_utf8(run(words(args)).stdout).unwrap();
    let own = help("--help");
    let listed = own.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let indented = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let names = listed.lines().filter(indented).map(|line| line.split_whitespace().next().unwrap());
    let named: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert!(named.len() > 8, "{named:?}");
    named.into_iter().map(|name| (name.to_owned(), help(&format!("{name} --help")))).collect()
}

#[test]
fn every_flag_stands_in_a_group_with_its_purpose() {
    for (name, help) in helps() {
        let (_, groups) = help.split_once("Options:").unwrap();
        let mut group = "Options";
        let mut lines = groups.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(heading) = line.strip_suffix(':').filter(|line| !line.starts_with(' ')) {
                group = heading;
            }
            let flag = line.trim_start();
            if !flag.starts_with('-') || line.len() - flag.len() > 6 {
                continue;
            }
            let own = flag.contains("--help") || flag.contains("--version");
            assert_eq!(own, group == "Options", "{name}: {flag} stands in the group {group}");
            let purpose = lines.peek().map_or("", |line| line.trim());
            assert!(purpose.split(' ').count() > 1, "{name}: {flag} has no purpose: {purpose:?}");
        }
    }
}

#[test]
fn every_flag_is_in_the_docs_and_in_the_help() {
    let pages = pages();
    let helps = helps();
    let all: BTreeSet<String> = helps.values().flat_map(|help| flags_of(help)).collect();
    let everywhere = helps
        .values()
        .map(|help| flags_of(help))
        .reduce(|common, flags| common.intersection(&flags).cloned().collect())
        .unwrap();
    for page in &pages {
        for flag in flags(&without_cargo(&page.text)) {
            let known = all.contains(&flag) || flag == "--version";
            assert!(known, "{}: no command has {flag}", page.name);
        }
    }
    for (name, help) in &helps {
        // The pages that show the command.
        let shows = |page: &&Page| {
            shown(page).iter().any(|args| match args.first() {
                Some(first) if helps.contains_key(first) => first == name,
                _ => name == "storm",
            })
        };
        let told: BTreeSet<String> =
            pages.iter().filter(shows).flat_map(|page| flags(&page.text)).collect();
        let missing: Vec<String> = flags_of(help)
            .into_iter()
            .filter(|flag| !everywhere.contains(flag) && !told.contains(flag))
            .collect();
        assert!(missing.is_empty(), "no page that shows `mapstorm {name}` tells of {missing:?}");
    }
    let told: BTreeSet<String> = pages.iter().flat_map(|page| flags(&page.text)).collect();
    assert!(everywhere.is_subset(&told), "{everywhere:?}");
}

#[test]
fn every_scenario_shown_loads() {
    let dir = Dir::new();
    let file = dir.join("scenario.json");
    let replay = |text: &str| {
        fs::write(&file, text).unwrap();
        run(words(&format!("replay {} --seconds 0.1", file.display())))
    };
    assert_eq!(replay("{}").status.code(), Some(64), "this test would see nothing");
    for page in pages() {
        for block in blocks(&page.text) {
            assert_ne!(block.info, "json", "{}: a sample that is not loaded", page.name);
            if block.info == "json scenario" {
                let output = replay(&block.lines.join("\n"));
                let told = String::from_utf8_lossy(&output.stderr);
                let fine = output.status.code().is_some_and(|code| VERDICTS.contains(&code));
                assert!(fine, "{}: {}{told}", page.name, block.lines.join("\n"));
            }
        }
    }
}

#[test]
fn every_picture_is_the_one_that_explain_draws() {
    let dir = Dir::new();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let picture = entry.unwrap().path();
        if picture.extension().is_none_or(|extension| extension != "svg") {
            continue;
        }
        let (tear, drawn) = (picture.with_extension("json"), dir.join("drawn.svg"));
        let args = format!("explain {} --svg {}", tear.display(), drawn.display());
        let output = run(words(&args));
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let same = fs::read(&picture).unwrap() == fs::read(&drawn).unwrap();
        assert!(same, "draw it again: mapstorm {args}, into {}", picture.display());
    }
}

#[test]
fn every_word_of_a_signature_is_explained() {
    let pages = pages();
    let told = |name: &str, word: &str| {
        let page = pages.iter().find(|page| page.name == name).unwrap();
        assert!(page.text.contains(&format!("| `{word}` |")), "{name}: nothing on {word}");
    };
    Class::ALL.iter().for_each(|class| told("docs/storm.md", class.word()));
    Mechanism::ALL.iter().for_each(|mechanism| told("docs/tears.md", mechanism.word()));
}

/// Folders and files of the map of the code, as its rows name them: `oracle/`, `main.rs`.
#[test]
fn the_map_of_the_code_is_what_is_there() {
    let text = fs::read_to_string(root().join("docs/internals.md")).unwrap();
    let (_, map) = text.split_once("## Map of the code").unwrap();
    let (map, _) = map.split_once("\n## ").unwrap();
    let rows = map.lines().filter(|line| line.starts_with("| `"));
    let named: BTreeSet<String> = rows
        .flat_map(|row| spans(row.split('|').nth(1).unwrap_or_default()))
        .map(|name| name.trim_end_matches('/').to_string())
        .collect();
    let there: BTreeSet<String> = fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(named, there);
}

#[test]
fn links_lead_somewhere_and_the_readme_is_short() {
    for page in pages() {
        let folder = root().join(&page.name).parent().unwrap().to_owned();
        for link in page.text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = link.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") {
                assert!(folder.join(file).exists(), "{}: {link}", page.name);
            }
        }
        if page.name == "README.md" {
            assert!(page.text.len() <= README_BYTES, "{} bytes", page.text.len());
        }
    }
}
