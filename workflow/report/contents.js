"use strict";
// The folded contents close when they were used or are left; without this script they are closed by hand.
const contents = document.querySelector("nav.contents details");
if (contents) {
  contents.addEventListener("click", (event) => {
    if (event.target.closest("a")) contents.open = false;
  });
  contents.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !contents.contains(event.relatedTarget)) contents.open = false;
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !contents.open) return;
    contents.open = false;
    contents.firstElementChild.focus();
  });
  addEventListener("click", (event) => {
    if (!contents.contains(event.target)) contents.open = false;
  });
}
