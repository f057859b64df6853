// Light, dark, or as the system has it.

const THEMES = ["auto", "light", "dark"];
const themed = new Set();

function setTheme(theme, button) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  button.textContent = "Theme: " + theme;
  // Not every browser keeps things for a file.
  try { localStorage.setItem("verdikt-theme", theme); } catch {}
  themed.forEach((redraw) => redraw());
}

function themeButton() {
  let kept = null;
  try { kept = localStorage.getItem("verdikt-theme"); } catch {}
  let theme = THEMES.includes(kept) ? kept : "auto";
  const next = () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    setTheme(theme, button);
  };
  const button = el("button", { type: "button", id: "theme", click: next });
  setTheme(theme, button);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => themed.forEach((redraw) => redraw()));
  return button;
}
