"use strict";
// A spec holds the light colours; on the page each becomes the CSS variable of its token, so that dark mode and print need no second drawing.
const data = id => JSON.parse(document.getElementById(id).textContent);
const tokens = data("tokens");
const bind = (key, value) => Object.hasOwn(tokens, value) ? `var(--${tokens[value]})` : value;
const options = { renderer: "svg", actions: false, ast: true, defaultStyle: false, tooltip: { disableDefaultStyle: true } };

async function draw(figure) {
  const spec = JSON.parse(document.getElementById(figure.dataset.spec).textContent, bind);
  spec.config.background = "transparent";
  await vegaEmbed(figure.querySelector(".chart"), spec, options);
}

async function save(figure, kind) {
  const aside = document.createElement("div");
  const spec = { ...data(figure.dataset.spec), width: 720 };
  const { view, finalize } = await vegaEmbed(aside, spec, { ...options, renderer: "canvas" });
  const link = document.createElement("a");
  link.href = await view.toImageURL(kind, 2);
  link.download = `${figure.id}.${kind}`;
  link.click();
  finalize();
}

for (const figure of document.querySelectorAll("figure[data-spec]")) {
  draw(figure).catch(error => { figure.querySelector(".chart").textContent = "This figure could not be drawn; its table is below."; console.error(error); });
  for (const button of figure.querySelectorAll("button[data-kind]")) {
    button.hidden = false;
    button.addEventListener("click", () => save(figure, button.dataset.kind));
  }
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(details => { details.open = true; }));
