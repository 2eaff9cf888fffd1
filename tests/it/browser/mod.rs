//! The web page in a real browser.

mod driver;

use fantoccini::Locator;
use image::ImageFormat;

use crate::digits::{ON_PAPER, encode, lines};
use crate::lifecycle::process::PATIENCE;
use driver::Browser;

fn digit(digit: u8) -> Vec<u8> {
    encode(&ON_PAPER.draw(digit), ImageFormat::Png)
}

const BEST: &str = ".card .bars span";

#[tokio::test]
async fn a_chosen_file_is_classified_and_explained() {
    let Some(browser) = Browser::open("/?model=nin-mnist-mlpconv").await else { return };
    browser.text("#model-note").await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("it's a seven.png");
    std::fs::write(&file, digit(7)).expect("written");
    let input = browser.client.find(Locator::Css("#files")).await.expect("an input");
    input.send_keys(&file.to_string_lossy()).await.expect("chosen");
    assert_eq!(browser.text(BEST).await, "7");
    assert!(browser.text(".card .bars em").await.ends_with('%'));
    assert!(browser.text(".card h3").await.starts_with("it's a seven.png"));
    assert!(browser.text(".card .warnings").await.contains("dark on light"));
    let facts = browser.text(".card .facts").await;
    assert!(facts.contains("network") && facts.contains("in all"), "{facts}");
    // Ready to be pasted into a shell, with the quote in the name.
    let curl = browser.text(".card .curl code").await;
    assert!(curl.starts_with(r"curl --data-binary '@it'\''s a seven.png' 'http://"), "{curl}");
    // The heat map is painted, and fades with the slider.
    let lit = "const c = document.querySelector('.heat');
        return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 200)";
    assert_eq!(browser.run(lit, vec![]).await, true);
    let slider = browser.client.find(Locator::Css(".slider input")).await.expect("a slider");
    slider.send_keys("\u{e011}").await.expect("the home key");
    let opacity = "return getComputedStyle(document.querySelector('.heat')).opacity";
    assert_eq!(browser.run(opacity, vec![]).await, "0");
    // Another class, chosen with the keyboard, has another map.
    let second = ".card .bars li:nth-child(2) button";
    let button = browser.client.find(Locator::Css(second)).await.expect("a second class");
    button.send_keys("\u{e007}").await.expect("the enter key");
    let pressed = format!("{second}[aria-pressed=true]");
    browser.client.wait().at_most(PATIENCE).for_element(Locator::Css(&pressed)).await.expect("so");
    browser.close().await;
}

#[tokio::test]
async fn pictures_are_dropped_and_pasted_and_bad_ones_told_of() {
    let Some(browser) = Browser::open("/?model=nin-mnist-mlpconv").await else { return };
    browser.text("#model-note").await;
    let tiff = encode(&ON_PAPER.draw(3), ImageFormat::Tiff);
    browser.transfer("drop", &[("one.png", &digit(1)), ("three.tiff", &tiff)]).await;
    browser.transfer("paste", &[("image.png", &digit(4))]).await;
    for (place, best) in [(1, "4"), (2, "1"), (3, "3")] {
        let css = format!(".card:nth-child({place}) .bars span");
        assert_eq!(browser.text(&css).await, best);
    }
    // No browser shows TIFF, so its picture comes from the service.
    let shown = ".card:nth-child(3) img:not([hidden])";
    browser.client.wait().at_most(PATIENCE).for_element(Locator::Css(shown)).await.expect("shown");
    browser.transfer("drop", &[("notes.txt", b"no picture"), ("cut.png", &digit(8)[..900])]).await;
    let error = browser.text(".card:nth-child(1) .error").await;
    assert!(error.contains("not a picture"), "{error}");
    let error = browser.text(".card:nth-child(2) .error").await;
    assert!(error.contains("broken or cut short"), "{error}");
    browser.keep_screenshot("several").await;
    browser.client.find(Locator::Id("clear")).await.expect("it").click().await.expect("clicked");
    assert!(browser.client.find(Locator::Css(".card")).await.is_err());
    browser.close().await;
}

#[tokio::test]
async fn a_drawn_digit_is_read() {
    let Some(browser) = Browser::open("/?model=nin-mnist-mlpconv").await else { return };
    browser.text("#model-note").await;
    for digit in [7, 2] {
        // The unit square, in pixels around the middle of the canvas.
        let place = |&(x, y): &(f64, f64)| ((x - 0.5) * 170.0, (y - 0.5) * 170.0);
        let strokes: Vec<Vec<_>> =
            lines(digit).iter().map(|line| line.iter().map(place).collect()).collect();
        browser.draw("#canvas", &strokes).await;
        let reading = browser.text("#reading").await;
        assert!(reading.starts_with(&digit.to_string()), "{digit} read as {reading}");
        browser.keep_screenshot(&format!("drawn-{digit}")).await;
        browser.client.find(Locator::Id("wipe")).await.expect("it").click().await.expect("clicked");
    }
    // And with keys alone: a one.
    let canvas = browser.client.find(Locator::Id("canvas")).await.expect("a canvas");
    let keys = ["\u{e013}".repeat(11), " ".to_owned(), "\u{e015}".repeat(22), " ".to_owned()];
    canvas.send_keys(&keys.concat()).await.expect("drawn");
    assert!(browser.text("#reading").await.starts_with('1'));
    browser.close().await;
}

#[tokio::test]
async fn the_page_fits_a_phone_and_the_dark() {
    let Some(browser) = Browser::open("/?model=nin-mnist-mlpconv").await else { return };
    browser.text("#model-note").await;
    browser.client.find(Locator::Id("theme")).await.expect("it").click().await.expect("clicked");
    browser.transfer("drop", &[("two.png", &digit(2)), ("eight.png", &digit(8))]).await;
    assert_eq!(browser.text(".card:first-child .bars span").await, "2");
    browser.keep_screenshot("dark").await;
    browser.client.set_window_size(500, 900).await.expect("resized");
    let wide = "return document.documentElement.scrollWidth - innerWidth";
    let wide = browser.run(wide, vec![]).await;
    assert!(wide.as_f64().is_some_and(|wide| wide <= 0.0), "it scrolls sideways by {wide}");
    browser.keep_screenshot("phone").await;
    // All that can be operated has a name, and text that is read is never nameless.
    let nameless = "return [...document.querySelectorAll('button, input, select, a, canvas')]
        .filter((e) => !e.closest('[hidden]') && !e.ariaHidden)
        .filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length))
        .map((e) => e.outerHTML)";
    assert_eq!(browser.run(nameless, vec![]).await, serde_json::json!([]));
    browser.close().await;
}

#[tokio::test]
async fn the_live_strip_tells_the_services_own_figures() {
    let Some(browser) = Browser::open("/?model=nin-mnist-mlpconv").await else { return };
    assert_eq!(browser.text("#live-state").await, "ready");
    browser.transfer("drop", &[("one.png", &digit(1)), ("two.png", &digit(2))]).await;
    let counted = "return Number(document.getElementById('live-batch').textContent) >= 1";
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while browser.run(counted, vec![]).await != true {
        assert!(tokio::time::Instant::now() < deadline, "no batch is told of");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(browser.text("#live-queue").await, "0");
    browser.close().await;
}

#[tokio::test]
async fn the_description_is_browsed_and_tried_with_an_upload() {
    const ROUTE: &str = "#operations-classification-classify";
    let Some(browser) = Browser::open("/docs/#/classification/classify").await else { return };
    let element = async |css: &str| {
        let css = format!("{ROUTE} {css}");
        let found = browser.client.wait().at_most(PATIENCE).for_element(Locator::Css(&css)).await;
        found.unwrap_or_else(|error| panic!("{css}: {error}"))
    };
    let kind = "select[aria-label='Request content type'] option[value='application/octet-stream']";
    element(kind).await.click().await.expect("chosen");
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/models/nin-mnist/digit.png");
    element("input[type=file]").await.send_keys(picture).await.expect("attached");
    element(".execute").await.click().await.expect("clicked");
    let answer = browser.text(&format!("{ROUTE} .live-responses-table .microlight")).await;
    assert!(answer.contains("\"probability\"") && answer.contains("\"png\""), "{answer}");
    browser.keep_screenshot("docs").await;
    browser.close().await;
}
