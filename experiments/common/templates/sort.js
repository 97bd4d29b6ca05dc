"use strict";
// A click on a header sorts its table by that column; a second click reverses it.
// Cells without a number, such as a dash, stay last.
function sortTable(table, column, isNumeric, isDescending) {
  const value = (row) => {
    const text = row.cells[column].textContent.trim();
    if (!isNumeric) return text.toLowerCase();
    const found = text.replace(/,(?=\d{3})/g, "").replace("−", "-");
    const number = parseFloat(found.replace(/^[^\d.+-]+/, ""));
    return Number.isNaN(number) ? null : number;
  };
  const compare = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    const order = isNumeric ? x - y : x.localeCompare(y, "en", { numeric: true });
    return isDescending ? -order : order;
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(compare));
}

for (const table of document.querySelectorAll("table")) {
  if (table.tBodies[0].rows.length < 2) continue;
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const isDescending = header.ariaSort === "ascending";
      headers.forEach((other) => { other.ariaSort = null; });
      header.ariaSort = isDescending ? "descending" : "ascending";
      const isNumeric = header.classList.contains("number-column");
      sortTable(table, column, isNumeric, isDescending);
    });
  });
}
