//! A browser without a window, driven over WebDriver.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fantoccini::actions::{InputSource, MouseActions, PointerAction};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::lifecycle::process::{PATIENCE, Process};

const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A page of a server with the shipped models, in a browser of its own.
pub struct Browser {
    pub client: Client,
    pub server: Process,
    driver: Child,
}

/// The browser's and its driver's programs; none, with a message, where they are not installed.
fn programs() -> Option<(PathBuf, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find = |name: &str| {
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    let found = CHROMIUM.into_iter().find_map(find).zip(find("chromedriver"));
    if found.is_none() {
        let missing = "no browser: chromium and chromedriver are not both installed";
        assert!(std::env::var_os("NIN_REQUIRE_BROWSER").is_none(), "{missing}");
        // Past the test harness, which keeps back what passing tests print.
        let message = format!("skipped: {missing}; on Debian: apt-get install chromium-driver\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), message.as_bytes());
    }
    found
}

impl Browser {
    /// Opens `path` of a new server. None where no browser is installed.
    pub async fn open(path: &str) -> Option<Self> {
        let (chromium, chromedriver) = programs()?;
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
        let server = Process::start_at(models.as_ref(), &[]);
        let mut driver = Command::new(chromedriver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the driver starts");
        let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split("successfully on port ").nth(1).map(str::to_owned))
            .expect("the driver says where it listens");
        let log = std::thread::Builder::new().name("browser".to_owned());
        log.spawn(move || lines.for_each(drop)).expect("a thread");
        let options = json!({
            "goog:chromeOptions": {"binary": chromium, "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-proxy-server",
                // Whatever it would ask the internet for itself goes nowhere.
                "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
                "--window-size=1280,1000",
            ]},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(options.as_object().expect("an object").clone())
            .connect(&format!("http://127.0.0.1:{}", port.trim_end_matches('.')))
            .await
            .expect("a session");
        client.goto(&server.url(path)).await.expect("the page loads");
        Some(Self { client, server, driver })
    }

    /// The text of the first element that matches `css`, once it is there and has some.
    pub async fn text(&self, css: &str) -> String {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Ok(element) = self.client.find(Locator::Css(css)).await
                && let Ok(text) = element.text().await
                && !text.is_empty()
            {
                return text;
            }
            assert!(tokio::time::Instant::now() < deadline, "{css} has no text");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client.execute(script, arguments).await.expect("the script runs")
    }

    /// Hands files, as name and content, to the page's event of that kind, as when a person drops
    /// or pastes them.
    pub async fn transfer(&self, event: &str, files: &[(&str, &[u8])]) {
        let files: Vec<Value> = files
            .iter()
            .map(|(name, content)| json!([name, BASE64_STANDARD.encode(content)]))
            .collect();
        let script = "
            const [event, files] = arguments;
            const data = new DataTransfer();
            for (const [name, content] of files) {
                const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
                data.items.add(new File([bytes], name));
            }
            document.body.dispatchEvent(event === 'drop'
                ? new DragEvent(event, { dataTransfer: data, bubbles: true, cancelable: true })
                : new ClipboardEvent(event, { clipboardData: data, bubbles: true }));";
        self.run(script, vec![event.into(), files.into()]).await;
    }

    /// Draws lines with the mouse, through points in pixels from the middle of an element.
    pub async fn draw(&self, css: &str, lines: &[Vec<(f64, f64)>]) {
        const LEFT: u64 = 0;
        let element = self.client.find(Locator::Css(css)).await.expect("a canvas");
        for line in lines {
            let mut mouse = MouseActions::new("mouse".to_owned());
            for (place, &(x, y)) in line.iter().enumerate() {
                let element = element.clone();
                mouse = mouse.then(PointerAction::MoveToElement { element, duration: None, x, y });
                if place == 0 {
                    mouse = mouse.then(PointerAction::Down { button: LEFT });
                }
            }
            mouse = mouse.then(PointerAction::Up { button: LEFT });
            self.client.perform_actions(mouse).await.expect("drawn");
        }
    }

    /// Keeps what the window shows as `target/tmp/browser/<name>.png`.
    pub async fn keep_screenshot(&self, name: &str) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
        std::fs::create_dir_all(&folder).expect("a folder");
        let picture = self.client.screenshot().await.expect("a screenshot");
        std::fs::write(folder.join(format!("{name}.png")), picture).expect("written");
    }

    /// Fails if the console shows an error, or if a request went to another host. Ends the browser.
    pub async fn close(self) {
        let home = format!("http://{}/", self.server.address);
        let console = self.log("browser").await;
        let errors: Vec<_> = console
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
            // The console also tells of every answer that is an error, which tests ask for.
            .filter(|entry| entry["source"] != "network")
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
        let mut requests = 0;
        for entry in self.log("performance").await {
            let event = entry["message"].as_str().expect("an event");
            let event: Value = serde_json::from_str(event).expect("JSON");
            if event["message"]["method"] != "Network.requestWillBeSent" {
                continue;
            }
            requests += 1;
            let url = event["message"]["params"]["request"]["url"].as_str().expect("a URL");
            let local = ["blob:", "data:"].iter().any(|scheme| url.starts_with(scheme));
            assert!(local || url.starts_with(&home), "{url} is not ours");
        }
        assert!(requests > 3, "the browser's log tells of requests");
        self.client.clone().close().await.expect("the session ends");
    }

    async fn log(&self, kind: &'static str) -> Vec<Value> {
        let log = self.client.issue_cmd(Log(kind)).await.expect("a log");
        log.as_array().expect("entries").clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It takes the browser with it.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Reads and empties a log of Chromium's.
#[derive(Debug)]
struct Log(&'static str);

impl WebDriverCompatibleCommand for Log {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as FromStr>::Err> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"type": self.0}).to_string()))
    }
}
