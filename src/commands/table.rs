//! An answer for people: a line for the picture, a bar for each class.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use serde_json::Value;

/// Columns of a whole bar.
const BAR: usize = 28;
const NAME: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const BEST: Style = AnsiColor::Green.on_default().bold();
const OTHER: Style = AnsiColor::Cyan.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// What `/classify` said of the picture `name`, or its problem. With colours, to be written where
/// they are taken out if nobody sees them.
pub fn table(name: &str, answer: Result<Value, Value>) -> String {
    match answer {
        Ok(answer) => found(name, &answer),
        Err(problem) => failed(name, &problem),
    }
}

fn failed(name: &str, problem: &Value) -> String {
    let detail = problem["detail"].as_str().map(|detail| format!(": {detail}"));
    let title = problem["title"].as_str().unwrap_or_default();
    format!("{NAME}{name}{NAME:#}  {BAD}{title}{BAD:#}{}\n", detail.unwrap_or_default())
}

fn found(name: &str, answer: &Value) -> String {
    let image = &answer["image"];
    let format = image["format"].as_str().unwrap_or_default().to_uppercase();
    let (width, height) = (&image["width"], &image["height"]);
    let mut table = format!("{NAME}{name}{NAME:#}  {FAINT}{format} {width}×{height}");
    for warning in list(&answer["warnings"]) {
        table = format!("{table}, {}", warning.as_str().unwrap_or_default());
    }
    table = format!("{table}{FAINT:#}\n");
    let predictions = list(&answer["predictions"]);
    let label = |prediction: &Value| prediction["label"].as_str().unwrap_or_default().to_owned();
    let widest = predictions.iter().map(|one| label(one).chars().count()).max().unwrap_or(0);
    for (place, prediction) in predictions.iter().enumerate() {
        let probability = prediction["probability"].as_f64().unwrap_or_default();
        let (label, bar, percent) = (label(prediction), bar(probability), 100.0 * probability);
        let style = if place == 0 { BEST } else { OTHER };
        // Writing to a string can't fail.
        let _ = writeln!(table, "  {label:<widest$}  {style}{bar:<BAR$}{style:#} {percent:6.2} %");
    }
    table
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A bar of full blocks, and one of eighths.
fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * (8 * BAR) as f64).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bars_are_as_long_as_probabilities_are_high() {
        assert_eq!(bar(0.0), "");
        assert_eq!(bar(1.0).chars().count(), BAR);
        assert_eq!(bar(0.5), "█".repeat(BAR / 2));
        assert_eq!(bar(1.0 / 224.0), "▏");
    }

    #[test]
    fn columns_line_up_whatever_the_labels() {
        let prediction = |label: &str, probability: f64| json!({"label": label, "index": 0, "probability": probability});
        let answer = json!({
            "image": {"format": "png", "width": 4, "height": 3},
            "predictions": [prediction("église", 0.75), prediction("golf ball", 0.25)],
            "warnings": ["upscaled"],
        });
        let plain = anstream::adapter::strip_str(&table("a.png", Ok(answer))).to_string();
        let lines: Vec<&str> = plain.lines().collect();
        assert_eq!(lines[0], "a.png  PNG 4×3, upscaled");
        let widths: Vec<usize> = lines[1..].iter().map(|line| line.chars().count()).collect();
        assert_eq!(widths[0], widths[1], "{plain}");
        assert!(lines[1].contains("75.00 %"), "{plain}");
    }
}
