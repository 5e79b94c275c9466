//! The table of runs as one page that needs nothing from anywhere else.

use super::row::Row;
use super::table::{Table, line};
use crate::markup::escaped;

const STYLE: &str = "body{font:15px/1.5 sans-serif;margin:2em auto;max-width:80em;padding:0 1em}\
table{border-collapse:collapse}td,th{border:1px solid #999;padding:.3em .6em;text-align:left}\
.violated,.panic,.hang{background:#fdd}.upheld{background:#dfd}pre{overflow:auto;background:#eee;padding:.5em}";

/// The page.
pub fn page(table: &Table) -> String {
    let sorts = table.sorts();
    let heads: String = sorts.iter().map(|sort| format!("<th>{}</th>", escaped(sort))).collect();
    let mut kernels = String::new();
    for kernel in &table.kernels {
        let cells: String =
            sorts.iter().map(|sort| format!("<td>{}</td>", escaped(&kernel.cell(sort)))).collect();
        kernels += &format!(
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td>{cells}</tr>\n",
            escaped(&kernel.kernel),
            escaped(kernel.release.as_deref().unwrap_or("-")),
            kernel.runs(),
            escaped(&kernel.verdicts_in_words()),
        );
    }
    let rows: String = table.rows.iter().map(run).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>mapstorm vm</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>Kernels side by side</h1>\n<p>{}</p>\n<p><code>{}</code></p>\n\
         <table>\n<tr><th>kernel</th><th>release</th><th>runs</th><th>verdict</th>{heads}</tr>\n{kernels}</table>\n\
         <h2>Runs</h2>\n<table>\n{rows}</table>\n</body>\n</html>\n",
        escaped(&table.header.place()),
        escaped(&table.header.command),
    )
}

fn run(row: &Row) -> String {
    let mut more = String::new();
    if let Some(reason) = &row.reason {
        more += &format!("<p>{}</p>", escaped(reason));
    }
    if !row.console.is_empty() {
        more += &format!("<pre>{}</pre>", escaped(&row.console.join("\n")));
    }
    if let Some(machine) = &row.machine {
        more += &format!("<code>{}</code>", escaped(&machine.command));
    }
    format!(
        "<tr class=\"{}\"><td>{}</td><td>{more}</td></tr>\n",
        row.verdict().replace(' ', "-"),
        escaped(&line(row)),
    )
}
