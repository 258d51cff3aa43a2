// Draws each picture when it can be seen: a closed <details> has no width, so its pictures wait until it opens.
(function () {
  "use strict";
  const pictures = document.getElementById("pictures");
  const specs = JSON.parse(pictures.textContent);
  const words = pictures.dataset; // in the language of the page
  const options = {
    mode: "vega-lite",
    renderer: "svg",
    ast: true, // expressions are interpreted, not compiled: the page needs no unsafe-eval
    defaultStyle: "/* the page's own */",
    actions: { export: { svg: true, png: true }, source: false, compiled: false, editor: false },
    i18n: { CLICK_TO_VIEW_ACTIONS: words.save, SVG_ACTION: words.svg, PNG_ACTION: words.png },
    scaleFactor: { png: 2, svg: 1 },
  };

  function draw(box) {
    const name = box.dataset.picture;
    box.dataset.state = "drawing";
    vegaEmbed(box, specs[name], { ...options, downloadFileName: name }).then(
      () => { box.dataset.state = "drawn"; },
      (error) => {
        box.dataset.state = "failed";
        box.textContent = words.failed;
        console.error(name, error);
      }
    );
  }

  function drawVisible() {
    for (const box of document.querySelectorAll("[data-picture]:not([data-state])")) {
      if (!box.closest("details:not([open])")) draw(box);
    }
  }

  function setAll(open) {
    for (const part of document.querySelectorAll("main details")) part.open = open;
  }

  document.addEventListener("toggle", drawVisible, true);
  document.getElementById("open-all").addEventListener("click", () => setAll(true));
  document.getElementById("close-all").addEventListener("click", () => setAll(false));
  document.documentElement.classList.add("drawing");
  drawVisible();
})();
