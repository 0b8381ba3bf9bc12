async function draw(figure) {
  const spec = JSON.parse(document.getElementById(figure.dataset.spec).textContent, bind);
  spec.config.background = "transparent";
  await vegaEmbed(figure.querySelector(".chart"), spec, options);
}

for (const figure of document.querySelectorAll("figure[data-spec]")) {
  draw(figure).catch(error => { figure.querySelector(".chart").textContent = "This figure could not be drawn; its table is below."; console.error(error); });
  for (const button of figure.querySelectorAll("button[data-kind]")) {
    button.hidden = false;
    button.addEventListener("click", () => picture({ ...data(figure.dataset.spec), width: 720 }, button.dataset.kind, figure.id));
  }
}
