// Which scenarios are shown.

const bars = [];

function chosen(scenario) {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (scenario.name + " " + scenario.summary + " " + scenario.feature + " " + scenario.level).toLowerCase();
  return (!state.o.length || state.o.includes(scenario.outcome))
    && (!state.l || scenario.level === state.l)
    && (!state.f || scenario.feature === state.f)
    && (!state.d || scenario.differs)
    && words.every((word) => text.includes(word));
}

// Shows what the filters choose. `matrices` when those are concerned, too.
function apply(matrices) {
  DATA.records.forEach((scenarios, record) => {
    let n = 0;
    scenarios.forEach((scenario, index) => {
      const keep = chosen(scenario);
      n += keep;
      document.getElementById("s" + record + "-" + index).hidden = !keep;
    });
    bars[record].show(n, scenarios.length);
  });
  if (matrices) {
    for (const [host, of] of [...drawn]) {
      // Those that nobody sees are drawn again when somebody does.
      if (host.checkVisibility()) of.redraw();
      else forget(host);
    }
  }
}

function forget(host) {
  drawn.delete(host);
  host.replaceChildren();
  watch(host);
}

function set(change, matrices) {
  Object.assign(state, change);
  apply(matrices);
  writeState();
}

function filterBar(scenarios) {
  const tally = (key) => {
    const counts = new Map();
    for (const scenario of scenarios) counts.set(scenario[key], (counts.get(scenario[key]) ?? 0) + 1);
    return counts;
  };
  const outcomes = tally("outcome");
  const toggles = Object.keys(OUTCOMES).filter((word) => outcomes.has(word)).map((word) => {
    const [look, sign] = OUTCOMES[word];
    const flip = () => set({ o: state.o.includes(word) ? state.o.filter((other) => other !== word) : [...state.o, word] });
    return el("button", { type: "button", class: look, "data-outcome": word, click: flip },
      el("span", { class: "sign", "aria-hidden": "true" }, sign), word + " " + outcomes.get(word).toLocaleString("en"));
  });
  const choice = (key, name, values) => el("select", { "aria-label": name, change: (event) => set({ [key]: event.target.value }) },
    el("option", { value: "" }, name + ": all"),
    ...[...values.keys()].sort().map((value) => el("option", { value }, short(value) + " (" + values.get(value) + ")")));
  const level = choice("l", "Level", tally("level"));
  const feature = choice("f", "Feature", tally("feature"));
  const words = el("input", { type: "search", placeholder: "Search", "aria-label": "Search in names and summaries", input: () => set({ q: words.value }) });
  const differences = el("button", { type: "button", class: "differences", click: () => set({ d: !state.d }, true) }, "Only differences");
  const reset = el("button", { type: "button", click: () => set({ o: [], l: "", f: "", q: "", d: false }, state.d) }, "Show all");
  const shown = el("span", { class: "shown" });
  return {
    elements: [el("div", { class: "group", role: "group", "aria-label": "Outcomes" }, ...toggles), differences, level, feature, words, shown, reset],
    show: (n, total) => {
      for (const toggle of toggles) toggle.setAttribute("aria-pressed", String(state.o.includes(toggle.dataset.outcome)));
      differences.setAttribute("aria-pressed", String(state.d));
      [level.value, feature.value] = [state.l, state.f];
      if (words.value !== state.q) words.value = state.q;
      const text = n + " of " + count(total, "scenario");
      if (shown.textContent && shown.textContent !== text) say(text + " shown");
      shown.textContent = text;
      reset.disabled = n === total && !state.o.length && !state.l && !state.f && !state.q && !state.d;
    },
  };
}

// Levels and features of the overview filter the list.
function linkFeatures(section) {
  for (const head of section.querySelectorAll(".features th[data-kind]")) {
    const { kind, value } = head.dataset;
    const go = () => {
      set(kind === "level" ? { l: value, f: "" } : { f: value, l: "" });
      section.querySelector(".filters").scrollIntoView();
    };
    head.replaceChildren(el("button", { type: "button", click: go }, head.textContent));
  }
}
