// What every page does: draws pictures when they can be seen, changes the theme, says what happened.
const own = document.querySelector("script[data-drawing]");
let drawing; // Vega and its kind are loaded with the first picture

function load(address) {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = done;
    script.onerror = () => failed(new Error(`not loaded: ${address}`));
    document.head.append(script);
  });
}

function tools() {
  drawing ??= own.dataset.drawing.split(" ").reduce((before, address) => before.then(() => load(address)), Promise.resolve());
  return drawing;
}

// --- pictures ------------------------------------------------------------------------------------------

// The colours of charts.py, and what stands for them in the dark; they have the same distances to each other.
export const DARK = {
  "#22303a": "#e4e8ea", "#5b6870": "#a5b1b8", "#e5e3dc": "#364149", "#f1efe8": "#2a343a", "#b9c4cc": "#51616c",
  "#2f5d8a": "#86b9ea", "#8a5a83": "#d3a3cc", "#8b979e": "#7f8d95", "#0b7a75": "#45bdb4", "#e5b000": "#f0c23c",
  "#a3341f": "#ec8069",
};

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function described(text) {
  const plain = text.replaceAll('"background":"white"', '"background":null').replaceAll('"background": "white"', '"background": null');
  const found = isDark() ? plain.replace(/#[0-9a-f]{6}\b/g, (colour) => DARK[colour] ?? colour) : plain;
  return JSON.parse(isDark() ? found.replaceAll('"white"', '"#1e262b"') : found);
}

const OPTIONS = {
  mode: "vega-lite", renderer: "svg",
  ast: true, // expressions are interpreted, not compiled: the page needs no unsafe-eval
  defaultStyle: "/* propend.css has it */", tooltip: { disableDefaultStyle: true },
  actions: { export: { svg: true, png: true }, source: false, compiled: false, editor: false },
  i18n: { CLICK_TO_VIEW_ACTIONS: "Save this picture", SVG_ACTION: "Save as SVG", PNG_ACTION: "Save as PNG" },
  scaleFactor: { png: 2, svg: 1 },
};

async function draw(box) {
  box.dataset.state = "drawing";
  try {
    await tools();
    const text = box.parentElement.querySelector(':scope > script[type="application/json"]').textContent;
    await vegaEmbed(box, described(text), { ...OPTIONS, downloadFileName: box.dataset.picture });
    box.querySelector(":scope > details > summary")?.setAttribute("aria-label", OPTIONS.i18n.CLICK_TO_VIEW_ACTIONS);
    box.dataset.state = "drawn";
  } catch (error) {
    box.dataset.state = "failed";
    box.textContent = "This picture could not be drawn. Its table says the same.";
    console.error(box.dataset.picture, error);
  }
}

export function drawVisible() {
  for (const box of document.querySelectorAll("[data-picture]:not([data-state])")) {
    if (!box.closest("details:not([open])") && !box.closest("[hidden]")) draw(box);
  }
}

function redraw() {
  for (const box of document.querySelectorAll("[data-picture][data-state]")) {
    delete box.dataset.state;
    box.replaceChildren();
  }
  drawVisible();
}

document.addEventListener("toggle", drawVisible, true);
document.addEventListener("htmx:load", drawVisible);
drawVisible();

// --- theme, menus, dialogs --------------------------------------------------------------------------------

document.getElementById("theme")?.addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  document.querySelector('meta[name="color-scheme"]').content = theme;
  document.cookie = `propend-theme=${theme}; path=/; max-age=31536000; samesite=lax`;
  redraw();
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  const opener = event.target.closest("[data-opens]"); // a button that opens a dialog by its id
  if (opener) document.getElementById(opener.dataset.opens)?.showModal();
  if (event.target.closest("[data-closes]")) event.target.closest("dialog")?.close();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// --- where one is -----------------------------------------------------------------------------------------

for (const here of document.querySelectorAll("nav [aria-current='page']")) { // strips are wider than a narrow window
  const [tab, strip] = [here, here.parentElement].map((element) => element.getBoundingClientRect());
  here.parentElement.scrollLeft += tab.left - strip.left - (strip.width - tab.width) / 2;
}

// --- what happened ----------------------------------------------------------------------------------------

let silence;
export function say(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => { said.textContent = ""; }, 5000);
}

document.addEventListener("htmx:sendError", () => say("The server cannot be reached. Try again in a moment."));
