// All that is known of one cell.

function micros(us) {
  if (us < 1000) return us + " µs";
  if (us < 1000000) return (Math.floor(us / 100) / 10).toFixed(1) + " ms";
  return (Math.floor(us / 100000) / 10).toFixed(1) + " s";
}

function fact(list, term, value) {
  if (value === null || value === undefined || value === "") return;
  list.append(el("dt", {}, term), el("dd", {}, value));
}

function topicWords(index) {
  const { word, title, statement, open } = DATA.topics[index];
  const by = statement ? " (" + statement + (open ? ", left open" : "") + ")" : "";
  return el("div", {}, el("code", {}, word), " – " + title + by);
}

// `member` is which of the view's grids; `choose` is told when the reader takes another one.
function detail(view, i, j, member, choose, close) {
  const { scenario, step } = view;
  const grid = view.members[member];
  const [from, to] = [grid.from[i], grid.to[j]];
  const at = i * grid.to.length + j;
  const kind = scenario.kinds[grid.kinds[at]];
  const list = el("dl");
  fact(list, "Outcome", el("b", { class: "badge" }, kind.sign + "  " + WORDS.outcome[kind.outcome]));
  fact(list, "Expected", WORDS.expected[kind.expected] ?? kind.expected);
  fact(list, "Observed", kind.observed ? WORDS.observed[kind.observed] ?? kind.observed : "nothing");
  fact(list, "Port, family", placeWords([ "pod-ip", ...grid.place.slice(1)]));
  fact(list, "Path", grid.place[0]);
  fact(list, "Attempts", String(kind.attempts));
  fact(list, "Round trip", grid.rtt[at] ? micros(grid.rtt[at]) : "no answer");
  fact(list, "Server saw", kind.seen ? WORDS.seen[kind.seen] ?? kind.seen : null);
  if (kind.topics.length) fact(list, "Turns on", el("div", {}, ...kind.topics.map(topicWords)));
  if (kind.reason !== null) fact(list, "Reason", long(scenario.reasons[kind.reason]));

  const title = el("h5", {}, scenario.names[from] + " → " + scenario.names[to]);
  if (title.textContent.length > LONG) title.replaceChildren(long(title.textContent));
  const panel = el("section", { class: "detail " + kind.outcome, tabindex: "-1", "aria-label": "Cell: " + view.label(i, j) },
    el("div", { class: "head" }, title, el("button", { type: "button", click: close, "aria-label": "Close the cell" }, "×")),
    list,
    el("h6", {}, "Repeat this probe"),
    el("div", { class: "command" }, el("code", {}, command(scenario, grid, from, to))),
  );
  const others = othersOf(view, from, to, grid, choose);
  if (others) panel.append(others);
  panel.append(el("h6", {}, step.objects.length ? "In force at this step" : "No objects in force at this step"));
  for (const id of step.objects) {
    const object = document.getElementById(id)?.cloneNode(true);
    if (!object) continue;
    object.removeAttribute("id");
    object.open = step.objects.length === 1;
    panel.append(object);
  }
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  copyable(panel);
  return panel;
}

// The same pair over other ports, paths and families.
function othersOf(view, from, to, shown, choose) {
  const { scenario, step } = view;
  const rows = [];
  step.grids.forEach((grid, index) => {
    const [i, j] = [grid.from.indexOf(from), grid.to.indexOf(to)];
    const kind = i < 0 || j < 0 ? null : scenario.kinds[grid.kinds[i * grid.to.length + j]];
    if (!kind) return;
    const rtt = grid.rtt[i * grid.to.length + j];
    const pick = el("button", { type: "button", click: () => choose(index, i, j) }, placeWords(grid.place));
    rows.push(el("tr", { "aria-current": grid === shown ? "true" : null },
      el("th", { scope: "row" }, pick), el("td", {}, kind.expected), el("td", {}, kind.observed ?? "–"),
      el("td", { class: kind.outcome }, el("span", { class: "badge" }, kind.outcome)), el("td", {}, rtt ? micros(rtt) : "")));
  });
  if (rows.length < 2) return null;
  const head = ["Port, family, path", "Expected", "Observed", "Outcome", "Round trip"];
  return el("details", {}, el("summary", {}, "This pair over " + rows.length + " ports, paths and families"),
    el("table", { class: "others" },
      el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))), el("tbody", {}, ...rows)));
}
