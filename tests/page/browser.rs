//! A headless Chromium, driven over its DevTools protocol: JSON texts that end with a NUL, over a pipe.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use base64::Engine;
use serde_json::{Value, json};

use crate::support::{DEADLINE, eventually, target_dir, unique_name};

pub struct Browser {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<Value>,
    session: String,
    last_id: u64,
    is_loaded: bool,
    /// What the page has written to the console as a warning or an error, and errors that it did not catch.
    pub complaints: Vec<String>,
    /// What it has asked for.
    pub requests: Vec<String>,
}

impl Browser {
    pub fn start() -> Self {
        let profile = target_dir().join("lab").join(format!("chromium-{}", unique_name()));
        // The pipe's ends are descriptors 3 and 4; tests run as root, where there is no sandbox.
        let script = "exec 3<&0 4>&1; exec chromium-headless-shell --remote-debugging-pipe \
                      --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir=\"$0\" \
                      </dev/null >/dev/null 2>&1";
        let mut child = Command::new("bash")
            .args(["-c", script])
            .arg(&profile)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run bash");
        let orders = child.stdin.take().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            while said.read_until(0, &mut text).is_ok_and(|count| count > 0) {
                text.pop();
                let Ok(value) = serde_json::from_slice(&text) else { break };
                if sender.send(value).is_err() {
                    break;
                }
                text.clear();
            }
        });
        let (complaints, requests) = (Vec::new(), Vec::new());
        let session = String::new();
        let mut browser = Self {
            child,
            orders,
            answers,
            session,
            last_id: 0,
            is_loaded: false,
            complaints,
            requests,
        };
        let target = browser.order("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.order("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.order(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Gives an order and returns its result.
    pub fn order(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut order = json!({ "id": self.last_id, "method": method, "params": params });
        if !self.session.is_empty() {
            order["sessionId"] = self.session.as_str().into();
        }
        self.orders.write_all(format!("{order}\0").as_bytes()).unwrap();
        loop {
            let said = self.answers.recv_timeout(DEADLINE).expect("Chromium answers");
            if said["id"] == self.last_id {
                assert!(said.get("error").is_none(), "{method}: {said}");
                return said["result"].clone();
            }
            self.note(&said);
        }
    }

    /// What Chromium tells without having been asked.
    fn note(&mut self, said: &Value) {
        let (params, text) = (&said["params"], || said["params"].to_string());
        match said["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.complaints.push(text()),
            "Runtime.consoleAPICalled" => self.complaints.push(text()),
            "Log.entryAdded" => self.complaints.push(text()),
            "Page.loadEventFired" => self.is_loaded = true,
            "Network.requestWillBeSent" => {
                let url = params["request"]["url"].as_str().unwrap();
                self.requests.push(url.to_owned());
            }
            _ => {}
        }
    }

    pub fn open(&mut self, url: &str) {
        self.loads(|browser| {
            let opened = browser.order("Page.navigate", json!({ "url": url }));
            assert!(opened.get("errorText").is_none(), "{url}: {opened}");
        });
    }

    /// Does what has a page loaded, and waits until it is.
    pub fn loads(&mut self, act: impl FnOnce(&mut Self)) {
        self.is_loaded = false;
        act(self);
        while !self.is_loaded {
            let said = self.answers.recv_timeout(DEADLINE).expect("the page is loaded");
            self.note(&said);
        }
    }

    /// What an expression in the page is.
    pub fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true });
        let found = self.order("Runtime.evaluate", params);
        assert!(found.get("exceptionDetails").is_none(), "{expression}: {found}");
        found["result"]["value"].clone()
    }

    /// What the page shows, as text.
    pub fn text(&mut self) -> String {
        self.eval("document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true.
    pub fn wait(&mut self, expression: &str) {
        eventually(expression, || self.eval(expression) == true);
    }

    /// Waits until the page shows this.
    pub fn wait_text(&mut self, needle: &str) {
        self.wait(&format!("document.body.innerText.includes({})", json!(needle)));
    }

    /// A screen of so many CSS pixels, light or dark.
    pub fn look_like(&mut self, width: u32, scheme: &str) {
        let size = json!({
            "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600
        });
        self.order("Emulation.setDeviceMetricsOverride", size);
        let features = json!({
            "features": [{ "name": "prefers-color-scheme", "value": scheme }]
        });
        self.order("Emulation.setEmulatedMedia", features);
    }

    /// Presses a key, by its name in the DOM.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            _ => panic!("which code has {key}?"),
        };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text
            });
            self.order("Input.dispatchKeyEvent", event);
        }
    }

    /// Types into what has the focus.
    pub fn type_in(&mut self, text: &str) {
        self.order("Input.insertText", json!({ "text": text }));
    }

    /// Writes a picture of the whole page, to be looked at by people.
    pub fn picture(&mut self, path: &Path) {
        let how = json!({ "captureBeyondViewport": true });
        let picture = self.order("Page.captureScreenshot", how);
        let picture = picture["data"].as_str().unwrap();
        let picture = base64::engine::general_purpose::STANDARD.decode(picture).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, picture).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends by itself when the pipe is closed; this is quicker.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
