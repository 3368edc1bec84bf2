"use strict";
// A click on a header sorts its table by that column, another one the other way round. Rows without a value stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    return heads[column].className === "number" ? parseFloat(cell.dataset.value) : cell.textContent.toLowerCase();
  };
  const unknown = (key) => key === "" || Number.isNaN(key);
  heads.forEach((head, column) => {
    if (head.className === "drawing") return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const keyed = [...body.rows].map((row) => [value(row, column), row]);
      keyed.sort(([a], [b]) => {
        if (unknown(a) || unknown(b)) return unknown(a) - unknown(b);
        const order = a < b ? -1 : a > b ? 1 : 0;
        return up ? order : -order;
      });
      body.append(...keyed.map(([, row]) => row));
    });
  });
}
