// The matrix of a step: which ports, grid, key, and the cell that is open.

const drawn = new Map();

function matrix(host) {
  const [record, index, stepIndex] = ["record", "scenario", "step"].map((name) => Number(host.dataset[name]));
  const scenario = DATA.records[record][index];
  const step = scenario.steps[stepIndex];
  const notable = step.groups.findIndex((group) => step.grids[group.grids[0]].kinds.some((k) => scenario.kinds[k]?.differs));
  let group = Math.max(0, notable);
  let view;
  let sheet;
  let overview = null;
  let panel = null;
  const panes = el("div", { class: "panes" });
  const tools = el("div", { class: "tools" });
  const key = el("ul", { class: "key", "aria-label": "Signs" });

  function redraw() {
    view = viewOf(scenario, step, group, state.d);
    panel = null;
    sheet = grid(view, open, () => overview?.moved());
    if (overview) themed.delete(overview.paint);
    overview = sheet.big ? map(view, sheet, sheet.move) : null;
    panes.classList.toggle("big", sheet.big);
    panes.replaceChildren(...(overview ? [overview.host] : []), sheet.sheet);
    host.replaceChildren(tools, panes, key);
    fillTools();
    fillKey();
    if (overview) {
      overview.paint();
      themed.add(overview.paint);
    }
  }

  function fillTools() {
    const options = step.groups.map((of, at) => {
      const kinds = step.grids[of.grids[0]].kinds;
      const n = kinds.filter((k) => scenario.kinds[k]?.differs).length;
      return el("option", { value: at, selected: at === group }, of.title + (n ? " · " + count(n, "difference") : ""));
    });
    const pick = (event) => {
      group = Number(event.target.value);
      redraw();
      tools.querySelector("select").focus();
    };
    const n = view.differences.length;
    const jump = (text, by) => el("button", { type: "button", disabled: n === 0, click: () => sheet.difference(by) }, text);
    const size = view.rows.length + " × " + view.columns.length + (view.whole ? "" : ", only differences");
    tools.replaceChildren(
      options.length > 1
        ? el("select", { "aria-label": "Ports, paths and families", change: pick }, ...options)
        : el("span", { class: "quiet" }, view.title),
      ...(n ? [jump("‹ Previous", -1), jump("Next difference ›", 1)] : []),
      el("span", { class: "quiet" }, size));
  }

  function fillKey() {
    const classes = new Map();
    for (const i of view.rows) for (const j of view.columns) {
      const kind = view.kind(i, j);
      if (kind) {
        const words = [OBSERVED[kind.observed] ? kind.observed : null, MARKED[kind.outcome]?.[2]];
        classes.set(kind.class + kind.sign, [kind, words.filter(Boolean).join(", ") || "nothing observed"]);
      }
    }
    const items = [...classes.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
    key.replaceChildren(...items.map(([, [kind, words]]) => el("li", {}, el("span", { class: "cell " + kind.class, "aria-hidden": "true" }, kind.sign), words)));
  }

  function open(r, c, focus, member = 0) {
    const [i, j] = [view.rows[r], view.columns[c]];
    const choose = (gridIndex, row, column) => {
      const at = step.groups.findIndex((of) => of.grids.includes(gridIndex));
      if (at !== group) {
        group = at;
        redraw();
      }
      const [r, c] = [view.rows.indexOf(row), view.columns.indexOf(column)];
      if (r < 0 || c < 0) return;
      sheet.move(r, c);
      open(r, c, true, step.groups[group].grids.indexOf(gridIndex));
    };
    const next = detail(view, i, j, member, choose, close);
    if (panel) panel.replaceWith(next);
    else panes.append(next);
    panel = next;
    Object.assign(state, { r: record, s: scenario.name, t: stepIndex, g: group, c: [i, j] });
    writeState();
    if (focus) panel.focus();
  }

  function close() {
    panel?.remove();
    panel = null;
    sheet.forget();
    state.c = null;
    writeState();
    sheet.focus();
  }

  redraw();
  return {
    redraw,
    show: (of, [i, j]) => {
      if (of !== group && of < step.groups.length) {
        group = of;
        redraw();
      }
      const [r, c] = [view.rows.indexOf(i), view.columns.indexOf(j)];
      if (r >= 0 && c >= 0) sheet.move(r, c);
    },
  };
}

// Draws a step's matrix, once.
function draw(host) {
  if (!drawn.has(host)) drawn.set(host, matrix(host));
  return drawn.get(host);
}
