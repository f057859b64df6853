// Elements. Text is always text: nothing here can write markup.

function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const LONG = 600;

// Text that may be very long: the rest is behind a fold.
function long(text) {
  if (text.length <= LONG) return text;
  return el("details", { class: "long" }, el("summary", {}, text.slice(0, LONG) + "…"), el("div", {}, text));
}

function count(n, noun) {
  return n.toLocaleString("en") + " " + noun + (n === 1 ? "" : "s");
}

// Says something to those who do not see it.
function say(text) {
  document.getElementById("live").textContent = text;
}

// Gives every command below an element a button that copies it.
function copyable(element) {
  for (const command of element.querySelectorAll(".command")) {
    if (command.querySelector("button")) continue;
    const code = command.querySelector("code");
    const copy = async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
        say("Copied");
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      } catch {
        // The browser does not let us: the reader can.
        getSelection().selectAllChildren(code);
        say("Selected; press Ctrl+C");
      }
    };
    const button = el("button", { type: "button", "aria-label": "Copy the command", click: copy }, "Copy");
    command.append(button);
  }
}
