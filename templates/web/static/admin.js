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

// A part of long work is sent: done(status, its page), with neither where nothing came.
function sendPart(form, data, done) {
  const call = new XMLHttpRequest();
  call.open("POST", form.action);
  call.responseType = "document";
  call.onerror = () => done(0, null);
  call.onload = () => done(call.status, call.response);
  call.send(data);
}

// A list in pieces, with what is done so far: form[data-pieces="name of its lines"]. Without this the form is sent
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
    sendPart(form, data, (status, page) => {
      const made = page?.querySelectorAll("[data-lines] tr") ?? [];
      const left = page?.getElementById(box.id)?.value;
      const done = Math.min(PIECE, lines.length - at) - (left ? left.split("\n").length : 0);
      if (status !== 200 || left === undefined || !done) {
        box.value = lines.slice(at).join("\n");
        return stop("It stopped here; what is left stands above, and can be sent again.");
      }
      for (const row of made) {
        row.cells[0].textContent = at + Number(row.cells[0].textContent);
        if (row.querySelector(".wrong")) bad++;
        rows.append(document.adoptNode(row));
      }
      rows.closest("section").hidden = false;
      at += done;
      go(lines, bad);
    });
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

// Work in parts, each behind a press of the button of form[data-steps] in #work: here they follow by themselves. The
// address goes with them, so that the page, opened again, goes on from there.
if (document.querySelector("form[data-steps]")) {
  const line = document.querySelector("[data-progress]");
  const bar = line.querySelector("progress");
  const told = line.querySelector("[data-told]");
  const pause = line.querySelector("[data-pause]");
  let going = false;
  const rest = (text) => {
    const held = document.activeElement === pause || document.activeElement === document.body;
    const form = document.querySelector("form[data-steps]");
    if (text) told.textContent = text;
    going = false;
    pause.hidden = true;
    if (form) form.hidden = false;
    if (held) (document.querySelector("[data-end]") ?? form?.querySelector("button"))?.focus();
  };
  const go = (form) => {
    const data = new URLSearchParams(new FormData(form));
    form.hidden = true;
    sendPart(form, data, (status, page) => {
      const work = page?.getElementById("work");
      const fresh = page?.querySelector("[data-progress]");
      if (!work || !fresh) return rest("It stopped here, and what is done stays done. Continue, or open the page anew.");
      bar.max = fresh.querySelector("progress").max;
      bar.value = fresh.querySelector("progress").value;
      told.textContent = fresh.querySelector("[data-told]").textContent;
      document.getElementById("work").replaceWith(document.adoptNode(work));
      const next = work.querySelector("form[data-steps].formed");
      history.replaceState(null, "", next ? next.action : location.pathname);
      if (status !== 200) return rest(page.querySelector("[role=alert]")?.textContent);
      if (!next || !going) return rest();
      go(next);
    });
  };
  pause.addEventListener("click", () => {
    going = false;
    pause.hidden = true;
  });
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-steps]")) return;
    event.preventDefault();
    if (going) return;
    going = true;
    line.hidden = pause.hidden = false;
    pause.focus();
    go(event.target);
  });
}
