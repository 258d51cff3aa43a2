// The builder: cards are a form that the server reads and draws; this sends it, and keeps what is typed meanwhile.
import { say } from "./pages.js";

let typed = false; // since the form was last sent
let wanted = "";   // what a button asks for: a card more or fewer
let asked = "";    // the same, once it is on its way
let stale = false; // the server wanted to draw the cards anew, and somebody was typing

function cards() {
  return document.getElementById("cards");
}

document.addEventListener("input", (event) => {
  if (cards()?.contains(event.target)) typed = true;
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (!button) return;
  wanted = button.dataset.do;
  htmx.trigger(cards(), "submit");
});

document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.elt !== cards()) return;
  typed = false;
  asked = wanted;
  wanted = "";
  const query = new URLSearchParams();
  if (asked) query.set("do", asked);
  if (stale) query.set("redraw", "yes");
  stale = false;
  if (query.size) event.detail.path += `?${query}`;
});

document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.target?.id !== "cards") return; // drawn anew, it is no more where the event is told
  if (asked && event.detail.successful) focusOn(asked);
  asked = "";
  if (!event.detail.successful) say("It could not be saved. Look at the message, or try again.");
});

// Answers come in any order; what is shown is never exchanged for what an older draft said.
function isOlder(arrived, shown) {
  return Number(arrived?.dataset.of ?? Infinity) < Number(shown.dataset.of ?? 0);
}

// What was typed after the form was sent is not drawn over: it is sent again when it is done.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  if (isOlder(event.detail.fragment.firstElementChild, event.detail.target)) {
    event.detail.shouldSwap = false;
    return;
  }
  if (event.detail.target.id === "cards" && typed && !asked) {
    event.detail.shouldSwap = false;
    stale = true;
  }
  const own = document.activeElement;
  if (own && ["sentence", "yaml"].includes(own.id) && event.detail.target.contains(own) && own.value !== own.defaultValue) {
    event.detail.shouldSwap = false;
  }
});

// After a card came or went, the keyboard stands at it, or at the button that brought it.
function focusOn(what) {
  const parts = what.split(".");
  const form = cards();
  if (parts.at(-1) === "remove") {
    const more = parts.includes("where") ? `${parts.slice(0, 3).join(".")}.add` : `${parts[0]}.add`;
    form.querySelector(`[data-do^="${more}"]`)?.focus();
    return;
  }
  const prefix = what === "goal.add" ? "goal.items." : what.startsWith("population.add") ? "population.lines." : what === "events.add" || what.endsWith("define") ? "events." : `${parts.slice(0, -1).join(".")}.`;
  const kind = prefix === "events." ? ".name" : prefix.includes(".where.") ? ".field" : ".event";
  [...form.elements].filter((e) => e.name?.startsWith(prefix) && e.name.endsWith(kind)).at(-1)?.focus();
}

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.id === "check") event.target.setAttribute("aria-busy", "true");
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.target.id === "check") event.target.setAttribute("aria-busy", "false");
});
