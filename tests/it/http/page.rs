//! The web page and the view of the interface's description.

use super::*;

fn links(page: &str) -> Vec<&str> {
    let parts = ["href=\"", "src=\""].into_iter().flat_map(|start| page.split(start).skip(1));
    parts.filter_map(|rest| rest.split('"').next()).collect()
}

#[tokio::test]
async fn the_page_and_all_of_its_parts_come_from_the_service() {
    let rig = rig();
    let page = rig.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let page = String::from_utf8(page.body).expect("UTF-8");
    let links = links(&page);
    assert!(links.contains(&"page/main.js") && links.contains(&"page/style.css"), "{links:?}");
    for link in links.into_iter().filter(|link| !link.starts_with('#')) {
        let part = rig.get(&format!("/{link}")).await;
        assert_eq!(part.status, StatusCode::OK, "{link}");
    }
    for path in nin_serve::http::PAGE {
        let part = rig.get(path).await;
        let text = String::from_utf8(part.body).expect("UTF-8");
        let text = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("http://") && !text.contains("https://"), "{path}");
        if path.ends_with(".js") {
            assert_eq!(part.headers["content-type"], "text/javascript; charset=utf-8");
            assert!(!text.contains("innerHTML"), "{path}: markup is never made of data");
        }
    }
    assert_eq!(rig.get("/page/other.js").await.problem(404, "not-found")["status"], 404);
    let posted = rig.post("/", "text/plain", "x").await;
    posted.problem(405, "method-not-allowed");
}

#[tokio::test]
async fn the_page_may_load_nothing_from_elsewhere() {
    let rig = rig();
    for path in nin_serve::http::PAGE {
        let part = rig.get(path).await;
        let policy = part.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        for loose in ["unsafe", "http", "*", "data:"] {
            assert!(!policy.contains(loose), "{path}: {policy}");
        }
        assert_eq!(part.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn the_description_can_be_browsed() {
    let rig = rig();
    let redirect = rig.get("/docs").await;
    assert!(redirect.status.is_redirection());
    assert_eq!(redirect.header("location"), "/docs/");
    let view = rig.get("/docs/").await;
    assert_eq!(view.status, StatusCode::OK);
    let view = String::from_utf8(view.body).expect("UTF-8");
    for link in links(&view) {
        let link = format!("/docs/{}", link.trim_start_matches("./"));
        let part = rig.get(&link).await;
        assert_eq!(part.status, StatusCode::OK, "{link}");
        assert!(nin_serve::http::DOCS.contains(&link.as_str()), "{link} needs no key");
        let policy = part.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    }
    let set_up = rig.get("/docs/swagger-initializer.js").await;
    let set_up = String::from_utf8(set_up.body).expect("UTF-8");
    assert!(set_up.contains("../openapi.json") && !set_up.contains("petstore"), "{set_up}");
}
