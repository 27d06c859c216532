"use strict";
// In a page of many pairs, pictures, details and samples wait as the text of <noscript>, which costs a browser next
// to nothing. They become parts of the page when their section comes near, what is folded when it is opened; and when
// a link leads there, and for print. Without scripts they are there from the start.
function unpack(packed) {
  packed.outerHTML = packed.textContent;
}

function unpackIn(part) {
  for (const packed of part.querySelectorAll("noscript")) {
    if (!packed.closest("details:not([open])")) unpack(packed);
  }
}

function unpackTarget() {
  const named = `id="${decodeURIComponent(location.hash.slice(1))}"`;
  const around = [...document.querySelectorAll("noscript")].find((packed) => packed.textContent.includes(named));
  if (around) unpack(around);
}

const near = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      unpackIn(entry.target);
    }
  },
  { rootMargin: "100%" },
);
for (const packed of document.querySelectorAll("noscript")) near.observe(packed.closest("main > *"));
addEventListener("toggle", (event) => unpackIn(event.target), true);
addEventListener("beforeprint", () => document.querySelectorAll("noscript").forEach(unpack));
addEventListener("hashchange", unpackTarget);
if (location.hash) unpackTarget();
