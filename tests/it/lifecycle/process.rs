//! A server process, and requests to it byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use image::{ImageFormat, RgbImage};
use nin_serve::model::Preset;
use tempfile::TempDir;

use crate::support_models;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Ends with the test.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    log: Receiver<String>,
    /// Removed with the process.
    models: Option<TempDir>,
}

/// The binary, deaf to the settings of whoever runs the tests.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nin-serve"));
    for (name, _) in std::env::vars() {
        if name.starts_with("NIN_")
            || name.starts_with("OTEL_")
            || name == "RUST_LOG"
            || name == "GOMP_SPINCOUNT"
        {
            command.env_remove(name);
        }
    }
    command
}

/// A folder of models with one small network.
pub fn models() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    support_models::write(folder.path(), "small", Preset::Nin28);
    folder
}

impl Process {
    /// Starts a server with one small model on a free port, and waits until it is ready.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(models(), arguments)
    }

    pub fn start_with(models: TempDir, arguments: &[&str]) -> Self {
        let mut process = Self::start_at(models.path(), arguments);
        process.models = Some(models);
        process
    }

    /// As [`start`](Self::start), with more variables.
    pub fn start_in(variables: &[(&str, String)]) -> Self {
        let models = models();
        let mut command = binary();
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut process = Self::spawn(command, models.path());
        process.models = Some(models);
        process
    }

    /// Starts a server with the models of the folder `models`.
    pub fn start_at(models: &Path, arguments: &[&str]) -> Self {
        let mut command = binary();
        command.args(arguments);
        Self::spawn(command, models)
    }

    fn spawn(mut command: Command, models: &Path) -> Self {
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--log-format", "json", "--models"])
            .arg(models)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // Nobody may listen any more; the pipe must be emptied all the same.
                let _ = sender.send(line);
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Self { child, address, log, models: None };
        let ready = process.log_line("\"message\":\"ready\"");
        let ready: serde_json::Value = serde_json::from_str(&ready).expect("JSON");
        let address = ready["address"].as_str().expect("an address");
        process.address = address.parse().expect("an address");
        process
    }

    /// The next line of the log that holds `part`.
    pub fn log_line(&self, part: &str) -> String {
        let mut seen = String::new();
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.log.recv_timeout(deadline - Instant::now()) {
            if line.contains(part) {
                return line;
            }
            seen = format!("{seen}{line}\n");
        }
        panic!("{part:?} is not in the log:\n{seen}");
    }

    /// All of the log from here on; the process must be ending.
    pub fn log_to_end(&self) -> String {
        let mut log = String::new();
        while let Ok(line) = self.log.recv_timeout(PATIENCE) {
            log = format!("{log}{line}\n");
        }
        log
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(status.success(), "{kill}");
    }

    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the process does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Sends `request` on a connection of its own and reads all that comes back.
    pub fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        exchange(self.address, request)
    }

    /// Gets `path`, with more header lines, each ended by `\r\n`.
    pub fn get(&self, path: &str, headers: &str) -> String {
        self.exchange(format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n"
        ))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    stream
}

pub fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut stream = connect(address);
    stream.write_all(request.as_ref()).expect("sent");
    read_all(&mut stream)
}

/// All until the other side closes; a reset ends it, too.
pub fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

pub fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

/// A picture of `side` × `side` pixels without a pattern.
pub fn png(side: u32) -> Vec<u8> {
    let noise = |x: u32, y: u32| (x * 7 + y * 13 + x * y) as u8;
    let picture = RgbImage::from_fn(side, side, |x, y| image::Rgb([noise(x, y), noise(y, x), 90]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).expect("encoded");
    bytes.into_inner()
}

/// A request to classify `body`, whole.
pub fn classify(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /classify HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
