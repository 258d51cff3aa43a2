// A button with data-copies="ID" puts the value of that field into the clipboard; where a browser does not let it, the
// value is selected, to be copied by hand.
import { say } from "./pages.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copies);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    say("Copied.");
  } catch {
    say("Selected: copy it with the keyboard.");
  }
});
