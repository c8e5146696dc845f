// Answers of a lagwise with fifty servers, whose names are long and hostile; in place of real ones.
(() => {
  const name = (index) => `db-${index}<img src=x onerror="document.title='bad'">${"x".repeat(120)}`;
  const started_ms = 1790000000000;
  const servers = [...Array(50).keys()].map((index) => ({
    name: name(index), address: `10.0.0.${index}:3306`, role: index ? "replica" : "primary",
    health: index % 9 === 8 ? "down" : "up", lag_ms: index && index % 7 ? index * 40 : null,
    lag_form: null, eligible: index % 9 !== 8, excluded: index % 9 === 8 ? name(index) : null,
    drained: index === 5, connections: index, running: 0, used_by: {},
  }));
  const status = {
    version: "9.9.9", uptime_seconds: 7e6, ready: false, reason: name(0), sessions: 100000,
    statements: { primary: 1, replica: 2, none: 3 }, servers,
  };
  const percentiles = { p50: 0.1, p95: 900, p99: 123456.789 };
  const sample = (seq) => ({
    seq, at_ms: started_ms + seq * 2000, sessions: 100000, pinned: seq % 60,
    statements_per_second: { primary: seq * 1000, replica: seq * 9000, none: 0 },
    latency_ms: { primary: percentiles, replica: percentiles, lagwise: percentiles },
    waiting: { connection: seq % 5, replica: 0, primary: 0 },
    lag_ms: Object.fromEntries(servers.slice(1).map((server, index) =>
      [server.name, seq % 50 === index ? null : Math.round((1 + Math.sin((seq + index * 9) / 40)) * 100 * index)])),
  });
  const event = (seq) => ({
    seq, at_ms: started_ms, level: ["error", "warn", "info"][seq % 3], server: name(seq),
    text: `server is down ${name(seq)}`, details: { cause: name(seq), from: "up" },
  });
  const count = (many, make) => [...Array(many).keys()].map((index) => make(index + 1));
  const answers = {
    status: () => status,
    history: () => ({ started_ms, interval_ms: 2000, max_lag_ms: 5000, samples: count(300, sample) }),
    events: () => ({ started_ms, events: count(100, event) }),
  };
  window.fetch = async (path) => {
    const isFirst = !path.includes("after=") || path.endsWith("after=0");
    const answer = answers[path.split("?")[0]]();
    if (!isFirst) { if (answer.samples) answer.samples = []; if (answer.events) answer.events = []; }
    return { status: 200, ok: true, json: async () => answer };
  };
})();
