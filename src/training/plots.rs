//! Pictures of a run and of an evaluation, as SVG.

use super::checkpoint::EpochRecord;
use super::evaluate::Evaluation;
use anyhow::anyhow;
use plotters::prelude::*;
use std::path::Path;

const FONT: (&str, u32) = ("sans-serif", 14);
const TRAIN: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const HELD_OUT: RGBColor = RGBColor(0xd6, 0x27, 0x28);

/// Loss and accuracy over epochs, of training and of the held-out pictures.
pub fn learning_curves(history: &[EpochRecord], path: &Path) -> anyhow::Result<()> {
    draw(path, (900, 380), |root| {
        let (left, right) = root.split_horizontally(450);
        let loss = |r: &EpochRecord| [r.train_loss, r.held_out_loss];
        let accuracy = |r: &EpochRecord| [r.train_accuracy, r.held_out_accuracy];
        curves(&left, "loss", history, loss)?;
        curves(&right, "accuracy", history, accuracy)
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn curves(
    area: &Area<'_>,
    title: &str,
    history: &[EpochRecord],
    values: impl Fn(&EpochRecord) -> [f64; 2],
) -> anyhow::Result<()> {
    let all = || history.iter().flat_map(&values);
    let (low, high) = (all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max));
    let last = history.len().max(2) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, FONT)
        .margin(8)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(1.0..last, low..high.max(low + 1e-3))?;
    chart.configure_mesh().x_desc("epoch").label_style(FONT).draw()?;
    for (index, (name, colour)) in [("training", TRAIN), ("held out", HELD_OUT)].iter().enumerate()
    {
        let points = history.iter().map(|record| (record.epoch as f64, values(record)[index]));
        let colour = *colour;
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .border_style(BLACK.mix(0.3))
        .background_style(WHITE)
        .label_font(FONT)
        .draw()?;
    Ok(())
}

/// True classes down, answers across; the shade is the share of the row.
pub fn confusion(evaluation: &Evaluation, path: &Path) -> anyhow::Result<()> {
    const CELL: i32 = 44;
    const MARGIN: i32 = 150;
    let classes = evaluation.labels.len() as i32;
    let side = (MARGIN + CELL * classes + 20) as u32;
    draw(path, (side, side), |root| {
        for (row, counts) in (0..).zip(&evaluation.confusion) {
            let y = MARGIN + row * CELL;
            let label = evaluation.labels[row as usize].clone();
            root.draw(&Text::new(label.clone(), (8, y + CELL / 3), FONT))?;
            let across = ("sans-serif", 14).into_font().transform(FontTransform::Rotate270);
            root.draw(&Text::new(label, (MARGIN + row * CELL + CELL / 3, MARGIN - 8), across))?;
            let total = counts.iter().sum::<u64>().max(1) as f64;
            for (column, &count) in (0..).zip(counts) {
                let x = MARGIN + column * CELL;
                let share = count as f64 / total;
                let cell = [(x, y), (x + CELL - 1, y + CELL - 1)];
                root.draw(&Rectangle::new(cell, shade(share).filled()))?;
                let ink = if share > 0.5 { WHITE } else { BLACK };
                let style = ("sans-serif", 12).into_font().color(&ink);
                root.draw(&Text::new(count.to_string(), (x + 6, y + CELL / 3), style))?;
            }
        }
        Ok(())
    })
}

fn shade(share: f64) -> RGBColor {
    let fade = |from: f64, to: f64| (from + (to - from) * share) as u8;
    RGBColor(fade(240.0, 8.0), fade(244.0, 48.0), fade(250.0, 107.0))
}

/// Confidence against accuracy: a calibrated model lies on the diagonal.
pub fn reliability(evaluation: &Evaluation, path: &Path) -> anyhow::Result<()> {
    draw(path, (440, 440), |root| {
        let mut chart = ChartBuilder::on(root)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(50)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
        chart
            .configure_mesh()
            .x_desc("probability of the best class")
            .y_desc("share that is right")
            .label_style(FONT)
            .draw()?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.4)))?;
        let filled = evaluation.calibration.iter().filter(|bin| bin.pictures > 0);
        let points: Vec<_> = filled.map(|bin| (bin.confidence, bin.accuracy)).collect();
        chart.draw_series(LineSeries::new(points.clone(), TRAIN.stroke_width(2)))?;
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 4, TRAIN.filled())))?;
        Ok(())
    })
}

/// A white sheet, drawn by `content` and written to `path`.
fn draw(
    path: &Path,
    size: (u32, u32),
    content: impl FnOnce(&Area<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    content(&root)?;
    root.present().map_err(|error| anyhow!("{}: {error}", path.display()))
}
