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
