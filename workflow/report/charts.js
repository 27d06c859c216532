// Bundled with Vega by figures/figure.py, which writes the configuration in. The page is complete without it: each
// figure is there as a picture, and becomes one that answers to pointer and keys when it comes into view.
const config = CONFIG;
const options = {
  ast: true, // the page's policy forbids to make functions of texts
  actions: false,
  renderer: "svg",
  config,
  defaultStyle: false,
  tooltip: { disableDefaultStyle: true },
};

async function enliven(chart) {
  const spec = JSON.parse(chart.querySelector("script").textContent);
  const place = document.createElement("div");
  place.setAttribute("aria-hidden", "true"); // the words are the chart's label and what `said` says
  await vegaEmbed(place, spec, options);
  chart.setAttribute("role", "application");
  chart.setAttribute("aria-roledescription", "chart");
  chart.setAttribute("aria-label", `${chart.getAttribute("aria-label")} Arrow keys walk through the marks.`);
  chart.tabIndex = 0;
  chart.querySelector("svg, noscript").replaceWith(place);
  walk(chart, place);
}

function walk(chart, place) {
  const said = document.createElement("output");
  said.className = "unseen";
  chart.append(said);
  let at = -1;
  let mark = null;

  function tell(type, target) {
    const box = target.getBoundingClientRect();
    const where = { clientX: box.x + box.width / 2, clientY: box.y + box.height / 2 };
    target.dispatchEvent(new PointerEvent(type, { bubbles: true, ...where }));
  }

  function leave() {
    if (mark) tell("pointerout", mark);
    mark = null;
    said.textContent = "";
  }

  chart.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") leave();
    if (!step) return;
    event.preventDefault();
    const marks = [...place.querySelectorAll("svg *")].filter((node) => node.__data__?.tooltip);
    if (!marks.length) return;
    leave();
    at = (at + step + marks.length) % marks.length;
    mark = marks[at];
    tell("pointerover", mark);
    tell("pointermove", mark);
    const told = Object.entries(mark.__data__.tooltip);
    said.textContent = told.map(([name, text]) => (name === "title" ? text : `${name} ${text}`)).join(", ");
  });
  chart.addEventListener("blur", leave);
}

const coming = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      coming.unobserve(entry.target);
      enliven(entry.target);
    }
  },
  { rootMargin: "200px" },
);
for (const chart of document.querySelectorAll(".chart")) coming.observe(chart);
