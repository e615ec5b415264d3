/* The portal works without this; with it a secret can be copied with one press, does not stay
 * behind when the page is left, and a link that was clicked needs no second press. */
"use strict";

document.querySelector("form[data-auto]")?.requestSubmit();

const secret = document.querySelector("[data-secret]");
if (secret) {
  const button = document.querySelector("[data-copy]");
  const said = document.querySelector("[data-copied]");
  let copied = false;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(secret.value);
      said.textContent = "Copied. Paste it where you keep it, before you leave this page.";
      said.className = "small good";
      copied = true;
    } catch {
      secret.focus();
      secret.select();
      said.textContent = "Could not copy by itself: it is selected, copy it by hand.";
    }
  });
  secret.addEventListener("copy", () => { copied = true; });
  secret.addEventListener("focus", () => secret.select());
  /* A reload asks for the key's page, not for the form once more. */
  history.replaceState(null, "", document.querySelector("[data-reveal]").dataset.reveal);
  addEventListener("beforeunload", event => { if (!copied && secret.value) event.preventDefault(); });
  addEventListener("pagehide", () => {
    secret.value = "";
    document.querySelectorAll("[data-sample]").forEach(sample => { sample.textContent = ""; });
  });
}

/* One sample at a time. */
const samples = document.querySelectorAll(".samples > details");
samples.forEach(one => one.addEventListener("toggle", () => {
  if (one.open) samples.forEach(other => { if (other !== one) other.open = false; });
}));
