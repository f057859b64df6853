// A large matrix at a glance, a few pixels for each cell. For the eye and the mouse; the grid beside it is for everybody.

const SIDE = 416;

function map(view, part, point) {
  const [height, width] = part.total;
  const size = Math.max(1, Math.min(6, Math.floor(SIDE / Math.max(height, width))));
  const canvas = el("canvas", { width, height, role: "img", click: clicked,
    "aria-label": "All " + height + " × " + width + " cells at a glance, " + count(view.differences.length, "difference") });
  canvas.style.width = width * size + "px";
  canvas.style.height = height * size + "px";
  const frame = el("div", { class: "frame" });
  const probe = el("span", { class: "cell", hidden: true });
  const host = el("div", { class: "map" }, canvas, frame, probe);

  function clicked(event) {
    const box = canvas.getBoundingClientRect();
    const at = (offset, n) => Math.max(0, Math.min(n - 1, Math.floor(offset / size)));
    point(at(event.clientY - box.top - 1, height), at(event.clientX - box.left - 1, width));
  }

  // The colours are those of the style sheet.
  function paint() {
    const colours = new Map();
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    view.rows.forEach((i, r) => view.columns.forEach((j, c) => {
      const kind = view.kind(i, j);
      if (!kind) return;
      if (!colours.has(kind.class)) {
        probe.className = "cell " + kind.class;
        colours.set(kind.class, getComputedStyle(probe).backgroundColor);
      }
      context.fillStyle = colours.get(kind.class);
      context.fillRect(c, r, 1, 1);
    }));
  }

  function moved() {
    frame.style.top = part.start[0] * size + "px";
    frame.style.left = part.start[1] * size + "px";
    frame.style.width = part.shown[1] * size + "px";
    frame.style.height = part.shown[0] * size + "px";
  }

  moved();
  return { host, paint, moved };
}
