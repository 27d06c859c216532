"use strict";
// Tables whose columns sort by click or key; the page is complete without it.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  const heads = [...table.tHead.rows[0].cells];

  // A number of the cell, its text, or null: what was not measured stays last either way.
  function worth(cell) {
    const text = cell.textContent.trim();
    if (cell.dataset.sort !== undefined) return cell.dataset.sort === "" ? null : Number(cell.dataset.sort);
    if (text === "" || text === "–") return null;
    const number = text.replaceAll(",", "").replace("−", "-").match(/^[^\d\s]?-?\d+(\.\d+)?/);
    return number ? Number(number[0].replace(/^[^\d-]/, "")) : text.toLowerCase();
  }

  function sort(column, descending) {
    const rows = [...body.rows].map((row) => [worth(row.cells[column]), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      return descending ? -order : order;
    });
    body.append(...rows.map(([, row]) => row));
    heads.forEach((head, number) => {
      if (number === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const words = typeof worth(body.rows[0].cells[column]) === "string";
      sort(column, before ? before === "ascending" : !words); // numbers from the largest, names from A
    });
  });
}
