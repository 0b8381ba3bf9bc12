// Figures of a study are drawn as they come near the window, and again when its width changes; until then their still drawing stands there.
const SPACING = 26, AXIS = 58, PRINTED = 642;
const even = (count, fitting) => { const fit = Math.max(1, Math.floor(fitting)); return fit >= count ? count : Math.ceil(count / Math.ceil(count / fit)); };

function abreast({ across, grid }, fitting) {
  if (!grid) return even(across, fitting);
  let part = across;
  while (part > 1 && (across % part || part > fitting)) part -= 1;
  return part;
}

// The same as in drawing/titles.py.
function lines(words, width, character) {
  const most = (width + 8) / character, found = [""];
  for (const word of words.split(" ")) {
    const longer = `${found.at(-1)} ${word}`.trim();
    if (longer.length <= most || !found.at(-1)) found[found.length - 1] = longer;
    else found.push(word);
  }
  return found.length > 1 ? found : found[0];
}

function folded(view) {
  if (typeof view.title?.text === "string") view.title.text = lines(view.title.text, view.width, 6.8);
  for (const { encoding } of view.layer)
    if (typeof encoding?.x?.title === "string") encoding.x.title = lines(encoding.x.title, view.width, 6.2);
}

// The same as `sized` in drawing/panels.py.
function sized(spec, width, overhead) {
  const meta = spec.usermeta, layout = meta.panels;
  spec.config.legend.columns = Math.max(1, even(meta.entries, (width - AXIS) / meta.entry));
  if (!layout) {
    spec.width = width;
    if (meta.aspect) spec.height = Math.round(meta.aspect * (width - AXIS));
    return 0;
  }
  const across = abreast(layout, (width + SPACING) / (layout.least + AXIS));
  const taken = overhead ?? across * AXIS + (across - 1) * SPACING;
  const each = Math.max(60, Math.floor((width - taken) / across));
  spec.columns = across;
  for (const view of spec.concat) {
    view.width = each;
    if (layout.aspect) view.height = Math.round(layout.aspect * each);
    folded(view);
  }
  return across * each;
}

async function drawn(target, text, width, overhead) {
  const spec = JSON.parse(text, bind);
  spec.config.background = "transparent";
  const panels = sized(spec, width, overhead);
  const { finalize } = await vegaEmbed(target, spec, { ...options, logLevel: 1 });
  const over = parseFloat(target.querySelector("svg").getAttribute("width")) - panels;
  return { finalize, over: spec.usermeta.panels ? over : undefined, off: panels ? over + panels - width : 0 };
}

async function draw(figure) {
  const chart = figure.querySelector(".chart"), text = document.getElementById(figure.dataset.spec).textContent;
  const width = Math.floor(chart.clientWidth), aside = document.createElement("div");
  figure.width = width;
  aside.className = "chart aside";
  chart.after(aside);
  let now = await drawn(aside, text, width);
  if (Math.abs(now.off) > 3) {
    now.finalize();
    now = await drawn(aside, text, width, now.over);
  }
  figure.finalize?.();
  figure.finalize = now.finalize;
  aside.className = "chart";
  chart.remove();
}

function csv(spec) {
  const { columns } = spec.usermeta, rows = spec.data.name ? spec.datasets[spec.data.name] : spec.data.values;
  const cell = value => typeof value === "string" ? `"${(/^[=+\-@\t\r]/.test(value) ? "'" : "") + value.replaceAll('"', '""')}"` : value ?? "";
  const lines = [Object.values(columns).map(cell), ...rows.map(row => Object.keys(columns).map(key => cell(row[key])))];
  return `data:text/csv;charset=utf-8,${encodeURIComponent(lines.map(line => line.join(",")).join("\n") + "\n")}`;
}

async function save(figure, kind) {
  const spec = data(figure.dataset.spec);
  if (kind === "csv") return hand(csv(spec), `${figure.id}.csv`);
  sized(spec, PRINTED);
  return picture(spec, kind, figure.id);
}

let last = Promise.resolve(); // one drawing at a time: the page stays responsive
const ask = figure => { last = last.then(() => draw(figure)).catch(error => { figure.dataset.failed = ""; console.error(error); }); };
const near = new IntersectionObserver(seen => {
  for (const { isIntersecting, target } of seen) if (isIntersecting) { near.unobserve(target); ask(target); }
}, { rootMargin: "800px" });
let waiting;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    for (const figure of document.querySelectorAll("figure[data-spec]"))
      if (figure.width && figure.width !== Math.floor(figure.querySelector(".chart").clientWidth)) near.observe(figure);
  }, 150);
});
for (const figure of document.querySelectorAll("figure[data-spec]")) {
  if (figure.getBoundingClientRect().top < innerHeight + 800) ask(figure);
  else near.observe(figure);
  for (const button of figure.querySelectorAll("button[data-kind]")) {
    button.hidden = false;
    button.addEventListener("click", () => save(figure, button.dataset.kind).catch(error => console.error(error)));
  }
}
