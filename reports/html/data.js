// The cells, as harness/report/src/html/data.rs writes them.

const DATA = JSON.parse(document.getElementById("data").textContent);

// Observations and outcomes: class, sign in the matrix, words.
const OBSERVED = { allowed: ["c-allowed", "·"], dropped: ["c-dropped", "X"], rejected: ["c-rejected", "R"] };
const MARKED = {
  fail: ["c-fail", "!", "different"],
  flaky: ["c-flaky", "%", "flaky"],
  error: ["c-error", "", "not measured"],
  deviation: ["c-deviation", "=", "known deviation"],
  skipped: ["c-skipped", "", "skipped"],
};
const WORDS = {
  expected: { allow: "allow", deny: "deny (dropped or rejected)", drop: "drop (silence)", reject: "reject (a refusal)", either: "either (left open)" },
  observed: { allowed: "allowed", dropped: "dropped (silence)", rejected: "rejected (a refusal)", error: "error: not measured" },
  outcome: { pass: "as expected", fail: "different", flaky: "flaky: changed while it had to hold", error: "not measured", deviation: "known deviation", skipped: "skipped" },
  seen: { node: "a node's address", other: "another address than the client's" },
};

function kindOf(raw) {
  const [expected, observed, outcome, attempts, seen, topics, reason] = raw;
  const mark = MARKED[outcome];
  const verdict = outcome === "error" ? "?" : OBSERVED[observed] ? OBSERVED[observed][1] : observed ? "?" : "-";
  return {
    expected, observed, outcome, attempts, seen, topics, reason,
    class: mark ? mark[0] : OBSERVED[observed] ? OBSERVED[observed][0] : "c-skipped",
    sign: verdict + (mark ? mark[1] : ""),
    differs: outcome === "fail" || outcome === "flaky" || outcome === "error" || outcome === "deviation",
    words: "expected " + expected + ", " + (observed ? "observed " + observed : "nothing observed") + ", " + outcome,
  };
}

for (const scenario of DATA.records.flat()) scenario.kinds = scenario.kinds.map(kindOf);

function placeWords([via, port, protocol, family]) {
  const where = protocol === "icmp" ? "icmp" : port + "/" + protocol;
  return where + " " + family + (via === "pod-ip" ? "" : " via " + via);
}

// The command that repeats one cell, in the words of `verdikt run --cell`.
function command(scenario, grid, from, to) {
  const name = (id) => scenario.shell[id] ?? scenario.names[id];
  const [via, port, protocol, family] = grid.place;
  const where = protocol === "icmp" ? "icmp" : port + "/" + protocol;
  const path = via === "pod-ip" ? "" : " via " + via;
  return scenario.head + " '" + name(from) + " -> " + name(to) + ":" + where + path + " over " + family + "'";
}

// Grids that look the same, with the rows and columns that are shown.
function viewOf(scenario, step, group, onlyDifferences) {
  const members = step.groups[group].grids.map((index) => step.grids[index]);
  const [first] = members;
  const width = first.to.length;
  const kind = (i, j) => scenario.kinds[first.kinds[i * width + j]];
  let rows = first.from.map((_, i) => i);
  let columns = first.to.map((_, j) => j);
  if (onlyDifferences) {
    const differs = first.kinds.map((k) => k >= 0 && scenario.kinds[k].differs);
    if (differs.includes(true)) {
      rows = rows.filter((i) => columns.some((j) => differs[i * width + j]));
      columns = columns.filter((j) => rows.some((i) => differs[i * width + j]));
    }
  }
  const differences = [];
  rows.forEach((i, r) => columns.forEach((j, c) => {
    if (kind(i, j)?.differs) differences.push([r, c]);
  }));
  const title = step.groups[group].title;
  return {
    scenario, step, group, members, title, rows, columns, differences, kind,
    from: (i) => scenario.names[first.from[i]],
    to: (j) => scenario.names[first.to[j]],
    whole: first.from.length === rows.length && width === columns.length,
    label: (i, j) => {
      const of = kind(i, j);
      const ends = short(scenario.names[first.from[i]]) + " to " + short(scenario.names[first.to[j]]) + ", " + title;
      return ends + ": " + (of ? of.words : "no such cell");
    },
  };
}
