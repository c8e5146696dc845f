
"use strict";
(() => {
  const POLL_MS = 2000;
  const SPANS_MS = [60000, 300000, 600000];
  const SPEAK_MS = 15000;
  // More servers than these are drawn in one line each.
  const ROOMY = 8;
  const KEY = "lagwise.token";
  const SVG = "http://www.w3.org/2000/svg";
  const $ = (id) => document.getElementById(id);

  const state = { started: 0, maxLag: 0, status: null, samples: [], events: [], paused: false };
  let timer = 0;
  let running = false;
  let spokenAt = 0;
  let unspoken = [];

  // ---- elements; text gets in as text only

  function html(tag, attributes, ...children) {
    return fill(document.createElement(tag), attributes, children);
  }
  function svg(tag, attributes, ...children) {
    return fill(document.createElementNS(SVG, tag), attributes, children);
  }
  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
    return element;
  }
  function say(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  // ---- words

  function lag(ms) {
    if (ms === null) return "unknown";
    if (ms < 1000) return `${ms} ms`;
    if (ms < 120000) return `${(ms / 1000).toFixed(1)} s`;
    return `${Math.round(ms / 60000)} min`;
  }
  function number(value) {
    if (value >= 1e6) return `${number(value / 1e6)} M`;
    if (value >= 1e4) return `${number(value / 1e3)} k`;
    if (value >= 1e3) return String(Math.round(value));
    return String(Number(value.toPrecision(3)));
  }
  function milliseconds(value) {
    if (value === null) return "none";
    return value < 1000 ? `${number(value)} ms` : `${number(value / 1000)} s`;
  }
  function duration(seconds) {
    const [days, hours, minutes] = [86400, 3600, 60].map((unit) => Math.floor(seconds / unit));
    if (days) return `${days} d ${hours % 24} h`;
    if (hours) return `${hours} h ${minutes % 60} min`;
    return minutes ? `${minutes} min` : `${seconds} s`;
  }
  function clock(ms) {
    return new Date(ms).toLocaleTimeString();
  }
  function count(many, one) {
    return `${many} ${one}${many === 1 ? "" : "s"}`;
  }
  /** Text for so many pixels, with letters of that width on average. */
  function cut(text, width, letter) {
    const room = Math.max(4, Math.floor(width / letter));
    return text.length <= room ? text : `${text.slice(0, room - 1)}\u2026`;
  }

  // ---- what a server is at

  function verdict(server) {
    if (server.drained) return "warn";
    if (server.health !== "up") return server.health === "suspect" ? "warn" : "bad";
    return server.eligible ? "good" : "warn";
  }
  function condition(server) {
    if (server.drained) return "drained";
    if (server.health !== "up") return server.health;
    if (server.role === "primary") return "up";
    return `up, ${server.lag_ms === null ? "lag unknown" : `lag ${lag(server.lag_ms)}`}`;
  }
  function work(server) {
    if (server.role === "primary") return server.eligible ? "takes writes" : "takes nothing";
    return server.eligible ? "takes reads" : `no reads: ${server.excluded || "not eligible"}`;
  }

  function drawTopology() {
    const [target, servers] = [$("topology"), state.status.servers];
    const width = Math.max(280, Math.min(760, target.parentElement.clientWidth - 26));
    const isRoomy = servers.length <= ROOMY;
    const [left, height, gap, foot] = isRoomy ? [72, 62, 12, 16] : [72, 26, 4, 16];
    const total = Math.max(servers.length * (height + gap) - gap, 60);
    const bow = width < 480 ? 30 : 90;
    const [x, room] = [left + bow, width - left - bow - foot];
    const middle = total / 2;
    const parts = [
      svg("rect", { class: "box", x: 1, y: middle - 26, width: left, height: 52, rx: 8 }),
      svg("text", { class: "name", x: 1 + left / 2, y: middle - 3, "text-anchor": "middle" }, "lagwise"),
      svg("text", { class: "faint", x: 1 + left / 2, y: middle + 15, "text-anchor": "middle" },
        count(state.status.sessions, "client")),
    ];
    const center = (index) => index * (height + gap) + height / 2;
    const primary = servers.findIndex((server) => server.role === "primary");
    servers.forEach((server, index) => {
      const [top, y, good] = [index * (height + gap), center(index), verdict(server)];
      const wire = server.eligible ? "wire good" : `wire none ${good}`;
      parts.push(svg("path", {
        class: wire,
        d: `M${left + 1} ${middle} C${left + bow / 2} ${middle} ${x - bow / 2} ${y} ${x} ${y}`,
      }));
      if (index !== primary && primary >= 0) {
        const copied = x + room;
        const [from, to] = [center(primary) + 8, y];
        parts.push(svg("path", {
          class: "wire copy",
          d: `M${copied} ${from} h${foot - 3} V${to} h${3 - foot}`,
        }));
      }
      parts.push(
        svg("rect", { class: `box ${good}`, x, y: top + 1, width: room, height: height - 2, rx: 8 }));
      if (!isRoomy) {
        const half = room / 2 - 12;
        parts.push(
          svg("text", { class: "name", x: x + 9, y: top + 18 }, cut(server.name, half, 9)),
          svg("text", { class: good, x: x + half + 16, y: top + 18 }, cut(condition(server).replace("up, ", ""), half, 7)));
        return;
      }
      parts.push(
        svg("text", { class: "name", x: x + 9, y: top + 20 }, cut(server.name, room - 18, 8)),
        svg("text", { class: good, x: x + 9, y: top + 37 },
          cut(`${server.role}: ${condition(server)}`, room - 18, 7)),
        svg("text", { class: "faint", x: x + 9, y: top + 53 }, cut(work(server), room - 18, 6.4)),
      );
    });
    target.setAttribute("viewBox", `0 0 ${width} ${total}`);
    target.setAttribute("width", width);
    target.setAttribute("height", total);
    target.style.width = `${width}px`;
    // Nobody listens to fifty servers: those that need a look, and the table has all.
    const told = isRoomy ? servers : servers.filter((server) => verdict(server) !== "good").slice(0, ROOMY);
    const working = servers.filter((server) => server.eligible).length;
    target.setAttribute("aria-label", [`lagwise with ${count(servers.length, "server")}, ${working} of them at work`,
      ...told.map((server) => `${server.name}, ${server.role}, ${condition(server)}, ${work(server)}`)].join("; "));
    target.replaceChildren(...parts);
  }

  // ---- tables; redrawn in place, so that a screen reader keeps its place

  function table(target, heads, rows) {
    const [head, body] = [target.tHead, target.tBodies[0]];
    const names = heads.join("\n");
    if (target.dataset.heads !== names) {
      target.dataset.heads = names;
      head.replaceChildren(html("tr", { role: "row" },
        ...heads.map((text) => html("th", { scope: "col", role: "columnheader" }, text))));
      body.replaceChildren();
    }
    while (body.rows.length > rows.length) body.deleteRow(-1);
    rows.forEach((cells, index) => {
      if (!body.rows[index]) {
        body.append(html("tr", { role: "row" }, ...cells.map((_, column) => column === 0
          ? html("th", { scope: "row", role: "rowheader" })
          : html("td", { role: "cell", "data-head": heads[column] }))));
      }
      cells.forEach((text, column) => say(body.rows[index].cells[column], text));
    });
  }

  function drawServers() {
    table($("servers"), ["Server", "Address", "Role", "State", "Work", "Connections", "Running"],
      state.status.servers.map((server) => [
        server.name, server.address, server.role, condition(server), work(server),
        String(server.connections), String(server.running),
      ]));
  }

  // ---- charts

  const percentiles = (name) => ["p50", "p99"].map((which) => ({
    name: `${name} ${which}`,
    at: (sample) => (sample.latency_ms[name] ? sample.latency_ms[name][which] : null),
  }));
  const CHARTS = [
    {
      title: "Lag of replicas", words: lag, none: "There is no replica.",
      limit: () => state.maxLag, limitName: "max_lag",
      lines: () => [...new Set(state.samples.slice(-1).flatMap((sample) => Object.keys(sample.lag_ms)))]
        .map((name) => ({
          name,
          at: (sample) => (sample.lag_ms[name] === undefined ? null : sample.lag_ms[name]),
        })),
    },
    {
      title: "Statements per second", words: number,
      lines: () => ["replica", "primary", "none"].map((name) => ({
        name: { replica: "reads on replicas", primary: "on the primary", none: "refused" }[name],
        at: (sample) => sample.statements_per_second[name],
      })),
    },
    {
      title: "Latency (servers: to the first byte)", words: milliseconds,
      lines: () => [...percentiles("replica"), ...percentiles("primary"),
        ...percentiles("lagwise").slice(1)],
    },
    {
      title: "Sessions and pins", words: number, least: 2,
      lines: () => [
        { name: "sessions", at: (sample) => sample.sessions },
        { name: "pinned to the primary", at: (sample) => sample.pinned },
      ],
    },
    {
      title: "Waiting", words: number, least: 2,
      lines: () => [
        { name: "for a connection", at: (sample) => sample.waiting.connection },
        { name: "for replication", at: (sample) => sample.waiting.replica },
        { name: "for a primary", at: (sample) => sample.waiting.primary },
      ],
    },
  ];

  function makeCharts() {
    for (const chart of CHARTS) {
      chart.picture = svg("svg", { "aria-hidden": "true" });
      chart.legend = html("ul", { class: "legend", role: "list", "aria-label": `${chart.title} now` });
      chart.table = html("table", { role: "table" },
        html("caption", {}, `${chart.title}: the highest value of each minute`),
        html("thead", { role: "rowgroup" }), html("tbody", { role: "rowgroup" }));
      chart.frame = html("div", { class: "frame", role: "group", "aria-label": chart.title }, chart.table);
      chart.details = html("details", {}, html("summary", {}, `${chart.title} as a table`), chart.frame);
      chart.details.addEventListener("toggle", () => chart.details.open && drawTable(chart));
      $("charts").append(html("figure", { "aria-label": chart.title },
        html("h2", {}, chart.title), chart.picture, chart.legend, chart.details));
    }
  }

  /** Six colours times six kinds of dashes, both new for each of the first six. */
  function look(index) {
    return `curve c${index % 6} d${(index + Math.floor(index / 6)) % 6}`;
  }

  /** 1, 2 or 5 times a power of ten that is no less. */
  function rounded(value) {
    if (!(value > 0)) return 1;
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) || value;
  }

  function drawChart(chart) {
    const now = state.samples.length ? state.samples[state.samples.length - 1].at_ms : Date.now();
    const age = state.samples.length ? now - state.samples[0].at_ms : 0;
    const span = SPANS_MS.find((each) => each >= age) || SPANS_MS[SPANS_MS.length - 1];
    const lines = chart.lines();
    const values = lines.flatMap((line) => state.samples.map(line.at));
    const highest = values.reduce((most, value) => Math.max(most, value || 0), 0);
    const top = Math.max(rounded(highest), chart.least || 0);
    const width = Math.max(280, chart.picture.parentElement.clientWidth - 24);
    const [height, left, right, above, below] = [150, 52, 8, 10, 20];
    const x = (ms) => left + (1 - (now - ms) / span) * (width - left - right);
    const y = (value) => above + (1 - value / top) * (height - above - below);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const at = y(share * top);
      parts.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: at, y2: at }),
        svg("text", { class: "faint", x: left - 6, y: at + 4, "text-anchor": "end" },
          chart.words(share * top)));
    }
    for (const [share, anchor] of [[1, "start"], [0.5, "middle"], [0, "end"]]) {
      const ago = share * span;
      parts.push(svg("text", {
        class: "faint", x: x(now - ago), y: height - 4, "text-anchor": anchor,
      }, ago ? `${ago < 60000 ? `${ago / 1000} s` : `${ago / 60000} min`} ago` : "now"));
    }
    const limit = chart.limit && chart.limit();
    if (limit && limit <= top) {
      parts.push(svg("line", { class: "limit", x1: left, x2: width - right, y1: y(limit), y2: y(limit) }),
        svg("text", { class: "faint", x: width - right, y: y(limit) + 13, "text-anchor": "end" },
          `${chart.limitName} ${chart.words(limit)}`));
    }
    lines.forEach((line, index) => {
      let path = "";
      let before = null;
      for (const sample of state.samples) {
        const value = line.at(sample);
        if (value === null || now - sample.at_ms > span) { before = null; continue; }
        // A line over a time of which nothing is known would say too much.
        const joined = before !== null && sample.at_ms - before < 4 * POLL_MS;
        const [px, py] = [x(sample.at_ms).toFixed(1), y(value).toFixed(1)];
        path += joined ? `L${px} ${py}` : `M${px} ${py}h0.1`;
        before = sample.at_ms;
      }
      if (path) parts.push(svg("path", { class: look(index), d: path }));
    });
    if (!lines.length) {
      parts.push(svg("text", { x: (left + width) / 2, y: y(top / 4), "text-anchor": "middle" }, chart.none));
    }
    chart.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.picture.setAttribute("height", height);
    chart.picture.replaceChildren(...parts);
    drawLegend(chart, lines);
    if (chart.details.open) drawTable(chart);
  }

  function drawLegend(chart, lines) {
    const newest = state.samples[state.samples.length - 1];
    // What may have to be scrolled is within reach of the keyboard.
    for (const part of [chart.legend, chart.frame]) {
      if (lines.length > 6) part.tabIndex = 0;
      else part.removeAttribute("tabindex");
    }
    while (chart.legend.children.length > lines.length) chart.legend.lastChild.remove();
    lines.forEach((line, index) => {
      if (!chart.legend.children[index]) {
        chart.legend.append(html("li", {},
          svg("svg", { viewBox: "0 0 28 8", "aria-hidden": "true" },
            svg("path", { class: look(index), d: "M0 4H28" })),
          html("span"), html("b")));
      }
      const [, name, value] = chart.legend.children[index].children;
      name.title = line.name;
      say(name, line.name);
      say(value, newest ? chart.words(line.at(newest)) : "");
    });
  }

  function drawTable(chart) {
    const lines = chart.lines();
    const minutes = new Map();
    for (const sample of state.samples) {
      const minute = Math.floor(sample.at_ms / 60000) * 60000;
      if (!minutes.has(minute)) minutes.set(minute, lines.map(() => null));
      const highest = minutes.get(minute);
      lines.forEach((line, index) => {
        const value = line.at(sample);
        if (value !== null && (highest[index] === null || value > highest[index])) highest[index] = value;
      });
    }
    table(chart.table, ["Minute", ...lines.map((line) => line.name)],
      [...minutes].reverse().map(([minute, highest]) =>
        [clock(minute), ...highest.map((value) => (value === null ? "" : chart.words(value)))]));
  }

  // ---- events

  const LEVELS = { error: ["bad", "Error"], warn: ["warn", "Warning"], info: ["good", "Note"] };

  function addEvents(events, isFirst) {
    for (const event of events) {
      const [tone, word] = LEVELS[event.level] || LEVELS.info;
      const details = Object.entries(event.details).map(([name, value]) => `${name}: ${value}`).join(", ");
      $("events").prepend(html("li", {},
        html("span", { class: `level ${tone}` }, word), " ",
        html("time", { class: "when", datetime: new Date(event.at_ms).toISOString() },
          new Date(event.at_ms).toLocaleString()),
        html("div", {}, event.server ? html("b", {}, event.server) : "", event.server ? " " : "", event.text),
        html("div", { class: "details" }, details)));
      if (!isFirst && event.level !== "info") unspoken.push(event);
    }
    while ($("events").children.length > 100) $("events").lastChild.remove();
    $("no-events").hidden = $("events").children.length > 0;
    speak();
  }

  /** Says what is new, but not more often than a person can listen to it. */
  function speak() {
    if (!unspoken.length || Date.now() - spokenAt < SPEAK_MS) return;
    const last = unspoken[unspoken.length - 1];
    const more = unspoken.length > 1 ? ` and ${unspoken.length - 1} more` : "";
    $("spoken").textContent = `${last.server || ""} ${last.text}${more}`;
    [unspoken, spokenAt] = [[], Date.now()];
  }

  // ---- all of it

  function drawHead() {
    const status = state.status;
    say($("version"), status.version);
    $("ready").className = `badge ${status.ready ? "good" : "bad"}`;
    say($("ready"), status.ready ? "ready" : `not ready: ${status.reason}`);
    say($("facts"), `up ${duration(status.uptime_seconds)}, ${count(status.sessions, "session")}`);
    document.title = `${status.ready ? "" : "(not ready) "}lagwise`;
  }
  function drawSilence() {
    state.isSilent = true;
    $("ready").className = "badge bad";
    say($("ready"), "no answer");
    document.title = "(no answer) lagwise";
    const since = state.status ? ` What is shown is of ${clock(state.seenAt)}.` : "";
    say($("problem"), `lagwise does not answer.${since} It is asked again every two seconds.`);
  }
  function draw() {
    if (!state.status || $("main").hidden) return;
    if (!state.isSilent) drawHead();
    drawTopology();
    drawServers();
    CHARTS.forEach(drawChart);
  }

  // ---- asking

  class NeedsToken extends Error {}

  async function ask(path) {
    const token = sessionStorage.getItem(KEY);
    // A header could not hold it.
    if (token && !/^[!-~]+$/.test(token)) throw new NeedsToken("The token is not accepted.");
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const answer = await fetch(path, {
      headers, cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(5000),
    });
    if (answer.status === 401) throw new NeedsToken(token ? "The token is not accepted." : "");
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.json();
  }
  const last = (list) => (list.length ? list[list.length - 1].seq : 0);

  async function learn() {
    const [status, history, events] = await Promise.all([
      ask("status"), ask(`history?after=${last(state.samples)}`), ask(`events?after=${last(state.events)}`),
    ]);
    if (history.started_ms !== state.started) {
      // Another process: what is here was numbered by the one before.
      const isNew = state.started !== 0;
      Object.assign(state, { started: history.started_ms, samples: [], events: [] });
      if (isNew) {
        $("events").replaceChildren();
        unspoken = [{ text: "lagwise has been started anew" }];
        return learn();
      }
    }
    [state.status, state.seenAt] = [status, Date.now()];
    state.maxLag = history.max_lag_ms;
    state.samples = [...state.samples, ...history.samples].slice(-300);
    const isFirst = $("main").hidden;
    state.events = [...state.events, ...events.events].slice(-100);
    addEvents(events.events, isFirst);
    return undefined;
  }

  async function tick() {
    clearTimeout(timer);
    if (running) return;
    running = true;
    try {
      await learn();
      state.isSilent = false;
      say($("problem"), "");
      $("login").hidden = true;
      $("main").hidden = false;
      $("pause").hidden = false;
      $("forget").hidden = sessionStorage.getItem(KEY) === null;
      draw();
    } catch (error) {
      if (error instanceof NeedsToken) return askForToken(error.message);
      drawSilence();
    } finally {
      running = false;
    }
    if (!state.paused && !document.hidden) timer = setTimeout(tick, POLL_MS);
    return undefined;
  }

  function askForToken(why) {
    say($("problem"), why);
    $("main").hidden = true;
    $("pause").hidden = true;
    $("forget").hidden = true;
    say($("ready"), "");
    say($("facts"), "");
    document.title = "lagwise";
    $("login").hidden = false;
    $("token").focus();
  }

  $("login").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, $("token").value.trim());
    $("token").value = "";
    tick();
  });
  $("forget").addEventListener("click", () => {
    sessionStorage.removeItem(KEY);
    location.reload();
  });
  $("pause").addEventListener("click", () => {
    state.paused = !state.paused;
    $("pause").setAttribute("aria-pressed", String(state.paused));
    tick();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
  window.addEventListener("resize", draw);

  makeCharts();
  tick();
})();
