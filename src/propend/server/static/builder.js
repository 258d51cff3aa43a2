// The builder: cards are a form that the server reads and draws; this sends it, and keeps what is typed meanwhile.
import { say } from "./pages.js";

htmx.config.defaultSettleDelay = 0; // else a form has its old values for a moment, in which it may be sent again

const PAUSE = 600; // milliseconds without a key, after which what could not be drawn over is sent again

// One save at a time, of whichever form; what is asked for meanwhile waits, in its order. A form is known by its
// address, for the form itself is exchanged when it is drawn anew.
const waiting = [];          // of {address, does, redraw}: does is what a button asks for, a card more or fewer
const edited = new Map();    // by the address of a form: what was changed in it since it was sent, by field
let sent = null;             // what is being saved
let passing = false;         // whether htmx is sending what was taken from those that wait
let pressed = null;          // what is between the two halves of a click, and must stay where it is
let whole = false;           // whether all of a field of numbers was selected before it was drawn anew
let pause = 0;
let leaving = null;          // what is done once everything is saved

function cards() {
  return document.getElementById("cards");
}

function addressOf(form) {
  return form?.getAttribute("hx-post") ?? "";
}

function nameOf(field) {
  return ["checkbox", "radio"].includes(field.type) ? `${field.name}=${field.value}` : field.name;
}

function isBusy() {
  return sent !== null || waiting.length > 0;
}

function ask(address, does = "") {
  const last = waiting.at(-1);
  if (last?.address === address && !(last.does && does)) last.does ||= does; // it is read when it is sent
  else waiting.push({ address, does, redraw: false });
  clearTimeout(pause);
  pause = 0;
  sendNext();
}

function sendNext() {
  if (sent || pressed || (pause && !leaving)) return;
  while (waiting.length && !sent) {
    const form = waiting[0].form ?? document.querySelector(`form[hx-post="${CSS.escape(waiting[0].address)}"]`);
    const next = waiting.shift();
    if (!form?.isConnected) continue; // of a card that somebody has taken away
    sent = next;
    next.changed = edited.get(next.address) ?? [];
    edited.delete(next.address);
    passing = true;
    try {
      htmx.trigger(form, "submit");
    } finally {
      passing = false;
      if (!next.xhr) failed(next); // htmx did not send it
    }
  }
  if (!isBusy() && leaving) {
    const leave = leaving;
    leaving = null;
    leave();
  }
}

document.addEventListener("htmx:confirm", (event) => {
  const form = event.detail.elt;
  if (!form.matches("form[hx-post]") || passing) return;
  event.preventDefault();
  const shared = form.closest("#check"); // its forms have one address, each with another remedy
  if (shared) waiting.push({ address: addressOf(form), does: "", redraw: false, form });
  if (shared) sendNext();
  else ask(addressOf(form));
});

document.addEventListener("input", (event) => {
  const field = event.target, address = addressOf(field.closest("form[hx-post]"));
  if (address) edited.set(address, (edited.get(address) ?? new Map()).set(nameOf(field), field));
  if (pause) putOff();
});

// A field that says again what it said before tells of no change; what others were told of it meanwhile may be another.
document.addEventListener("focusout", (event) => {
  const field = event.target, form = field.closest("form[hx-trigger^=change]");
  if (form && edited.get(addressOf(form))?.has(nameOf(field))) ask(addressOf(form));
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) ask(addressOf(cards()), button.dataset.do);
});

function putOff() {
  clearTimeout(pause);
  pause = setTimeout(() => {
    pause = 0;
    sendNext();
  }, PAUSE);
}

document.addEventListener("pointerdown", (event) => { if (!event.button) pressed = event.target; }, true);
for (const name of ["pointerup", "pointercancel", "pointermove", "dragend", "keydown", "change"]) {
  document.addEventListener(name, (event) => {
    // A list that opened keeps the end of its click to itself; somebody who moves without a button has let go.
    if (!pressed || (name === "pointermove" && event.buttons) || (name === "change" && event.target !== pressed)) return;
    setTimeout(() => { // when the click is through
      pressed = null;
      sendNext();
    });
  }, true);
}

document.addEventListener("htmx:configRequest", (event) => {
  if (!sent || !passing) return;
  const query = new URLSearchParams();
  if (sent.does) query.set("do", sent.does);
  if (sent.redraw) query.set("redraw", "yes");
  if (query.size) event.detail.path += `?${query}`;
});

document.addEventListener("htmx:beforeSend", (event) => {
  if (!passing) return;
  const begun = sent;
  begun.xhr = event.detail.xhr;
  begun.xhr.addEventListener("loadend", () => setTimeout(() => {
    if (sent === begun) failed(begun); // its answer could not be drawn
  }));
});

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id === "check" && waiting.some((w) => w.form)) event.detail.shouldSwap = false;
  if (event.detail.xhr !== sent?.xhr || !pressed || !event.detail.shouldSwap || sent.form) return;
  event.detail.shouldSwap = false;
  sent.again = true;
});

// htmx tells this last, when all that is exchanged has been.
document.addEventListener("htmx:afterRequest", (event) => {
  if (!sent || event.detail.xhr !== sent.xhr) return;
  if (!event.detail.successful) {
    failed(sent);
    return;
  }
  const done = sent;
  sent = null;
  if (leaving && !event.detail.xhr.getResponseHeader("HX-Trigger")) {
    leaving = null;
    say("This cannot be read yet: what is wrong is said beside it. Nothing else was done.");
  }
  if (done.again) {
    waiting.unshift({ address: done.address, does: done.does, redraw: true });
    if (edited.has(done.address)) putOff();
  } else if (done.does) {
    for (const other of waiting) other.does = moved(other.does, done.does);
    const own = document.activeElement;
    if (own === document.body || own?.matches("[data-do]")) focusOn(done.does);
  }
  setTimeout(sendNext); // htmx still holds the form
});

function failed(save) {
  sent = null;
  leaving = null;
  edited.set(save.address, new Map([...save.changed, ...(edited.get(save.address) ?? [])]));
  say("It could not be saved. Look at the message, or try again.");
  setTimeout(sendNext);
}

// What a button meant before a card was taken away, once those behind it have moved up.
function moved(does, done) {
  const [, list, gone] = /^(.*)\.(\d+)\.remove$/.exec(done) ?? [];
  if (list === undefined || !does.startsWith(`${list}.`)) return does;
  const [place, ...rest] = does.slice(list.length + 1).split(".");
  if (!/^\d+$/.test(place) || Number(place) < Number(gone)) return does;
  return Number(place) === Number(gone) ? "" : [list, Number(place) - 1, ...rest].join(".");
}

// Answers come in any order; what is shown is never exchanged for what an older draft said.
function isOlder(arrived, shown) {
  return Number(arrived?.dataset.of ?? Infinity) < Number(shown.dataset.of ?? 0);
}

// What was typed after a form was sent is not drawn over: the form, as it is then, is sent again in a moment. Cards
// that the sentence, the YAML or a remedy has changed are drawn, with what was typed in them set again.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const target = event.detail.target;
  if (isOlder(event.detail.fragment.firstElementChild, target)) {
    event.detail.shouldSwap = false;
    return;
  }
  const address = addressOf(target.closest("form[hx-post]") ?? target.querySelector("form[hx-post]"));
  if (!edited.has(address) || (target.id === "cards" && sent?.address !== address)) {
    if (target.id === "cards") whole = isWhole(document.activeElement);
    return;
  }
  event.detail.shouldSwap = false;
  if (target.id === "cards") sent.again = true;
});

document.addEventListener("htmx:oobAfterSwap", (event) => {
  if (event.detail.target.id !== "cards") return;
  const changed = edited.get(addressOf(cards())) ?? new Map();
  for (const field of cards().elements) {
    const own = changed.get(nameOf(field));
    if (!own || own === field) continue;
    if (["checkbox", "radio"].includes(field.type)) field.checked = own.checked;
    else field.value = own.value;
    changed.set(nameOf(field), field);
  }
  queueMicrotask(toWhereItWas);
});

function isWhole(field) {
  return field?.type === "number" && field.value !== "" && getSelection().toString() === field.value;
}

// A field of numbers that is drawn anew is focused by htmx, but forgets where one was in it.
function toWhereItWas() {
  const own = document.activeElement;
  if (own?.type !== "number" || !cards().contains(own)) return;
  if (whole) {
    own.select();
    return;
  }
  own.type = "text";
  own.setSelectionRange(own.value.length, own.value.length);
  own.type = "number";
}

// --- leaving -------------------------------------------------------------------------------------------

function leave(event, go) {
  event.preventDefault();
  leaving = go;
  say("Saving what you changed first…");
  sendNext();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  const elsewhere = event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
  if (!link || elsewhere || link.target || link.hasAttribute("download") || !isBusy()) return;
  leave(event, () => location.assign(link.href));
});

document.addEventListener("submit", (event) => {
  const form = event.target, by = event.submitter?.id;
  if (form.method !== "post" || addressOf(form) || !isBusy()) return;
  leave(event, () => {
    const button = by ? document.getElementById(by) : null;
    (button?.form ?? form).requestSubmit(button); // the button may have been drawn anew
  });
});

document.addEventListener("submit", (event) => {
  if (event.target.closest("#discard")) edited.clear();
});

// The browser asks whoever closes the window before all is saved.
addEventListener("beforeunload", (event) => {
  if (isBusy() || edited.size) event.preventDefault();
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
