// A number with a slider beside it, finer for small numbers. Without this script the number and the button do the same.
const STEPS = 1000;
const numberAt = (step, most) => Math.max(1, Math.round(most * (step / STEPS) ** 2));
const stepOf = (number, most) => Math.round(STEPS * Math.sqrt(number / most));

function join(field) {
  const slider = document.getElementById(field.dataset.slides);
  const most = Number(field.max);
  const follow = () => {
    slider.value = String(stepOf(Number(field.value) || 1, most));
    slider.setAttribute("aria-valuetext", `${Number(field.value).toLocaleString("en")} of ${most.toLocaleString("en")}`);
  };
  slider.hidden = false;
  slider.addEventListener("input", () => {
    field.value = String(numberAt(Number(slider.value), most));
    slider.setAttribute("aria-valuetext", `${Number(field.value).toLocaleString("en")} of ${most.toLocaleString("en")}`);
    field.form.dispatchEvent(new Event("slid"));
  });
  field.addEventListener("input", follow);
  document.addEventListener("htmx:afterSwap", () => { // the server may have found the number
    const taken = document.querySelector("[data-taken]");
    if (taken && document.activeElement !== slider && document.activeElement !== field) {
      field.value = taken.dataset.taken;
      follow();
    }
  });
  follow();
}

for (const field of document.querySelectorAll("input[data-slides]")) join(field);
