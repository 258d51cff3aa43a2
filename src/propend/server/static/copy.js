// A button with data-copies="ID" puts the value of that field into the clipboard; where a browser does not let it, the
// value is selected, to be copied by hand. It imports nothing: by another address pages.js would be loaded twice.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copies);
  const said = document.getElementById("said");
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    said.textContent = "Copied.";
  } catch {
    said.textContent = "Selected: copy it with the keyboard.";
  }
  setTimeout(() => { said.textContent = ""; }, 5000);
});
