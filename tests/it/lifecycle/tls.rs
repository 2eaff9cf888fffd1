use std::sync::Arc;

use rcgen::CertifiedKey;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::process::{Process, binary, classify, models, png, status};

/// A folder with a certificate for `localhost` and its key.
fn certificate() -> (TempDir, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = TempDir::new().expect("a temporary folder");
    std::fs::write(folder.path().join("cert.pem"), cert.pem()).expect("written");
    std::fs::write(folder.path().join("key.pem"), signing_key.serialize_pem()).expect("written");
    (folder, cert.der().clone())
}

#[tokio::test]
async fn https_is_spoken_and_plain_http_is_not() {
    let (folder, certificate) = certificate();
    let path = |file| folder.path().join(file).to_string_lossy().into_owned();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let process = Process::start(&["--tls-cert", &cert, "--tls-key", &key]);

    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a usable certificate");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(process.address).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.expect("a handshake");
    stream.write_all(&classify(&png(40))).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert_eq!(status(&answer), "200", "{answer}");

    assert!(!process.get("/health", "").contains("HTTP/1.1"));
    let check = binary()
        .args(["healthcheck", "--listen", &process.address.to_string(), "--tls-cert", &cert])
        .output()
        .expect("it runs");
    assert!(check.status.success(), "{check:?}");
}

#[test]
fn healthcheck_takes_no_other_certificate() {
    let ((served, _), (other, _)) = (certificate(), certificate());
    let path = |folder: &TempDir, file| folder.path().join(file).to_string_lossy().into_owned();
    let (cert, key) = (path(&served, "cert.pem"), path(&served, "key.pem"));
    let process = Process::start(&["--tls-cert", &cert, "--tls-key", &key]);
    let check = binary()
        .args(["healthcheck", "--listen", &process.address.to_string()])
        .args(["--tls-cert", &path(&other, "cert.pem")])
        .output()
        .expect("it runs");
    assert_eq!(check.status.code(), Some(1), "{check:?}");
}

#[test]
fn a_missing_certificate_is_told() {
    let models = models();
    let output = binary()
        .args(["--listen", "127.0.0.1:0", "--tls-cert", "nowhere.pem", "--tls-key", "none.pem"])
        .arg("--models")
        .arg(models.path())
        .output()
        .expect("it runs");
    let log = String::from_utf8_lossy(&output.stderr);
    let line = log.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(1));
    assert!(line.contains("--tls-cert nowhere.pem"), "{line}");
}
