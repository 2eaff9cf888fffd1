//! The figures as Markdown tables or as one JSON document.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::results::{Case, Quantity, Results, Spread};
use super::targets::Verdict;

/// Where and how it was measured.
#[derive(Debug, Serialize)]
pub struct Setting {
    pub version: &'static str,
    pub cpu: String,
    pub threads: String,
    pub rounds: usize,
    /// Model and the arithmetic that it was served in.
    pub models: Vec<(String, String)>,
    /// Payload and the mean size of its files.
    pub payloads: Vec<(&'static str, usize)>,
}

/// The processor's name by `/proc/cpuinfo`.
pub fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let mut lines = info.lines().filter(|line| line.starts_with(name));
        lines.next().and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
    };
    let flags = field("flags").unwrap_or_default();
    let has = |flag: &str| flags.split(' ').any(|word| word.starts_with(flag));
    let extras = [("amx_tile", "AMX"), ("avx512_bf16", "AVX512-BF16"), ("avx512f", "AVX512")];
    let extras: Vec<_> =
        extras.into_iter().filter(|(flag, _)| has(flag)).map(|(_, name)| name).collect();
    let name = field("model name").unwrap_or_else(|| "unknown".to_owned());
    if extras.is_empty() { name } else { format!("{name} ({})", extras.join(", ")) }
}

type Row = BTreeMap<Quantity, Spread>;
type Column = (&'static str, Quantity);
/// The columns of a table, and which cases are its rows.
type Part<'a> = (&'a [Column], &'a dyn Fn(&Case) -> bool);

const FORWARD: [Column; 1] = [("images/s", Quantity::ImagesPerSecond)];
const PIPELINE: [Column; 3] = [
    ("images/s", Quantity::ImagesPerSecond),
    ("p50, ms", Quantity::P50),
    ("CPU-s / 1000", Quantity::Cpu),
];
const SERVER: [Column; 9] = [
    ("images/s", Quantity::ImagesPerSecond),
    ("p50, ms", Quantity::P50),
    ("p99, ms", Quantity::P99),
    ("above one process, ms", Quantity::Added),
    ("ratio", Quantity::Ratio),
    ("CPU-s / 1000", Quantity::Cpu),
    ("client's", Quantity::ClientCpu),
    ("batch", Quantity::Batch),
    ("MB", Quantity::Resident),
];

/// Tables for people: median, and in brackets least and most of the rounds.
pub fn markdown(setting: &Setting, results: &Results, verdicts: &[Verdict]) -> String {
    let mut text = format!(
        "nin-serve {} on {}\n{}; {} rounds, medians (least–most)\n",
        setting.version, setting.cpu, setting.threads, setting.rounds
    );
    for (model, precision) in &setting.models {
        let _ = writeln!(text, "- {model} is served in {precision}");
    }
    for (payload, bytes) in &setting.payloads {
        let _ = writeln!(text, "- {payload}: {:.1} kB", *bytes as f64 / 1e3);
    }
    let is_forward = |case: &Case| matches!(case, Case::Roof | Case::Forward { .. });
    let is_server = |case: &Case| {
        use Case::{Beside, CpuRatio, Endurance, Peer, PeerRatio, Server};
        let loads = matches!(case, Server { .. } | Peer { .. } | Endurance { .. });
        loads || matches!(case, Beside { .. } | CpuRatio { .. } | PeerRatio { .. })
    };
    table(&mut text, "Forward pass", results, (&FORWARD, &is_forward));
    let rest = |case: &Case| !is_forward(case) && !is_server(case);
    table(&mut text, "In one process, without HTTP", results, (&PIPELINE, &rest));
    table(&mut text, "Server", results, (&SERVER, &is_server));
    text += "\n## Targets\n\n| target | measured | limit | |\n| --- | --- | --- | --- |\n";
    for verdict in verdicts {
        let measured = verdict.measured.map_or_else(|| "–".to_owned(), number);
        let limit = number(verdict.limit);
        let _ =
            writeln!(text, "| {} | {measured} | {limit} | {} |", verdict.target, verdict.word());
    }
    text
}

fn table(text: &mut String, title: &str, results: &Results, (columns, of_table): Part<'_>) {
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let lines = "| --- ".repeat(columns.len() + 2);
    let _ = writeln!(text, "\n## {title}\n\n| model | what | {} |\n{lines}|", names.join(" | "));
    for (key, row) in results.iter().filter(|(key, _)| of_table(&key.case)) {
        let cells: Vec<_> = columns.iter().map(|(_, quantity)| cell(&row, *quantity)).collect();
        let _ = writeln!(text, "| {} | {} | {} |", key.model, key.case, cells.join(" | "));
    }
}

fn cell(row: &Row, quantity: Quantity) -> String {
    let Some(spread) = row.get(&quantity) else { return String::new() };
    let median = number(spread.median);
    match quantity {
        Quantity::ImagesPerSecond | Quantity::P50 if spread.min < spread.max => {
            format!("{median} ({}–{})", number(spread.min), number(spread.max))
        }
        _ => median,
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

pub fn json(setting: &Setting, results: &Results, verdicts: &[Verdict]) -> Value {
    let rows: Vec<_> = results
        .iter()
        .map(|(key, row)| json!({"model": key.model, "case": key.case.to_string(), "values": row}))
        .collect();
    json!({"setting": setting, "results": rows, "targets": verdicts})
}

#[cfg(test)]
mod tests {
    use super::super::results::Key;
    use super::*;

    #[test]
    fn a_row_has_a_cell_for_every_column() {
        let mut results = Results::default();
        let case = Case::Server { payload: "tiny", clients: 8 };
        let key = Key { model: "m".to_owned(), case };
        results.add(&key, &[(Quantity::P50, 1.25), (Quantity::ImagesPerSecond, 1234.5)]);
        let mut text = String::new();
        table(&mut text, "Server", &results, (&SERVER, &|_| true));
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines.iter().all(|line| line.matches('|').count() == 12), "{text}");
        assert!(lines[2].contains("| 1234 | 1.25 |") || lines[2].contains("| 1235 |"), "{text}");
    }
}
