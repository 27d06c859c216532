"use strict";
// The page is complete without this script; it adds search, filters and links into folded samples.
// A form is made when its samples are opened: a browser takes a minute to look through a thousand forms.
for (const samples of document.querySelectorAll("details.samples[open]")) addFilter(samples);
addEventListener("toggle", (event) => event.target.matches("details.samples") && addFilter(event.target), true);

function addFilter(samples) {
  const form = samples.querySelector("template")?.content.firstElementChild;
  if (!form) return; // it is there already, or there is but one answer
  const items = [...samples.querySelectorAll("ol.list > li")];
  const texts = new Map(); // filled by the first search: most readers never search
  const fields = form.elements;

  function textOf(item) {
    if (!texts.has(item)) texts.set(item, item.textContent.toLowerCase());
    return texts.get(item);
  }

  function apply() {
    const wanted = fields.text.value.trim().toLowerCase();
    let shown = 0;
    for (const item of items) {
      const fits =
        (!fields.state.value || item.dataset.state === fields.state.value) &&
        (!fields.failure.value || item.dataset.failure === fields.failure.value) &&
        (!wanted || textOf(item).includes(wanted));
      item.hidden = !fits;
      if (fits) shown += 1;
    }
    form.querySelector("output").textContent = `${shown} of ${items.length} shown`;
  }

  let waiting;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, 120);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  samples.querySelector("ol.list").before(form);
  apply();
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let node = target; node; node = node.parentElement) {
    if (node.tagName === "DETAILS") node.open = true;
  }
  target.scrollIntoView();
}

addEventListener("hashchange", openTarget);
openTarget();
