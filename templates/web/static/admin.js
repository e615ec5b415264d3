// The dashboard works without this: it only makes some things quicker.
"use strict";

// Copy buttons: [data-copy="id of a field"].
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    const told = document.querySelector("[data-copied]");
    try {
      await navigator.clipboard.writeText(field.value);
      told.textContent = "Copied.";
      told.classList.add("good");
    } catch {
      field.focus();
      field.select();
      told.textContent = "Press Ctrl+C, or ⌘C, to copy.";
    }
  });
}

// Lists that follow what is typed: form[data-live="id of the list"].
for (const form of document.querySelectorAll("form[data-live]")) {
  let waiting = 0;
  let last = null;
  const ask = () => {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value) query.set(name, value);
    const address = form.action.split("?")[0] + (query.size ? "?" + query : "");
    last?.abort();
    const call = (last = new XMLHttpRequest());
    call.open("GET", address);
    call.responseType = "document";
    call.onload = () => {
      const fresh = call.response?.getElementById(form.dataset.live);
      if (call.status !== 200 || !fresh) return form.submit();
      document.getElementById(form.dataset.live).replaceWith(document.adoptNode(fresh));
      history.replaceState(null, "", address);
    };
    call.onerror = () => form.submit();
    call.send();
  };
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, 200);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    ask();
  });
}

// What has to be typed: the button waits for it.
for (const field of document.querySelectorAll("[data-typed]")) {
  const button = field.form.querySelector("button");
  const look = () => (button.disabled = field.value !== field.dataset.typed);
  field.addEventListener("input", look);
  look();
}

// Long work in pieces, with what is done so far: form[data-pieces="name of its lines"]. Without this the form is sent
// whole, and the page shows what was left.
for (const form of document.querySelectorAll("form[data-pieces]")) {
  const PIECE = 25;
  const box = form.elements[form.dataset.pieces];
  const bar = form.querySelector("progress");
  const told = form.querySelector("[data-told]");
  const rows = document.querySelector("[data-lines]");
  let at = 0;
  const stop = (text) => {
    form.querySelector("button").disabled = false;
    told.textContent = text;
  };
  const go = (lines, bad) => {
    bar.max = lines.length;
    bar.value = at;
    told.textContent = `${at} of ${lines.length} lines` + (bad ? `, ${bad} refused` : "");
    if (at === lines.length) {
      box.value = "";
      return stop(`Done: ${lines.length} lines` + (bad ? `, ${bad} refused.` : "."));
    }
    const data = new URLSearchParams(new FormData(form));
    data.set(form.dataset.pieces, lines.slice(at, at + PIECE).join("\n"));
    const call = new XMLHttpRequest();
    call.open("POST", form.action);
    call.responseType = "document";
    const failed = () => {
      box.value = lines.slice(at).join("\n");
      stop("It stopped here; what is left stands above, and can be sent again.");
    };
    call.onerror = failed;
    call.onload = () => {
      const made = call.response?.querySelectorAll("[data-lines] tr") ?? [];
      const left = call.response?.getElementById(box.id)?.value;
      if (call.status !== 200 || left === undefined) return failed();
      const done = Math.min(PIECE, lines.length - at) - (left ? left.split("\n").length : 0);
      if (!done) return failed();
      for (const row of made) {
        row.cells[0].textContent = at + Number(row.cells[0].textContent);
        if (row.querySelector(".wrong")) bad++;
        rows.append(document.adoptNode(row));
      }
      rows.closest("section").hidden = false;
      at += done;
      go(lines, bad);
    };
    call.send(data);
  };
  form.addEventListener("submit", (event) => {
    const lines = box.value.split("\n").filter((line) => line.trim());
    event.preventDefault();
    if (!lines.length) return;
    at = 0;
    rows.replaceChildren();
    form.querySelector("button").disabled = true;
    form.querySelector("[data-progress]").hidden = false;
    go(lines, 0);
  });
}
