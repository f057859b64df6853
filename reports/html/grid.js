// A matrix as a grid that keyboards and screen readers walk. Of a large one, the part around the reader's cell.

const WHOLE = 60;
const WINDOW = 24;

function area(name) {
  const slash = name.indexOf("/");
  return slash < 0 ? name : name.slice(0, slash);
}

// `open(r, c, focus)` is told when a cell is opened, `moved()` when another part is shown.
function grid(view, open, moved) {
  const total = [view.rows.length, view.columns.length];
  const big = total[0] > WHOLE || total[1] > WHOLE;
  const shown = big ? total.map((n) => Math.min(n, WINDOW)) : total;
  let [r, c] = view.differences[0] ?? [0, 0];
  const start = [0, 0];
  let chosen = null;
  const sheet = el("div", { class: "sheet" });
  let cells = [];
  let heads = [];

  function draw() {
    heads = [];
    const columns = view.columns.slice(start[1], start[1] + shown[1]);
    const top = el("tr", { "aria-rowindex": 1 },
      el("th", { class: "corner", scope: "col", role: "columnheader", "aria-colindex": 1 }, "from \\ to"));
    columns.forEach((j, at) => {
      const name = view.to(j);
      const edge = at > 0 && area(name) !== area(view.to(columns[at - 1]));
      const head = el("th", { scope: "col", role: "columnheader", "aria-colindex": start[1] + at + 2, title: short(name), class: edge ? "edge" : null },
        el("span", {}, short(name)));
      heads.push(head);
      top.append(head);
    });
    const body = el("tbody");
    cells = view.rows.slice(start[0], start[0] + shown[0]).map((i, at, rows) => {
      const name = view.from(i);
      const edge = at > 0 && area(name) !== area(view.from(rows[at - 1]));
      const line = el("tr", { "aria-rowindex": start[0] + at + 2, class: edge ? "edge" : null },
        el("th", { scope: "row", role: "rowheader", "aria-colindex": 1, title: short(name) }, short(name)));
      const own = columns.map((j, column) => {
        const kind = view.kind(i, j);
        const cell = document.createElement("td");
        cell.setAttribute("role", "gridcell");
        cell.setAttribute("aria-colindex", start[1] + column + 2);
        cell.tabIndex = -1;
        cell.className = kind ? "cell " + kind.class : "cell none";
        if (kind) cell.textContent = kind.sign;
        cell.setAttribute("aria-label", view.label(i, j));
        line.append(cell);
        return cell;
      });
      body.append(line);
      return own;
    });
    const table = el("table", {
      role: "grid",
      "aria-label": "Observed, " + view.title + "; rows connect to columns",
      "aria-rowcount": total[0] + 1,
      "aria-colcount": total[1] + 1,
      click: pointed, keydown: pressed, focusin: entered, mouseover: entered, mouseleave: () => mark(),
    }, el("thead", {}, top), body);
    sheet.replaceChildren(table);
    mark();
  }

  function cellAt(r, c) {
    return cells[r - start[0]]?.[c - start[1]];
  }

  // Lights the heads of a row and a column.
  function light(r, c) {
    sheet.querySelectorAll("th.at").forEach((head) => head.classList.remove("at"));
    heads[c - start[1]]?.classList.add("at");
    cells[r - start[0]]?.[0]?.parentNode.firstChild.classList.add("at");
  }

  function mark() {
    light(r, c);
    const here = cellAt(r, c);
    if (here) here.tabIndex = 0;
    const selected = chosen && cellAt(...chosen);
    sheet.querySelector("[aria-selected]")?.removeAttribute("aria-selected");
    selected?.setAttribute("aria-selected", "true");
  }

  // Shows the part with a cell.
  function reveal(row, column) {
    let changed = false;
    [row, column].forEach((n, axis) => {
      const before = start[axis];
      if (n < start[axis]) start[axis] = Math.max(0, n - (shown[axis] >> 2));
      if (n >= start[axis] + shown[axis]) start[axis] = Math.min(total[axis] - shown[axis], n - shown[axis] + 1 + (shown[axis] >> 2));
      changed ||= start[axis] !== before;
    });
    const before = cellAt(r, c);
    if (before) before.tabIndex = -1;
    [r, c] = [row, column];
    if (changed) {
      draw();
      moved();
    } else mark();
  }

  function go(row, column) {
    reveal(Math.max(0, Math.min(total[0] - 1, row)), Math.max(0, Math.min(total[1] - 1, column)));
    cellAt(r, c)?.focus();
    if (chosen) choose(r, c, false);
  }

  function choose(row, column, focus) {
    if (!view.kind(view.rows[row], view.columns[column])) return;
    chosen = [row, column];
    mark();
    open(row, column, focus);
  }

  function difference(step) {
    const all = view.differences;
    if (!all.length) return;
    const order = ([a, b]) => a * total[1] + b;
    const here = order([r, c]);
    const next = step > 0 ? all.find((at) => order(at) > here) ?? all[0] : all.findLast((at) => order(at) < here) ?? all.at(-1);
    go(...next);
  }

  function where(event) {
    const cell = event.target.closest("td[role=gridcell]");
    if (!cell) return null;
    const row = cells.findIndex((own) => own.includes(cell));
    return row < 0 ? null : [row + start[0], cells[row].indexOf(cell) + start[1]];
  }

  function pointed(event) {
    const at = where(event);
    if (!at) return;
    reveal(...at);
    choose(...at, false);
  }

  function entered(event) {
    const at = where(event);
    if (at) light(...at);
  }

  function pressed(event) {
    const to = {
      ArrowUp: [r - 1, c], ArrowDown: [r + 1, c], ArrowLeft: [r, c - 1], ArrowRight: [r, c + 1],
      PageUp: [r - shown[0], c], PageDown: [r + shown[0], c],
      Home: event.ctrlKey ? [0, 0] : [r, 0],
      End: event.ctrlKey ? [total[0] - 1, total[1] - 1] : [r, total[1] - 1],
    }[event.key];
    if (to && !event.altKey && !event.metaKey) go(...to);
    else if (event.key === "Enter" || event.key === " ") choose(r, c, true);
    else if (event.key === "n") difference(1);
    else if (event.key === "p") difference(-1);
    else return;
    event.preventDefault();
  }

  reveal(r, c);
  if (!cells.length) draw();
  return {
    sheet, big, start, shown, total, difference,
    move: (row, column) => { reveal(row, column); choose(row, column, false); },
    focus: () => cellAt(r, c)?.focus(),
    forget: () => { chosen = null; mark(); },
  };
}

function short(name) {
  return name.length > 80 ? name.slice(0, 79) + "…" : name;
}
