"use strict";
// A spec holds the light colours; on the page each becomes the CSS variable of its token, so that dark mode and print need no second drawing.
const data = id => JSON.parse(document.getElementById(id).textContent);
const tokens = data("tokens");
const bind = (key, value) => Object.hasOwn(tokens, value) ? `var(--${tokens[value]})` : value;
const options = { renderer: "svg", actions: false, ast: true, defaultStyle: false, tooltip: { disableDefaultStyle: true } };

function hand(href, name) {
  const link = document.createElement("a");
  link.href = href;
  link.download = name;
  link.click();
}

async function picture(spec, kind, name) {
  const { view, finalize } = await vegaEmbed(document.createElement("div"), spec, { ...options, renderer: "canvas" });
  hand(await view.toImageURL(kind, 2), `${name}.${kind}`);
  finalize();
}

addEventListener("beforeprint", () => document.querySelectorAll("details:not(.closed)").forEach(details => { details.open = true; }));
