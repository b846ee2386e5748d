"use strict";
(function () {
  const order = new Intl.Collator("en", { numeric: true });

  function key(row, index) {
    const cell = row.cells[index];
    const sort = cell.getAttribute("data-sort");
    if (sort !== null) return Number(sort);
    const text = cell.textContent.trim();
    return text.startsWith("–") ? null : text;
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return order.compare(String(a), String(b));
  }

  function sort(table, index, descending) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row) => ({ row, key: key(row, index) }));
    rows.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
      return descending ? compare(b.key, a.key) : compare(a.key, b.key);
    });
    body.append(...rows.map((item) => item.row));
    Array.from(table.tHead.rows[0].cells).forEach((cell, place) => {
      if (place === index) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
  }

  function makeSortable(table) {
    if (table.tBodies[0].rows.length < 2) return;
    Array.from(table.tHead.rows[0].cells).forEach((cell, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...cell.childNodes);
      cell.append(button);
      button.addEventListener("click", () => {
        const now = cell.getAttribute("aria-sort");
        const first = cell.classList.contains("number");
        sort(table, index, now === null ? first : now === "ascending");
      });
    });
  }

  function makeFilter(table) {
    const rows = Array.from(table.tBodies[0].rows);
    if (rows.length < 13) return;
    const input = document.createElement("input");
    input.type = "search";
    input.className = "filter";
    input.placeholder = "Filter rows";
    input.setAttribute("aria-label", "Filter the rows of this table");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
    });
    table.parentElement.before(input);
  }

  document.querySelectorAll("table.sortable").forEach((table) => {
    makeSortable(table);
    makeFilter(table);
  });
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
  });
})();
