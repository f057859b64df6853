// Begins.

const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    draw(target);
  }
}, { rootMargin: "400px" });

function watch(host) {
  watcher.observe(host);
}

document.getElementById("tools").append(themeButton());
document.querySelectorAll(".record").forEach((section, record) => {
  const bar = filterBar(DATA.records[record]);
  bars.push(bar);
  section.querySelector(".filters").append(...bar.elements);
  linkFeatures(section);
  copyable(section.querySelector(".facts"));
});
document.querySelectorAll(".scenario[id] > details").forEach((details) => {
  details.addEventListener("toggle", () => {
    const [record, index] = details.parentNode.id.slice(1).split("-").map(Number);
    const { name } = DATA.records[record][index];
    if (details.open) {
      copyable(details);
      // The one that matters most is there at once; the others when they come near.
      const first = details.querySelector(".step.notable .matrix") ?? details.querySelector(".matrix");
      if (first) draw(first);
      details.querySelectorAll(".matrix").forEach(watch);
      if (state.s !== name || state.r !== record) Object.assign(state, { r: record, s: name, c: null });
    } else if (state.s === name && state.r === record) {
      Object.assign(state, { s: "", c: null });
    }
    writeState();
  });
});

// Shows what the address says.
function restore() {
  readState();
  apply(true);
  const index = state.s ? (DATA.records[state.r] ?? []).findIndex((scenario) => scenario.name === state.s) : -1;
  if (index < 0) return;
  const item = document.getElementById("s" + state.r + "-" + index);
  const { t, g, c } = state;
  item.hidden = false;
  item.firstElementChild.open = true;
  const host = item.querySelector(`.matrix[data-step="${t}"]`);
  if (host && c) {
    for (let fold = host.parentNode; fold !== item; fold = fold.parentNode) if (fold.localName === "details") fold.open = true;
    draw(host).show(g, c);
    host.scrollIntoView();
  } else item.scrollIntoView();
}

restore();
addEventListener("hashchange", restore);
// Paper shows what is not as expected with its matrices.
addEventListener("beforeprint", () => document.querySelectorAll(".differs .step.notable .matrix").forEach(draw));
