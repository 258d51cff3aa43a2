// Files on their way to the server: one after the other, each with its progress; then the form is sent with their names.
const form = document.getElementById("upload");
const input = document.getElementById("files");
const list = document.getElementById("arriving");
const drop = document.getElementById("drop");
const button = document.getElementById("send");

function row(file) {
  const item = document.createElement("li");
  const name = document.createElement("span");
  name.textContent = file.name;
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", `Upload of ${file.name}`);
  const said = document.createElement("span");
  said.className = "muted small";
  item.append(name, bar, said);
  list.append(item);
  return { item, bar, said };
}

function send(file) {
  const shown = row(file);
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${form.dataset.upload}?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("X-CSRF-Token", form.dataset.csrf);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) shown.bar.value = event.loaded / event.total;
    });
    const refuse = (text) => {
      shown.bar.remove();
      shown.item.className = "refused";
      shown.said.className = "small";
      shown.said.textContent = text;
      failed(new Error(text));
    };
    request.addEventListener("load", () => {
      if (request.status === 201) {
        shown.bar.value = 1;
        shown.said.textContent = "there";
        done(request.response.path);
      } else {
        const told = request.response?.error;
        refuse(told ? `${told.message} ${told.hint}` : `It was refused (${request.status}).`);
      }
    });
    if (file.size > Number(form.dataset.most)) {
      refuse(`The file is too large: at most ${Math.round(Number(form.dataset.most) / 1e6).toLocaleString("en")} MB can be uploaded.`);
      return;
    }
    request.addEventListener("error", () => refuse("The server ended the upload, or cannot be reached."));
    request.send(file);
  });
}

async function sendAll() {
  list.replaceChildren();
  for (const old of form.querySelectorAll("input[name=source]")) old.remove();
  button.disabled = true;
  for (const file of input.files) {
    const named = document.createElement("input");
    named.type = "hidden";
    named.name = "source";
    named.value = await send(file);
    form.append(named);
  }
  button.textContent = "Looking at the data…";
  if (form.dataset.after) location.assign(form.dataset.after);
  else form.submit();
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!input.files.length) {
    input.focus();
    list.textContent = "Choose a file first.";
    return;
  }
  sendAll().catch(() => { button.disabled = false; });
});

for (const kind of ["dragenter", "dragover"]) {
  drop?.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) drop?.addEventListener(kind, () => drop.classList.remove("over"));
drop?.addEventListener("drop", (event) => {
  event.preventDefault();
  input.files = event.dataTransfer.files;
});
