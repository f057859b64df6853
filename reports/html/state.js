// What is shown, in the address: a link shows the same again.
//
// o outcomes, l level, f feature, q words, d only differences; r record, s scenario, t step, g group, c cell

const state = { o: [], l: "", f: "", q: "", d: false, r: 0, s: "", t: 0, g: null, c: null };

function readState() {
  const hash = location.hash.slice(1);
  const of = new URLSearchParams(hash.includes("=") ? hash : "");
  const number = (name) => (/^\d{1,6}$/.test(of.get(name) ?? "") ? Number(of.get(name)) : null);
  state.o = (of.get("o") ?? "").split(",").filter((word) => word in OUTCOMES);
  state.l = of.get("l") ?? "";
  state.f = of.get("f") ?? "";
  state.q = of.get("q") ?? "";
  state.d = of.get("d") === "1";
  state.r = number("r") ?? 0;
  state.s = of.get("s") ?? "";
  state.t = number("t") ?? 0;
  state.g = number("g");
  const cell = /^(\d{1,5})\.(\d{1,5})$/.exec(of.get("c") ?? "");
  state.c = cell ? [Number(cell[1]), Number(cell[2])] : null;
}

function writeState() {
  const of = new URLSearchParams();
  if (state.o.length) of.set("o", state.o.join(","));
  for (const name of ["l", "f", "q"]) if (state[name]) of.set(name, state[name]);
  if (state.d) of.set("d", "1");
  if (state.s) {
    if (state.r) of.set("r", state.r);
    of.set("s", state.s);
    if (state.c) {
      of.set("t", state.t);
      of.set("g", state.g);
      of.set("c", state.c.join("."));
    }
  }
  const text = of.toString();
  if (text === location.hash.slice(1)) return;
  history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
}

const OUTCOMES = { failed: ["fail", "✗"], flaky: ["flaky", "%"], errored: ["error", "?"], passed: ["pass", "✓"], skipped: ["skipped", "–"] };
